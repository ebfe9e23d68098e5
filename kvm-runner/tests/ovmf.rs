//! Debian's OVMF in an IGVM file, on a real KVM: as far as the host goes.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod common;

use common::binary::{self, folder};
use common::{host, packaged, skip};

const OVMF: &str = "/usr/share/ovmf/OVMF.fd";
const OVMF_CODE: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd";
const OVMF_VARS: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";
const PACKAGE: &str = "ovmf";

/// What OVMF writes on its consoles, COM1 among them, when it comes to choose
/// what to boot.
const BOOT_MANAGER: &str = "BdsDxe";

/// An image by `wrap` and `boot`. Where KVM interprets the guest's kernel the
/// first instruction that it does not know ends the run, and the sentence says
/// that this is the host. Where the processor runs it, it goes on to its boot
/// manager. The image is that of several files, one behind the other.
fn boots(name: &str, parts: &[&'static str], entry: &str) {
    let Some(host) = host() else { return };
    let folder = folder(&format!("ovmf-{name}-{entry}"));
    let mut image = vec![];
    for part in parts {
        let Some(part) = packaged(part, PACKAGE) else { return };
        image.extend(std::fs::read(part).unwrap());
    }
    let (firmware, file) = (binary::write(&folder, "ovmf.fd", &image), folder.join("ovmf.igvm"));
    let [firmware, out] = [&firmware, &file].map(|path| path.to_str().unwrap());
    let wrap = ["wrap", "--firmware", firmware, "--out", out, "--entry", entry];
    assert_eq!(binary::run(wrap).stdout_of(0), "");
    let boot = binary::run(["boot", out, "--until", BOOT_MANAGER, "--timeout=120"]);
    match host.interprets() {
        Some(true) => {
            assert_eq!(boot.code, Some(4), "{}", boot.stderr);
            let limitation = "with hardware virtualization it would continue";
            assert!(boot.stderr.contains(limitation), "{}", boot.stderr);
            println!("{name}, {entry}: {}", boot.stderr);
            skip("this KVM interprets the guest's kernel: OVMF was run until its first fwait");
        }
        Some(false) => assert_eq!(boot.code, Some(0), "{}", boot.stderr),
        None => panic!("the experiment that tells hosts apart failed"),
    }
}

#[test]
fn ovmf_boots_from_reset() {
    boots("2m", &[OVMF], "reset16");
}

#[test]
fn ovmf_code_boots_from_reset() {
    boots("4m-code", &[OVMF_CODE], "reset16");
}

/// As the flash chip of a PC has it: variables below the code, 4 MiB in all.
#[test]
fn ovmf_with_its_variables_boots_from_reset() {
    boots("4m", &[OVMF_VARS, OVMF_CODE], "reset16");
}

/// This image is built for TDX guests, too, which start in protected mode. The
/// 4 MiB build is not: its reset vector is 16-bit code and nothing else.
#[test]
fn ovmf_boots_in_protected_mode() {
    boots("2m", &[OVMF], "flat32");
}
