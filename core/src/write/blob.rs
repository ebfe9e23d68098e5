//! File data, stored once however often it is used.

use crate::checksum::Hasher;
use crate::write::WriteError;

/// Bytes to store: perhaps a count, some bytes, then zeroes up to a length.
///
/// There is no allocator to join these three beforehand.
#[derive(Debug, Clone, Copy)]
pub(super) struct Blob<'a> {
    count: Option<[u8; 4]>,
    bytes: &'a [u8],
    /// All bytes, zeroes at the end included.
    len: usize,
}

const ZEROES: [u8; 4096] = [0; 4096];

impl<'a> Blob<'a> {
    /// These bytes, filled up with zeroes to `len`; `None` if they are longer.
    pub(super) fn filled(bytes: &'a [u8], len: usize) -> Option<Self> {
        (bytes.len() <= len).then_some(Self { count: None, bytes, len })
    }

    /// A count and these bytes.
    pub(super) fn counted(count: u32, bytes: &'a [u8]) -> Option<Self> {
        let count = count.to_le_bytes();
        Some(Self { count: Some(count), bytes, len: bytes.len().checked_add(count.len())? })
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    fn parts(&self) -> [&[u8]; 2] {
        [self.count.as_ref().map_or(&[], |count| count.as_slice()), self.bytes]
    }

    /// A hash of the bytes, independent of how they are cut into parts.
    fn hash(&self) -> u32 {
        let mut hasher = Hasher::new();
        let mut fill = self.len;
        for part in self.parts() {
            hasher.update(part);
            fill = fill.saturating_sub(part.len());
        }
        while let Some(rest) = fill.checked_sub(ZEROES.len()) {
            hasher.update(&ZEROES);
            fill = rest;
        }
        hasher.update(ZEROES.get(..fill).unwrap_or(&ZEROES));
        hasher.finalize()
    }

    fn equals(&self, stored: &[u8]) -> bool {
        let [count, bytes] = self.parts();
        stored.len() == self.len
            && stored
                .strip_prefix(count)
                .and_then(|rest| rest.strip_prefix(bytes))
                .is_some_and(|rest| rest.iter().all(|byte| *byte == 0))
    }

    /// Fills `out`, which must have this blob's length.
    fn write_to(&self, out: &mut [u8]) {
        let mut rest = out;
        for part in self.parts() {
            let Some((head, tail)) = rest.split_at_mut_checked(part.len()) else { return };
            head.copy_from_slice(part);
            rest = tail;
        }
        rest.fill(0);
    }
}

/// Remembers one stored blob. Slots are lent to the [`Writer`](super::Writer),
/// all in their default state; twice as many as there are different blobs keep
/// the search short.
#[derive(Debug, Clone, Copy, Default)]
pub struct Slot {
    hash: u32,
    /// In the file data.
    offset: u32,
    /// 0 for a free slot: empty blobs are not stored.
    len: u32,
}

/// The stored blobs: an open-addressing hash table over the data buffer.
pub(super) struct Blobs<'a> {
    pub(super) slots: &'a mut [Slot],
    pub(super) data: &'a mut [u8],
}

/// How much of the storage is in use.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Used {
    pub(super) data: usize,
    pub(super) slots: usize,
}

enum Found {
    Stored(u32),
    Free(usize),
}

impl Blobs<'_> {
    /// Stores a blob unless it is there already; its offset in the file data,
    /// which must not grow beyond `limit`.
    pub(super) fn place(
        &mut self,
        blob: &Blob<'_>,
        limit: usize,
        used: &mut Used,
    ) -> Result<u32, WriteError> {
        let len = u32::try_from(blob.len())
            .ok()
            .filter(|_| blob.len() <= limit)
            .ok_or(WriteError::FileTooLarge)?;
        let hash = blob.hash();
        let free = match self.find(hash, blob, used)? {
            Found::Stored(offset) => return Ok(offset),
            Found::Free(index) => index,
        };
        let offset = u32::try_from(used.data).map_err(|_| WriteError::FileTooLarge)?;
        let end = used
            .data
            .checked_add(blob.len())
            .filter(|end| *end <= limit)
            .ok_or(WriteError::FileTooLarge)?;
        let out = self.data.get_mut(used.data..end).ok_or(WriteError::DataSpace { needed: end })?;
        blob.write_to(out);
        used.data = end;
        if let Some(slot) = self.slots.get_mut(free) {
            *slot = Slot { hash, offset, len };
            used.slots = used.slots.saturating_add(1);
        }
        Ok(offset)
    }

    fn find(&self, hash: u32, blob: &Blob<'_>, used: &Used) -> Result<Found, WriteError> {
        let start = (hash as usize).checked_rem(self.slots.len()).unwrap_or(0);
        let (before, from) = self.slots.split_at_checked(start).unwrap_or((&[], &[]));
        for (step, slot) in from.iter().chain(before).enumerate() {
            if slot.len == 0 {
                let index = start.saturating_add(step);
                return Ok(Found::Free(index.checked_sub(self.slots.len()).unwrap_or(index)));
            }
            if slot.hash == hash && self.stored(slot).is_some_and(|bytes| blob.equals(bytes)) {
                return Ok(Found::Stored(slot.offset));
            }
        }
        Err(WriteError::SlotSpace { needed: used.slots.saturating_add(1) })
    }

    fn stored(&self, slot: &Slot) -> Option<&[u8]> {
        let start = slot.offset as usize;
        self.data.get(start..start.checked_add(slot.len as usize)?)
    }
}

/// Moves what `old` remembers into `new`, which is larger and all default.
#[cfg(feature = "alloc")]
pub(super) fn rehash(old: &[Slot], new: &mut [Slot]) {
    for slot in old.iter().filter(|slot| slot.len != 0) {
        let start = (slot.hash as usize).checked_rem(new.len()).unwrap_or(0);
        let (before, from) = new.split_at_mut_checked(start).unwrap_or_default();
        if let Some(free) = from.iter_mut().chain(before).find(|slot| slot.len == 0) {
            *free = *slot;
        }
    }
}
