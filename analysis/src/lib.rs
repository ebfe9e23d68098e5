//! Everything around [`igvm_core`] that needs an allocator and that the command
//! line, the page and the tests share:
//!
//! - [`document`]: a file, its headers in memory and its data where it is.
//! - [`host`]: a virtual machine in a few words (processors, memory, command
//!   line), and the tables that describe it to the guest.
//! - [`loaded`]: loading with storage that grows.
//! - [`report`]: what there is to say, as data for JSON and as text.

pub mod document;
pub mod host;
pub mod loaded;
pub mod report;
