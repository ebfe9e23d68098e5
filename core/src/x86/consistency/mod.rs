//! What a processor refuses about its registers, and what is surely a mistake.
//!
//! Three authorities: the checks of Intel's VM entry, the checks of AMD's
//! VMRUN, and the instructions that would load the value (a MOV to a control
//! register faults where the value is impossible). Each [`Problem`] names its
//! own; what only Intel checks counts all the same, since a file does not say
//! whose processor it will meet. A feature bit that a given processor lacks
//! is not a problem here: that is between the guest and the host.

mod control;
mod problem;
mod segments;
mod sentence;

pub use problem::{Gravity, Problem};

use super::bits::{cr0, cr4, rflags};
use super::{Mode, Register, RegisterFile, Segment};

/// Reports every problem of these registers, in no order of gravity.
///
/// A segment register that is not present counts as unusable, which only CS
/// and TR may not be.
pub fn problems(registers: &RegisterFile, report: &mut dyn FnMut(Problem)) {
    let state = State { registers, mode: Mode::of(registers) };
    control::check(&state, report);
    segments::check(&state, report);
}

/// The registers with what the checks ask about all the time.
struct State<'a> {
    registers: &'a RegisterFile,
    mode: Mode,
}

/// The registers that hold code and data segments.
const SEGMENTS: [Register; 6] =
    [Register::Cs, Register::Ds, Register::Es, Register::Ss, Register::Fs, Register::Gs];

impl State<'_> {
    fn protection(&self) -> bool {
        self.registers.cr0 & cr0::PE != 0
    }

    fn virtual_8086(&self) -> bool {
        self.protection() && !self.mode.is_long() && self.registers.rflags & rflags::VM != 0
    }

    /// Bits of a linear address as this processor is set up: what is canonical
    /// follows from it in every mode.
    fn linear_bits(&self) -> u32 {
        if self.registers.cr4 & cr4::LA57 == 0 { 48 } else { 57 }
    }

    fn segments(&self) -> impl Iterator<Item = (Register, &Segment)> {
        let r = self.registers;
        SEGMENTS.into_iter().zip([&r.cs, &r.ds, &r.es, &r.ss, &r.fs, &r.gs])
    }
}

#[cfg(test)]
mod tests;
