//! Where a run stopped.

mod json;
mod text;

use std::fmt;

use igvm_analysis::report::WalkReport;
use igvm_core::x86::{Mode, RegisterFile};

use super::instruction::{self, CodeLine};
use super::vcpu::Activity;
use super::{Instruction, Machine, Paused, Processor, Recent, Stop};
use crate::memory::LiveMemory;

pub use text::Style;

/// Why and where a run stopped.
#[derive(Debug, Clone)]
pub struct Report {
    /// Why.
    pub stop: Stop,
    /// The processor that stopped it; the first where it was none.
    pub vp_index: u32,
    /// That processor's registers, where KVM would tell.
    ///
    /// On AMD's processors a triple fault leaves none: KVM shows the reset
    /// state.
    pub registers: Option<RegisterFile>,
    /// Linear address of the next instruction.
    pub linear: Option<u64>,
    /// The instruction there: after a failure the one that failed, else the
    /// one that would be next.
    pub instruction: Option<Instruction>,
    /// Every processor whose registers KVM would tell.
    pub processors: Vec<Standing>,
    /// The last exits.
    pub recent: Recent,
}

/// Where a processor stands.
#[derive(Debug, Clone)]
pub struct Standing {
    /// Its number.
    pub vp_index: u32,
    /// Whether it runs or waits.
    pub activity: Activity,
    /// Its registers.
    pub registers: RegisterFile,
    /// Linear address of the next instruction.
    pub linear: u64,
    /// The instructions around it, as far as they can be read.
    pub code: Vec<CodeLine>,
    /// The way to it through the page tables.
    pub walk: WalkReport,
}

impl Standing {
    /// Of a processor that stands still.
    fn of(processor: &Processor<'_>) -> Option<Self> {
        let registers = processor.registers().ok()?;
        let linear = Processor::linear_rip(&registers);
        Some(Self {
            vp_index: processor.vp_index(),
            activity: processor.activity(),
            registers,
            linear,
            code: processor.code_around(&registers, linear, 5, 5),
            walk: WalkReport::new(&registers, &LiveMemory(processor.memory), linear),
        })
    }

    /// The instruction that is next.
    pub fn instruction(&self) -> Option<&Instruction> {
        let next = self.code.iter().find(|line| line.offset == 0);
        next.map(|line| &line.instruction)
    }

    /// The mode it is in.
    pub fn mode(&self) -> Mode {
        Mode::of(&self.registers)
    }
}

impl Processor<'_> {
    /// The instructions around a linear address, in this processor's mode.
    pub fn code_around(
        &self,
        registers: &RegisterFile,
        linear: u64,
        before: usize,
        after: usize,
    ) -> Vec<CodeLine> {
        const BACK: u64 = 64;
        const PAGE: u64 = 0x1000;
        let bitness = Processor::bitness(registers);
        let mut code = vec![0; BACK as usize + (after + 1) * Instruction::MAX_LEN];
        // Where the page before cannot be read, from the start of this one.
        for back in [BACK.min(linear), BACK.min(linear % PAGE), 0] {
            let read = self.read_linear(linear - back, &mut code);
            if read as u64 > back {
                let rip = registers
                    .rip
                    .wrapping_add(linear.wrapping_sub(Processor::linear_rip(registers)));
                let code = &code[..read];
                return instruction::around(code, back as usize, bitness, rip, before, after);
            }
        }
        Vec::new()
    }
}

impl Machine {
    /// Where the machine stands after a run.
    pub fn report(&self, paused: Paused) -> Report {
        let Paused { stop, vp_index } = paused;
        let all = (0..self.processors()).filter_map(|vp_index| self.processor(vp_index));
        let processors: Vec<_> = all.filter_map(|processor| Standing::of(&processor)).collect();
        let it = processors.iter().find(|standing| standing.vp_index == vp_index);
        Report {
            stop,
            vp_index,
            registers: it.map(|standing| standing.registers),
            linear: it.map(|standing| standing.linear),
            instruction: it.and_then(Standing::instruction).cloned(),
            processors,
            recent: self.recent(),
        }
    }
}

impl fmt::Display for Report {
    /// Two lines: why, and where.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.stop)?;
        write!(f, "processor {}", self.vp_index)?;
        match (&self.linear, &self.instruction) {
            (Some(linear), Some(instruction)) => write!(f, " at {linear:#x}: {instruction}"),
            (Some(linear), None) => write!(f, " at {linear:#x}, where no code can be read"),
            (None, _) => f.write_str(": KVM does not tell its registers"),
        }
    }
}
