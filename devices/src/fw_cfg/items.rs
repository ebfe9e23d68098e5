//! What fw_cfg tells: numbers that have a selector of their own, and files that
//! a directory names.

use igvm_core::span::Span;

use super::smbios;
use crate::Description;
use crate::acpi::loader::{Files, RSDP_FILE, SCRIPT_FILE, TABLES_FILE};
use crate::acpi::{Chipset, Table};
use crate::pci::DISK_DEVICE;

pub(super) const SIGNATURE: u16 = 0x00;
const ID: u16 = 0x01;
const RAM_SIZE: u16 = 0x03;
const NO_GRAPHICS: u16 = 0x04;
const PROCESSORS: u16 = 0x05;
const NUMA: u16 = 0x0d;
const BOOT_MENU: u16 = 0x0e;
const MAX_PROCESSORS: u16 = 0x0f;
const FILE_DIRECTORY: u16 = 0x19;
/// The first file's selector.
const FIRST_FILE: u16 = 0x20;
/// Whether the timer's IRQ 0 arrives at I/O APIC pin 2, as it does in KVM.
const IRQ0_OVERRIDE: u16 = 0x8002;

/// ID: the traditional interface, and DMA.
const INTERFACES: u32 = 1 << 0 | 1 << 1;

/// `etc/system-states`, a byte for each of S0 to S5: bit 7 where it can be
/// entered, the sleep type below. S0, S5 and nothing between.
const SYSTEM_STATES: [u8; 6] = [0x80, 0, 0, 1, 2, 0x80];

/// `etc/boot-fail-wait`: milliseconds until SeaBIOS resets the machine when
/// there is nothing to start. Never: whoever looks wants to see why.
const BOOT_FAIL_WAIT: u32 = u32::MAX;

/// Where SeaBIOS maps configuration space; OVMF has another place of the same
/// size.
const ECAM: Span = Span::new(0xb000_0000, 256 << 20);

/// Bytes by which the tables may grow when firmware maps configuration space
/// where nobody expects it: descriptors of 64 bits for those of 32.
const TABLES_SLACK: usize = 256;

/// The items, by selector.
pub(super) struct Items {
    items: Vec<(u16, Vec<u8>)>,
    tables: AcpiTables,
}

/// The ACPI tables until they are made, and what of the machine they tell.
struct AcpiTables {
    windows: Vec<Span>,
    others: Vec<Vec<u8>>,
    made: bool,
}

impl AcpiTables {
    fn make(&self, chipset: &Chipset) -> Files {
        let others: Vec<_> = self.others.iter().map(|table| Table::Bytes(table)).collect();
        Files::new(chipset, &others)
    }

    /// The files with the lengths that the directory tells. The tables get
    /// their content when they are read, and may then be shorter.
    fn reserve(&self) -> Files {
        let chipset = Chipset { ecam: Some(ECAM), ..Chipset::at_power_up(&self.windows) };
        let mut files = self.make(&chipset);
        let len = (files.tables.len() + TABLES_SLACK).next_multiple_of(4096);
        files.tables.resize(len, 0);
        files
    }
}

impl Items {
    pub(super) fn new(machine: &Description, disk: bool) -> Self {
        let tables = AcpiTables {
            windows: machine.windows.clone(),
            others: machine.acpi_tables.clone(),
            made: false,
        };
        let ram = machine.ram.iter().fold(0, |sum: u64, span| sum.saturating_add(span.len));
        let processors = u16::try_from(machine.processors).unwrap_or(u16::MAX);
        let acpi = tables.reserve();
        let smbios = smbios::tables();
        let mut files = vec![
            ("etc/e820", e820(machine)),
            (RSDP_FILE, acpi.rsdp),
            (TABLES_FILE, acpi.tables),
            (SCRIPT_FILE, acpi.script),
            ("etc/system-states", SYSTEM_STATES.to_vec()),
            ("etc/boot-fail-wait", BOOT_FAIL_WAIT.to_le_bytes().to_vec()),
            ("etc/smbios/smbios-anchor", smbios::anchor(&smbios)),
            ("etc/smbios/smbios-tables", smbios),
        ];
        if disk {
            files.push(("bootorder", boot_order()));
        }
        let mut items = vec![
            (SIGNATURE, b"QEMU".to_vec()),
            (ID, INTERFACES.to_le_bytes().to_vec()),
            (RAM_SIZE, ram.to_le_bytes().to_vec()),
            (NO_GRAPHICS, vec![1, 0]),
            (PROCESSORS, processors.to_le_bytes().to_vec()),
            (NUMA, vec![0; 8]),
            (BOOT_MENU, vec![0, 0]),
            (MAX_PROCESSORS, processors.to_le_bytes().to_vec()),
            (FILE_DIRECTORY, directory(&files)),
            (IRQ0_OVERRIDE, vec![1]),
        ];
        items.extend((FIRST_FILE..).zip(files).map(|(selector, (_, content))| (selector, content)));
        Self { items, tables }
    }

    /// The content of an item, nothing where there is none.
    pub(super) fn content(&self, selector: u16) -> &[u8] {
        let item = self.items.iter().find(|(this, _)| *this == selector);
        item.map_or(&[], |(_, content)| content)
    }

    /// Makes the ACPI tables when the first file of theirs is selected.
    ///
    /// Firmware sets up the chipset before it asks for them, each firmware in
    /// its own way: SeaBIOS maps configuration space at 0xb0000000, OVMF at
    /// 0xe0000000. Made now, the tables say what is.
    pub(super) fn about_to_be_read(&mut self, selector: u16, chipset: impl FnOnce() -> Chipset) {
        const ACPI_FILES: std::ops::RangeInclusive<u16> = FIRST_FILE + 1..=FIRST_FILE + 3;
        if !ACPI_FILES.contains(&selector) || self.tables.made {
            return;
        }
        self.tables.made = true;
        let Files { rsdp, tables, script } = self.tables.make(&chipset());
        for (selector, content) in ACPI_FILES.zip([rsdp, tables, script]) {
            if let Some((_, item)) = self.items.iter_mut().find(|(this, _)| *this == selector) {
                // The length stays as the directory has told it. Zeroes behind
                // the script are no command, those behind the tables no table.
                let len = item.len();
                debug_assert!(content.len() <= len);
                *item = content;
                item.resize(len, 0);
            }
        }
    }
}

/// What to start from: the disk, by its OpenFirmware path with the name that
/// virtio block devices have there (SeaBIOS `src/boot.c`; OVMF
/// `QemuBootOrderLib`).
fn boot_order() -> Vec<u8> {
    format!("/pci@i0cf8/scsi@{DISK_DEVICE:x}/disk@0,0\0").into_bytes()
}

/// The memory map: entries of base, length and type, 20 bytes each.
fn e820(machine: &Description) -> Vec<u8> {
    const RAM: u32 = 1;
    const RESERVED: u32 = 2;
    let entry = |typ: u32| {
        move |span: &Span| {
            [&span.start.to_le_bytes()[..], &span.len.to_le_bytes(), &typ.to_le_bytes()].concat()
        }
    };
    let ram = machine.ram.iter().flat_map(entry(RAM));
    ram.chain(machine.reserved.iter().flat_map(entry(RESERVED))).collect()
}

/// The directory: a count, then size, selector and name of each file.
fn directory(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut directory = (files.len() as u32).to_be_bytes().to_vec();
    for (selector, (name, content)) in (FIRST_FILE..).zip(files) {
        directory.extend((content.len() as u32).to_be_bytes());
        directory.extend(selector.to_be_bytes());
        directory.extend([0; 2]);
        let mut field = [0; 56];
        field[..name.len()].copy_from_slice(name.as_bytes());
        directory.extend(field);
    }
    directory
}
