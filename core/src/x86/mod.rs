//! The x86 processor as a loader leaves it: registers, segments, mode and
//! page walk. Knows nothing of IGVM.
//!
//! "SDM" below is the Intel 64 and IA-32 Architectures Software Developer's
//! Manual, "APM" the AMD64 Architecture Programmer's Manual.

pub mod bits;
mod consistency;
mod mode;
pub mod paging;
mod register;
mod register_file;
mod segment;

pub use consistency::{Gravity, Problem, problems};
pub use mode::{Because, Mode, PagingMode};
pub use register::{Register, RegisterValue};
pub use register_file::RegisterFile;
pub use segment::{Segment, TableRegister};
