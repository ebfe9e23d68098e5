//! Page tables that follow a relocation (`IGVM_VHS_PAGE_TABLE_RELOCATION`).
//!
//! Entries that point to tables of the region get the tables' new addresses.
//! A page that maps a moved region, and is smaller than the move, goes to the
//! linear address where the region is now, for the mapping is an identity.
//!
//! The original tables stay readable in the image, changes are collected in
//! lent pages. So the two passes (repair and clear, then set again elsewhere)
//! both read the originals, and nothing has to be remembered between them.

use igvm_defs::PAGE_SIZE_4K;

use super::problem::FixupFailure;
use super::region::{Region, Regions};
use crate::span::Span;
use crate::x86::bits::{ADDRESS_51_12 as ADDRESS, page_entry};

/// A page table that was changed.
pub type FixupPage = [u8; PAGE_SIZE_4K as usize];

const ENTRIES: usize = 512;
/// Levels below the root: PML4 is 3, the table of 4 KiB pages 0.
const ROOT_LEVEL: u32 = 3;

/// Why and at which linear address the fix-up failed.
pub(crate) type Failure = (u64, FixupFailure);

/// Reads one entry of an original table, by its address in the file.
pub(crate) trait Originals {
    fn entry(&self, gpa: u64) -> Option<u64>;
}

/// Fixes up the tables of one region.
pub(crate) struct Fixup<'a, O> {
    pub(crate) region: Region,
    pub(crate) regions: &'a Regions,
    pub(crate) originals: O,
    /// One page per page of the region, from its start; the first ones hold
    /// copies of the tables in use.
    pub(crate) pages: &'a mut [FixupPage],
    /// Pages in use; grows by each new table.
    pub(crate) used: usize,
    /// Root of the original tables.
    pub(crate) root: u64,
}

/// A table on the way down, and the entry that comes next.
#[derive(Clone, Copy, Default)]
struct Step {
    table: u64,
    linear: u64,
    entry: usize,
}

impl<O: Originals> Fixup<'_, O> {
    /// Runs both passes. Returns how many pages of the region are in use now.
    pub(crate) fn run(&mut self) -> Result<usize, Failure> {
        if self.page_of(self.root).is_none() {
            return Err((0, FixupFailure::RootOutside));
        }
        self.walk(&mut Self::repair)?;
        self.walk(&mut Self::set_again)?;
        Ok(self.used)
    }

    /// Visits every present entry of the original tables.
    fn walk(
        &mut self,
        visit: &mut dyn FnMut(&mut Self, &Found) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        // A table that is reached on several ways is visited on each.
        let mut budget = self.used.saturating_mul(ENTRIES).saturating_mul(4);
        let mut stack = [Step::default(); ROOT_LEVEL as usize + 1];
        let mut level = ROOT_LEVEL;
        if let Some(top) = stack.get_mut(level as usize) {
            *top = Step { table: self.root, linear: 0, entry: 0 };
        }
        while let Some(step) = stack.get_mut(level as usize) {
            if step.entry == ENTRIES {
                level = level.saturating_add(1);
                continue;
            }
            let entry = step.entry;
            step.entry = entry.saturating_add(1);
            let linear =
                step.linear.saturating_add(mapping_len(level).saturating_mul(entry as u64));
            let at = entry_address(step.table, entry);
            budget = budget.checked_sub(1).ok_or((linear, FixupFailure::TooEntangled))?;
            let value = self.originals.entry(at).ok_or((linear, FixupFailure::Unreadable))?;
            if value & page_entry::P == 0 {
                continue;
            }
            let is_leaf = level == 0 || (level < ROOT_LEVEL && value & page_entry::PS != 0);
            visit(self, &Found { at, value, linear, level, is_leaf })?;
            let next = value & ADDRESS;
            if !is_leaf && self.page_of(next).is_some() {
                level = level.saturating_sub(1);
                if let Some(below) = stack.get_mut(level as usize) {
                    *below = Step { table: next, linear, entry: 0 };
                }
            }
        }
        Ok(())
    }

    /// First pass: pointers to tables follow the region, pages that move are
    /// taken away.
    fn repair(&mut self, found: &Found) -> Result<(), Failure> {
        let value = if found.is_leaf {
            if self.new_place(found)?.is_none() {
                return Ok(());
            }
            0
        } else {
            let table = found.value & ADDRESS;
            if self.page_of(table).is_none() {
                return Ok(());
            }
            found.value & !ADDRESS | self.region.moved(table) & ADDRESS
        };
        self.set(found.at, value).ok_or((found.linear, FixupFailure::StorageFull))
    }

    /// Second pass: pages that move are set at their new linear address.
    fn set_again(&mut self, found: &Found) -> Result<(), Failure> {
        if !found.is_leaf {
            return Ok(());
        }
        let Some(linear) = self.new_place(found)? else { return Ok(()) };
        // Below the address a large page has its PAT bit.
        let address = ADDRESS & !mapping_len(found.level).wrapping_sub(1);
        let value = found.value & !address | linear & address;
        let fail = |why| (found.linear, why);
        let mut table = self.root;
        let mut level = ROOT_LEVEL;
        while level > found.level {
            let at = entry_address(table, index(linear, level));
            let mut entry = self.get(at).ok_or(fail(FixupFailure::StorageFull))?;
            if entry & page_entry::P == 0 {
                let fresh = self.new_table().map_err(fail)?;
                entry = self.region.moved(fresh) & ADDRESS
                    | page_entry::P
                    | page_entry::RW
                    | page_entry::A;
                self.set(at, entry).ok_or(fail(FixupFailure::StorageFull))?;
            } else if level < ROOT_LEVEL && entry & page_entry::PS != 0 {
                return Err(fail(FixupFailure::Occupied));
            }
            // The copies hold new addresses; pages are found by the old ones.
            let moved = entry & ADDRESS;
            table = moved.wrapping_sub(self.region.to).wrapping_add(self.region.span.start);
            level = level.saturating_sub(1);
        }
        let at = entry_address(table, index(linear, level));
        match self.get(at) {
            None => Err(fail(FixupFailure::Occupied)),
            Some(entry) if entry & page_entry::P != 0 && entry != value => {
                Err(fail(FixupFailure::Occupied))
            }
            Some(_) => self.set(at, value).ok_or(fail(FixupFailure::StorageFull)),
        }
    }

    /// The linear address that a page moves to; `None` if it stays.
    fn new_place(&self, found: &Found) -> Result<Option<u64>, Failure> {
        let len = mapping_len(found.level);
        let Some(region) = self.regions.first_moved_in(Span::new(found.linear, len)) else {
            return Ok(None);
        };
        if region.distance() < len {
            return Ok(None);
        }
        let linear = region.moved(found.linear);
        if linear.checked_rem(len) != Some(0) {
            return Err((found.linear, FixupFailure::Misaligned));
        }
        Ok(Some(linear))
    }

    /// Takes the next free page of the region; its address as the file has it.
    fn new_table(&mut self) -> Result<u64, FixupFailure> {
        let offset = (self.used as u64).saturating_mul(PAGE_SIZE_4K);
        if offset >= self.region.span.len {
            return Err(FixupFailure::RegionFull);
        }
        let page = self.pages.get_mut(self.used).ok_or(FixupFailure::StorageFull)?;
        page.fill(0);
        self.used = self.used.saturating_add(1);
        Ok(self.region.span.start.saturating_add(offset))
    }

    /// The page of the region that an address lies in.
    fn page_of(&self, gpa: u64) -> Option<usize> {
        let offset =
            self.region.span.contains(gpa).then(|| gpa.wrapping_sub(self.region.span.start))?;
        usize::try_from(offset.checked_div(PAGE_SIZE_4K)?).ok()
    }

    fn slot(&self, gpa: u64) -> Option<(usize, core::ops::Range<usize>)> {
        let page = self.page_of(gpa).filter(|page| *page < self.used)?;
        let start = (gpa & (PAGE_SIZE_4K.wrapping_sub(1))) as usize;
        Some((page, start..start.saturating_add(size_of::<u64>())))
    }

    fn get(&self, gpa: u64) -> Option<u64> {
        let (page, bytes) = self.slot(gpa)?;
        let bytes = self.pages.get(page)?.get(bytes)?;
        Some(u64::from_le_bytes(*bytes.first_chunk()?))
    }

    fn set(&mut self, gpa: u64, value: u64) -> Option<()> {
        let (page, bytes) = self.slot(gpa)?;
        let bytes = self.pages.get_mut(page)?.get_mut(bytes)?;
        bytes.copy_from_slice(&value.to_le_bytes());
        Some(())
    }
}

/// A present entry of the original tables.
struct Found {
    /// Address of the entry.
    at: u64,
    value: u64,
    /// First linear address that it maps.
    linear: u64,
    level: u32,
    is_leaf: bool,
}

/// Bytes that an entry of a level maps.
fn mapping_len(level: u32) -> u64 {
    1u64.checked_shl(level.saturating_mul(9).saturating_add(12)).unwrap_or(0)
}

/// The entry of a level that maps a linear address.
fn index(linear: u64, level: u32) -> usize {
    let shift = level.saturating_mul(9).saturating_add(12);
    (linear.checked_shr(shift).unwrap_or(0) & (ENTRIES as u64).wrapping_sub(1)) as usize
}

fn entry_address(table: u64, entry: usize) -> u64 {
    table.saturating_add((entry as u64).saturating_mul(size_of::<u64>() as u64))
}
