//! Loading: directives in order, for a chosen platform and a described host,
//! into a [`Machine`].
//!
//! The load never stops at a bad directive. It reports a [`Problem`], leaves
//! the directive out and goes on, so that a broken file can be looked at as
//! far as it can be loaded; [`Machine::fatal_problems`] says whether the
//! result may be started.
//!
//! Time: n directives take O(n log n) and one move within a block each. Memory:
//! what the caller lends in [`Storage`].

mod area;
mod context;
mod extent;
mod fixup;
mod host;
mod image;
mod layout;
mod loader;
mod machine;
mod memory;
mod ordered;
mod problem;
mod processor;
mod region;

#[cfg(test)]
mod tests;

pub use area::{Area, AreaBlock, Areas, Insertion};
pub use extent::{Extent, Source, Space};
pub use fixup::FixupPage;
pub use host::{Host, Relocation, RequiredMemoryPolicy};
pub use image::{ExtentBlock, MemoryImage, Overlap};
pub use loader::{Storage, default_platform, load};
pub use machine::Machine;
pub use memory::GuestMemory;
pub use ordered::{BLOCK_LEN, Block};
pub use problem::{
    FixupFailure, GUEST_PHYSICAL_LIMIT, LoadError, Problem, ProblemKind, RelocationRefusal,
    StorageKind,
};
pub use processor::{Origin, Processor, Start};
pub use region::{Region, Regions};
