//! Whole processes, from their start to the guest's first instructions.

use std::io::{self, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::large::PROGRAM;

/// How a process went.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// From its start to the first byte the guest wrote.
    pub first: Duration,
    /// From its start until it was gone.
    pub whole: Duration,
    /// The most memory it had at a time, in bytes.
    pub peak: u64,
    /// How it ended.
    pub status: ExitStatus,
}

/// Runs a command to its end. The caller must be a small process itself: Linux
/// counts the memory of the process that starts a program as that program's.
///
/// # Errors
/// When it cannot be started.
pub fn run(command: &mut Command) -> io::Result<Run> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let started = Instant::now();
    let mut child = command.spawn()?;
    let mut byte = [0];
    if let Some(output) = &mut child.stdout {
        // Nothing to read is a failure, which the status tells.
        let _nothing = output.read(&mut byte)?;
    }
    let first = started.elapsed();
    let mut status = 0;
    // SAFETY: the structure holds integers only.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    let id = child.id() as libc::pid_t;
    // SAFETY: the child is ours and nobody else waits for it; both pointers are
    // to live values of the right type.
    if unsafe { libc::wait4(id, &raw mut status, 0, &raw mut usage) } != id {
        return Err(io::Error::last_os_error());
    }
    let whole = started.elapsed();
    let peak = usage.ru_maxrss as u64 * 1024;
    Ok(Run { first, whole, peak, status: ExitStatus::from_raw(status) })
}

/// Our runner with the large file.
pub fn runner(program: &Path, file: &Path) -> Command {
    let mut command = Command::new(program);
    command.arg("boot").arg(file).args(["--memory", "512M", "--serial", "none"]);
    command.args(["--debugcon", "stdio"]);
    command
}

/// QEMU's name.
pub const QEMU: &str = "qemu-system-x86_64";

/// What the program of the large file makes QEMU exit with: `isa-debug-exit`
/// doubles the value and adds one.
pub const QEMU_EXIT: i32 = 0x10 << 1 | 1;

/// The same payload in QEMU. Debian's QEMU 7.2 does not know IGVM; its generic
/// loader puts the payload into memory, and a firmware of a few bytes runs the
/// same program.
pub fn qemu(firmware: &Path, payload: &Path) -> Command {
    let loader = format!("loader,file={},addr=0x1000000,force-raw=on", payload.display());
    let mut command = Command::new(QEMU);
    command
        .args(["-accel", "kvm", "-M", "pc", "-m", "512M", "-nodefaults", "-display", "none"])
        .args(["-chardev", "stdio,id=out", "-device", "isa-debugcon,iobase=0x402,chardev=out"])
        .args(["-device", "isa-debug-exit", "-device", &loader, "-bios"])
        .arg(firmware);
    command
}

/// The firmware: 64 KiB with the program at the reset vector.
pub fn firmware() -> Vec<u8> {
    let mut firmware = vec![0; 64 << 10];
    let reset = firmware.len() - 16;
    firmware[reset..][..PROGRAM.len()].copy_from_slice(&PROGRAM);
    firmware
}
