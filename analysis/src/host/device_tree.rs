//! The device tree that the DEVICE_TREE parameter hands over (Devicetree
//! specification 0.4; `igvm_defs::dt` for the memory nodes).

use igvm_core::defs::MemoryMapEntryType;
use igvm_core::defs::dt::IGVM_DT_IGVM_TYPE_PROPERTY;
use igvm_core::span::Span;
use vm_fdt::{Error, FdtWriter};

use super::HostDescription;

/// Processors, memory and the command line.
pub(super) fn build(description: &HostDescription, ram: &[Span]) -> Vec<u8> {
    // The writer refuses names and strings with NULs and unbalanced nodes;
    // the description has been validated, the nodes are balanced below.
    write(description, ram).expect("a validated description makes a device tree")
}

fn write(description: &HostDescription, ram: &[Span]) -> Result<Vec<u8>, Error> {
    let mut fdt = FdtWriter::new()?;
    let root = fdt.begin_node("")?;
    fdt.property_u32("#address-cells", 2)?;
    fdt.property_u32("#size-cells", 2)?;

    let chosen = fdt.begin_node("chosen")?;
    fdt.property_string("bootargs", &description.command_line)?;
    fdt.end_node(chosen)?;

    let cpus = fdt.begin_node("cpus")?;
    fdt.property_u32("#address-cells", 1)?;
    fdt.property_u32("#size-cells", 0)?;
    for id in 0..description.processors {
        let cpu = fdt.begin_node(&format!("cpu@{id:x}"))?;
        fdt.property_string("device_type", "cpu")?;
        fdt.property_u32("reg", id)?;
        fdt.property_string("status", "okay")?;
        fdt.end_node(cpu)?;
    }
    fdt.end_node(cpus)?;

    for ram in ram {
        let memory = fdt.begin_node(&format!("memory@{:x}", ram.start))?;
        fdt.property_string("device_type", "memory")?;
        fdt.property_array_u64("reg", &[ram.start, ram.len])?;
        fdt.property_u32(IGVM_DT_IGVM_TYPE_PROPERTY, MemoryMapEntryType::MEMORY.0.into())?;
        fdt.end_node(memory)?;
    }
    fdt.end_node(root)?;
    fdt.finish()
}
