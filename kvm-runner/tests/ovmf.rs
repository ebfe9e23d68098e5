//! Debian's OVMF in an IGVM file, on a real KVM: as far as the host goes.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod common;

use common::binary::{self, folder};
use common::{host, packaged};

const OVMF: &str = "/usr/share/ovmf/OVMF.fd";
const OVMF_CODE: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd";
const PACKAGE: &str = "ovmf";

/// An image by `wrap` and `boot`. Where KVM interprets the guest's kernel the
/// first instruction that it does not know ends the run, and the sentence says
/// that this is the host. Where the processor runs it, it goes on.
fn boots(path: &'static str, entry: &str) {
    let Some(host) = host() else { return };
    let Some(firmware) = packaged(path, PACKAGE) else { return };
    let file = folder(&format!("ovmf-{}-{entry}", firmware.file_stem().unwrap().display()));
    let file = file.join("ovmf.igvm");
    let [firmware, out] = [firmware, &file].map(|path| path.to_str().unwrap());
    let wrap = ["wrap", "--firmware", firmware, "--out", out, "--entry", entry];
    assert_eq!(binary::run(wrap).stdout_of(0), "");
    let boot = binary::run(["boot", out, "--debugcon=stdio", "--timeout=60"]);
    match host.interprets() {
        Some(true) => {
            assert_eq!(boot.code, Some(4), "{}", boot.stderr);
            let limitation = "with hardware virtualization it would continue";
            assert!(boot.stderr.contains(limitation), "{}", boot.stderr);
            println!("{path}, {entry}: {}", boot.stderr);
        }
        // It may end itself, but it does not fail.
        Some(false) => assert!(matches!(boot.code, Some(0 | 3)), "{}", boot.stderr),
        None => panic!("the experiment that tells hosts apart failed"),
    }
}

#[test]
fn ovmf_boots_from_reset() {
    boots(OVMF, "reset16");
}

#[test]
fn ovmf_code_boots_from_reset() {
    boots(OVMF_CODE, "reset16");
}

/// This image is built for TDX guests, too, which start in protected mode.
#[test]
fn ovmf_boots_in_protected_mode() {
    boots(OVMF, "flat32");
}
