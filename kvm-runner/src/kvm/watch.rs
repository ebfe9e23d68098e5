//! Looking at processors while they run.

use super::{Access, Processor, Stop};

/// Somebody who is told of every exit, and of every instruction where the
/// machine runs with [`Pace::EveryInstruction`](super::Pace).
pub trait Watch: Send {
    /// A processor is about to run, or runs again after a stop or a reset.
    fn resumed(&mut self, _processor: &Processor<'_>) {}

    /// A processor has left the guest and has been answered.
    fn exited(&mut self, access: &Access) -> Option<Stop>;

    /// A processor stands before its next instruction.
    fn stepped(&mut self, processor: &Processor<'_>) -> Option<Stop>;
}
