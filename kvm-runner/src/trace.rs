//! Every instruction in a line, or every exit.
//!
//! An instruction's line: the processor (if there are several), 16, 32 or 64 for
//! the mode, linear address, bytes, text, and what it changed (old->new, in
//! hexadecimal; flags by name). An instruction that comes back to itself, as REP
//! and `jmp $` do, is one line with how many single steps that took. An exit's line is as in
//! the report.

use std::fmt::Write as _;
use std::io::{self, Write};

use igvm_core::x86::bits::{rflags, set_names};
use igvm_core::x86::{Register, RegisterFile, RegisterValue, Segment};

use crate::kvm::{Access, Activity, Instruction, Processor, Stop, Watch};

/// Text that waits to be written, at most.
const BUFFERED: usize = 64 << 10;

/// Where lines go.
pub struct Sink {
    writer: Box<dyn Write + Send>,
    buffer: Vec<u8>,
    /// Somebody reads along: every line is written at once.
    live: bool,
}

impl Sink {
    /// Lines to a writer, each at once if somebody reads along.
    pub fn new(writer: Box<dyn Write + Send>, live: bool) -> Self {
        Self { writer, buffer: Vec::new(), live }
    }

    fn line(&mut self, line: &str) -> io::Result<()> {
        self.buffer.extend_from_slice(line.trim_end().as_bytes());
        self.buffer.push(b'\n');
        if self.live || self.buffer.len() >= BUFFERED { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        // What could not be written is not tried again.
        let text = std::mem::take(&mut self.buffer);
        self.writer.write_all(&text).and_then(|()| self.writer.flush())
    }
}

/// What is traced, and when it is enough.
#[derive(Default)]
pub struct Trace {
    sinks: Vec<Sink>,
    /// Which of them takes instructions.
    instructions: Option<usize>,
    /// Which of them takes exits.
    exits: Option<usize>,
    /// The machine stops after so many instructions.
    pub stop_after: Option<u64>,
    /// The machine stops after so many exits.
    pub stop_after_exits: Option<u64>,
    several: bool,
    counted: u64,
    counted_exits: u64,
    processors: Vec<Option<Pending>>,
    failure: Option<String>,
}

/// An instruction that a processor is about to run, or has run and come back
/// to.
struct Pending {
    linear: u64,
    bitness: u32,
    instruction: Option<Instruction>,
    /// Before it.
    registers: RegisterFile,
    /// How often it has come back to itself, and the registers then.
    again: u64,
    latest: RegisterFile,
}

impl Trace {
    /// Traces nothing yet of a machine with so many processors.
    pub fn new(processors: u32) -> Self {
        Self {
            several: processors > 1,
            processors: (0..processors).map(|_| None).collect(),
            ..Self::default()
        }
    }

    /// Adds a place for lines; the number is for the other two.
    pub fn add(&mut self, sink: Sink) -> usize {
        self.sinks.push(sink);
        self.sinks.len() - 1
    }

    /// Instructions go there.
    pub fn trace_instructions(&mut self, sink: usize) {
        self.instructions = Some(sink);
    }

    /// Exits go there.
    pub fn trace_exits(&mut self, sink: usize) {
        self.exits = Some(sink);
    }

    /// Whether every instruction has to be seen.
    pub fn wants_instructions(&self) -> bool {
        self.instructions.is_some() || self.stop_after.is_some()
    }

    /// Writes all that waits.
    ///
    /// # Errors
    /// Fails where a writer does, now or before.
    pub fn finish(&mut self) -> Result<(), String> {
        for at in 0..self.processors.len() {
            self.put_down(at as u32);
        }
        for at in 0..self.sinks.len() {
            if self.failure.is_none() {
                let flushed = self.sinks[at].flush();
                self.remember(flushed);
            }
        }
        self.failure.take().map_or(Ok(()), Err)
    }

    fn remember(&mut self, written: io::Result<()>) {
        if let Err(error) = written {
            self.failure.get_or_insert(error.to_string());
        }
    }

    fn line(&mut self, sink: Option<usize>, vp_index: u32, line: &str) {
        let Some(sink) = sink.and_then(|at| self.sinks.get_mut(at)) else { return };
        if self.failure.is_none() {
            let written = match self.several {
                true => sink.line(&format!("{vp_index} {line}")),
                false => sink.line(line),
            };
            self.remember(written);
        }
    }

    /// Takes up a processor that stands before an instruction.
    fn take_up(&self, processor: &Processor<'_>, registers: RegisterFile) -> Pending {
        let linear = Processor::linear_rip(&registers);
        let bitness = Processor::bitness(&registers);
        let code = self.instructions.map(|_| processor.code_at(linear)).unwrap_or_default();
        let instruction = Instruction::decode(&code, bitness, registers.rip);
        Pending { linear, bitness, instruction, registers, again: 0, latest: registers }
    }

    /// Writes the instruction that a processor has run again and again, and now
    /// leaves without having finished it.
    fn put_down(&mut self, vp_index: u32) {
        let pending = self.processors.get_mut(vp_index as usize).and_then(Option::take);
        if let Some(pending) = pending.filter(|pending| pending.again > 0) {
            let line = pending.line(&pending.latest, pending.again, None);
            self.line(self.instructions, vp_index, &line);
        }
    }

    /// A processor has done an instruction.
    fn done(&mut self, processor: &Processor<'_>) {
        let vp_index = processor.vp_index();
        let Ok(registers) = processor.main_registers() else { return };
        let Some(place) = self.processors.get_mut(vp_index as usize) else { return };
        let linear = Processor::linear_rip(&registers);
        match place.take() {
            Some(mut pending) if pending.linear == linear => {
                pending.again += 1;
                pending.latest = registers;
                *place = Some(pending);
                return;
            }
            Some(pending) => {
                let line = pending.line(&registers, pending.again + 1, Some(linear));
                self.line(self.instructions, vp_index, &line);
            }
            None => self.line(
                self.instructions,
                vp_index,
                "-- started by another processor; its first instruction is not shown",
            ),
        }
        let next = self.take_up(processor, registers);
        self.processors[vp_index as usize] = Some(next);
    }

    fn failed(&self) -> Option<Stop> {
        self.failure.clone().map(|error| Stop::Trace { error })
    }
}

impl Watch for Trace {
    fn resumed(&mut self, processor: &Processor<'_>) {
        let vp_index = processor.vp_index();
        self.put_down(vp_index);
        if self.instructions.is_none() || processor.activity() == Activity::WaitsForSipi {
            return;
        }
        if let Ok(registers) = processor.main_registers() {
            let pending = self.take_up(processor, registers);
            if let Some(place) = self.processors.get_mut(vp_index as usize) {
                *place = Some(pending);
            }
        }
    }

    fn exited(&mut self, access: &Access) -> Option<Stop> {
        self.counted_exits += 1;
        self.line(self.exits, access.vp_index, &access.to_string());
        let enough = self.stop_after_exits.filter(|count| self.counted_exits >= *count);
        let enough = enough.map(|count| Stop::Enough { count, instructions: false });
        self.failed().or(enough)
    }

    fn stepped(&mut self, processor: &Processor<'_>) -> Option<Stop> {
        self.counted += 1;
        if self.instructions.is_some() {
            self.done(processor);
        }
        let enough = self.stop_after.filter(|count| self.counted >= *count);
        let enough = enough.map(|count| Stop::Enough { count, instructions: true });
        self.failed().or(enough)
    }
}

impl Pending {
    /// Its line, after it has run `times`; `next` is where it led to.
    fn line(&self, now: &RegisterFile, times: u64, next: Option<u64>) -> String {
        let (hex, text) = match &self.instruction {
            Some(instruction) => (instruction.hex().to_string(), &*instruction.text),
            None => (String::new(), "(no code can be read)"),
        };
        let mut line = format!("{} {:08x}  {hex:<23}  {text:<35} ", self.bitness, self.linear);
        if times > 1 {
            // Nothing can go wrong with a String.
            let _ok = write!(line, " {times} steps");
        }
        changes(&mut line, &self.registers, now);
        let behind = self.instruction.as_ref().filter(|it| it.falls_through).map(|instruction| {
            let rip = self.registers.rip.wrapping_add(instruction.bytes.len() as u64);
            Processor::linear_rip(&RegisterFile { rip, ..self.registers })
        });
        if let (Some(behind), Some(next)) = (behind, next)
            && behind != next
        {
            let _ok = write!(line, "  (interrupted: goes on at {next:x})");
        }
        line
    }
}

/// What differs between two register files, RIP aside.
fn changes(line: &mut String, before: &RegisterFile, after: &RegisterFile) {
    let mut change = |name: &dyn std::fmt::Display, before: u64, after: u64| {
        if before != after {
            let _ok = write!(line, " {name} {before:x}->{after:x}");
        }
    };
    for register in Register::ALL {
        match (before.get(register), after.get(register)) {
            (RegisterValue::Integer(before), RegisterValue::Integer(after))
                if !matches!(register, Register::Rip | Register::Rflags) =>
            {
                change(&register, before, after);
            }
            (RegisterValue::Segment(before), RegisterValue::Segment(after)) => {
                let parts = |segment: Segment| {
                    let Segment { selector, base, limit, attributes } = segment;
                    [selector.into(), base, limit.into(), attributes.into()]
                };
                for (part, (before, after)) in ["", "_base", "_limit", "_attributes"]
                    .into_iter()
                    .zip(parts(before).into_iter().zip(parts(after)))
                {
                    change(&format_args!("{register}{part}"), before, after);
                }
            }
            (RegisterValue::Table(before), RegisterValue::Table(after)) => {
                change(&format_args!("{register}_base"), before.base, after.base);
                let limits = (before.limit.into(), after.limit.into());
                change(&format_args!("{register}_limit"), limits.0, limits.1);
            }
            _ => {}
        }
    }
    // Bit 16, RF, comes and goes with every step.
    let flags = |file: &RegisterFile| file.rflags & !rflags::RF & !rflags::TF;
    let (before, after) = (flags(before), flags(after));
    set_names(rflags::BITS, after & !before).for_each(|name| line.extend([" +", name]));
    set_names(rflags::BITS, before & !after).for_each(|name| line.extend([" -", name]));
}
