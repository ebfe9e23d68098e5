//! Everything around [`igvm_core`] that needs an allocator and that the command
//! line, the page and the tests share:
//!
//! - [`diff`]: what differs between two files and the machines they make.
//! - [`document`]: a file, its headers in memory and its data where it is.
//! - [`host`]: a virtual machine in a few words (processors, memory, command
//!   line), and the tables that describe it to the guest.
//! - [`loaded`]: loading with storage that grows.
//! - [`number`]: numbers as people type them.
//! - [`report`]: what there is to say, as data for JSON and as text.

pub mod diff;
pub mod document;
pub mod host;
pub mod loaded;
pub mod number;
pub mod report;
