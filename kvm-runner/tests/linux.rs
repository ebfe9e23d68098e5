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

use common::binary::{self, Finished, folder};
use common::{PATIENCE, Run, host, packaged, run, skip, with_loaded};
use igvm_analysis::document::Document;
use igvm_analysis::host::{HostDescription, HostTables};
use igvm_analysis::loaded::LoadStorage;
use igvm_core::defs::{IGVM_VHS_MEMORY_MAP_ENTRY, IgvmPlatformType, MemoryMapEntryType};
use igvm_core::write::wrap::linux::{
    BOOT_PARAMS_GPA, BootParams, E820_ENTRIES_MAX, E820_PMEM, E820_RAM, E820_RESERVED, Linux,
    PCIEXBAR, RESERVED, SetupHeader, linux, stub,
};
use igvm_devices::Ending;
use igvm_samples::bzimage::{header, image};
use kernel::{END, kernel_and_initrd, unpacked};
use kvm_runner::image::LoadedImage;
use kvm_runner::kvm::Stop;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use qemu::{Printed, QEMU, Qemu};
use vm_memory::{Bytes, GuestAddress};
use zerocopy::FromBytes;

/// `wrap` by the command, into a folder.
fn wrap(folder: &Path, kernel: &Path, initrd: &[u8], append: &str) -> PathBuf {
    let initrd = binary::write(folder, "initrd", initrd);
    let out = folder.join("linux.igvm");
    let [kernel, initrd, file] = [kernel, &initrd, &out].map(|path| path.to_str().unwrap());
    let wrap = ["wrap", "--kernel", kernel, "--initrd", initrd, "--append", append, "--out", file];
    let done = binary::run(wrap);
    assert!(done.stderr.contains("start it with more than"), "{}", done.stderr);
    assert_eq!(done.stdout_of(0), "");
    out
}

/// The same with Debian's kernel.
fn wrapped(folder: &Path, append: &str) -> Option<PathBuf> {
    let (kernel, initrd) = kernel_and_initrd()?;
    Some(wrap(folder, &kernel, &initrd, append))
}

fn host_of(mib: u64) -> HostDescription {
    HostDescription { memory: mib << 20, ..HostDescription::default() }
}

/// What init finds is what the file and the host say: both texts, every
/// processor of the loader's MADT, memory without the file's tables, the
/// chipset by ECAM; and it switches off by the tables.
#[test]
fn debians_kernel_reaches_its_init_under_tcg() {
    if packaged(QEMU, "qemu-system-x86").is_none() {
        return;
    }
    let folder = folder("linux-tcg");
    let Some(file) = wrapped(&folder, "console=ttyS0 panic=-1") else { return };
    let document = Document::open(&file).unwrap();
    let description =
        HostDescription { processors: 2, command_line: "host=here".into(), ..host_of(256) };
    with_loaded(&document, description, |loaded| {
        let mut qemu = Qemu::start(&loaded, &folder);
        let Printed { text, seen } = qemu.until(END, 2 * PATIENCE);
        println!("{text}");
        assert!(seen, "{text}");
        for line in [
            "init: command line [console=ttyS0 panic=-1 host=here]",
            "init: processors 2",
            "iomem: 00080000-0009ffff : Reserved",
            "iomem: 00100000-0fffffff : System RAM",
            "PCI: Using configuration type 1 for base access",
            "PCI: MMCONFIG for domain 0000 [bus 00-ff] at [mem 0xb0000000-0xbfffffff]",
            "ACPI: Using IOAPIC for interrupt routing",
        ] {
            assert!(text.contains(line), "no {line:?} in:\n{text}");
        }
        let tables = text.lines().find(|line| line.starts_with("init: tables")).unwrap();
        for table in ["APIC", "DSDT", "FACP", "FACS", "MCFG"] {
            assert!(tables.contains(table), "{tables}");
        }
        assert!(!text.contains("ACPI Error") && !text.contains("ACPI BIOS Error"), "{text}");
        assert_eq!(qemu.ended(PATIENCE), Some(0), "it does not switch off");
    });
}

/// Boots Debian's kernel on KVM: without the part that unpacks it where KVM
/// interprets the guest's kernel. What KVM says of itself, what the guest
/// printed, and how it ended; or a skip.
fn on_kvm(name: &str, until: impl Fn(bool) -> &'static str) -> Option<(bool, String, Finished)> {
    let host = host()?;
    let folder = folder(name);
    let (kernel, initrd) = kernel_and_initrd()?;
    let interprets = host.interprets().expect("the experiment that tells hosts apart works");
    let kernel = match interprets {
        true => binary::write(&folder, "unpacked", &unpacked(&std::fs::read(kernel).unwrap())),
        false => kernel,
    };
    let file = wrap(&folder, &kernel, &initrd, LINE);
    let boot = binary::run([
        "boot",
        file.to_str().unwrap(),
        "--append=host=here",
        "--memory=128M",
        "--cpus=2",
        "--timeout=1200",
        &format!("--until={}", until(interprets)),
    ]);
    let text = String::from_utf8_lossy(&boot.stdout).replace('\r', "");
    println!("{text}{}", boot.stderr);
    Some((interprets, text, boot))
}

/// The file's part of the command line for [`on_kvm`].
const LINE: &str = "console=ttyS0 earlyprintk=ttyS0 panic=-1";

/// To its init on a host whose processor runs the guest. Where KVM interprets,
/// until the kernel has said what it is given: memory, command line, tables,
/// processors.
#[test]
fn debians_kernel_boots_on_kvm() {
    const PROCESSORS: &str = "smpboot: Allowing 2 CPUs, 0 hotplug CPUs";
    let until = |interprets| if interprets { PROCESSORS } else { END };
    let Some((interprets, text, boot)) = on_kvm("linux-kvm", until) else { return };
    assert_eq!(boot.code, Some(0), "{text}{}", boot.stderr);
    for line in [
        &format!("Command line: {LINE} host=here"),
        "BIOS-e820: [mem 0x0000000000000000-0x000000000007ffff] usable",
        "BIOS-e820: [mem 0x0000000000080000-0x000000000009ffff] reserved",
        "BIOS-e820: [mem 0x0000000000100000-0x0000000007ffffff] usable",
        "ACPI: RSDP 0x0000000000080000",
        "ACPI: APIC 0x0000000000090000",
        PROCESSORS,
    ] {
        assert!(text.contains(line), "no {line:?} in:\n{text}");
    }
    if interprets {
        skip("this KVM interprets the guest's kernel: Linux was run until it counts processors");
    } else {
        assert!(text.contains("init: processors 2"), "{text}");
    }
}

/// The end of what such a host can do is said to be the host's.
#[test]
#[ignore = "takes minutes where KVM interprets, and is no different elsewhere"]
fn debians_kernel_stops_where_an_interpreting_kvm_does() {
    let Some((interprets, _, boot)) = on_kvm("linux-limit", |_| END) else { return };
    if interprets {
        assert_eq!(boot.code, Some(4), "{}", boot.stderr);
        assert!(boot.stderr.contains("cmpxchg16b"), "{}", boot.stderr);
        let limitation = "with hardware virtualization it would continue";
        assert!(boot.stderr.contains(limitation), "{}", boot.stderr);
    } else {
        assert_eq!(boot.code, Some(0), "{}", boot.stderr);
    }
}

/// No errors and no warnings, and a command line that is the file's text with
/// the host's behind it.
#[test]
fn the_command_line_is_the_files_and_then_the_hosts() {
    let folder = folder("linux-line");
    let kernel = binary::write(&folder, "bzImage", &image(&header(), &ENDS));
    let file = wrap(&folder, &kernel, b"ramdisk", "root=/dev/vda");
    let checked = binary::run(["check".as_ref(), file.as_os_str()]).stdout_of(0);
    assert!(checked.contains("sound: no errors, no warnings"), "{checked}");
    let document = Document::open(&file).unwrap();
    let line = |host: &str| {
        let description = HostDescription { command_line: host.into(), ..host_of(64) };
        with_loaded(&document, description, |loaded| {
            let mut pointer = [0; 4];
            loaded.memory.read(BOOT_PARAMS_GPA + 0x228, &mut pointer).unwrap();
            let mut text = [0; 2048];
            loaded.memory.read(u32::from_le_bytes(pointer).into(), &mut text).unwrap();
            let end = text.iter().position(|byte| *byte == 0).unwrap();
            String::from_utf8(text[..end].to_vec()).unwrap()
        })
    };
    assert_eq!(line(""), "root=/dev/vda ");
    assert_eq!(line("quiet init=/bin/sh"), "root=/dev/vda quiet init=/bin/sh");
    // Up to the 2047 characters that this kernel takes, and no further.
    let longest = "x".repeat(2047 - "root=/dev/vda ".len());
    assert_eq!(line(&longest).len(), 2047);
    let boot = ["boot", file.to_str().unwrap(), "--append", &format!("{longest}x")];
    if host().is_some() {
        let refusal = binary::run(boot).refusal();
        assert!(refusal.contains("COMMAND_LINE"), "{refusal}");
    }
}

/// A machine that is too small is refused where the policy says so.
#[test]
fn too_little_memory_is_said() {
    let folder = folder("linux-memory");
    let kernel = binary::write(&folder, "bzImage", &image(&header(), &ENDS));
    let file = wrap(&folder, &kernel, b"ramdisk", "");
    let file = file.to_str().unwrap();
    if host().is_none() {
        return;
    }
    let boot = ["boot", file, "--memory=17M", "--required-memory=fail"];
    let refusal = binary::run(boot).refusal();
    assert!(refusal.contains("0x1100000"), "{refusal}");
    let enough = ["boot", file, "--memory=19M", "--required-memory=fail", "--timeout=60"];
    let ended = binary::run(enough);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

#[test]
fn what_is_no_kernel_is_refused() {
    let folder = folder("linux-refused");
    let out = folder.join("out.igvm");
    let good = image(&header(), &ENDS);
    let old = image(&SetupHeader { version: 0x0209.into(), ..header() }, &ENDS);
    let narrow = image(&SetupHeader { xloadflags: 0.into(), ..header() }, &ENDS);
    let cases: [(&[u8], &[u8], &str); 4] = [
        (b"text", b"ramdisk", "this is not a bzImage"),
        (&old, b"ramdisk", "boot protocol 2.09; 2.12 is needed"),
        (&narrow, b"ramdisk", "no 64-bit entry"),
        (&good, b"", "the initial ramdisk is empty"),
    ];
    for (kernel, initrd, sentence) in cases {
        let kernel = binary::write(&folder, "kernel", kernel);
        let initrd = binary::write(&folder, "initrd", initrd);
        let [kernel, initrd, out] = [&kernel, &initrd, &out].map(|path| path.to_str().unwrap());
        let wrap = ["wrap", "--kernel", kernel, "--initrd", initrd, "--out", out];
        let refusal = binary::run(wrap).refusal();
        assert!(refusal.contains(sentence), "{refusal}");
    }
    assert!(!out.exists());
    for arguments in [
        &["wrap", "--out", "x"][..],
        &["wrap", "--kernel", "a", "--firmware", "b", "--out", "x"],
        &["wrap", "--firmware", "b", "--append", "quiet", "--out", "x"],
        &["wrap", "--kernel", "a", "--entry", "flat32", "--out", "x"],
    ] {
        binary::run(arguments).refusal();
    }
}

/// `mov dx, 0x501; mov al, 0x10; out dx, al; hlt`
const ENDS: [u8; 8] = [0x66, 0xba, 0x01, 0x05, 0xb0, 0x10, 0xee, 0xf4];

/// The tables say that configuration space is mapped, so it is: the kernel
/// finds the host bridge's vendor and device there.
#[test]
fn configuration_space_is_where_the_tables_say() {
    if host().is_none() {
        return;
    }
    // mov ebx, PCIEXBAR; mov eax, [rbx]; mov dx, 0x501; out dx, eax; hlt
    let mut code = vec![0xbb];
    code.extend(PCIEXBAR.to_le_bytes());
    code.extend([0x8b, 0x03, 0x66, 0xba, 0x01, 0x05, 0xef, 0xf4]);
    let kernel = image(&header(), &code);
    let wrapped = linux(&Linux { kernel: &kernel, ..Linux::default() }).unwrap();
    let document = Document::from_bytes(wrapped.bytes).unwrap();
    let stop = with_loaded(&document, host_of(64), |loaded| {
        let ended = run(host().unwrap(), &loaded.image, loaded.host.ram, Run::default()).unwrap();
        ended.report.stop
    });
    assert_eq!(stop, Stop::Ended(Ending::Exit { value: stub::Q35 }));
}

type Range = (u64, u64, u32);

/// What the stub should make of a memory map.
fn e820(map: &[IGVM_VHS_MEMORY_MAP_ENTRY]) -> Vec<Range> {
    let (hole, low) = (RESERVED.start..1 << 20, RESERVED.len);
    let mut ranges = vec![(hole.start, low, E820_RESERVED)];
    for entry in map.iter().take_while(|entry| entry.number_of_pages != 0) {
        let start = entry.starting_gpa_page_number << 12;
        let end = start + (entry.number_of_pages << 12);
        let (typ, pieces) = match entry.entry_type {
            MemoryMapEntryType::MEMORY | MemoryMapEntryType::VTL2_PROTECTABLE => {
                (E820_RAM, [start..end.min(hole.start), start.max(hole.end)..end])
            }
            MemoryMapEntryType::PERSISTENT => (E820_PMEM, [start..end, end..end]),
            _ => (E820_RESERVED, [start..end, end..end]),
        };
        let pieces = pieces.into_iter().filter(|piece| !piece.is_empty());
        ranges.extend(pieces.map(|piece| (piece.start, piece.end - piece.start, typ)));
    }
    ranges.truncate(E820_ENTRIES_MAX);
    ranges
}

/// Runs the wrapped kernel on a machine with this memory map, to the kernel's
/// first instructions; what `boot_params` says then.
fn e820_by_stub(document: &Document, map: &[IGVM_VHS_MEMORY_MAP_ENTRY]) -> Vec<Range> {
    let tables = HostTables::new(host_of(64)).unwrap();
    let host = igvm_core::load::Host { memory_map: map, ..tables.host() };
    let file = document.file();
    LoadStorage::new()
        .load(&file, document, IgvmPlatformType::NATIVE, &host, |machine, problems| {
            assert_eq!(machine.fatal_problems(), 0, "{problems:?}");
            let image = LoadedImage::new(&machine, document, &host);
            let kvm = common::host().unwrap();
            let outcome = run(kvm, &image, host.ram, Run::default()).unwrap();
            let report = &outcome.report;
            assert_eq!(report.stop, Stop::Ended(Ending::Exit { value: 0x10 }), "{report}");
            let mut page = [0; 4096];
            let memory = outcome.machine.memory();
            memory.read_slice(&mut page, GuestAddress(BOOT_PARAMS_GPA)).unwrap();
            let params = BootParams::read_from_bytes(&page).unwrap();
            let used = &params.e820_table[..params.e820_entries.into()];
            used.iter().map(|e| (e.addr.get(), e.size.get(), e.typ.get())).collect()
        })
        .unwrap()
}

/// The stub against arithmetic, on the processor: entries of every type, around
/// the file's tables and far from them, more than fit, and an early end.
#[test]
fn the_memory_map_becomes_the_kernels() {
    if host().is_none() {
        return;
    }
    let command_line = b"quiet";
    let kernel = image(&header(), &ENDS);
    let wrapped = linux(&Linux { kernel: &kernel, command_line, ..Linux::default() }).unwrap();
    let document = Document::from_bytes(wrapped.bytes).unwrap();
    let near = (0..0x130_u64, 1..0x130_u64);
    let far = (0..1_u64 << 38, 1..1_u64 << 30);
    let place = prop_oneof![near, far];
    let entry = (place, 0..7_u16, 0..40_u8).prop_map(|((page, pages), typ, end)| {
        IGVM_VHS_MEMORY_MAP_ENTRY {
            starting_gpa_page_number: page,
            number_of_pages: if end == 0 { 0 } else { pages },
            entry_type: MemoryMapEntryType(typ),
            flags: 0,
            reserved: 0,
        }
    });
    let maps = prop_oneof![
        proptest::collection::vec(entry.clone(), 0..12),
        proptest::collection::vec(entry, 100..=169),
    ];
    let mut runner = TestRunner::new(Config { cases: 48, ..Config::default() });
    runner
        .run(&maps, |map| {
            prop_assert_eq!(e820_by_stub(&document, &map), e820(&map));
            Ok(())
        })
        .unwrap();
}
