//! The walk from one linear address to its physical one.

use core::fmt;

use heapless::Vec;

use crate::x86::{PagingMode, RegisterFile};

use super::format::Format;
use super::{Entry, EntryKind, Level, PhysicalMemory, Rights, Unreadable};

/// A page walk: every entry met and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walk {
    /// The address that was looked up.
    pub linear: u64,
    /// The paging mode.
    pub mode: PagingMode,
    /// The entries met, from the top; the last one is the page's, or the one
    /// that ends the walk.
    pub entries: Vec<Entry, 5>,
    /// Where it led.
    pub result: Result<Translation, Fault>,
}

/// Where a linear address is in physical memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Translation {
    /// The guest physical address.
    pub physical: u64,
    /// Bytes of the page: 4 KiB to 1 GiB; 4 GiB without paging, where all
    /// addresses map to themselves.
    pub page_len: u64,
    /// What all entries together allow.
    pub rights: Rights,
}

/// Why a linear address leads nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The address is none of this paging mode: not canonical, or above 4 GiB
    /// outside long mode.
    NotAnAddress {
        /// Bits that a linear address has in this mode.
        bits: u32,
    },
    /// P is clear in the last entry met.
    NotPresent {
        /// Its level.
        level: Level,
    },
    /// Bits that must be 0 are set in the last entry met.
    Reserved {
        /// Its level.
        level: Level,
        /// The bits.
        bits: u64,
    },
    /// The next entry cannot be read: the table is outside memory.
    Unreadable {
        /// The level of that entry.
        level: Level,
        /// Where it should stand in guest physical memory.
        gpa: u64,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NotAnAddress { bits: 32 } => {
                f.write_str("the address is above 4 GiB, where there are none outside long mode")
            }
            Self::NotAnAddress { bits } => {
                write!(f, "the address is not canonical: linear addresses have {bits} bits here")
            }
            Self::NotPresent { level } => write!(f, "the {level} is not present"),
            Self::Reserved { level, bits } => {
                write!(f, "the {level} has bits set that must be 0: {bits:#x}")
            }
            Self::Unreadable { level, gpa } => {
                write!(f, "there is no memory at {gpa:#x}, where the {level} should be")
            }
        }
    }
}

impl core::error::Error for Fault {}

/// Translates a linear address through the page tables in `memory`.
///
/// Reads one entry a level, at most five.
pub fn walk(
    registers: &RegisterFile,
    memory: &(impl PhysicalMemory + ?Sized),
    linear: u64,
) -> Walk {
    let format = Format::of(registers);
    let mut entries = Vec::new();
    let result = translate(&format, registers.cr3, memory, linear, &mut entries);
    Walk { linear, mode: format.mode, entries, result }
}

fn translate(
    format: &Format,
    cr3: u64,
    memory: &(impl PhysicalMemory + ?Sized),
    linear: u64,
    entries: &mut Vec<Entry, 5>,
) -> Result<Translation, Fault> {
    if !format.mode.is_address(linear) {
        return Err(Fault::NotAnAddress { bits: format.mode.linear_bits() });
    }
    let mut rights = Rights::ALL;
    let mut table = format.root(cr3);
    let mut next = format.top();
    while let Some(level) = next {
        let gpa = format.entry_gpa(table, format.index(level, linear));
        let raw = read_entry(format, memory, gpa)
            .map_err(|Unreadable| Fault::Unreadable { level, gpa })?;
        let entry = format.decode(level, gpa, raw);
        // Five levels at most: there is always room.
        let _ = entries.push(entry);
        rights = rights.and(entry.rights);
        match entry.kind {
            EntryKind::NotPresent => return Err(Fault::NotPresent { level }),
            EntryKind::Reserved { bits } => return Err(Fault::Reserved { level, bits }),
            EntryKind::Table { gpa } => table = gpa,
            EntryKind::Page { gpa, len } => {
                let physical = gpa | linear & len.wrapping_sub(1);
                return Ok(Translation { physical, page_len: len, rights });
            }
        }
        next = level.below();
    }
    Ok(Translation { physical: linear, page_len: 1 << 32, rights })
}

/// Reads one entry; the upper half is 0 with 32-bit paging.
pub(super) fn read_entry(
    format: &Format,
    memory: &(impl PhysicalMemory + ?Sized),
    gpa: u64,
) -> Result<u64, Unreadable> {
    let mut bytes = [0; 8];
    let (used, _) = bytes.split_at_mut_checked(format.entry_len()).ok_or(Unreadable)?;
    memory.read(gpa, used)?;
    Ok(u64::from_le_bytes(bytes))
}
