//! The machine on KVM.
//!
//! - [`Host`]: `/dev/kvm`, and what is wrong with it in one sentence.
//! - [`State`]: one processor's registers as KVM's structures have them; a
//!   pure map to and from [`RegisterFile`](igvm_core::x86::RegisterFile).
//! - [`Machine`]: memory, interrupt controllers and processors, ready for the
//!   first instruction; [`Machine::run`] until something stops it.
//! - [`Stop`] and [`Report`]: why it stopped, and where.

mod cpuid;
mod exit;
mod host;
mod instruction;
mod interrupt;
mod regs;
mod report;
mod run;
mod stop;
mod vcpu;
mod vm;

pub use host::{Host, HostError};
pub use instruction::Instruction;
pub use regs::{State, as_kvm_keeps};
pub use report::Report;
pub use stop::Stop;
pub use vm::{Machine, RESERVED_BY_KVM};
