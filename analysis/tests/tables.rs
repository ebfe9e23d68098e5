//! The tables that a host hands over, read by those who define what they mean:
//! ACPI's own disassembler and the device tree compiler.

#[path = "common/tool.rs"]
mod tool;

use std::path::{Path, PathBuf};
use std::process::Command;

use igvm_analysis::host::{HostDescription, HostTables};
use igvm_core::load::Host;
use tool::tool;

/// A machine with more processors than eight-bit APIC ids can name, and RAM on
/// both sides of the hole.
fn large() -> HostTables {
    HostTables::new(HostDescription {
        processors: 300,
        memory: 8 << 30,
        command_line: "console=ttyS0 quiet".to_owned(),
        ..HostDescription::default()
    })
    .unwrap()
}

fn acpi<'a>(host: &Host<'a>) -> [(&'static str, &'a [u8]); 4] {
    [("APIC", host.madt), ("SRAT", host.srat), ("SLIT", host.slit), ("PPTT", host.pptt)]
}

#[test]
fn acpi_tables_have_their_length_and_add_up_to_zero() {
    for tables in [HostTables::new(HostDescription::default()).unwrap(), large()] {
        for (signature, table) in acpi(&tables.host()) {
            assert_eq!(&table[..4], signature.as_bytes());
            let length = u32::from_le_bytes(table[4..8].try_into().unwrap());
            assert_eq!(length as usize, table.len(), "{signature}");
            let sum = table.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
            assert_eq!(sum, 0, "{signature}");
        }
    }
}

#[test]
fn acpi_tables_are_what_iasl_reads() {
    let folder = folder("acpi");
    let tables = large();
    let mut text = String::new();
    for (signature, table) in acpi(&tables.host()) {
        let path = folder.join(signature).with_extension("aml");
        std::fs::write(&path, table).unwrap();
        let Some(output) = tool(Command::new("iasl").arg("-d").arg(&path), "acpica-tools") else {
            return;
        };
        assert!(output.contains("decoded"), "{output}");
        text += &std::fs::read_to_string(path.with_extension("dsl")).unwrap();
    }
    for complaint in ["Incorrect", "Invalid", "Unknown", "beyond"] {
        assert!(!text.contains(complaint), "iasl says {complaint:?} of:\n{text}");
    }
    let count = |what: &str| text.matches(what).count();
    assert_eq!(count("Subtable Type : 00 [Processor Local APIC]"), 255);
    assert_eq!(count("Subtable Type : 09 [Processor Local x2APIC]"), 45);
    assert_eq!(count("Subtable Type : 00 [Processor Local APIC/SAPIC Affinity]"), 255);
    assert_eq!(count("Subtable Type : 02 [Processor Local x2APIC Affinity]"), 45);
    assert_eq!(count("Subtable Type : 01 [Memory Affinity]"), 2);
    // A package and its cores.
    assert_eq!(count("Subtable Type : 00 [Processor Hierarchy Node]"), 301);
    for line in ["Base Address : 0000000100000000", "Address Length : 0000000180000000"] {
        assert!(text.contains(line), "no {line:?} in:\n{text}");
    }
}

#[test]
fn the_device_tree_is_what_dtc_reads() {
    let path = folder("device-tree").join("host.dtb");
    std::fs::write(&path, large().host().device_tree).unwrap();
    let mut dtc = Command::new("dtc");
    dtc.args(["-I", "dtb", "-O", "dts", "-q"]).arg(&path);
    let Some(text) = tool(&mut dtc, "device-tree-compiler") else { return };
    for line in [
        "bootargs = \"console=ttyS0 quiet\";",
        "cpu@12b {",
        "memory@0 {",
        "memory@100000000 {",
        "reg = <0x01 0x00 0x01 0x80000000>;",
        "microsoft,igvm-type = <0x00>;",
    ] {
        assert!(text.contains(line), "no {line:?} in:\n{text}");
    }
}

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}
