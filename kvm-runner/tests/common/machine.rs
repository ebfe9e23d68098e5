//! Guests made of bytes, and running them.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use igvm_analysis::host::{HostDescription, HostTables};
use igvm_core::load;
use igvm_core::span::Span;
use igvm_core::x86::{RegisterFile, Segment};
use igvm_devices::Disk;
use kvm_runner::console::{Console, Destination};
use kvm_runner::describe::description;
use kvm_runner::guest::{BootError, Image};
use kvm_runner::kvm::{Host, Machine, Report};
use kvm_runner::session::{OnFailure, Session, Settings};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

/// More than any guest here takes, on a busy host that interprets it.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A guest made of bytes.
#[derive(Clone)]
pub struct Bits {
    pub memory: Vec<Span>,
    pub pieces: Vec<(u64, Vec<u8>)>,
    pub registers: Vec<Option<RegisterFile>>,
}

impl Bits {
    /// One processor and 64 KiB, with code at 0x7c00.
    pub fn new(registers: RegisterFile, code: &[u8]) -> Self {
        Self {
            memory: vec![Span::new(0, 0x1_0000)],
            pieces: vec![(0x7c00, code.to_vec())],
            registers: vec![Some(registers)],
        }
    }

    /// Real mode at 0000:7c00.
    pub fn real_mode(code: &[u8]) -> Self {
        Self::new(real_mode(), code)
    }

    /// 32-bit protected mode without paging, at 0x7c00.
    pub fn flat(code: &[u8]) -> Self {
        Self::new(flat(), code)
    }
}

pub fn real_mode() -> RegisterFile {
    let mut registers = RegisterFile::reset(true);
    registers.cr0 = 0x10;
    registers.cs = Segment { selector: 0, attributes: 0x9b, limit: 0xffff, base: 0 };
    registers.rip = 0x7c00;
    registers.rsp = 0x7000;
    registers
}

pub fn flat() -> RegisterFile {
    let code = Segment { selector: 8, attributes: 0xc09b, limit: 0xffff_ffff, base: 0 };
    let data = Segment { selector: 16, attributes: 0xc093, limit: 0xffff_ffff, base: 0 };
    RegisterFile {
        cr0: 0x11,
        rip: 0x7c00,
        rsp: 0x7000,
        cs: code,
        ds: data,
        es: data,
        ss: data,
        fs: data,
        gs: data,
        ..RegisterFile::reset(true)
    }
}

/// 64-bit mode, with page tables at 0x1000 that map the first 2 MiB.
pub fn long(code: &[u8]) -> Bits {
    let code_segment = Segment { selector: 8, attributes: 0xa09b, limit: 0xffff_ffff, base: 0 };
    let registers = RegisterFile {
        cr0: 0x8000_0011,
        cr3: 0x1000,
        cr4: 0x20,
        efer: 0x500,
        cs: code_segment,
        ..flat()
    };
    let mut bits = Bits::new(registers, code);
    for (table, entry) in [(0x1000, 0x2003_u64), (0x2000, 0x3003), (0x3000, 0x83)] {
        bits.pieces.push((table, entry.to_le_bytes().to_vec()));
    }
    bits.memory = vec![Span::new(0, 0x20_0000)];
    bits
}

impl Image for Bits {
    fn memory(&self) -> Vec<Span> {
        self.memory.clone()
    }

    fn fill(&self, memory: &GuestMemoryMmap) -> Result<(), BootError> {
        for (gpa, bytes) in &self.pieces {
            memory
                .write_slice(bytes, GuestAddress(*gpa))
                .map_err(|error| BootError::Image(format!("no memory at {gpa:#x}: {error}")))?;
        }
        Ok(())
    }

    fn refill(&self, memory: &GuestMemoryMmap) -> Result<(), BootError> {
        self.fill(memory)
    }

    fn registers(&self, vp_index: u32) -> Option<RegisterFile> {
        self.registers.get(vp_index as usize).copied().flatten()
    }
}

/// A writer that several can look at.
#[derive(Clone, Default)]
pub struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What came of a run.
pub struct Outcome {
    pub report: Report,
    pub serial: String,
    pub debug: String,
    pub machine: Machine,
}

/// Runs an image until it stops.
pub fn run(
    host: Host,
    image: &dyn Image,
    ram: &[Span],
    run: Run<'_>,
) -> Result<Outcome, BootError> {
    let (serial, debug) = (Buffer::default(), Buffer::default());
    let console = Console::new(
        Destination::Writer(Box::new(serial.clone())),
        Destination::Writer(Box::new(debug.clone())),
        run.until,
    );
    let host_description =
        HostDescription { processors: run.processors, ..HostDescription::default() };
    let tables = HostTables::new(host_description).unwrap();
    let description = description(&load::Host { ram, ..tables.host() });
    let machine = Machine::new(host, image, run.processors)?;
    let settings =
        Settings { limit: Some(run.limit), on_reset: OnFailure::Stop, ..Settings::default() };
    let mut session = Session::new(machine, image, &description, console, run.disk, settings)?;
    let report = session.run(|_| {})?;
    let machine = session.machine;
    Ok(Outcome { report, serial: serial.text(), debug: debug.text(), machine })
}

/// How to run it.
pub struct Run<'a> {
    pub processors: u32,
    pub until: Option<&'a str>,
    pub limit: Duration,
    pub disk: Option<Box<dyn Disk>>,
}

impl Default for Run<'_> {
    fn default() -> Self {
        Self { processors: 1, until: None, limit: PATIENCE, disk: None }
    }
}

/// Runs a guest made of bytes.
pub fn run_bits(host: Host, bits: &Bits, how: Run<'_>) -> Outcome {
    run(host, bits, &bits.memory, how).unwrap_or_else(|error| panic!("{error}"))
}
