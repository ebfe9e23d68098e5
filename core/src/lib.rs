//! IGVM files, decoded, and the x86 machine they make.
//!
//! The layers, each knowing only those above it in this list:
//!
//! 1. [`wire`]: the bytes. Fixed headers, the walk over the variable headers,
//!    every structure of `igvm_defs` by zerocopy. The only place that touches
//!    offsets.
//! 2. [`mod@file`]: [`IgvmFile`](file::IgvmFile), a borrowed file in which every
//!    header knows its index, its kind and its ranges in the file.
//! 3. [`x86`]: register file, segments, control registers, processor mode and
//!    page walk. Knows nothing of IGVM.
//! 4. [`load`]: directives in order, for a chosen platform and a described
//!    host, into a machine: memory image and processors.
//! 5. [`check`]: the rule book. Every finding at once, each with rule, place
//!    and sentence.
//! 6. [`mod@write`]: building files.
//!
//! # No panic, no allocation
//!
//! A file is hostile until shown otherwise. Nothing in this crate panics,
//! allocates, or runs longer than its input is large (bounds are stated where
//! they are not linear). Storage is lent by the caller; running out of it is
//! an error. The lints below hold the crate to it. (The feature `alloc`, off by
//! default, adds conveniences for building files; nothing else uses it.)
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

// The structures of igvm_defs hold native integers, the format is little
// endian.
#[cfg(target_endian = "big")]
compile_error!(
    "igvm-core reads little-endian structures in place: big-endian targets are not supported"
);

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod check;
mod checksum;
pub mod data;
pub mod file;
pub mod load;
pub mod platform;
pub mod span;
pub mod wire;
pub mod write;
pub mod x86;

pub use igvm_defs as defs;
