//! A contiguous run of bytes, in the file or in guest physical memory.

use core::fmt;

/// `len` bytes from `start`.
///
/// Used for ranges of the file and for ranges of guest physical memory alike;
/// the name of the field or function says which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span {
    /// First byte.
    pub start: u64,
    /// Number of bytes.
    pub len: u64,
}

impl Span {
    /// The span of `len` bytes from `start`.
    pub const fn new(start: u64, len: u64) -> Self {
        Self { start, len }
    }

    /// The span from `start` up to, not including, `end`; empty if `end` lies
    /// before `start`.
    pub const fn between(start: u64, end: u64) -> Self {
        Self { start, len: end.saturating_sub(start) }
    }

    /// The byte after the last, or `u64::MAX` where that would overflow.
    pub const fn end(self) -> u64 {
        self.start.saturating_add(self.len)
    }

    /// The byte after the last, or `None` where it lies above 2^64 - 1.
    pub const fn checked_end(self) -> Option<u64> {
        self.start.checked_add(self.len)
    }

    /// Whether there is no byte in it.
    pub const fn is_empty(self) -> bool {
        self.len == 0
    }

    /// Whether `at` lies inside.
    pub const fn contains(self, at: u64) -> bool {
        at >= self.start && at < self.end()
    }

    /// Whether all of `inner` lies inside.
    pub const fn contains_span(self, inner: Span) -> bool {
        inner.start >= self.start && inner.end() <= self.end()
    }

    /// The bytes both have, `None` if there are none.
    pub fn intersection(self, other: Span) -> Option<Span> {
        let both = Span::between(self.start.max(other.start), self.end().min(other.end()));
        (!both.is_empty()).then_some(both)
    }

    /// Whether both share a byte.
    pub fn overlaps(self, other: Span) -> bool {
        self.intersection(other).is_some()
    }
}

impl fmt::Display for Span {
    /// `0x1000..0x2000`, the end not included.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}..{:#x}", self.start, self.end())
    }
}
