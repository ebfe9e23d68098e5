//! Many machines, one after the other and at once: nothing of them is left.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod common;

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::{Mutex, PoisonError};

use common::binary::{Finished, folder, kvm_runner, listing, write};
use common::{Bits, Run, host, run_bits};
use igvm_core::span::Span;
use igvm_devices::Ending;
use kvm_runner::disk::DiskFile;
use kvm_runner::kvm::Stop;

/// The tests count what this process has: one at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// What this process holds, by the kernel.
#[derive(Debug, Clone, Copy)]
struct Held {
    descriptors: usize,
    threads: usize,
    mappings: usize,
    /// Address space and memory, in KiB.
    size: u64,
    resident: u64,
}

impl Held {
    fn now() -> Self {
        let count = |folder: &str| std::fs::read_dir(folder).unwrap().count();
        let text = |file: &str| std::fs::read_to_string(file).unwrap();
        let status = text("/proc/self/status");
        let field = |name: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace().next().unwrap().parse().unwrap()
        };
        Self {
            descriptors: count("/proc/self/fd"),
            threads: count("/proc/self/task"),
            mappings: text("/proc/self/maps").lines().count(),
            size: field("VmSize:"),
            resident: field("VmRSS:"),
        }
    }
}

/// One boot: by turns with one processor, and with two, a disk and a debug port
/// that is written.
fn boot(nth: u32, disk: &Path) {
    // mov dx, 0x402; mov al, 'x'; out dx, al; mov dx, 0x501; out dx, al
    let code = [0xba, 0x02, 0x04, 0xb0, b'x', 0xee, 0xba, 0x01, 0x05, 0xee];
    let mut bits = Bits::real_mode(&code);
    bits.memory = vec![Span::new(0, 16 << 20)];
    // Memory of the guest that is the host's, too.
    bits.pieces.push((0x10_0000, vec![0xa5; 0x10_0000]));
    let mut how = Run::default();
    if nth.is_multiple_of(2) {
        how.processors = 2;
        how.disk = Some(Box::new(DiskFile::open(disk, false).unwrap()));
    }
    let outcome = run_bits(host().unwrap(), &bits, how);
    let ended = Stop::Ended(Ending::Exit { value: u32::from(b'x') });
    assert_eq!(outcome.report.stop, ended, "{nth}: {}", outcome.report);
    assert_eq!(outcome.debug, "x", "{nth}");
}

#[test]
fn a_thousand_boots_leak_nothing() {
    const WARM_UP: u32 = 50;
    const BOOTS: u32 = 1000;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    if host().is_none() {
        return;
    }
    let disk = write(&folder("thousand"), "disk", &[0; 512]);
    (0..WARM_UP).for_each(|nth| boot(nth, &disk));
    let before = Held::now();
    (0..BOOTS).for_each(|nth| boot(nth, &disk));
    let after = Held::now();
    let both = format!("{before:?}\n{after:?}");
    // The thread of a test that waited before this one may be gone.
    assert!(after.descriptors <= before.descriptors, "{both}");
    assert!(after.threads <= before.threads, "{both}");
    // A page of each boot would be 4000 KiB; a mapping of each, 1000.
    assert!(after.mappings <= before.mappings + 16, "{both}");
    assert!(after.resident <= before.resident + 1024, "{both}");
    assert!(after.size <= before.size + 4096, "{both}");
}

/// One of the processes: it leads a group, and whatever it makes is in a folder
/// of its own.
fn start(folder: &Path, nth: usize) -> Child {
    let own = folder.join(nth.to_string());
    std::fs::create_dir(&own).unwrap();
    let mut command = kvm_runner();
    command.args(["boot", "--sample", "hello-long64", "--debugcon", "debug", "--timeout", "300"]);
    command.args(["--cpus", if nth.is_multiple_of(2) { "1" } else { "3" }]);
    command.env("TMPDIR", &own).current_dir(&own).process_group(0);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn sixteen_at_once_leave_nothing() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    if host().is_none() {
        return;
    }
    let folder = folder("sixteen");
    let children: Vec<_> = (0..16).map(|nth| start(&folder, nth)).collect();
    let groups: Vec<_> = children.iter().map(|child| child.id() as libc::pid_t).collect();
    for (nth, child) in children.into_iter().enumerate() {
        let finished = Finished::from(child.wait_with_output().unwrap());
        assert!(finished.stderr.contains("by the exit port"), "{nth}: {}", finished.stderr);
        let prints = igvm_samples::by_name("hello-long64").unwrap().prints;
        assert_eq!(finished.stdout_of(0), prints, "{nth}");
        // The file it was told to write, and nothing else.
        assert_eq!(listing(&folder.join(nth.to_string())), ["debug"], "{nth}");
    }
    for group in groups {
        // SAFETY: signal 0 only asks whether there is anybody.
        let asked = unsafe { libc::kill(-group, 0) };
        let error = std::io::Error::last_os_error().raw_os_error();
        assert_eq!((asked, error), (-1, Some(libc::ESRCH)), "process group {group} lives on");
    }
}
