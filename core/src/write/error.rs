//! Why a file cannot be built.

use core::fmt;

use igvm_defs::IgvmVariableHeaderType as Type;

use crate::wire::HeaderSection;

/// Why a header was not added or the file not finished. What was added before
/// stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteError {
    /// The lent header buffer is too small.
    HeaderSpace {
        /// Bytes it would need by now.
        needed: usize,
    },
    /// The lent data buffer is too small.
    DataSpace {
        /// Bytes it would need by now.
        needed: usize,
    },
    /// Every lent slot holds a blob.
    SlotSpace {
        /// Slots it would need by now.
        needed: usize,
    },
    /// The lent output buffer is too small.
    OutputSpace {
        /// Bytes of the whole file.
        needed: usize,
    },
    /// The data is longer than what its header describes.
    DataTooLong {
        /// Type of the header.
        typ: Type,
        /// Bytes given.
        len: u64,
        /// Bytes the header describes.
        max: u64,
    },
    /// A header of an earlier section than the one before it.
    SectionOrder {
        /// Type of the refused header, without the optional bit.
        typ: Type,
        /// The section that has been reached.
        reached: HeaderSection,
    },
    /// The file would not fit the 32-bit offsets of the format.
    FileTooLarge,
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HeaderSpace { needed } => {
                write!(f, "the header buffer is too small: {needed} bytes are needed")
            }
            Self::DataSpace { needed } => {
                write!(f, "the data buffer is too small: {needed} bytes are needed")
            }
            Self::SlotSpace { needed } => {
                write!(f, "too few slots for different blobs of data: {needed} are needed")
            }
            Self::OutputSpace { needed } => {
                write!(f, "the output buffer is too small: the file has {needed} bytes")
            }
            Self::DataTooLong { typ, len, max } => write!(
                f,
                "the header of type {:#x} describes {max} bytes of data; {len} were given",
                typ.0
            ),
            Self::SectionOrder { typ, reached } => write!(
                f,
                "a header of type {:#x} ({} section) may not follow one of the {reached} section",
                typ.0,
                HeaderSection::of(*typ)
            ),
            Self::FileTooLarge => {
                write!(f, "the file would pass 4 GiB, which its 32-bit offsets cannot address")
            }
        }
    }
}

impl core::error::Error for WriteError {}
