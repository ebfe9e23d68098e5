//! The machine under a debugger that speaks GDB's remote protocol.
//!
//! - [`Address`]: where it connects to.
//! - `Server`: waits there for it.
//! - `run`: a session that moves as the debugger says.
//!
//! A step moves one processor, and the others stand still meanwhile; they all
//! go on when the machine does. Breakpoints are in the guest's code only while
//! it runs: whoever reads memory between finds the guest's own.

mod address;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod breakpoints;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod debugger;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod description;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod link;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod monitor;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod registers;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod serve;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod target;

pub use address::Address;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub use link::Server;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub use serve::run;
