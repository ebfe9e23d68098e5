//! Firmware from packages and the samples, through both readers.
//!
//! The images are not part of the tree; where a package is not installed the
//! test says so.

use std::path::Path;

use igvm_conformance::compare::{Outcome, compare};
use igvm_core::defs::IgvmPlatformType;
use igvm_core::file::IgvmFile;
use igvm_core::load::{Host, Space};
use igvm_core::span::Span;
use igvm_core::write::wrap::linux::{Linux, linux};
use igvm_core::write::wrap::{Entry, firmware};
use igvm_samples::bzimage;

/// Image and the package it comes from.
const IMAGES: [(&str, &str); 6] = [
    ("/usr/share/seabios/bios.bin", "seabios"),
    ("/usr/share/seabios/bios-256k.bin", "seabios"),
    ("/usr/share/seabios/bios-microvm.bin", "seabios"),
    ("/usr/share/ovmf/OVMF.fd", "ovmf"),
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "ovmf"),
    ("/usr/share/OVMF/OVMF_CODE_4M.secboot.fd", "ovmf"),
];

#[test]
fn wrapped_firmware_is_read_the_same() {
    for (path, package) in IMAGES {
        if !Path::new(path).exists() {
            println!("skipped: {path} is missing; install the Debian package {package}");
            continue;
        }
        let image = std::fs::read(path).unwrap();
        for entry in [Entry::Reset16, Entry::Flat32, Entry::Long64] {
            let bytes = firmware(&image, entry).unwrap();
            assert_eq!(compare(&bytes), Outcome::Same, "{path} {entry:?}");
            assert_places(&image, &bytes);
        }
    }
}

/// With parameter areas that have initial bytes, required memory, and a context
/// of registers that no firmware needs.
#[test]
fn a_wrapped_kernel_is_read_the_same() {
    let kernel = bzimage::image(&bzimage::header(), &[0xf4; 10_000]);
    let initrd = Some(&[1; 9000][..]);
    for (command_line, acpi) in [(&b""[..], &[][..]), (b"quiet", &[7; 5000])] {
        let file = linux(&Linux { kernel: &kernel, initrd, command_line, acpi }).unwrap();
        assert_eq!(compare(&file.bytes), Outcome::Same);
    }
}

/// The whole image ends at 4 GiB, its end at 1 MiB too.
fn assert_places(image: &[u8], bytes: &[u8]) {
    let ram = [Span::new(0, 16 << 20)];
    let host = Host::new(&ram, &[]);
    let mut room = igvm_conformance::machine::Room::new(64, 1, 1, 0);
    let machine = room.load(bytes, IgvmPlatformType::NATIVE, &host, &mut |_| {}).unwrap();
    assert_eq!(machine.fatal_problems(), 0);
    let memory = machine.memory(bytes, &host);
    let mut high = vec![0; image.len()];
    memory.read((1 << 32) - image.len() as u64, &mut high).unwrap();
    assert!(high == image);
    let mirrored = image.len().min(128 << 10);
    let mut low = vec![0; mirrored];
    memory.read((1 << 20) - mirrored as u64, &mut low).unwrap();
    assert!(low == image[image.len() - mirrored..]);
    let pages: u64 = machine.image().extents(Space::Guest).map(|extent| extent.span.len).sum();
    assert!(pages >= (image.len() + mirrored) as u64);
}

/// Samples that the oracle refuses, and why.
const REFUSED: [(&str, &str); 2] = [
    ("optional-headers", "it refuses every header with bit 31 set"),
    ("relocatable", "it finds the context of a region only on VSM isolation"),
];

#[test]
fn samples_are_read_the_same() {
    for sample in igvm_samples::all() {
        let bytes = (sample.build)();
        assert!(IgvmFile::parse(&bytes).unwrap().headers().count() > 1);
        let refused = REFUSED.iter().any(|(name, _)| *name == sample.name);
        let expected = if refused { Outcome::Refused } else { Outcome::Same };
        assert_eq!(compare(&bytes), expected, "{}", sample.name);
    }
}

/// The broken samples too: each breaks one rule, and what the oracle accepts
/// of them is on the list of differences.
#[test]
fn broken_samples_are_read_by_both_or_refused() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../samples/broken");
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let outcomes = files.map(|path| compare(&std::fs::read(path).unwrap())).collect::<Vec<_>>();
    assert!(outcomes.contains(&Outcome::Same) && outcomes.contains(&Outcome::Refused));
    assert!(outcomes.len() > 50);
}
