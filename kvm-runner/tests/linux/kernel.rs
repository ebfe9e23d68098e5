//! Debian's kernel, and an initial ramdisk of ours with Debian's busybox.

use std::path::{Path, PathBuf};

use igvm_core::write::wrap::linux::SetupHeader;
use igvm_samples::bzimage::{ENTRY_64, HEADER, image};
use zerocopy::FromBytes;

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
fn from_packages() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("debian")
}

/// The newest cloud kernel: installed, or unpacked by `cargo xtask test`.
fn kernel() -> Option<PathBuf> {
    let folders = [Path::new("/boot").to_owned(), from_packages().join("boot")];
    let entries = folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten();
    let is_kernel = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with("vmlinuz-") && name.ends_with("-cloud-amd64")
    };
    entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_kernel).max()
}

/// The static busybox, not the one that wants libraries.
fn busybox() -> Option<PathBuf> {
    let places = [Path::new("/bin/busybox").to_owned(), from_packages().join("bin/busybox")];
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

/// The same kernel without the part that unpacks it: an image of ours whose
/// entry jumps to the unpacked kernel's own. A KVM that interprets needs
/// many minutes to unpack it.
pub(crate) fn unpacked(kernel: &[u8]) -> Vec<u8> {
    let (header, _) = SetupHeader::read_from_prefix(&kernel[HEADER..]).unwrap();
    let setup = (usize::from(header.setup_sects) + 1) * 512;
    let packed = setup + header.payload_offset.get() as usize;
    let packed = &kernel[packed..][..header.payload_length.get() as usize];
    let elf = lz4(packed);
    let u64_at = |at: usize| u64::from_le_bytes(elf[at..at + 8].try_into().unwrap());
    let u16_at = |at: usize| u16::from_le_bytes(elf[at..at + 2].try_into().unwrap());
    // Elf64_Ehdr: e_entry, e_phoff, e_phnum. Elf64_Phdr: p_type 1 is PT_LOAD,
    // p_offset, p_paddr, p_filesz, p_memsz.
    let load = START - BEFORE;
    let mut code = Vec::new();
    let mut end = 0;
    for at in (u64_at(32) as usize..).step_by(56).take(u16_at(56).into()) {
        if elf[at..at + 4] != [1, 0, 0, 0] {
            continue;
        }
        let [offset, to, len, in_memory] = [8, 24, 32, 40].map(|field| u64_at(at + field) as usize);
        let to = to - load as usize;
        code.resize(code.len().max(to + len), 0);
        code[to..to + len].copy_from_slice(&elf[offset..offset + len]);
        end = end.max(to + in_memory);
    }
    assert_eq!(u64_at(24), START, "the kernel's own entry");
    let jump = (BEFORE - (ENTRY_64 as u64 + 5)) as u32;
    code[ENTRY_64] = 0xe9;
    code[ENTRY_64 + 1..ENTRY_64 + 5].copy_from_slice(&jump.to_le_bytes());
    let header = SetupHeader {
        relocatable_kernel: 0,
        pref_address: load.into(),
        init_size: (end.next_multiple_of(4096) as u32).into(),
        ..header
    };
    image(&header, &code[ENTRY_64..])
}

/// Where the kernel is linked to be.
const START: u64 = 0x100_0000;
/// Room for an entry before it.
const BEFORE: u64 = 0x20_0000;

/// Debian packs this kernel by LZ4, in the frame of the first version ("LZ4
/// Frame Format Description", legacy frame): a magic number and blocks with
/// their lengths. The length of it all follows (boot.rst, `payload_length`).
fn lz4(packed: &[u8]) -> Vec<u8> {
    let (magic, mut rest) = packed.split_first_chunk().unwrap();
    assert_eq!(u32::from_le_bytes(*magic), 0x184c_2102, "the kernel is packed by LZ4");
    let mut unpacked = Vec::new();
    while let Some((len, blocks)) = rest.split_first_chunk()
        && !blocks.is_empty()
    {
        let (block, next) = blocks.split_at(u32::from_le_bytes(*len) as usize);
        let from = unpacked.len();
        lz4_block(block, &mut unpacked, from);
        rest = next;
    }
    assert_eq!(rest, (unpacked.len() as u32).to_le_bytes());
    unpacked
}

/// One block, whose copies reach back to `from` ("LZ4 Block Format
/// Description").
fn lz4_block(block: &[u8], out: &mut Vec<u8>, from: usize) {
    let mut bytes = block.iter().copied();
    let mut next = || bytes.next();
    let more = |short: u8, next: &mut dyn FnMut() -> Option<u8>| {
        let mut len = usize::from(short);
        let mut byte = if short == 15 { 255 } else { 0 };
        while byte == 255 {
            byte = next().unwrap();
            len += usize::from(byte);
        }
        len
    };
    while let Some(token) = next() {
        for _ in 0..more(token >> 4, &mut next) {
            out.push(next().unwrap());
        }
        // The last sequence has literals only.
        let Some(low) = next() else { break };
        let back = usize::from(u16::from_le_bytes([low, next().unwrap()]));
        assert!(back != 0 && back <= out.len() - from);
        for _ in 0..more(token & 15, &mut next) + 4 {
            out.push(out[out.len() - back]);
        }
    }
}
