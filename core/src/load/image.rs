//! The memory image: an ordered map of extents over the file, not a copy.

use super::extent::{Extent, Space};
use super::ordered::{Block, Full, Ordered, Position};
use crate::file::HeaderRef;
use crate::span::Span;

/// A piece of storage for the memory image.
pub type ExtentBlock = Block<Extent>;

/// Bytes that a later header wrote over an earlier one's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overlap {
    /// The address space, and the range in it that both wrote.
    pub space: Space,
    /// The range.
    pub span: Span,
    /// The header whose bytes are gone; of the first byte, where several wrote.
    pub earlier: HeaderRef,
    /// The header whose bytes stand there now.
    pub later: HeaderRef,
}

/// Every byte that the file determines, and who wrote it.
#[derive(Debug)]
pub struct MemoryImage<'s> {
    extents: Ordered<'s, Extent>,
}

impl<'s> MemoryImage<'s> {
    /// An empty image in lent storage.
    pub fn new(blocks: &'s mut [ExtentBlock]) -> Self {
        Self { extents: Ordered::new(blocks) }
    }

    /// The extents of an address space, by address.
    pub fn extents(&self, space: Space) -> impl Iterator<Item = &Extent> {
        self.extents_from(space, 0)
    }

    /// The extents of an address space from the first that ends above `at`.
    pub fn extents_from(&self, space: Space, at: u64) -> impl Iterator<Item = &Extent> {
        self.first_ending_above(space, at)
            .into_iter()
            .flat_map(|first| self.extents.iter_from(first))
            .take_while(move |extent| extent.space == space)
    }

    /// The extents that touch `span`, cut to it.
    pub fn extents_in(&self, space: Space, span: Span) -> impl Iterator<Item = Extent> {
        self.extents_from(space, span.start)
            .take_while(move |extent| extent.span.start < span.end())
            .map(move |extent| extent.within(span))
    }

    /// The extent that wrote the byte at `at`.
    pub fn extent_at(&self, space: Space, at: u64) -> Option<&Extent> {
        self.extents_from(space, at).next().filter(|extent| extent.span.contains(at))
    }

    /// Whether nothing wrote any byte of `span`.
    pub(crate) fn is_free(&self, space: Space, span: Span) -> bool {
        self.extents_in(space, span).next().is_none()
    }

    /// Writes an extent. What was there before is gone; `overlap` is told of
    /// each extent that lost bytes.
    pub(crate) fn write(
        &mut self,
        new: Extent,
        overlap: &mut dyn FnMut(Overlap),
    ) -> Result<(), Full> {
        if new.span.is_empty() {
            return Ok(());
        }
        let key = (new.space, new.span.start);
        // The common case first: nothing is in the way, and the page carries
        // on an extent.
        let before = self.extents.at_or_before(key);
        let mut at = match before {
            Some(before) => self.first_in_the_way(before, &new),
            None => self.extents.at_or_after(key).filter(|at| self.is_in_the_way(*at, &new)),
        };
        let free = at.is_none();
        while let Some(position) = at {
            at = self.clear(position, &new, overlap)?;
        }
        if let Some(before) = before
            && let Some(extent) = self.extents.get_mut(before)
            && extent.continues_with(&new)
        {
            extent.span.len = extent.span.len.saturating_add(new.span.len);
            return Ok(());
        }
        match before {
            Some(before) if free => self.extents.insert_behind(before, new),
            _ => self.extents.insert(new),
        }
    }

    /// The first extent that shares a byte with `new`; `before` is the last
    /// that does not start above it.
    fn first_in_the_way(&self, before: Position, new: &Extent) -> Option<Position> {
        if self.is_in_the_way(before, new) {
            return Some(before);
        }
        self.extents.next(before).filter(|at| self.is_in_the_way(*at, new))
    }

    fn is_in_the_way(&self, at: Position, new: &Extent) -> bool {
        self.extents
            .get(at)
            .is_some_and(|old| old.space == new.space && old.span.overlaps(new.span))
    }

    /// Takes the bytes of `new` away from the extent at `at`. Returns the next
    /// extent in the way.
    fn clear(
        &mut self,
        at: Position,
        new: &Extent,
        overlap: &mut dyn FnMut(Overlap),
    ) -> Result<Option<Position>, Full> {
        let Some(old) = self.extents.get(at).copied() else { return Ok(None) };
        if let Some(span) = old.span.intersection(new.span) {
            let earlier = old.writer_at(span.start);
            overlap(Overlap { space: new.space, span, earlier, later: new.writer });
        }
        let starts_before = old.span.start < new.span.start;
        let ends_after = old.span.end() > new.span.end();
        let next = match (starts_before, ends_after) {
            (false, false) => self.extents.remove(at),
            (true, _) => {
                if let Some(extent) = self.extents.get_mut(at) {
                    *extent = old.until(new.span.start);
                }
                if ends_after {
                    self.extents.insert(old.from(new.span.end()))?;
                    return Ok(None);
                }
                self.extents.next(at)
            }
            (false, true) => {
                if let Some(extent) = self.extents.get_mut(at) {
                    *extent = old.from(new.span.end());
                }
                return Ok(None);
            }
        };
        Ok(next.filter(|at| self.is_in_the_way(*at, new)))
    }

    fn first_ending_above(&self, space: Space, at: u64) -> Option<Position> {
        let Some(before) = self.extents.at_or_before((space, at)) else {
            return self.extents.at_or_after((space, at));
        };
        let covers = self
            .extents
            .get(before)
            .is_some_and(|extent| extent.space == space && extent.span.end() > at);
        if covers { Some(before) } else { self.extents.next(before) }
    }
}
