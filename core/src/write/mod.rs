//! Building IGVM files of both versions.
//!
//! [`Writer`] collects headers ([`HeaderSpec`]) and their file data in storage
//! that the caller lends, stores equal data once, and emits the finished file:
//! offsets, sizes, padding and CRC-32 filled in. With the feature `alloc`,
//! `FileBuilder` is the same with storage that grows, and `wrap` turns a
//! firmware image or a Linux kernel into a file.
//!
//! The layout written is the plain one: fixed header, variable headers, file
//! data, without gaps. It may describe nonsense, since files that are wrong on
//! purpose must come from somewhere; [`check`](crate::check) judges the result.
//! One thing to know: the `igvm` crate (0.5.0) refuses a file without file
//! data, although the specification has nothing against it. The writer adds no
//! filler; a file for that crate needs one page, context or document of its
//! own.

mod blob;
mod error;
mod header;
pub mod start;
mod writer;

#[cfg(feature = "alloc")]
mod builder;
#[cfg(feature = "alloc")]
pub mod wrap;

pub use blob::Slot;
#[cfg(feature = "alloc")]
pub use builder::FileBuilder;
pub use error::WriteError;
pub use header::{Context, Data, HeaderSpec};
pub use writer::{Storage, Version, Writer};
