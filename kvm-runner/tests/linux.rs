//! Linux in an IGVM file: Debian's kernel to its init on somebody else's
//! processor, and on KVM as far as the host allows.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod common;
#[path = "linux/cpio.rs"]
mod cpio;
#[path = "linux/kernel.rs"]
mod kernel;
#[path = "linux/qemu.rs"]
mod qemu;
#[path = "linux/rom.rs"]
mod rom;

use std::path::{Path, PathBuf};

use common::binary::{self, folder};
use common::{PATIENCE, packaged, with_loaded};
use igvm_analysis::document::Document;
use igvm_analysis::host::HostDescription;
use kernel::{END, kernel_and_initrd};
use qemu::{QEMU, Qemu};

/// `wrap` with Debian's kernel into a folder.
fn wrapped(folder: &Path, append: &str) -> Option<PathBuf> {
    let (kernel, initrd) = kernel_and_initrd()?;
    let initrd = binary::write(folder, "initrd", &initrd);
    let out = folder.join("linux.igvm");
    let [kernel, initrd, out_text] = [&kernel, &initrd, &out].map(|path| path.to_str().unwrap());
    let wrap = ["wrap", "--kernel", kernel, "--initrd", initrd, "--append", append];
    let done = binary::run(wrap.iter().chain(&["--out", out_text]));
    assert!(done.stderr.contains("start it with more than"), "{}", done.stderr);
    assert_eq!(done.stdout_of(0), "");
    Some(out)
}

#[test]
fn debians_kernel_reaches_its_init_under_tcg() {
    if packaged(QEMU, "qemu-system-x86").is_none() {
        return;
    }
    let folder = folder("linux-tcg");
    let Some(file) = wrapped(&folder, "console=ttyS0 panic=-1") else { return };
    let document = Document::open(&file).unwrap();
    let description = HostDescription {
        processors: 2,
        command_line: "quiet host=here".into(),
        ..HostDescription::default()
    };
    let printed = with_loaded(&document, description, |loaded| {
        let mut qemu = Qemu::start(&loaded, &folder);
        qemu.until(END, PATIENCE)
    });
    println!("{}", printed.text);
    assert!(printed.seen, "{}", printed.text);
}
