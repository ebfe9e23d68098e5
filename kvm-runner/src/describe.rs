//! What the devices are told of the machine.

use igvm_core::defs::PAGE_SIZE_4K;
use igvm_core::load::Host;
use igvm_core::span::Span;
use igvm_devices::Description;

use crate::kvm::RESERVED_BY_KVM;

/// The same machine that the file's parameters describe.
pub fn description(host: &Host<'_>) -> Description {
    let windows = host.mmio_ranges.iter().map(|range| {
        Span::new(
            range.starting_gpa_page_number * PAGE_SIZE_4K,
            range.number_of_pages * PAGE_SIZE_4K,
        )
    });
    let tables = [host.madt, host.srat, host.slit, host.pptt];
    Description {
        ram: host.ram.to_vec(),
        reserved: vec![RESERVED_BY_KVM],
        processors: host.processors,
        windows: windows.filter(|window| !window.is_empty()).collect(),
        acpi_tables: tables.iter().filter(|table| !table.is_empty()).map(|t| t.to_vec()).collect(),
    }
}
