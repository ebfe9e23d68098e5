//! What can go wrong while loading. The load goes on without the directive;
//! the machine then is not what the file wants, and says so.

use core::fmt;

use igvm_defs::{IgvmArchitecture, IgvmVariableHeaderType as Type};

use super::image::Overlap;
use crate::data::ReadError;
use crate::file::HeaderRef;
use crate::span::Span;
use crate::wire::{ParameterKind, WalkStop, kind_name};
use crate::x86::Register;

/// Guest physical addresses end here: x86 has at most 52 bits of them (APM
/// volume 2, "Physical Address Space").
pub const GUEST_PHYSICAL_LIMIT: u64 = 1 << 52;

/// A problem with one directive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Problem {
    /// The directive.
    pub header: HeaderRef,
    /// What is wrong with it.
    pub kind: ProblemKind,
}

/// What is wrong with a directive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemKind {
    /// The file is for another architecture than x86. (About the file, not the
    /// header.)
    NotX86 {
        /// The architecture.
        architecture: IgvmArchitecture,
    },
    /// The file counts in pages of another size than 4 KiB. (About the file,
    /// not the header.)
    PageSize {
        /// Bytes of its pages.
        page_size: u32,
    },
    /// The variable headers end inside of this header: whatever should follow
    /// is missing.
    HeadersCutShort {
        /// Why nothing more can be read.
        stop: WalkStop,
    },
    /// A header that must be understood and is not: type without the optional
    /// bit.
    NotUnderstood {
        /// Its type.
        typ: Type,
    },
    /// The value has another length than its structure.
    WrongLength {
        /// The type.
        typ: Type,
        /// Bytes the structure has.
        expected: u32,
    },
    /// A guest address or length that must be a multiple of `unit` is not.
    Unaligned {
        /// The value.
        value: u64,
        /// Bytes of the unit.
        unit: u64,
    },
    /// The range passes the end of guest physical memory.
    BeyondAddressSpace {
        /// The range.
        span: Span,
    },
    /// The file has no bytes where the header says its data is.
    DataMissing {
        /// The range in the file.
        span: Span,
        /// Bytes the file has.
        file_len: u64,
    },
    /// The index was declared before.
    AreaTwice {
        /// The index.
        index: u32,
        /// The header that declared it.
        first: HeaderRef,
    },
    /// No area of this index was declared.
    AreaUnknown {
        /// The index.
        index: u32,
    },
    /// The area was inserted before, which retired its index.
    AreaRetired {
        /// The index.
        index: u32,
        /// The header that inserted it.
        inserted: HeaderRef,
    },
    /// The parameter does not fit into its area.
    ParameterDoesNotFit {
        /// The parameter.
        kind: ParameterKind,
        /// Where in the area it should start.
        offset: u64,
        /// Bytes it has.
        len: u64,
        /// Bytes the area has.
        area_len: u64,
    },
    /// The host has nothing to say for this parameter; the area keeps its
    /// initial bytes.
    ParameterNotOffered {
        /// The parameter.
        kind: ParameterKind,
    },
    /// Memory that the file requires is not RAM of the host.
    MemoryMissing {
        /// The first stretch that is missing.
        span: Span,
        /// Whether the policy created it.
        created: bool,
    },
    /// Bytes written twice; the later ones stand.
    Overlap(Overlap),
    /// A second context for the same processor; the later one counts.
    ContextTwice {
        /// The processor.
        vp_index: u16,
        /// The header of the one that does not count.
        earlier: HeaderRef,
    },
    /// A context for a processor that the host does not start.
    ContextWithoutProcessor {
        /// The processor.
        vp_index: u16,
        /// Processors the host starts.
        processors: u32,
    },
    /// `file_offset` is 0: there is no context. (Unlike a page, a context is
    /// never described as zeroes.)
    ContextMissing,
    /// A context for a platform whose processors start in a state of their
    /// own.
    ContextNotExpected,
    /// Bytes of the context that must be zero are not.
    ContextNotZero {
        /// File offset of the first of them.
        offset: u64,
    },
    /// A context for another architecture than x86.
    ContextNotX86,
    /// More registers than any context has.
    ContextTooLong {
        /// Registers the context says it has.
        registers: u32,
    },
    /// A Hyper-V register that is not part of the register file (it may still
    /// be a register of the processor, an MTRR for example).
    RegisterNotModelled {
        /// Its Hyper-V name.
        name: u32,
    },
    /// The register value was changed to what a processor can hold.
    RegisterAdjusted {
        /// The register.
        register: Register,
        /// The value of the file.
        from: u64,
        /// The value loaded.
        to: u64,
    },
    /// A region cannot be moved to where the host wants it.
    RelocationRefused {
        /// Where the host wants it.
        to: u64,
        /// Why not.
        why: RelocationRefusal,
    },
    /// The page tables could not be fixed up after relocation.
    FixupFailed {
        /// Linear address of the entry at fault.
        linear: u64,
        /// Why.
        why: FixupFailure,
    },
}

/// Why a region stays where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelocationRefusal {
    /// The address is not a multiple of `relocation_alignment`.
    Unaligned,
    /// The address lies below `minimum_relocation_gpa`.
    BelowMinimum,
    /// The end would lie above `maximum_relocation_gpa`.
    AboveMaximum,
    /// `relocation_alignment` is zero or not a multiple of 4 KiB.
    BadAlignment,
    /// More regions than this loader keeps track of.
    TooMany,
    /// The host names a region that the file does not have.
    NoSuchRegion {
        /// The address it names.
        from: u64,
    },
}

/// Why page tables cannot be fixed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FixupFailure {
    /// The processor is not in 64-bit mode with paging.
    NotLongMode,
    /// 5-level paging, which the specification's fix-up does not describe.
    FiveLevel,
    /// CR3 lies outside the page table region.
    RootOutside,
    /// The region moves further than the page is large, and not by a multiple of
    /// its size.
    Misaligned,
    /// No page is left between `used_size` and `size` for a new table.
    RegionFull,
    /// Another mapping stands where the entry should go.
    Occupied,
    /// The lent storage for changed tables is used up.
    StorageFull,
    /// Tables that refer to each other in circles.
    TooEntangled,
    /// The tables cannot be read.
    Unreadable,
}

impl ProblemKind {
    /// Whether this is about one header, and not about the file as a whole or
    /// what the host wants of it.
    pub fn is_of_header(&self) -> bool {
        !matches!(
            self,
            Self::NotX86 { .. }
                | Self::PageSize { .. }
                | Self::RelocationRefused { why: RelocationRefusal::NoSuchRegion { .. }, .. }
        )
    }

    /// Whether a loader must not start the machine.
    pub fn is_fatal(&self) -> bool {
        match self {
            Self::Overlap(_)
            | Self::ParameterNotOffered { .. }
            | Self::RegisterNotModelled { .. }
            | Self::RegisterAdjusted { .. }
            | Self::ContextTwice { .. }
            | Self::ContextWithoutProcessor { .. } => false,
            Self::MemoryMissing { created, .. } => !created,
            _ => true,
        }
    }
}

impl fmt::Display for ProblemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotX86 { architecture } => write!(
                f,
                "the file is for architecture {:#x}; only x86 machines are computed",
                architecture.0
            ),
            Self::PageSize { page_size } => write!(
                f,
                "the file has pages of {page_size} bytes; only pages of 4096 bytes are loaded"
            ),
            Self::HeadersCutShort { stop } => write!(f, "{stop}; nothing behind was loaded"),
            Self::NotUnderstood { typ } => write!(
                f,
                "header type {:#x} is not known and is not marked optional, so the file cannot be loaded",
                typ.0
            ),
            Self::WrongLength { typ, expected } => write!(
                f,
                "a {} value has {expected} bytes; this one has another length",
                kind_name(*typ).unwrap_or("header")
            ),
            Self::Unaligned { value, unit } => {
                write!(f, "{value:#x} is not a multiple of {unit:#x}")
            }
            Self::BeyondAddressSpace { span } => {
                write!(f, "the guest range {span} passes the 52 bits of a physical address")
            }
            Self::DataMissing { span, file_len } => write!(
                f,
                "its data should lie at file offsets {span}, but the file ends at {file_len:#x}"
            ),
            Self::AreaTwice { index, first } => {
                write!(f, "parameter area {index} was declared before, by header {}", first.index)
            }
            Self::AreaUnknown { index } => {
                write!(f, "parameter area {index} was not declared before")
            }
            Self::AreaRetired { index, inserted } => write!(
                f,
                "parameter area {index} was inserted by header {}, which retired its index",
                inserted.index
            ),
            Self::ParameterDoesNotFit { kind, offset, len, area_len } => write!(
                f,
                "{kind} takes {len} bytes at offset {offset:#x} of an area of {area_len:#x} bytes: \
                 it does not fit, nothing of it was written"
            ),
            Self::ParameterNotOffered { kind } => {
                write!(f, "the host has no {kind} to offer; the area keeps its initial bytes")
            }
            Self::MemoryMissing { span, created: false } => {
                write!(f, "the guest needs memory at {span}, where the host has no RAM")
            }
            Self::MemoryMissing { span, created: true } => write!(
                f,
                "the guest needs memory at {span}, where the host has no RAM; it was created"
            ),
            Self::Overlap(overlap) => write!(
                f,
                "{} was written by header {} before; the later bytes stand",
                overlap.span, overlap.earlier.index
            ),
            Self::ContextTwice { vp_index, earlier } => write!(
                f,
                "processor {vp_index} had a context before, from header {}; the later one counts",
                earlier.index
            ),
            Self::ContextWithoutProcessor { vp_index, processors } => {
                write!(f, "a context for processor {vp_index}, but the host starts {processors}")
            }
            Self::ContextMissing => {
                write!(f, "its file_offset is 0, where no context can be")
            }
            Self::ContextNotExpected => write!(
                f,
                "the processors of this platform start in a state of their own; a context is invalid"
            ),
            Self::ContextNotZero { offset } => write!(
                f,
                "the page of the context must be zero behind its structure; file offset {offset:#x} is not"
            ),
            Self::ContextNotX86 => write!(f, "the context is for another architecture than x86"),
            Self::ContextTooLong { registers } => {
                write!(f, "the context says it has {registers} registers, more than there are")
            }
            Self::RegisterNotModelled { name } => write!(
                f,
                "the context sets Hyper-V register {name:#010x}, which the register file does not hold"
            ),
            Self::RegisterAdjusted { register, from, to } => {
                write!(f, "{register} is {from:#x} in the file; a processor holds {to:#x}")
            }
            Self::RelocationRefused { to, why } => {
                write!(f, "the region cannot move to {to:#x}: {why}")
            }
            Self::FixupFailed { linear, why } => {
                write!(
                    f,
                    "the page tables cannot follow the relocation at linear address {linear:#x}: {why}"
                )
            }
        }
    }
}

impl fmt::Display for RelocationRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSuchRegion { from } => {
                return write!(f, "the file has no region at {from:#x}");
            }
            Self::Unaligned => "the address is not a multiple of relocation_alignment",
            Self::BelowMinimum => "it lies below minimum_relocation_gpa",
            Self::AboveMaximum => "its end would lie above maximum_relocation_gpa",
            Self::BadAlignment => "relocation_alignment is not a multiple of 4 KiB",
            Self::TooMany => "the file has more regions than this loader keeps track of",
        })
    }
}

impl fmt::Display for FixupFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotLongMode => "the processor is not in 64-bit mode with paging",
            Self::FiveLevel => "5-level tables are not covered by the specification's fix-up",
            Self::RootOutside => "CR3 lies outside the page table region",
            Self::Misaligned => {
                "the page that maps the region is large, and the way is no multiple of its size"
            }
            Self::RegionFull => "no free page is left in the page table region",
            Self::Occupied => "another mapping stands where the entry should go",
            Self::StorageFull => "the storage for changed tables is used up",
            Self::TooEntangled => "the tables refer to each other in circles",
            Self::Unreadable => "the tables cannot be read",
        })
    }
}

/// The load could not be done at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadError {
    /// The file does not support the platform.
    PlatformNotSupported,
    /// A piece of lent storage is used up.
    StorageFull(StorageKind),
}

/// The pieces of lent storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageKind {
    /// Extents of the memory image.
    Extents,
    /// Parameter areas.
    Areas,
    /// Processors.
    Processors,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PlatformNotSupported => "the file does not support this platform",
            Self::StorageFull(StorageKind::Extents) => "out of storage for extents",
            Self::StorageFull(StorageKind::Areas) => "out of storage for parameter areas",
            Self::StorageFull(StorageKind::Processors) => "out of storage for processors",
        })
    }
}

impl core::error::Error for LoadError {}

impl ProblemKind {
    pub(crate) fn data_missing(error: ReadError, file_len: u64) -> Self {
        Self::DataMissing { span: error.span, file_len }
    }
}

/// Whether an address or length is a multiple of `unit`.
pub(crate) fn aligned(value: u64, unit: u64) -> Result<(), ProblemKind> {
    match value.checked_rem(unit) {
        Some(0) => Ok(()),
        _ => Err(ProblemKind::Unaligned { value, unit }),
    }
}

/// Whether a range lies in guest physical memory.
pub(crate) fn in_guest(span: Span) -> Result<(), ProblemKind> {
    match span.checked_end() {
        Some(end) if end <= GUEST_PHYSICAL_LIMIT => Ok(()),
        _ => Err(ProblemKind::BeyondAddressSpace { span }),
    }
}
