//! The ACPI tables, read as an operating system reads them and by ACPI's own
//! compiler.

mod common;
#[path = "../../analysis/tests/common/tool.rs"]
mod tool;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::Pc;
use igvm_core::span::Span;
use igvm_devices::acpi::{Chipset, Table, tables_at};
use tool::tool;

const ECAM: Span = Span::new(0xb000_0000, 0x1000_0000);

fn chipset() -> Chipset {
    Chipset {
        pm_base: 0x600,
        ecam: Some(ECAM),
        windows: vec![Span::between(0x8000_0000, 0xfec0_0000), Span::new(1 << 40, 64 << 30)],
    }
}

/// A little memory that starts somewhere.
struct Placed<'a> {
    gpa: u64,
    bytes: &'a [u8],
}

impl Placed<'_> {
    fn at(&self, gpa: u64, len: usize) -> &[u8] {
        let start = usize::try_from(gpa.checked_sub(self.gpa).expect("below")).unwrap();
        &self.bytes[start..start + len]
    }

    fn number(&self, gpa: u64, len: usize) -> u64 {
        self.at(gpa, len).iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    /// A whole table, by the length in its header.
    fn table(&self, gpa: u64) -> &[u8] {
        self.at(gpa, self.number(gpa + 4, 4) as usize)
    }
}

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

/// Follows the pointers from an RSDP: every table found, and the XSDT's entries
/// that lead elsewhere.
fn walk(memory: &Placed<'_>, rsdp: u64) -> (Vec<Vec<u8>>, Vec<u64>) {
    assert_eq!(memory.at(rsdp, 8), b"RSD PTR ");
    assert_eq!((sum(memory.at(rsdp, 20)), sum(memory.at(rsdp, 36))), (0, 0));
    let xsdt_at = memory.number(rsdp + 24, 8);
    let xsdt = memory.table(xsdt_at);
    let mut found = vec![xsdt.to_vec()];
    let mut elsewhere = vec![];
    let end = memory.gpa + memory.bytes.len() as u64;
    for entry in xsdt[36..].chunks(8) {
        let entry = u64::from_le_bytes(entry.try_into().unwrap());
        match (memory.gpa..end).contains(&entry) {
            true => found.push(memory.table(entry).to_vec()),
            false => elsewhere.push(entry),
        }
    }
    let fadt_at = u64::from_le_bytes(xsdt[36..44].try_into().unwrap());
    assert_eq!(memory.at(fadt_at, 4), b"FACP");
    let (facs, dsdt) = (memory.number(fadt_at + 36, 4), memory.number(fadt_at + 40, 4));
    assert_eq!(memory.number(fadt_at + 140, 8), dsdt);
    assert_eq!((memory.at(facs, 4), facs % 64), (&b"FACS"[..], 0));
    found.push(memory.table(dsdt).to_vec());
    for table in &found {
        assert_eq!(sum(table), 0, "{}", signature(table));
    }
    found.push(memory.table(facs).to_vec());
    (found, elsewhere)
}

fn signature(table: &[u8]) -> String {
    String::from_utf8_lossy(&table[..4]).into_owned()
}

fn signatures(tables: &[Vec<u8>]) -> Vec<String> {
    tables.iter().map(|table| signature(table)).collect()
}

#[test]
fn tables_at_an_address_are_whole() {
    for gpa in [0_u32, 0xe_0000, 0x7ff0_0000] {
        let bytes =
            tables_at(gpa, &chipset(), &[Table::At(0x1234_5000), Table::At(1 << 33)]).unwrap();
        let memory = Placed { gpa: gpa.into(), bytes: &bytes };
        let (tables, elsewhere) = walk(&memory, gpa.into());
        assert_eq!(signatures(&tables), ["XSDT", "FACP", "MCFG", "DSDT", "FACS"]);
        assert_eq!(elsewhere, [0x1234_5000, 1 << 33]);
    }
    assert!(tables_at(0xe_0010, &chipset(), &[]).is_none(), "the FACS would not be aligned");
    assert!(tables_at(0xffff_ff00, &chipset(), &[]).is_none(), "past 4 GiB");
}

/// What firmware does with the script, in a little memory of its own: the files
/// go where it likes, one behind the other.
fn load_by_script(pc: &mut Pc, base: u64) -> (Vec<u8>, u64) {
    let script = pc.fw_cfg_file("etc/table-loader");
    let mut memory = Vec::new();
    let mut places: Vec<(String, usize)> = vec![];
    for command in script.chunks(128) {
        let number = |at: usize| u32::from_le_bytes(command[at..at + 4].try_into().unwrap());
        let place = |places: &[(String, usize)], at: usize| {
            let name = name(&command[at..at + 56]);
            places.iter().find(|(this, _)| *this == name).map(|(_, place)| *place).unwrap()
        };
        match number(0) {
            1 => {
                let name = name(&command[4..60]);
                memory.resize(memory.len().next_multiple_of(number(60) as usize), 0);
                places.push((name.clone(), memory.len()));
                memory.extend(pc.fw_cfg_file(&name));
            }
            2 => {
                let (at, source) = (place(&places, 4), place(&places, 60));
                let (at, len) = (at + number(116) as usize, usize::from(command[120]));
                let mut field = [0; 8];
                field[..len].copy_from_slice(&memory[at..at + len]);
                let address = u64::from_le_bytes(field) + base + source as u64;
                memory[at..at + len].copy_from_slice(&address.to_le_bytes()[..len]);
            }
            3 => {
                let [at, start, len] = [60, 64, 68].map(|at| number(at) as usize);
                let file = place(&places, 4);
                assert_eq!(memory[file + at], 0, "OVMF does not take the old sum away");
                memory[file + at] = sum(&memory[file + start..][..len]).wrapping_neg();
            }
            0 => assert_eq!(command, [0; 128]),
            other => panic!("command {other}"),
        }
    }
    let rsdp = places.iter().find(|(name, _)| name == "etc/acpi/rsdp").unwrap().1;
    (memory, base + rsdp as u64)
}

fn name(field: &[u8]) -> String {
    String::from_utf8(field.split(|byte| *byte == 0).next().unwrap().to_vec()).unwrap()
}

#[test]
fn firmware_gets_the_same_tables() {
    let mut pc = Pc::small();
    let (memory, rsdp) = load_by_script(&mut pc, 0x3f_0000);
    let (tables, elsewhere) = walk(&Placed { gpa: 0x3f_0000, bytes: &memory }, rsdp);
    assert_eq!(signatures(&tables), ["XSDT", "FACP", "SSDT", "DSDT", "FACS"]);
    assert_eq!(elsewhere, []);
    // The chipset at power-up, as a file without firmware has it, says the same.
    let chipset = Chipset::at_power_up(&Pc::description(&[]).windows);
    let same = tables_at(0x10_0000, &chipset, &[]).unwrap();
    let (same, _) = walk(&Placed { gpa: 0x10_0000, bytes: &same }, 0x10_0000);
    assert!(same[2..] == tables[3..]);
}

/// Firmware moves the power-management block and maps configuration space
/// before it asks for the tables, and they say so. Later moves they cannot.
#[test]
fn tables_tell_what_firmware_has_set_up() {
    for (pm_base, ecam) in [(0x600, 0xb000_0000), (0x7f80, 0xe000_0000), (0xb000, 0)] {
        let mut pc = Pc::small();
        let write = |pc: &mut Pc, function, register, value: u32| {
            pc.config(function, register);
            pc.write(0xcfc, &value.to_le_bytes());
        };
        write(&mut pc, 0x1f << 3, 0x40, pm_base | 1);
        write(&mut pc, 0x1f << 3, 0x44, 0x80);
        write(&mut pc, 0, 0x64, u32::from(ecam == 0) * 4);
        write(&mut pc, 0, 0x60, ecam | 1);
        let (memory, rsdp) = load_by_script(&mut pc, 0x3f_0000);
        write(&mut pc, 0x1f << 3, 0x40, 0x801);
        let (again, _) = load_by_script(&mut pc, 0x3f_0000);
        assert!(memory == again, "once made, they stay");
        let (tables, _) = walk(&Placed { gpa: 0x3f_0000, bytes: &memory }, rsdp);
        assert_eq!(signatures(&tables), ["XSDT", "FACP", "MCFG", "SSDT", "DSDT", "FACS"]);
        let number = |at: usize, table: usize, len: usize| {
            tables[table][at..at + len].iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte))
        };
        assert_eq!(number(56, 1, 4), u64::from(pm_base), "PM1a event block");
        let base = if ecam == 0 { 0x4_0000_0000 } else { ecam.into() };
        assert_eq!(number(44, 2, 8), base, "ECAM");
        pc.devices.reset();
        let (memory, rsdp) = load_by_script(&mut pc, 0x3f_0000);
        let (tables, _) = walk(&Placed { gpa: 0x3f_0000, bytes: &memory }, rsdp);
        assert_eq!(signatures(&tables), ["XSDT", "FACP", "SSDT", "DSDT", "FACS"]);
    }
}

/// Each table disassembled, and the DSDT compiled again: that is when the
/// compiler looks at what it means.
#[test]
fn iasl_has_nothing_to_say() {
    let bytes = tables_at(0xe_0000, &chipset(), &[]).unwrap();
    let (tables, _) = walk(&Placed { gpa: 0xe_0000, bytes: &bytes }, 0xe_0000);
    let folder = folder("acpi");
    let mut text = String::new();
    for table in &tables {
        let path = folder.join(signature(table)).with_extension("aml");
        std::fs::write(&path, table).unwrap();
        let Some(output) = iasl(&["-d"], &path) else { return };
        assert!(output.contains("Disassembly completed") || output.contains("decoded"), "{output}");
        for complaint in ["Error", "Warning"] {
            assert!(!output.contains(complaint), "{output}");
        }
        text += &std::fs::read_to_string(path.with_extension("dsl")).unwrap();
    }
    for complaint in ["Incorrect", "Invalid", "Unknown", "beyond"] {
        assert!(!text.contains(complaint), "iasl says {complaint:?} of:\n{text}");
    }
    for line in [
        "Base Address : 00000000B0000000",
        "End Bus Number : FF",
        "PM Timer Block : [Generic Address Structure]",
    ] {
        assert!(text.contains(line), "no {line:?} in:\n{text}");
    }
    let output = iasl(&["-we"], &folder.join("DSDT.dsl")).unwrap();
    assert!(output.contains("0 Errors, 0 Warnings"), "{output}");
}

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// What `iasl` says, or a skip where it is not.
fn iasl(arguments: &[&str], path: &Path) -> Option<String> {
    tool(Command::new("iasl").args(arguments).arg(path), "acpica-tools")
}
