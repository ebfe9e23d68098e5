//! Debian's SeaBIOS in an IGVM file, on a real KVM.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod common;

use std::cell::Cell;
use std::path::Path;

use common::binary::{self, folder};
use common::{PATIENCE, Run, host, packaged, run, with_loaded};
use igvm_analysis::document::Document;
use igvm_analysis::host::HostDescription;
use igvm_core::write::wrap;
use kvm_runner::console::Source;
use kvm_runner::kvm::{Host, Stop};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

const BIOS: &str = "/usr/share/seabios/bios.bin";
const BIOS_256K: &str = "/usr/share/seabios/bios-256k.bin";
const PACKAGE: &str = "seabios";

/// `wrap`, then `boot` up to the version.
fn wraps_and_boots(firmware: &Path) {
    let file = folder("seabios").join(firmware.file_stem().unwrap());
    let [firmware, out] = [firmware, &file].map(|path| path.to_str().unwrap());
    assert_eq!(binary::run(["wrap", "--firmware", firmware, "--out", out]).stdout_of(0), "");
    let until = ["--debugcon=stdio", "--until=SeaBIOS (version", "--timeout=60"];
    let boot = binary::run(["boot", out].iter().chain(&until));
    assert!(boot.stderr.contains("the awaited text was seen in the debug"), "{}", boot.stderr);
    assert!(boot.stdout_of(0).starts_with("SeaBIOS (version"));
}

#[test]
fn seabios_says_its_version() {
    if host().is_none() {
        return;
    }
    for path in [BIOS, BIOS_256K] {
        let Some(firmware) = packaged(path, PACKAGE) else { return };
        wraps_and_boots(firmware);
    }
}

#[test]
fn seabios_goes_through_post() {
    for path in [BIOS, BIOS_256K] {
        let Some(host) = host() else { return };
        let Some(bios) = packaged(path, PACKAGE) else { return };
        goes_through_post(host, bios);
    }
}

/// With two processors, up to the search for something to boot.
fn goes_through_post(host: Host, bios: &Path) {
    let image = std::fs::read(bios).unwrap();
    let file = wrap::firmware(&image, wrap::Entry::Reset16).unwrap();
    let document = Document::from_bytes(file).unwrap();
    let description =
        HostDescription { processors: 2, memory: 64 << 20, ..HostDescription::default() };
    let host = Cell::new(Some(host));
    let outcome = with_loaded(&document, description, |loaded| {
        let how = Run { processors: 2, until: Some("Booting from"), limit: PATIENCE, disk: None };
        let host = host.take().expect("loaded once");
        run(host, &loaded.image, loaded.host.ram, how).unwrap()
    });
    let debug = outcome.debug;
    for line in [
        "SeaBIOS (version",
        "Running on QEMU (q35)",
        "Found QEMU fw_cfg",
        "QEMU fw_cfg DMA interface supported",
        "Moving pm_base to 0x600",
        "addr 0x0000000000000000 len 0x0000000004000000 [RAM]",
        "PCIe: using q35 mmconfig at 0xb0000000",
        "PCI: init bdf=00:1f.0 id=8086:2918",
        "Found 2 cpu(s) max supported 2 cpu(s)",
        "feffc000 - 00000000ff000000 = 2 RESERVED",
        "00000000b0000000 - 00000000c0000000 = 2 RESERVED",
        "enter handle_19:",
    ] {
        assert!(debug.contains(line), "no {line:?} in:\n{debug}");
    }
    assert_eq!(outcome.report.stop, Stop::Until(Source::Debug), "{}", outcome.report);
    let tables = acpi_tables(outcome.machine.memory());
    let named: Vec<&[u8]> = tables.iter().map(|table| &table[..4]).collect();
    assert_eq!(named, [b"FACP", b"MCFG", b"APIC", b"SRAT", b"SLIT", b"PPTT"]);
    assert_eq!(tables[1][44..52], 0xb000_0000_u64.to_le_bytes(), "where SeaBIOS has put it");
}

/// The ACPI tables as SeaBIOS has left them in memory: what the XSDT names.
fn acpi_tables(memory: &GuestMemoryMmap) -> Vec<Vec<u8>> {
    let read = |gpa: u64, len: usize| {
        let mut bytes = vec![0; len];
        memory.read_slice(&mut bytes, GuestAddress(gpa)).unwrap();
        bytes
    };
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte));
    let sum = |bytes: &[u8]| bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    let table = |gpa: u64| {
        let table = read(gpa, number(&read(gpa + 4, 4)) as usize);
        assert_eq!(sum(&table), 0, "the table at {gpa:#x}");
        table
    };
    let rsdp = (0xe_0000..0x10_0000).step_by(16).find(|gpa| read(*gpa, 8) == b"RSD PTR ");
    let rsdp = read(rsdp.expect("an RSDP"), 36);
    assert_eq!((sum(&rsdp[..20]), sum(&rsdp)), (0, 0));
    let xsdt = table(number(&rsdp[24..32]));
    xsdt[36..].chunks(8).map(|entry| table(number(entry))).collect()
}
