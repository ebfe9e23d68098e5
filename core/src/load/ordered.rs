//! An ordered map in lent storage: a two-level B-tree.
//!
//! Blocks of at most [`BLOCK_LEN`] sorted entries, and an order over the
//! blocks. Insertion in any order costs a binary search, a move within one
//! block and now and then a block split, which moves block numbers that lie
//! packed; appending at the end, what nearly every file does, costs a
//! comparison and a write.

use heapless::Vec;

/// Entries of one block.
pub const BLOCK_LEN: usize = 128;

/// Block numbers that each block keeps for the order of all blocks: so many that
/// moving the order touches little memory, so few that they take little room.
const ORDER_LEN: usize = 64;

/// What the map holds: a value that knows its key.
pub(crate) trait Entry: Copy {
    /// The key; no two entries of a map share one.
    type Key: Ord + Copy;

    /// The key of this entry.
    fn key(&self) -> Self::Key;
}

/// A piece of storage to lend to a map.
#[derive(Debug, Clone)]
pub struct Block<T> {
    entries: Vec<T, BLOCK_LEN>,
    /// Not about this block: its piece of the order, which is a list of all
    /// blocks, those in use first. Block n has the places from n times
    /// [`ORDER_LEN`] on.
    order: [u32; ORDER_LEN],
}

impl<T> Block<T> {
    /// An empty block.
    pub const fn new() -> Self {
        Self { entries: Vec::new(), order: [0; ORDER_LEN] }
    }
}

impl<T> Default for Block<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// Where an entry stands in a map, until the next change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    /// Place of its block in the order.
    block: usize,
    /// Place in the block.
    entry: usize,
}

/// The storage is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

/// The map.
#[derive(Debug)]
pub(crate) struct Ordered<'s, T> {
    blocks: &'s mut [Block<T>],
    used: usize,
}

impl<'s, T: Entry> Ordered<'s, T> {
    /// An empty map in this storage.
    pub(crate) fn new(blocks: &'s mut [Block<T>]) -> Self {
        let mut place = 0u32;
        for block in blocks.iter_mut() {
            block.entries.clear();
            for slot in &mut block.order {
                *slot = place;
                place = place.saturating_add(1);
            }
        }
        Self { blocks, used: 0 }
    }

    /// All entries in the order of their keys.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.iter_from(Position { block: 0, entry: 0 })
    }

    /// The entries from a position on.
    pub(crate) fn iter_from(&self, at: Position) -> impl Iterator<Item = &T> {
        let first = self.entries(at.block).get(at.entry..).unwrap_or(&[]);
        let rest = at.block.saturating_add(1)..self.used;
        first.iter().chain(rest.flat_map(|block| self.entries(block)))
    }

    /// The entry at a position.
    pub(crate) fn get(&self, at: Position) -> Option<&T> {
        self.entries(at.block).get(at.entry)
    }

    /// The entry at a position, to be changed. Its key may change as long as
    /// it stays between its neighbours'.
    pub(crate) fn get_mut(&mut self, at: Position) -> Option<&mut T> {
        self.block_mut(at.block)?.entries.get_mut(at.entry)
    }

    /// The entry with this key.
    pub(crate) fn find(&self, key: T::Key) -> Option<Position> {
        let at = self.at_or_before(key)?;
        (self.get(at)?.key() == key).then_some(at)
    }

    /// The last entry whose key is not above `key`.
    pub(crate) fn at_or_before(&self, key: T::Key) -> Option<Position> {
        let block = self.block_for(key)?;
        let entry = self.entries(block).partition_point(|entry| entry.key() <= key);
        Some(Position { block, entry: entry.checked_sub(1)? })
    }

    /// The first entry whose key is not below `key`.
    pub(crate) fn at_or_after(&self, key: T::Key) -> Option<Position> {
        let Some(block) = self.block_for(key) else {
            // Before every entry, or there is none.
            return (self.used > 0).then_some(Position { block: 0, entry: 0 });
        };
        let entry = self.entries(block).partition_point(|entry| entry.key() < key);
        if entry < self.entries(block).len() {
            return Some(Position { block, entry });
        }
        let next = block.checked_add(1)?;
        (next < self.used).then_some(Position { block: next, entry: 0 })
    }

    /// The position after this one, if there is an entry.
    pub(crate) fn next(&self, at: Position) -> Option<Position> {
        let entry = at.entry.checked_add(1)?;
        if entry < self.entries(at.block).len() {
            return Some(Position { entry, ..at });
        }
        let block = at.block.checked_add(1)?;
        (block < self.used).then_some(Position { block, entry: 0 })
    }

    /// Puts an entry where its key belongs. The caller has made sure that no
    /// entry has its key.
    pub(crate) fn insert(&mut self, new: T) -> Result<(), Full> {
        if self.used == 0 {
            self.add_block(0)?;
        }
        let mut block = self.block_for(new.key()).unwrap_or(0);
        if self.entries(block).len() == BLOCK_LEN {
            block = self.make_room(block, new.key())?;
        }
        let entries = &mut self.block_mut(block).ok_or(Full)?.entries;
        let at = entries.partition_point(|entry| entry.key() <= new.key());
        entries.insert(at, new).map_err(|_| Full)
    }

    /// [`Ordered::insert`] without the search: `before` is the last entry whose
    /// key is not above that of `new`.
    pub(crate) fn insert_behind(&mut self, before: Position, new: T) -> Result<(), Full> {
        match self.block_mut(before.block) {
            Some(Block { entries, .. }) if entries.len() < BLOCK_LEN => {
                entries.insert(before.entry.saturating_add(1), new).map_err(|_| Full)
            }
            _ => self.insert(new),
        }
    }

    /// Takes out the entry at a position. Returns where the next one is now.
    pub(crate) fn remove(&mut self, at: Position) -> Option<Position> {
        let entries = &mut self.block_mut(at.block)?.entries;
        if at.entry < entries.len() {
            entries.remove(at.entry);
        }
        let left = entries.len();
        if left == 0 {
            self.free_block(at.block);
        } else if at.entry < left {
            return Some(at);
        }
        let block = if left == 0 { at.block } else { at.block.checked_add(1)? };
        (block < self.used).then_some(Position { block, entry: 0 })
    }

    /// The block that holds `key` or would: the last one whose first key is
    /// not above it.
    fn block_for(&self, key: T::Key) -> Option<usize> {
        let starts_by =
            |block: usize| self.entries(block).first().is_some_and(|first| first.key() <= key);
        let last = self.used.checked_sub(1)?;
        if starts_by(last) {
            return Some(last);
        }
        // Binary search over the places [low, high): the first block that
        // starts above the key.
        let (mut low, mut high) = (0usize, last);
        while low < high {
            let middle = low.midpoint(high);
            if starts_by(middle) { low = middle.saturating_add(1) } else { high = middle }
        }
        low.checked_sub(1)
    }

    /// Makes room in a full block: a new block behind it takes nothing if the
    /// key goes to the very end of the map, else the upper half. Returns the
    /// block that the key belongs to now.
    fn make_room(&mut self, block: usize, key: T::Key) -> Result<usize, Full> {
        let next = block.saturating_add(1);
        self.add_block(next)?;
        let appending = next.saturating_add(1) == self.used
            && self.entries(block).last().is_some_and(|last| last.key() < key);
        if appending {
            return Ok(next);
        }
        let mut upper: Vec<T, BLOCK_LEN> = Vec::new();
        let half = BLOCK_LEN / 2;
        let lower = &mut self.block_mut(block).ok_or(Full)?.entries;
        upper.extend_from_slice(lower.get(half..).unwrap_or(&[])).map_err(|_| Full)?;
        lower.truncate(half);
        let goes_up = upper.first().is_some_and(|first| first.key() <= key);
        self.block_mut(next).ok_or(Full)?.entries = upper;
        Ok(if goes_up { next } else { block })
    }

    /// Puts an unused block at a place of the order.
    fn add_block(&mut self, place: usize) -> Result<(), Full> {
        // There are more places than blocks.
        if self.used >= self.blocks.len() {
            return Err(Full);
        }
        let mut moved = self.block_number(self.used).ok_or(Full)?;
        for piece in self.order_mut(place, self.used) {
            piece.rotate_right(1);
            if let Some(first) = piece.first_mut() {
                core::mem::swap(&mut moved, first);
            }
        }
        self.used = self.used.saturating_add(1);
        self.block_mut(place).ok_or(Full)?.entries.clear();
        Ok(())
    }

    /// Takes the block at a place out of the order.
    fn free_block(&mut self, place: usize) {
        let Some(last) = self.used.checked_sub(1) else { return };
        let Some(mut moved) = self.block_number(place) else { return };
        for piece in self.order_mut(place, last).rev() {
            piece.rotate_left(1);
            if let Some(last) = piece.last_mut() {
                core::mem::swap(&mut moved, last);
            }
        }
        self.used = last;
    }

    /// The block number at a place of the order.
    fn block_number(&self, place: usize) -> Option<u32> {
        self.blocks.get(place / ORDER_LEN)?.order.get(place % ORDER_LEN).copied()
    }

    /// The order from one place to another (both included), piece by piece.
    fn order_mut(
        &mut self,
        first: usize,
        last: usize,
    ) -> impl DoubleEndedIterator<Item = &mut [u32]> {
        let (low, high) = (first / ORDER_LEN, last / ORDER_LEN);
        let blocks = self.blocks.get_mut(low..=high).unwrap_or(&mut []);
        blocks.iter_mut().enumerate().map(move |(nth, block)| {
            let start = if nth == 0 { first % ORDER_LEN } else { 0 };
            let at_end = nth == high.saturating_sub(low);
            let end = if at_end { last % ORDER_LEN } else { ORDER_LEN.saturating_sub(1) };
            block.order.get_mut(start..=end).unwrap_or(&mut [])
        })
    }

    fn physical(&self, place: usize) -> Option<usize> {
        if place >= self.used {
            return None;
        }
        usize::try_from(self.block_number(place)?).ok()
    }

    fn entries(&self, place: usize) -> &[T] {
        self.physical(place)
            .and_then(|block| self.blocks.get(block))
            .map_or(&[], |block| block.entries.as_slice())
    }

    fn block_mut(&mut self, place: usize) -> Option<&mut Block<T>> {
        let block = self.physical(place)?;
        self.blocks.get_mut(block)
    }
}
