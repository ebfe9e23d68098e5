//! Debian's SeaBIOS on a real KVM.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod common;

use std::io::Write;

use common::{Bits, PATIENCE, Run, host, run};
use kvm_runner::console::Source;
use kvm_runner::kvm::Stop;

const BIOS: &str = "/usr/share/seabios/bios.bin";

/// Through POST with two processors, up to the search for something to boot.
#[test]
fn seabios_goes_through_post() {
    let Some(host) = host() else { return };
    let Ok(image) = std::fs::read(BIOS) else {
        let _closed = writeln!(
            std::io::stderr(),
            "SKIPPED seabios_goes_through_post: there is no {BIOS} (Debian package seabios)"
        );
        return;
    };
    let firmware = Bits::firmware(image, 64 << 20);
    let how = Run { processors: 2, until: Some("Booting from"), limit: PATIENCE };
    let outcome = run(host, &firmware, &firmware.memory[..1], how).unwrap();
    let debug = outcome.debug;
    for line in [
        "SeaBIOS (version",
        "Running on QEMU (i440fx)",
        "Found QEMU fw_cfg",
        "addr 0x0000000000000000 len 0x0000000004000000 [RAM]",
        "PCI: init bdf=00:01.3 id=8086:7113",
        "Found 2 cpu(s) max supported 2 cpu(s)",
        "feffc000 - 00000000ff000000 = 2 RESERVED",
        "enter handle_19:",
    ] {
        assert!(debug.contains(line), "no {line:?} in:\n{debug}");
    }
    assert_eq!(outcome.report.stop, Stop::Until(Source::Debug), "{}", outcome.report);
}
