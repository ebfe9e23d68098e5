//! The tables for firmware: two files without addresses and a script that tells
//! firmware where to put them and what to fix up (QEMU, `docs/specs/fw_cfg.rst`
//! names the files; `hw/acpi/bios-linker-loader.c` describes the script).

use super::{Chipset, Linked, Part, Pointer, Sum, Table};

/// The root pointer's file.
pub(crate) const RSDP_FILE: &str = "etc/acpi/rsdp";
/// The file of everything it leads to.
pub(crate) const TABLES_FILE: &str = "etc/acpi/tables";
/// The script.
pub(crate) const SCRIPT_FILE: &str = "etc/table-loader";

/// Bytes of a command: its number, its arguments, zeroes.
const COMMAND_LEN: usize = 128;
/// Bytes of a file's name in a command, with at least one NUL.
const NAME_LEN: usize = 56;

const ALLOCATE: u32 = 1;
const ADD_POINTER: u32 = 2;
const ADD_CHECKSUM: u32 = 3;

/// ALLOCATE: anywhere below 4 GiB.
const ZONE_HIGH: u8 = 1;
/// ALLOCATE: between 0xf0000 and 0x100000, where operating systems search.
const ZONE_FSEG: u8 = 2;

/// The files and the script, for fw_cfg.
pub(crate) struct Files {
    pub(crate) rsdp: Vec<u8>,
    pub(crate) tables: Vec<u8>,
    pub(crate) script: Vec<u8>,
}

impl Files {
    pub(crate) fn new(chipset: &Chipset, others: &[Table<'_>]) -> Self {
        let Linked { rsdp, tables, pointers, sums } = Linked::new(chipset, others);
        let mut script = Script(Vec::new());
        script.allocate(Part::Rsdp, 16, ZONE_FSEG);
        script.allocate(Part::Tables, 64, ZONE_HIGH);
        // Sums are over what the pointers will be.
        pointers.iter().for_each(|pointer| script.add_pointer(pointer));
        sums.iter().for_each(|sum| script.add_checksum(sum));
        Self { rsdp, tables, script: script.0 }
    }
}

struct Script(Vec<u8>);

impl Script {
    fn allocate(&mut self, part: Part, align: u32, zone: u8) {
        self.command(ALLOCATE, &[&name(part), &align.to_le_bytes(), &[zone]]);
    }

    fn add_pointer(&mut self, &Pointer { part, at, len }: &Pointer) {
        let at = (at as u32).to_le_bytes();
        self.command(ADD_POINTER, &[&name(part), &name(Part::Tables), &at, &[len as u8]]);
    }

    fn add_checksum(&mut self, &Sum { part, at, start, len }: &Sum) {
        let [at, start, len] = [at, start, len].map(|number| (number as u32).to_le_bytes());
        self.command(ADD_CHECKSUM, &[&name(part), &at, &start, &len]);
    }

    fn command(&mut self, number: u32, arguments: &[&[u8]]) {
        let end = self.0.len() + COMMAND_LEN;
        self.0.extend(number.to_le_bytes());
        self.0.extend(arguments.concat());
        self.0.resize(end, 0);
    }
}

fn name(part: Part) -> [u8; NAME_LEN] {
    let name = match part {
        Part::Rsdp => RSDP_FILE,
        Part::Tables => TABLES_FILE,
    };
    let mut field = [0; NAME_LEN];
    field[..name.len()].copy_from_slice(name.as_bytes());
    field
}
