//! Conformance of `igvm-core` with the `igvm` crate, version 0.5.0.
//!
//! - [`compare`]: one file through both readers; whatever the `igvm` crate
//!   accepts, core decodes to the same values.
//! - [`differences`]: what the `igvm` crate accepts and core calls an error.
//! - [`generate`]: random files, made by the `igvm` crate and by core's writer.
//! - [`mutate`]: the same files, damaged.
//! - [`machine`]: loading with bounded storage, for tests and fuzzing alike.

pub mod compare;
pub mod differences;
pub mod generate;
pub mod machine;
pub mod mutate;
pub mod oracle;
pub mod random;
