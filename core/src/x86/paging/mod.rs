//! Page tables: one linear address walked, or all mappings listed.
//!
//! Segmentation comes before and is not part of this: addresses here are
//! linear ones. The processor is assumed to have the widest physical address
//! (52 bits), 1 GiB pages and PSE-36; one with less refuses more. Protection
//! keys, SMEP, SMAP and CR0.WP decide about an access, not about a mapping, and
//! are left out.

mod format;
mod mappings;
mod walk;

use core::fmt;

pub use mappings::{Mapping, Mappings, Merged, mappings};
pub use walk::{Fault, Translation, Walk, walk};

use super::bits::{self, page_entry};

/// Guest physical memory, as a page walk reads it.
pub trait PhysicalMemory {
    /// Fills `buf` with the bytes from `gpa`.
    ///
    /// # Errors
    /// An error means that there is nothing, at least for a part of the range;
    /// then `buf` holds nothing of meaning.
    fn read(&self, gpa: u64, buf: &mut [u8]) -> Result<(), Unreadable>;
}

impl<M: PhysicalMemory + ?Sized> PhysicalMemory for &M {
    fn read(&self, gpa: u64, buf: &mut [u8]) -> Result<(), Unreadable> {
        (**self).read(gpa, buf)
    }
}

/// There is no memory at a guest physical address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unreadable;

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there is no guest memory at this address")
    }
}

impl core::error::Error for Unreadable {}

/// A level of the page tables, by what its entries are called in the manuals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Entries that map 4 KiB.
    Pte,
    /// Entries that map 2 MiB (4 MiB with 32-bit paging) or name a table of
    /// PTEs.
    Pde,
    /// Entries that map 1 GiB or name a table of PDEs.
    Pdpte,
    /// Entries that name a table of PDPTEs.
    Pml4e,
    /// Entries that name a table of PML4Es.
    Pml5e,
}

impl Level {
    /// The name in the manuals: `PML4E`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pte => "PTE",
            Self::Pde => "PDE",
            Self::Pdpte => "PDPTE",
            Self::Pml4e => "PML4E",
            Self::Pml5e => "PML5E",
        }
    }

    /// The level that entries of this one lead to.
    const fn below(self) -> Option<Self> {
        match self {
            Self::Pte => None,
            Self::Pde => Some(Self::Pte),
            Self::Pdpte => Some(Self::Pde),
            Self::Pml4e => Some(Self::Pdpte),
            Self::Pml5e => Some(Self::Pml4e),
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What may be done with a page. Reading a mapped page is always allowed to
/// the supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rights {
    /// R/W is set at every level.
    pub writable: bool,
    /// U/S is set at every level.
    pub user: bool,
    /// XD is clear at every level; without EFER.NXE it is reserved.
    pub executable: bool,
}

impl Rights {
    /// Everything: how a walk starts, and what there is without paging.
    pub const ALL: Self = Self { writable: true, user: true, executable: true };

    /// What both allow.
    pub const fn and(self, other: Self) -> Self {
        Self {
            writable: self.writable && other.writable,
            user: self.user && other.user,
            executable: self.executable && other.executable,
        }
    }
}

impl fmt::Display for Rights {
    /// Four letters: `rwxu`, with `-` for what is not allowed, `s` for
    /// supervisor pages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = |set, letter| if set { letter } else { '-' };
        write!(
            f,
            "r{}{}{}",
            mark(self.writable, 'w'),
            mark(self.executable, 'x'),
            if self.user { 'u' } else { 's' }
        )
    }
}

/// One entry of a page table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Its level.
    pub level: Level,
    /// Where it stands in guest physical memory.
    pub gpa: u64,
    /// Its bits; the upper half is 0 with 32-bit paging.
    pub raw: u64,
    /// What it leads to.
    pub kind: EntryKind,
    /// What this entry alone allows.
    pub rights: Rights,
}

/// What an entry leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// Nothing: P is clear, all other bits are software's.
    NotPresent,
    /// Nothing: these bits are set and must not be.
    Reserved {
        /// The bits that should be 0.
        bits: u64,
    },
    /// The next table.
    Table {
        /// Its guest physical address.
        gpa: u64,
    },
    /// A page.
    Page {
        /// Its guest physical address.
        gpa: u64,
        /// Its length in bytes.
        len: u64,
    },
}

impl Entry {
    /// The names of the bits set in it, low bits first; see
    /// [`bits::page_entry`]. Bit 7 of a PTE is PAT, and D and G count only
    /// where a page is mapped.
    pub fn flags(&self) -> impl Iterator<Item = &'static str> + use<> {
        let maps_page = matches!(self.kind, EntryKind::Page { .. });
        let unnamed = match (self.level, maps_page) {
            // Bit 7 means PAT here.
            (Level::Pte, _) => page_entry::PS,
            (_, true) => 0,
            (_, false) => page_entry::D | page_entry::G,
        };
        // PAT is bit 7 of a PTE and bit 12 of a larger page.
        let pat = maps_page
            && self.raw & if self.level == Level::Pte { page_entry::PS } else { 1 << 12 } != 0;
        bits::set_names(page_entry::BITS, self.raw & !unnamed).chain(pat.then_some("PAT"))
    }
}

#[cfg(test)]
mod tests;
