//! The machine on KVM.
//!
//! - [`Host`]: `/dev/kvm`, and what is wrong with it in one sentence.
//! - [`State`]: one processor's registers as KVM's structures have them; a
//!   pure map to and from [`RegisterFile`](igvm_core::x86::RegisterFile).
//! - [`Machine`]: memory, interrupt controllers and processors, ready for the
//!   first instruction; [`Machine::resume`] until something stops it, then it
//!   stands still, can be read, changed, reset and resumed.
//! - [`Processor`]: one of them while it stands still.
//! - [`Control`]: stops the machine from any thread; [`Watch`] is told what
//!   happens meanwhile.
//! - [`Stop`] and [`Report`]: why it stopped, and where.

mod control;
mod cpuid;
mod debug;
mod exit;
mod host;
mod instruction;
mod interrupt;
mod recent;
mod regs;
mod report;
mod reset;
mod run;
mod stop;
mod vcpu;
mod vm;
mod watch;

pub use control::{Control, Request};
pub use debug::{Breakpoint, Debug, HARDWARE_BREAKPOINTS, Trigger};
pub use host::{Host, HostError};
pub use instruction::{CodeLine, Instruction};
pub use recent::{Access, Place, Recent};
pub use regs::{State, as_kvm_keeps};
pub use report::{Report, Standing, Style};
pub use run::{Around, Deadline, Pace, Paused};
pub use stop::{Emulation, Stop};
pub use vcpu::{Activity, Processor, Translation};
pub use vm::{Machine, RESERVED_BY_KVM};
pub use watch::Watch;
