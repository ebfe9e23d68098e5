//! Page walks in plain steps, one function a mode, each rule as the manual's
//! table of that entry has it. Shares no code with what it tests.

use std::vec::Vec;

use crate::x86::paging::{Mapping, Rights};
use crate::x86::{PagingMode, RegisterFile};

type Found = Option<(u64, u64, Rights)>;

/// Bits `high` to `low` of a value.
fn field(value: u64, high: u32, low: u32) -> u64 {
    (value >> low) & (u64::MAX >> (63 - (high - low)))
}

/// Copies the top bit of a `width`-bit address upwards.
pub(super) fn canonical(address: u64, width: u32) -> u64 {
    let low = field(address, width - 1, 0);
    if field(address, width - 1, width - 1) == 1 { low | u64::MAX << width } else { low }
}

fn read(memory: &[u8], at: u64, len: u64) -> Option<u64> {
    let bytes = memory.get(at as usize..)?.get(..len as usize)?;
    Some(bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

/// What the level's entry says: present and sound, with its rights.
fn rights(entry: u64, nxe: bool) -> Rights {
    Rights {
        writable: field(entry, 1, 1) == 1,
        user: field(entry, 2, 2) == 1,
        executable: !(nxe && field(entry, 63, 63) == 1),
    }
}

fn both(a: Rights, b: Rights) -> Rights {
    Rights {
        writable: a.writable & b.writable,
        user: a.user & b.user,
        executable: a.executable & b.executable,
    }
}

const ANYTHING: Rights = Rights { writable: true, user: true, executable: true };

pub(super) fn translate(r: &RegisterFile, memory: &[u8], linear: u64) -> Found {
    let nxe = r.efer & 0x800 != 0;
    match PagingMode::of(r) {
        PagingMode::None => (linear < 1 << 32).then_some((linear, 1 << 32, ANYTHING)),
        PagingMode::Bits32 => bits32(r.cr3, r.cr4 & 0x10 != 0, memory, linear),
        PagingMode::Pae => pae(r.cr3, nxe, memory, linear),
        PagingMode::Level4 => long(r.cr3, nxe, memory, linear, false),
        PagingMode::Level5 => long(r.cr3, nxe, memory, linear, true),
    }
}

fn bits32(cr3: u64, pse: bool, memory: &[u8], linear: u64) -> Found {
    if linear >= 1 << 32 {
        return None;
    }
    let pde = read(memory, (field(cr3, 31, 12) << 12) + field(linear, 31, 22) * 4, 4)?;
    if field(pde, 0, 0) == 0 {
        return None;
    }
    if pse && field(pde, 7, 7) == 1 {
        if field(pde, 21, 21) != 0 {
            return None;
        }
        let physical = field(pde, 20, 13) << 32 | field(pde, 31, 22) << 22 | field(linear, 21, 0);
        return Some((physical, 4 << 20, rights(pde, false)));
    }
    let pte = read(memory, (field(pde, 31, 12) << 12) + field(linear, 21, 12) * 4, 4)?;
    if field(pte, 0, 0) == 0 {
        return None;
    }
    let physical = field(pte, 31, 12) << 12 | field(linear, 11, 0);
    Some((physical, 4096, both(rights(pde, false), rights(pte, false))))
}

fn pae(cr3: u64, nxe: bool, memory: &[u8], linear: u64) -> Found {
    if linear >= 1 << 32 {
        return None;
    }
    let pdpte = read(memory, (field(cr3, 31, 5) << 5) + field(linear, 31, 30) * 8, 8)?;
    let reserved = [(2, 1), (8, 5), (63, 52)];
    if field(pdpte, 0, 0) == 0 || reserved.iter().any(|&(h, l)| field(pdpte, h, l) != 0) {
        return None;
    }
    let bad = |entry| {
        field(entry, 0, 0) == 0 || field(entry, 62, 52) != 0 || (!nxe && field(entry, 63, 63) != 0)
    };
    let pde = read(memory, (field(pdpte, 51, 12) << 12) + field(linear, 29, 21) * 8, 8)?;
    if bad(pde) {
        return None;
    }
    if field(pde, 7, 7) == 1 {
        if field(pde, 20, 13) != 0 {
            return None;
        }
        let physical = field(pde, 51, 21) << 21 | field(linear, 20, 0);
        return Some((physical, 2 << 20, rights(pde, nxe)));
    }
    let pte = read(memory, (field(pde, 51, 12) << 12) + field(linear, 20, 12) * 8, 8)?;
    if bad(pte) {
        return None;
    }
    let physical = field(pte, 51, 12) << 12 | field(linear, 11, 0);
    Some((physical, 4096, both(rights(pde, nxe), rights(pte, nxe))))
}

fn long(cr3: u64, nxe: bool, memory: &[u8], linear: u64, five: bool) -> Found {
    if canonical(linear, if five { 57 } else { 48 }) != linear {
        return None;
    }
    let bad = |entry| field(entry, 0, 0) == 0 || (!nxe && field(entry, 63, 63) != 0);
    let step = |table, high, low| {
        let entry = read(memory, (field(table, 51, 12) << 12) + field(linear, high, low) * 8, 8)?;
        (!bad(entry)).then_some(entry)
    };
    let mut table = cr3;
    let mut allowed = ANYTHING;
    if five {
        let pml5e = step(table, 56, 48)?;
        if field(pml5e, 7, 7) == 1 {
            return None;
        }
        (table, allowed) = (pml5e, both(allowed, rights(pml5e, nxe)));
    }
    let pml4e = step(table, 47, 39)?;
    if field(pml4e, 7, 7) == 1 {
        return None;
    }
    allowed = both(allowed, rights(pml4e, nxe));
    let pdpte = step(pml4e, 38, 30)?;
    allowed = both(allowed, rights(pdpte, nxe));
    if field(pdpte, 7, 7) == 1 {
        let physical = field(pdpte, 51, 30) << 30 | field(linear, 29, 0);
        return (field(pdpte, 29, 13) == 0).then_some((physical, 1 << 30, allowed));
    }
    let pde = step(pdpte, 29, 21)?;
    allowed = both(allowed, rights(pde, nxe));
    if field(pde, 7, 7) == 1 {
        let physical = field(pde, 51, 21) << 21 | field(linear, 20, 0);
        return (field(pde, 20, 13) == 0).then_some((physical, 2 << 20, allowed));
    }
    let pte = step(pde, 20, 12)?;
    allowed = both(allowed, rights(pte, nxe));
    Some((field(pte, 51, 12) << 12 | field(linear, 11, 0), 4096, allowed))
}

/// All mappings, by recursion.
#[derive(Debug, Default)]
pub(super) struct List {
    pub(super) mappings: Vec<Mapping>,
    /// Entries with reserved bits and entries outside memory.
    pub(super) broken: u64,
    /// Entries there are in all tables met.
    pub(super) looked: u64,
}

pub(super) fn list(r: &RegisterFile, memory: &[u8]) -> List {
    let mut list = List::default();
    let (table, top, low) = match PagingMode::of(r) {
        PagingMode::None => {
            let len = 1 << 32;
            list.mappings.push(Mapping { linear: 0, physical: 0, len, rights: ANYTHING });
            return list;
        }
        PagingMode::Bits32 => (field(r.cr3, 31, 12) << 12, 31, 22),
        PagingMode::Pae => (field(r.cr3, 31, 5) << 5, 31, 30),
        PagingMode::Level4 => (field(r.cr3, 51, 12) << 12, 47, 39),
        PagingMode::Level5 => (field(r.cr3, 51, 12) << 12, 56, 48),
    };
    collect(&mut list, r, memory, table, 0, top, low);
    list
}

/// Lists what the table for linear-address bits `high` to `low` maps; each
/// page that the entries lead to is translated by [`translate`].
fn collect(
    list: &mut List,
    r: &RegisterFile,
    memory: &[u8],
    table: u64,
    linear: u64,
    high: u32,
    low: u32,
) {
    let mode = PagingMode::of(r);
    let len = if mode == PagingMode::Bits32 { 4 } else { 8 };
    for index in 0..1_u64 << (high - low + 1) {
        list.looked += 1;
        let Some(entry) = read(memory, table + index * len, len) else {
            list.broken += 1;
            continue;
        };
        if field(entry, 0, 0) == 0 {
            continue;
        }
        let address = linear | index << low;
        let address = match mode {
            PagingMode::Level4 => canonical(address, 48),
            PagingMode::Level5 => canonical(address, 57),
            _ => address,
        };
        let may_map = match (mode, low) {
            (_, 12) => true,
            (PagingMode::Bits32, 22) => r.cr4 & 0x10 != 0,
            (_, 21) => true,
            (PagingMode::Level4 | PagingMode::Level5, 30) => true,
            _ => false,
        };
        if low == 12 || (may_map && field(entry, 7, 7) == 1) {
            match translate(r, memory, address) {
                Some((physical, len, rights)) => {
                    list.mappings.push(Mapping { linear: address, physical, len, rights });
                }
                None => list.broken += 1,
            }
            continue;
        }
        let nxe = r.efer & 0x800 != 0;
        let reserved = match (mode, low) {
            (PagingMode::Bits32, _) => false,
            (PagingMode::Pae, 30) => {
                field(entry, 2, 1) != 0 || field(entry, 8, 5) != 0 || field(entry, 63, 52) != 0
            }
            (PagingMode::Pae, _) => {
                field(entry, 62, 52) != 0 || (!nxe && field(entry, 63, 63) != 0)
            }
            (_, 39 | 48) if field(entry, 7, 7) == 1 => true,
            _ => !nxe && field(entry, 63, 63) != 0,
        };
        if reserved {
            list.broken += 1;
            continue;
        }
        let (next, bits) = match mode {
            PagingMode::Bits32 => (field(entry, 31, 12) << 12, 10),
            _ => (field(entry, 51, 12) << 12, 9),
        };
        collect(list, r, memory, next, linear | index << low, low - 1, low - bits);
    }
}

/// Joins neighbours.
pub(super) fn join(mappings: &[Mapping]) -> Vec<Mapping> {
    let mut joined: Vec<Mapping> = Vec::new();
    for next in mappings {
        match joined.last_mut() {
            Some(last)
                if u128::from(last.linear) + u128::from(last.len) == next.linear.into()
                    && last.physical + last.len == next.physical
                    && last.rights == next.rights =>
            {
                last.len += next.len;
            }
            _ => joined.push(*next),
        }
    }
    joined
}
