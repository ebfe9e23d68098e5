//! Runs the machine that an IGVM file makes.
//!
//! - [`clock`]: the host's time, for the devices.
//! - [`console`]: where the guest's text goes, and watching it.
//! - [`describe`]: what the devices are told of the machine.
//! - [`disk`]: the file or block device behind a disk.
//! - [`dump`]: memory and registers as an ELF core.
//! - [`gdb`]: the machine under a debugger.
//! - [`guest`]: what a run loads: memory and registers.
//! - [`kvm`]: the map to KVM, the virtual machine and its run.
//! - [`sandbox`]: what this process may still do then.
//! - [`session`]: a machine from its start to its end, with resets.
//! - [`trace`]: every instruction, or every exit, in a line.
//! - [`whole`]: files that are complete or not there.
//! - [`terminal`]: the person at it.
//!
//! What runs machines is for Linux on x86-64; the rest builds everywhere.

pub mod clock;
pub mod console;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub mod describe;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub mod disk;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub mod dump;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod fill;
pub mod gdb;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub mod guest;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub mod image;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub mod kvm;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub mod memory;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub mod sandbox;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub mod session;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub mod terminal;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub mod trace;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub mod whole;
