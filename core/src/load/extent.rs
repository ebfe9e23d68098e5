//! One piece of the memory image.

use igvm_defs::{IGVM_VHS_PAGE_DATA, IgvmPageDataFlags, IgvmPageDataType};

use super::ordered::Entry;
use crate::file::{HeaderRef, page_len};
use crate::span::Span;
use crate::wire::{PAGE_DATA_STRIDE, ParameterKind};

/// The address space that an extent lies in.
///
/// Parameter areas are address spaces of their own until they are inserted;
/// so are the ranges that must be memory without anything being written there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Space {
    /// Guest physical memory, written.
    Guest,
    /// Guest physical memory that must be there: REQUIRED_MEMORY.
    Required,
    /// Guest physical memory for reporting errors: ERROR_RANGE.
    ErrorRange,
    /// Guest physical memory of a relocatable region.
    Region,
    /// The inside of the parameter area of this index.
    Area(u32),
}

/// Where the bytes of an extent come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// The file, from this offset.
    File {
        /// Offset of the first byte.
        offset: u64,
    },
    /// Zeroes that are written.
    Zero,
    /// What the host says for a parameter, from this offset of its bytes.
    Parameter {
        /// Which one.
        kind: ParameterKind,
        /// Offset in its bytes.
        offset: u64,
    },
    /// A page table that was fixed up after relocation, from this offset of
    /// the fixed-up pages.
    Fixup {
        /// Offset in the fixed-up pages.
        offset: u64,
    },
    /// Nothing: the range must be memory, its content stays as it is.
    Untouched,
}

impl Source {
    /// The source `by` bytes further on.
    fn advanced(self, by: u64) -> Self {
        match self {
            Self::File { offset } => Self::File { offset: offset.saturating_add(by) },
            Self::Parameter { kind, offset } => {
                Self::Parameter { kind, offset: offset.saturating_add(by) }
            }
            Self::Fixup { offset } => Self::Fixup { offset: offset.saturating_add(by) },
            Self::Zero | Self::Untouched => self,
        }
    }
}

/// A run of bytes in one address space with one source.
///
/// Pages of consecutive PAGE_DATA headers whose addresses and file offsets are
/// consecutive too make one extent; [`Extent::writer_at`] tells which header
/// wrote which page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// The address space.
    pub space: Space,
    /// Where in it.
    pub span: Span,
    /// Where the bytes come from.
    pub source: Source,
    /// The header that wrote the first byte.
    pub writer: HeaderRef,
    /// For page data its flags, else empty.
    pub flags: IgvmPageDataFlags,
    /// For page data its type, else NORMAL.
    pub data_type: IgvmPageDataType,
    /// The index of the parameter area that the bytes came through.
    pub area: Option<u32>,
    /// Log2 of the bytes that each header of a run covers; 0 where one header
    /// covers the whole extent.
    run_shift: u8,
}

impl Extent {
    /// An extent of a single header.
    pub(crate) fn new(space: Space, span: Span, source: Source, writer: HeaderRef) -> Self {
        Self {
            space,
            span,
            source,
            writer,
            flags: IgvmPageDataFlags::new(),
            data_type: IgvmPageDataType::NORMAL,
            area: None,
            run_shift: 0,
        }
    }

    /// The same extent, its bytes having come through a parameter area.
    pub(crate) fn through(self, area: u32) -> Self {
        Self { area: Some(area), ..self }
    }

    /// The same bytes at another place.
    pub(crate) fn placed(self, space: Space, start: u64) -> Self {
        Self { space, span: Span::new(start, self.span.len), ..self }
    }

    /// The page of a PAGE_DATA header, loaded at `gpa`. Relocation may have
    /// moved a large page off its natural alignment; then it stands alone.
    pub(crate) fn page(page: &IGVM_VHS_PAGE_DATA, gpa: u64, writer: HeaderRef) -> Self {
        let len = page_len(page);
        let source = match page.file_offset {
            0 => Source::Zero,
            offset => Source::File { offset: offset.into() },
        };
        Self {
            flags: page.flags,
            data_type: page.data_type,
            run_shift: if gpa.checked_rem(len) == Some(0) { len.trailing_zeros() as u8 } else { 0 },
            ..Self::new(Space::Guest, Span::new(gpa, len), source, writer)
        }
    }

    /// The page of this extent and as many more that carry it on.
    pub(crate) fn repeated(self, more: u32) -> Self {
        let pages = u64::from(more).saturating_add(1);
        Self { span: Span::new(self.span.start, self.span.len.saturating_mul(pages)), ..self }
    }

    /// The header that wrote the byte at `at` (an address in the space of the
    /// extent).
    pub fn writer_at(&self, at: u64) -> HeaderRef {
        if self.run_shift == 0 {
            return self.writer;
        }
        let shift = u32::from(self.run_shift);
        let page = |at: u64| at.checked_shr(shift).unwrap_or(0);
        let nth = page(at).saturating_sub(page(self.span.start));
        let nth = u32::try_from(nth).unwrap_or(u32::MAX);
        HeaderRef {
            index: self.writer.index.saturating_add(nth),
            offset: self.writer.offset.saturating_add(nth.saturating_mul(PAGE_DATA_STRIDE)),
        }
    }

    /// The headers that wrote it, first and last.
    pub fn writers(&self) -> (HeaderRef, HeaderRef) {
        (self.writer, self.writer_at(self.span.end().saturating_sub(1)))
    }

    /// The file bytes behind it, if it comes from the file.
    pub fn file_span(&self) -> Option<Span> {
        match self.source {
            Source::File { offset } => Some(Span::new(offset, self.span.len)),
            _ => None,
        }
    }

    /// The part from `at` on; `at` lies inside.
    pub(crate) fn from(&self, at: u64) -> Self {
        let by = at.saturating_sub(self.span.start);
        Self {
            span: Span::between(at, self.span.end()),
            source: self.source.advanced(by),
            writer: self.writer_at(at),
            ..*self
        }
    }

    /// The part before `at`.
    pub(crate) fn until(&self, at: u64) -> Self {
        Self { span: Span::between(self.span.start, at.min(self.span.end())), ..*self }
    }

    /// The part inside `span`, which overlaps it.
    pub(crate) fn within(&self, span: Span) -> Self {
        self.from(self.span.start.max(span.start)).until(span.end())
    }

    /// Whether `next` carries on where this extent ends: the two can be one.
    pub(crate) fn continues_with(&self, next: &Extent) -> bool {
        self.run_shift != 0
            && self.run_shift == next.run_shift
            && self.space == next.space
            && self.span.end() == next.span.start
            && self.flags == next.flags
            && self.data_type == next.data_type
            && self.source.advanced(self.span.len) == next.source
            && self.writer_at(next.span.start) == next.writer
    }
}

impl Entry for Extent {
    type Key = (Space, u64);

    fn key(&self) -> Self::Key {
        (self.space, self.span.start)
    }
}
