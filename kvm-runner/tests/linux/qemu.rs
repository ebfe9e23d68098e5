//! The very machine that `core` loads, on QEMU's interpreter.
//!
//! Debian's QEMU knows no IGVM. Here it need not: the extents of the loaded
//! image become blobs for its `loader` device, and a boot ROM of ours sets the
//! registers. So everything that the guest does is judged by somebody else's
//! processor and somebody else's PC.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use igvm_core::load::Space;
use igvm_core::span::Span;
use igvm_core::x86::RegisterFile;

use crate::common::Loaded;
use crate::rom;

/// Debian package qemu-system-x86.
pub(crate) const QEMU: &str = "/usr/bin/qemu-system-x86_64";

/// A machine that runs; it ends with this.
pub(crate) struct Qemu {
    child: Child,
    lines: Receiver<String>,
}

impl Drop for Qemu {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

/// What it printed up to a line.
pub(crate) struct Printed {
    pub(crate) text: String,
    pub(crate) seen: bool,
}

impl Qemu {
    /// Starts the loaded machine, with its parts in files of `folder`.
    pub(crate) fn start(loaded: &Loaded<'_>, folder: &Path) -> Self {
        let boot = loaded.machine.boot_processor().unwrap();
        assert_descriptors(loaded, &boot.registers);
        let memory: u64 = loaded.host.ram.iter().map(|ram| ram.len).sum();
        let rom = folder.join("rom");
        std::fs::write(&rom, rom::rom(&boot.registers)).unwrap();
        let mut qemu = Command::new(QEMU);
        qemu.args(["-accel", "tcg", "-machine", "q35", "-cpu", "max", "-nodefaults"])
            .args(["-display", "none", "-no-reboot", "-serial", "stdio", "-monitor", "none"])
            .args(["-m", &format!("{}M", memory >> 20)])
            .args(["-smp", &loaded.host.processors.to_string()])
            .args(["-device", "isa-debug-exit,iobase=0x501,iosize=2"])
            .arg("-bios")
            .arg(&rom);
        for span in written(loaded) {
            let path = folder.join(format!("{:x}", span.start));
            let mut bytes = vec![0; span.len as usize];
            loaded.memory.read(span.start, &mut bytes).unwrap();
            std::fs::write(&path, bytes).unwrap();
            let device = format!(
                "loader,file={},addr={:#x},force-raw=on",
                path.to_str().unwrap(),
                span.start
            );
            qemu.args(["-device", &device]);
        }
        qemu.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = qemu.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in out.split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self { child, lines }
    }

    /// Reads until a line holds `text`, the machine has ended, or the time is
    /// up.
    pub(crate) fn until(&mut self, text: &str, limit: Duration) -> Printed {
        let end = Instant::now() + limit;
        let mut printed = Printed { text: String::new(), seen: false };
        while !printed.seen {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    printed.seen = line.contains(text);
                    printed.text += &line;
                    printed.text.push('\n');
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        printed
    }

    /// Waits for its end: the exit code, or `None` when the time is up.
    pub(crate) fn ended(&mut self, limit: Duration) -> Option<i32> {
        let end = Instant::now() + limit;
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            thread::sleep(Duration::from_millis(20));
        }
        None
    }
}

/// Guest memory that the file determines, adjoining pieces as one.
fn written(loaded: &Loaded<'_>) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    for extent in loaded.machine.image().extents(Space::Guest) {
        match spans.last_mut() {
            Some(last) if last.end() == extent.span.start => last.len += extent.span.len,
            _ => spans.push(extent.span),
        }
    }
    spans
}

/// The ROM loads segments from the guest's descriptors: they must be what the
/// context has.
fn assert_descriptors(loaded: &Loaded<'_>, registers: &RegisterFile) {
    for segment in [registers.cs, registers.ds, registers.es, registers.ss] {
        let mut raw = [0; 8];
        let at = registers.gdtr.base + u64::from(segment.selector);
        loaded.memory.read(at, &mut raw).unwrap();
        assert_eq!(rom::descriptor(segment.selector, u64::from_le_bytes(raw)), segment);
    }
}
