//! Where a run stopped, for people to read.

use std::fmt;

use igvm_core::x86::{Register, RegisterFile, RegisterValue};

use super::{Instruction, Stop};

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
}

impl Report {
    /// Every register, for `--registers`.
    pub fn registers(&self) -> impl fmt::Display {
        Registers(self.registers)
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

struct Registers(Option<RegisterFile>);

impl fmt::Display for Registers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const INTEGERS_A_LINE: usize = 4;
        let Some(file) = &self.0 else {
            return f.write_str("KVM does not tell the registers");
        };
        let mut on_line = 0;
        for register in Register::ALL {
            match file.get(register) {
                RegisterValue::Integer(value) => {
                    write!(f, "{register:>10} {value:016x}")?;
                    on_line += 1;
                    if on_line == INTEGERS_A_LINE {
                        on_line = 0;
                        writeln!(f)?;
                    }
                    continue;
                }
                _ if on_line != 0 => {
                    on_line = 0;
                    writeln!(f)?;
                }
                _ => {}
            }
            match file.get(register) {
                RegisterValue::Integer(_) => {}
                RegisterValue::Segment(segment) => writeln!(
                    f,
                    "{register:>10} {:04x} base {:016x} limit {:08x} attributes {:04x}",
                    segment.selector, segment.base, segment.limit, segment.attributes
                )?,
                RegisterValue::Table(table) => writeln!(
                    f,
                    "{register:>10}      base {:016x} limit {:04x}",
                    table.base, table.limit
                )?,
            }
        }
        Ok(())
    }
}
