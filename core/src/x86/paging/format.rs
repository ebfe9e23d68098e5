//! The layout of page tables in each paging mode.
//!
//! SDM volume 3, "32-Bit Paging", "PAE Paging", "4-Level Paging and 5-Level
//! Paging"; APM volume 2, "Legacy-Mode Page Translation" and "Long-Mode Page
//! Translation".

use crate::x86::bits::{ADDRESS_51_12, cr4, efer, page_entry};
use crate::x86::{PagingMode, RegisterFile};

use super::{Entry, EntryKind, Level, Rights};

/// A paging mode with the register bits that change what entries mean.
#[derive(Debug, Clone, Copy)]
pub(super) struct Format {
    pub(super) mode: PagingMode,
    /// CR4.PSE; counts for 32-bit paging only.
    pse: bool,
    /// EFER.NXE.
    nxe: bool,
}

impl Format {
    pub(super) fn of(registers: &RegisterFile) -> Self {
        Self {
            mode: PagingMode::of(registers),
            pse: registers.cr4 & cr4::PSE != 0,
            nxe: registers.efer & efer::NXE != 0,
        }
    }

    /// The level of the top table, `None` without paging.
    pub(super) fn top(&self) -> Option<Level> {
        match self.mode {
            PagingMode::None => None,
            PagingMode::Bits32 => Some(Level::Pde),
            PagingMode::Pae => Some(Level::Pdpte),
            PagingMode::Level4 => Some(Level::Pml4e),
            PagingMode::Level5 => Some(Level::Pml5e),
        }
    }

    /// Where the top table stands: CR3 without PCID, PWT, PCD and LAM bits.
    pub(super) fn root(&self, cr3: u64) -> u64 {
        match self.mode {
            PagingMode::None => 0,
            PagingMode::Bits32 => cr3 & 0xffff_f000,
            // Four entries of eight bytes, aligned to their size.
            PagingMode::Pae => cr3 & 0xffff_ffe0,
            PagingMode::Level4 | PagingMode::Level5 => cr3 & ADDRESS_51_12,
        }
    }

    /// Bytes of an entry: 4 or 8.
    pub(super) fn entry_len(&self) -> usize {
        if self.mode == PagingMode::Bits32 { 4 } else { 8 }
    }

    /// Entries of a table.
    pub(super) fn entries(&self, level: Level) -> u16 {
        match (self.mode, level) {
            (PagingMode::Bits32, _) => 1024,
            (PagingMode::Pae, Level::Pdpte) => 4,
            _ => 512,
        }
    }

    /// Number of the lowest linear-address bit that selects an entry: an entry
    /// covers 2^shift bytes.
    pub(super) fn shift(&self, level: Level) -> u32 {
        match (level, self.mode) {
            (Level::Pte, _) => 12,
            (Level::Pde, PagingMode::Bits32) => 22,
            (Level::Pde, _) => 21,
            (Level::Pdpte, _) => 30,
            (Level::Pml4e, _) => 39,
            (Level::Pml5e, _) => 48,
        }
    }

    /// Bytes that an entry covers.
    pub(super) fn span(&self, level: Level) -> u64 {
        1_u64.wrapping_shl(self.shift(level))
    }

    /// Which entry of a table `linear` selects.
    pub(super) fn index(&self, level: Level, linear: u64) -> u16 {
        let last = self.entries(level).saturating_sub(1);
        linear.wrapping_shr(self.shift(level)) as u16 & last
    }

    /// Where an entry of the table at `table` stands.
    pub(super) fn entry_gpa(&self, table: u64, index: u16) -> u64 {
        let offset = u64::from(index).wrapping_mul(self.entry_len() as u64);
        // Tables are aligned to their size: no carry.
        table | offset
    }

    /// What the entry with these bits means.
    pub(super) fn decode(&self, level: Level, gpa: u64, raw: u64) -> Entry {
        let page = self.maps_page(level, raw);
        let reserved = raw & self.reserved(level, page);
        let kind = if raw & page_entry::P == 0 {
            EntryKind::NotPresent
        } else if reserved != 0 {
            EntryKind::Reserved { bits: reserved }
        } else if page {
            EntryKind::Page { gpa: self.page_gpa(level, raw), len: self.span(level) }
        } else {
            EntryKind::Table { gpa: self.table_gpa(raw) }
        };
        Entry { level, gpa, raw, kind, rights: self.rights(level, raw) }
    }

    /// Whether a present entry maps a page, by PS where the level has it.
    fn maps_page(&self, level: Level, raw: u64) -> bool {
        let large = raw & page_entry::PS != 0;
        match (level, self.mode) {
            (Level::Pte, _) => true,
            (Level::Pde, PagingMode::Bits32) => large && self.pse,
            (Level::Pde, _) => large,
            (Level::Pdpte, PagingMode::Level4 | PagingMode::Level5) => large,
            _ => false,
        }
    }

    /// Bits that must be 0 in a present entry.
    fn reserved(&self, level: Level, page: bool) -> u64 {
        let always = match self.mode {
            PagingMode::None | PagingMode::Bits32 => 0,
            // Bits 62:52 are not software's in PAE paging; a PDPTE has no XD
            // and no R/W and U/S either.
            PagingMode::Pae if level == Level::Pdpte => 0xfff0_0000_0000_01e6,
            PagingMode::Pae => 0x7ff0_0000_0000_0000 | self.no_xd(),
            PagingMode::Level4 | PagingMode::Level5 => self.no_xd(),
        };
        let by_level = match (level, page) {
            // Bits 20:13 are bits 39:32 of the address (PSE-36).
            (Level::Pde, true) if self.mode == PagingMode::Bits32 => 1 << 21,
            (Level::Pde, true) => 0x001f_e000,
            (Level::Pdpte, true) => 0x3fff_e000,
            (Level::Pml4e | Level::Pml5e, _) => page_entry::PS,
            _ => 0,
        };
        always | by_level
    }

    /// XD is reserved unless EFER.NXE gives it a meaning.
    fn no_xd(&self) -> u64 {
        if self.nxe { 0 } else { page_entry::XD }
    }

    fn table_gpa(&self, raw: u64) -> u64 {
        match self.mode {
            PagingMode::Bits32 => raw & 0xffff_f000,
            _ => raw & ADDRESS_51_12,
        }
    }

    fn page_gpa(&self, level: Level, raw: u64) -> u64 {
        match (level, self.mode) {
            (Level::Pde, PagingMode::Bits32) => raw & 0xffc0_0000 | (raw & 0x001f_e000) << 19,
            (Level::Pte, PagingMode::Bits32) => raw & 0xffff_f000,
            // The bits below the page's length are reserved or PAT.
            _ => raw & ADDRESS_51_12 & !self.span(level).wrapping_sub(1),
        }
    }

    fn rights(&self, level: Level, raw: u64) -> Rights {
        match (level, self.mode) {
            (Level::Pdpte, PagingMode::Pae) => Rights::ALL,
            _ => Rights {
                writable: raw & page_entry::RW != 0,
                user: raw & page_entry::US != 0,
                // Without EFER.NXE the bit is reserved.
                executable: raw & page_entry::XD == 0,
            },
        }
    }
}
