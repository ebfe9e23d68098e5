//! Why a run stopped.

use std::fmt;
use std::time::Duration;

use super::{Breakpoint, Instruction, Request, Trigger};
use crate::console::Source;
use igvm_devices::Ending;

/// Why a run stopped. The text is one sentence without a full stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// The guest asked for it.
    Ended(Ending),
    /// The awaited text was seen.
    Until(Source),
    /// The time was up.
    Timeout {
        /// The limit.
        after: Duration,
        /// Every processor waits, and nothing can wake one.
        halted: bool,
    },
    /// Somebody outside of the guest asked for it.
    Requested(Request),
    /// One instruction was to be done, and is.
    Stepped,
    /// A breakpoint in a debug register was met.
    Breakpoint(Breakpoint),
    /// INT3, which a debugger has put there.
    SoftwareBreakpoint,
    /// So many instructions or exits were to be run.
    Enough {
        /// How many.
        count: u64,
        /// Instructions, not exits.
        instructions: bool,
    },
    /// A fault on the way into the double-fault handler.
    TripleFault,
    /// KVM could not run an instruction.
    Emulation(Emulation),
    /// The processor refused the state.
    FailEntry {
        /// Its number for the reason: on Intel the VM-exit reason.
        reason: u64,
    },
    /// The guest's text could not be written.
    Output {
        /// Which stream.
        source: Source,
        /// Why.
        error: String,
    },
    /// The trace could not be written.
    Trace {
        /// Why.
        error: String,
    },
    /// KVM came back for a reason that it was not asked for.
    Unexpected {
        /// KVM_EXIT_* of `linux/kvm.h`.
        reason: u32,
    },
    /// An internal error of KVM.
    Internal {
        /// KVM_INTERNAL_ERROR_* of `linux/kvm.h`.
        suberror: u32,
    },
    /// KVM_RUN failed.
    Failed {
        /// The error number.
        errno: i32,
    },
}

/// What KVM could not emulate, and whose fault it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Emulation {
    /// There is no memory at RIP: the guest has lost its way.
    NoMemory {
        /// Linear address.
        linear: u64,
        /// Guest physical address.
        gpa: u64,
    },
    /// RIP is not mapped.
    Unmapped {
        /// Linear address.
        linear: u64,
    },
    /// An instruction that KVM's interpreter does not know.
    Instruction {
        /// The instruction.
        instruction: Instruction,
        /// Linear address.
        linear: u64,
        /// Whether this KVM interprets the guest's kernel; `None` unknown.
        interprets: Option<bool>,
    },
}

impl Stop {
    /// The exit code: 0 the guest ended by itself or what was asked for came,
    /// 2 the output failed, 3 timeout, 4 the guest failed, 128 and
    /// the signal's number where one ended it.
    pub const fn exit_code(&self) -> u8 {
        match self {
            // As a shell says it of a program that a signal ended.
            Self::Requested(Request::End { signal }) => 128 | *signal as u8,
            Self::Ended(_)
            | Self::Until(_)
            | Self::Requested(_)
            | Self::Stepped
            | Self::Breakpoint(_)
            | Self::SoftwareBreakpoint
            | Self::Enough { .. } => 0,
            Self::Output { .. } | Self::Trace { .. } => 2,
            Self::Timeout { .. } => 3,
            Self::TripleFault
            | Self::Emulation(_)
            | Self::FailEntry { .. }
            | Self::Unexpected { .. }
            | Self::Internal { .. }
            | Self::Failed { .. } => 4,
        }
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended(Ending::Exit { value }) => {
                write!(f, "the guest ended by the exit port, with value {value:#x}")
            }
            Self::Ended(Ending::Shutdown) => f.write_str("the guest asked for shutdown"),
            Self::Ended(Ending::Reset { port }) => {
                write!(f, "the guest asked for a reset, by port {port:#x}")
            }
            Self::Until(source) => write!(f, "the awaited text was seen in the {source} output"),
            Self::Timeout { after, halted: false } => {
                write!(f, "the time was up after {} s", after.as_secs_f64())
            }
            Self::Timeout { after, halted: true } => write!(
                f,
                "the time was up after {} s: the guest has halted with interrupts off and can \
                 never wake",
                after.as_secs_f64()
            ),
            Self::Requested(Request::End { signal }) => {
                write!(f, "signal {signal} asked it to stop")
            }
            Self::Requested(Request::Quit) => f.write_str("it was asked to stop"),
            Self::Requested(Request::Reset) => f.write_str("a reset was asked for"),
            Self::Requested(Request::Show) => f.write_str("its state was asked for"),
            Self::Requested(Request::Attention) => f.write_str("the debugger interrupted it"),
            Self::Stepped => f.write_str("one instruction is done"),
            Self::Breakpoint(Breakpoint { linear, trigger: Trigger::Execute }) => {
                write!(f, "the breakpoint at {linear:#x} was met")
            }
            Self::Breakpoint(Breakpoint { linear, trigger: Trigger::Write(_) }) => {
                write!(f, "the guest wrote to {linear:#x}, which was watched")
            }
            Self::Breakpoint(Breakpoint { linear, trigger: Trigger::Access(_) }) => {
                write!(f, "the guest accessed {linear:#x}, which was watched")
            }
            Self::SoftwareBreakpoint => f.write_str("a breakpoint in the code was met"),
            Self::Enough { count, instructions: true } => {
                write!(f, "{count} instructions were run, as asked")
            }
            Self::Enough { count, instructions: false } => {
                write!(f, "{count} exits were run, as asked")
            }
            Self::TripleFault => f.write_str(
                "the guest took a triple fault: an exception, and no way into its handler nor into \
                 the double-fault handler",
            ),
            Self::Emulation(emulation) => emulation.fmt(f),
            Self::FailEntry { reason } => write!(
                f,
                "the processor refused the guest's state (hardware reason {reason:#x}); `check` \
                 shows registers that contradict each other"
            ),
            Self::Output { source, error } => {
                write!(f, "the {source} output could not be written: {error}")
            }
            Self::Trace { error } => write!(f, "the trace could not be written: {error}"),
            Self::Unexpected { reason } => {
                write!(f, "KVM stopped for a reason that nobody asked for (KVM_EXIT {reason})")
            }
            Self::Internal { suberror } => {
                write!(f, "KVM met an internal error (suberror {suberror})")
            }
            Self::Failed { errno } => write!(
                f,
                "KVM could not run the guest: {}",
                std::io::Error::from_raw_os_error(*errno)
            ),
        }
    }
}

impl fmt::Display for Emulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMemory { linear, gpa } => write!(
                f,
                "the guest runs at {linear:#x}, which is guest physical {gpa:#x}, where the \
                 machine has no memory"
            ),
            Self::Unmapped { linear } => {
                write!(f, "the guest runs at {linear:#x}, which its page tables do not map")
            }
            Self::Instruction { instruction, linear, interprets: Some(true) } => write!(
                f,
                "this host's KVM interprets the guest's kernel and cannot run {instruction} at \
                 {linear:#x}; with hardware virtualization it would continue"
            ),
            Self::Instruction { instruction, linear, .. } => write!(
                f,
                "KVM cannot emulate {instruction} at {linear:#x}; on device memory and in real mode \
                 it knows the common instructions only"
            ),
        }
    }
}
