//! Debian's kernel, and an initial ramdisk of ours with Debian's busybox.

use std::path::{Path, PathBuf};

use crate::common::missing;
use crate::cpio::Archive;

/// The last line of [`initrd`], before it powers off.
pub(crate) const END: &str = "init: end";

/// What runs as process 1: says what there is, one fact a line.
const INIT: &str = "#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
echo \"init: command line [$(cat /proc/cmdline)]\"
echo \"init: processors $(grep -c ^processor /proc/cpuinfo)\"
echo \"init: tables $(ls /sys/firmware/acpi/tables | tr '\\n' ' ')\"
echo \"init: pci $(ls /sys/bus/pci/devices | tr '\\n' ' ')\"
sed 's/^/iomem: /' /proc/iomem
sed 's/^/irq: /' /proc/interrupts
echo init: end
poweroff -f
";

/// Where `cargo xtask test` puts what it takes out of packages.
fn unpacked() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("debian")
}

/// The newest cloud kernel: installed, or unpacked by `cargo xtask test`.
fn kernel() -> Option<PathBuf> {
    let folders = [Path::new("/boot").to_owned(), unpacked().join("boot")];
    let entries = folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten();
    let is_kernel = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with("vmlinuz-") && name.ends_with("-cloud-amd64")
    };
    entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_kernel).max()
}

/// The static busybox, not the one that wants libraries.
fn busybox() -> Option<PathBuf> {
    let places = [Path::new("/bin/busybox").to_owned(), unpacked().join("bin/busybox")];
    let is_static = |path: &PathBuf| {
        std::fs::read(path).is_ok_and(|bytes| {
            let head = &bytes[..bytes.len().min(0x1000)];
            !head.windows(8).any(|window| window == b"ld-linux")
        })
    };
    places.into_iter().find(is_static)
}

/// Kernel and ramdisk, or a skip.
pub(crate) fn kernel_and_initrd() -> Option<(PathBuf, Vec<u8>)> {
    let Some(kernel) = kernel() else {
        missing("Debian's cloud kernel", "linux-image-cloud-amd64");
        return None;
    };
    let Some(busybox) = busybox() else {
        missing("a static busybox", "busybox-static");
        return None;
    };
    let busybox = std::fs::read(busybox).unwrap();
    let initrd = Archive::default()
        .directory("bin")
        .directory("dev")
        .directory("proc")
        .directory("sys")
        .device("dev/console", 5, 1)
        .file("bin/busybox", &busybox)
        .file("init", INIT.as_bytes())
        .finish();
    Some((kernel, initrd))
}
