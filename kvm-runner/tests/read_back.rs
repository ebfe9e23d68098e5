//! What is in the virtual machine before its first instruction is what core
//! computed, and nothing else.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod common;

use std::cell::Cell;
use std::path::Path;

use common::binary::{self, folder};
use common::{Loaded, host, packaged, with_loaded};
use igvm_analysis::document::Document;
use igvm_analysis::host::HostDescription;
use igvm_core::load::{Source, Space};
use igvm_core::span::Span;
use igvm_core::write::wrap;
use igvm_core::x86::Register;
use kvm_runner::guest::Image;
use kvm_runner::kvm::{Host, Machine, as_kvm_keeps};
use vm_memory::{Bytes, GuestAddress};

const PAGE: usize = 0x1000;

/// Small enough to compare every byte of it.
const MEMORY: u64 = 32 << 20;

fn description() -> HostDescription {
    HostDescription {
        processors: 3,
        memory: MEMORY,
        command_line: "root=/dev/vda".to_owned(),
        ..HostDescription::default()
    }
}

/// Loads a file into a virtual machine and compares.
fn read_back(name: &str, path: &Path, host: Host) {
    let bytes = std::fs::read(path).unwrap();
    let document = Document::open(path).unwrap();
    let host = Cell::new(Some(host));
    with_loaded(&document, description(), |loaded| {
        let processors = loaded.host.processors;
        let host = host.take().expect("loaded once");
        let machine = Machine::new(host, &loaded.image, processors)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        compare_registers(name, &loaded, &machine);
        compare_memory(name, &loaded, &machine);
        compare_file_bytes(name, &loaded, &machine, &bytes);
    });
}

fn compare_registers(name: &str, loaded: &Loaded<'_>, machine: &Machine) {
    for processor in loaded.machine.processors() {
        let read = machine.processor(processor.vp_index).unwrap().registers().unwrap();
        let kept = as_kvm_keeps(&processor.registers, &read);
        for register in Register::ALL {
            let (expected, found) = (kept.get(register), read.get(register));
            assert_eq!(found, expected, "{name}: {register} of processor {}", processor.vp_index);
        }
    }
}

/// Every byte of guest memory is the image's; where the image has nothing, it
/// is zero.
fn compare_memory(name: &str, loaded: &Loaded<'_>, machine: &Machine) {
    let (mut expected, mut found) = (vec![0; PAGE], vec![0; PAGE]);
    let mut total = 0;
    for range in loaded.image.memory() {
        for page in (range.start..range.end()).step_by(PAGE) {
            loaded.memory.read(page, &mut expected).unwrap();
            machine.memory().read_slice(&mut found, GuestAddress(page)).unwrap();
            assert!(found == expected, "{name}: the page at {page:#x} differs");
            total += PAGE as u64;
        }
    }
    assert!(total >= MEMORY, "{name}: compared {total:#x} bytes only");
}

/// The same without core's way of reading: what comes from the file is there
/// byte for byte, and the rest of the memory is all zero.
fn compare_file_bytes(name: &str, loaded: &Loaded<'_>, machine: &Machine, file: &[u8]) {
    let mut from_file = 0;
    for extent in loaded.machine.image().extents(Space::Guest) {
        let mut found = vec![0; extent.span.len as usize];
        machine.memory().read_slice(&mut found, GuestAddress(extent.span.start)).unwrap();
        match extent.source {
            Source::File { offset } => {
                let bytes = &file[offset as usize..][..found.len()];
                assert!(found == bytes, "{name}: {} differs from the file", extent.span);
                from_file += found.len();
            }
            Source::Zero => assert!(found.iter().all(|byte| *byte == 0), "{name}: {}", extent.span),
            Source::Parameter { .. } | Source::Fixup { .. } | Source::Untouched => {}
        }
    }
    assert!(from_file > 0, "{name}: nothing comes from the file");
    for range in loaded.image.memory() {
        for page in (range.start..range.end()).step_by(PAGE) {
            let span = Span::new(page, PAGE as u64);
            if loaded.machine.image().extents_in(Space::Guest, span).next().is_none() {
                let mut found = vec![0; PAGE];
                machine.memory().read_slice(&mut found, GuestAddress(page)).unwrap();
                assert!(found.iter().all(|byte| *byte == 0), "{name}: something at {page:#x}");
            }
        }
    }
}

#[test]
fn every_sample_is_loaded_as_computed() {
    let folder = folder("read-back");
    for sample in igvm_samples::all() {
        let Some(host) = host() else { return };
        let path = binary::write(&folder, sample.name, &(sample.build)());
        read_back(sample.name, &path, host);
    }
}

#[test]
fn wrapped_seabios_is_loaded_as_computed() {
    let Some(bios) = packaged("/usr/share/seabios/bios.bin", "seabios") else { return };
    let image = std::fs::read(bios).unwrap();
    let folder = folder("read-back-seabios");
    for entry in [wrap::Entry::Reset16, wrap::Entry::Flat32, wrap::Entry::Long64] {
        let Some(host) = host() else { return };
        let name = format!("{entry:?}");
        let path = binary::write(&folder, &name, &wrap::firmware(&image, entry).unwrap());
        read_back(&name, &path, host);
    }
}
