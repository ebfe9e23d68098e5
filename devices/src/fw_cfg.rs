//! fw_cfg: how firmware made for virtual machines learns about its machine.
//! The selector at port 0x510, the data at 0x511, read byte by byte; numbers
//! are little endian, the file directory big endian.

use igvm_core::span::Span;

use crate::Description;

/// Selects an item, by a word write.
pub(crate) const SELECTOR: u16 = 0x510;
/// Reads the selected item's next byte.
pub(crate) const DATA: u16 = 0x511;

const SIGNATURE: u16 = 0x00;
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

/// ID: the traditional interface, by selector and data port alone.
const INTERFACE: u32 = 1;

/// The items and where the guest stands in one of them.
pub(crate) struct FwCfg {
    items: Vec<(u16, Vec<u8>)>,
    selected: u16,
    offset: usize,
}

impl FwCfg {
    pub(crate) fn new(machine: &Description) -> Self {
        let ram = machine.ram.iter().fold(0, |sum: u64, span| sum.saturating_add(span.len));
        let processors = u16::try_from(machine.processors).unwrap_or(u16::MAX);
        let files = [("etc/e820", e820(machine))];
        let mut items = vec![
            (SIGNATURE, b"QEMU".to_vec()),
            (ID, INTERFACE.to_le_bytes().to_vec()),
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
        Self { items, selected: SIGNATURE, offset: 0 }
    }

    pub(crate) const fn select(&mut self, selector: u16) {
        self.selected = selector;
        self.offset = 0;
    }

    /// The next byte of the selected item; zero behind its end and where there
    /// is no such item.
    pub(crate) fn next(&mut self) -> u8 {
        let item = self.items.iter().find(|(selector, _)| *selector == self.selected);
        match item.and_then(|(_, content)| content.get(self.offset)) {
            Some(byte) => {
                self.offset += 1;
                *byte
            }
            None => 0,
        }
    }
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
