//! The walk and the list of mappings against each other and against a
//! reference written mode by mode from the manual's tables.

use std::vec;
use std::vec::Vec;

use proptest::prelude::*;
use proptest::sample::select;

use super::{Fault, Level, Mapping, PhysicalMemory, Rights, Unreadable, mappings, walk};
use crate::x86::bits::{cr0, cr4, efer};
use crate::x86::{PagingMode, RegisterFile};

mod reference;

/// Memory from address 0 up, and nothing above.
struct Memory(Vec<u8>);

/// Eight pages, the last one cut short so that a table can be there in part.
const MEMORY_LEN: usize = 8 * 4096 - 0x108;

impl PhysicalMemory for Memory {
    fn read(&self, gpa: u64, buf: &mut [u8]) -> Result<(), Unreadable> {
        let start = usize::try_from(gpa).map_err(|_| Unreadable)?;
        let end = start.checked_add(buf.len()).ok_or(Unreadable)?;
        buf.copy_from_slice(self.0.get(start..end).ok_or(Unreadable)?);
        Ok(())
    }
}

fn registers(mode: PagingMode, cr3: u64) -> RegisterFile {
    let mut r = RegisterFile { cr3, cr0: cr0::PE | cr0::PG, ..RegisterFile::reset(true) };
    match mode {
        PagingMode::None => r.cr0 = cr0::PE,
        PagingMode::Bits32 => {}
        PagingMode::Pae => r.cr4 = cr4::PAE,
        PagingMode::Level4 | PagingMode::Level5 => {
            r.cr4 = cr4::PAE;
            r.efer = efer::LME | efer::LMA;
            if mode == PagingMode::Level5 {
                r.cr4 |= cr4::LA57;
            }
        }
    }
    r
}

/// Table indices with neighbours, ends, and the middle where the upper half
/// of the address space begins.
fn index() -> impl Strategy<Value = u64> {
    select(vec![0_u64, 1, 2, 3, 4, 255, 256, 510, 511, 512, 1023])
}

/// An entry: mostly present, leading to a table in memory, just outside it, or
/// to a large page; now and then with a stray bit.
fn entry() -> impl Strategy<Value = u64> {
    let target = prop_oneof![
        6 => (0_u64..9).prop_map(|page| page << 12),
        1 => (0_u64..4).prop_map(|n| n << 21),
        1 => (0_u64..4).prop_map(|n| n << 22 | 0x1_2000),
        1 => (0_u64..4).prop_map(|n| n << 30),
        1 => Just(0x000f_ffff_ffff_f000),
    ];
    // P is mostly there; a PDPTE of PAE paging may have little else.
    let flags = prop_oneof![2 => Just(7), 2 => Just(1), 1 => Just(0x87), 1 => 0_u64..0x1000];
    let stray =
        prop_oneof![6 => Just(0), 1 => Just(1 << 63), 1 => (0_u32..64).prop_map(|n| 1 << n)];
    (target, flags, stray).prop_map(|(target, flags, stray)| target | flags ^ stray)
}

#[derive(Debug)]
struct Guest {
    registers: RegisterFile,
    memory: Vec<u8>,
}

impl Guest {
    fn memory(&self) -> Memory {
        Memory(self.memory.clone())
    }
}

fn guest(mode: PagingMode) -> impl Strategy<Value = Guest> {
    let entries = prop::collection::vec((0_usize..8, index(), entry()), 1..20);
    // CR3: any page, with PCID or PWT and PCD bits; PAE tables at any 32 bytes.
    let cr3 = (0_u64..9, select(vec![0_u64, 0x18, 0x20, 0xfff])).prop_map(|(p, low)| p << 12 | low);
    (entries, cr3, any::<bool>(), any::<bool>()).prop_map(move |(entries, cr3, pse, nxe)| {
        let mut registers = registers(mode, cr3);
        registers.cr4 |= if pse { cr4::PSE } else { 0 };
        registers.efer |= if nxe { efer::NXE } else { 0 };
        let len = if mode == PagingMode::Bits32 { 4 } else { 8 };
        let mut memory = vec![0; 8 * 4096];
        for (page, index, raw) in entries {
            let at = page * 4096 + index as usize * len % 4096;
            memory[at..at + len].copy_from_slice(&raw.to_le_bytes()[..len]);
        }
        memory.truncate(MEMORY_LEN);
        Guest { registers, memory }
    })
}

/// A linear address that selects such indices at every level.
fn linear(mode: PagingMode) -> impl Strategy<Value = u64> {
    let indices = [index(), index(), index(), index(), index()];
    (indices, 0_u64..0x1000, 0_u8..20).prop_map(move |(indices, offset, stray)| {
        let shift = if mode == PagingMode::Bits32 { 10 } else { 9 };
        let packed = indices
            .iter()
            .fold(0, |address: u64, index| address << shift | index & ((1 << shift) - 1));
        let address = packed << 12 | offset;
        match (mode, stray) {
            (_, 0) => address | 1 << 60,
            (PagingMode::Level4, _) => reference::canonical(address, 48),
            (PagingMode::Level5, _) => reference::canonical(address, 57),
            _ => address & 0xffff_ffff,
        }
    })
}

fn paging_mode() -> impl Strategy<Value = PagingMode> {
    select(vec![
        PagingMode::None,
        PagingMode::Bits32,
        PagingMode::Pae,
        PagingMode::Level4,
        PagingMode::Level5,
    ])
}

fn guest_and_addresses() -> impl Strategy<Value = (Guest, Vec<u64>)> {
    paging_mode().prop_flat_map(|mode| (guest(mode), prop::collection::vec(linear(mode), 32)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn walk_agrees_with_the_reference((guest, addresses) in guest_and_addresses()) {
        let memory = guest.memory();
        for linear in addresses {
            let expected = reference::translate(&guest.registers, &guest.memory, linear);
            let walk = walk(&guest.registers, &memory, linear);
            let found = walk.result.ok().map(|t| (t.physical, t.page_len, t.rights));
            prop_assert_eq!(found, expected, "{:#x}: {:?}", linear, walk);
        }
    }

    #[test]
    fn mappings_agree_with_the_reference(guest in paging_mode().prop_flat_map(guest)) {
        let memory = guest.memory();
        let expected = reference::list(&guest.registers, &guest.memory);
        let mut all = mappings(&guest.registers, &memory, u64::MAX);
        let found: Vec<_> = all.by_ref().collect();
        prop_assert!(!all.exhausted());
        prop_assert_eq!(all.broken(), expected.broken);
        prop_assert_eq!(&found, &expected.mappings);

        // In order, and the walk finds each of them, first byte and last.
        prop_assert!(found.is_sorted_by(|a, b| a.linear + (a.len - 1) < b.linear));
        for mapping in found.iter().take(200) {
            for offset in [0, mapping.len - 1] {
                let walk = walk(&guest.registers, &memory, mapping.linear + offset);
                let t = walk.result.unwrap();
                prop_assert_eq!(t.physical, mapping.physical + offset);
                prop_assert_eq!((t.page_len, t.rights), (mapping.len, mapping.rights));
            }
        }

        // Joined or not, the same bytes.
        let merged: Vec<_> = mappings(&guest.registers, &memory, u64::MAX).merged().collect();
        prop_assert_eq!(merged, reference::join(&found));

        // The budget counts what was looked at, to the entry.
        if expected.looked > 0 {
            let mut enough = mappings(&guest.registers, &memory, expected.looked);
            prop_assert_eq!(enough.by_ref().count(), found.len());
            prop_assert!(!enough.exhausted());
            let mut short = mappings(&guest.registers, &memory, expected.looked - 1);
            prop_assert!(found.len() - short.by_ref().count() <= 1);
            prop_assert!(short.exhausted());
        }
    }

    /// What the walk finds, the list has.
    #[test]
    fn mappings_hold_what_the_walk_finds((guest, addresses) in guest_and_addresses()) {
        let memory = guest.memory();
        let all: Vec<_> = mappings(&guest.registers, &memory, u64::MAX).collect();
        for linear in addresses {
            let holds = all.iter().any(|m| linear >= m.linear && linear - m.linear < m.len);
            prop_assert_eq!(walk(&guest.registers, &memory, linear).result.is_ok(), holds);
        }
    }

    /// Any bytes at all, as tables: an answer within the budget.
    #[test]
    fn noise(
        mode in paging_mode(),
        memory in prop::collection::vec(any::<u8>(), 4096),
        cr3 in 0_u64..0x1000,
        linear in any::<u64>(),
    ) {
        let memory = Memory(memory.repeat(4));
        let registers = registers(mode, cr3);
        let walk = walk(&registers, &memory, linear);
        prop_assert_eq!(walk.linear, linear);
        prop_assert!(mappings(&registers, &memory, 5000).count() <= 5000);
    }
}

/// Every entry of the only table names the table: 2^36 mappings, or 2^45.
#[test]
fn a_table_of_itself_ends_with_its_budget() {
    for (mode, levels) in [(PagingMode::Level4, 4), (PagingMode::Level5, 5)] {
        let memory = Memory(0x1007_u64.to_le_bytes().repeat(1024));
        let registers = registers(mode, 0x1000);
        let mut all = mappings(&registers, &memory, 1_000_000);
        assert!(!all.exhausted());
        let count = all.by_ref().count();
        // All but the entries of upper tables are mappings.
        assert!((990_000..1_000_000).contains(&count), "{count}");
        assert!(all.exhausted());
        assert_eq!(walk(&registers, &memory, 0x1234).entries.len(), levels);
        // Each page is the same one, so that nothing joins.
        let mut merged = mappings(&registers, &memory, 10_000).merged();
        assert!(merged.by_ref().count() > 9_000);
        assert!(merged.exhausted());
    }
}

/// It lives on the stack of whoever lists mappings, in a browser too.
#[test]
fn the_iterator_is_small() {
    assert!(size_of::<super::Merged<'_, Memory>>() < 4096);
}

#[test]
fn a_walk_shows_its_entries() {
    let mut memory = vec![0; 0x4000];
    let mut put = |at: usize, raw: u64| memory[at..at + 8].copy_from_slice(&raw.to_le_bytes());
    put(0x1000, 0x2027);
    put(0x2008, 0x3003);
    put(0x3010, 0x8000_0000_4020_10e7);
    let mut registers = registers(PagingMode::Level4, 0x1fff);
    registers.efer |= efer::NXE;
    let walk = walk(&registers, &Memory(memory), 0x4043_2100);

    let met: Vec<_> =
        walk.entries.iter().map(|entry| (entry.level, entry.gpa, entry.raw)).collect();
    assert_eq!(
        met,
        [
            (Level::Pml4e, 0x1000, 0x2027),
            (Level::Pdpte, 0x2008, 0x3003),
            (Level::Pde, 0x3010, 0x8000_0000_4020_10e7),
        ]
    );
    let flags: Vec<Vec<_>> = walk.entries.iter().map(|entry| entry.flags().collect()).collect();
    assert_eq!(flags[0], ["P", "R/W", "U/S", "A"]);
    assert_eq!(flags[1], ["P", "R/W"]);
    assert_eq!(flags[2], ["P", "R/W", "U/S", "A", "D", "PS", "XD", "PAT"]);
    let translation = walk.result.unwrap();
    assert_eq!((translation.physical, translation.page_len), (0x4023_2100, 2 << 20));
    let rights = Rights { writable: true, user: false, executable: false };
    assert_eq!(translation.rights, rights);
}

#[test]
fn faults() {
    let fault = |memory: Vec<u8>, mode, linear| {
        walk(&registers(mode, 0), &Memory(memory), linear).result.unwrap_err()
    };
    let table = |raw: u64| raw.to_le_bytes().to_vec();
    let level4 = PagingMode::Level4;
    assert_eq!(fault(table(0), level4, 1 << 47), Fault::NotAnAddress { bits: 48 });
    assert_eq!(fault(table(0), PagingMode::None, 1 << 32), Fault::NotAnAddress { bits: 32 });
    assert_eq!(fault(table(6), level4, 0), Fault::NotPresent { level: Level::Pml4e });
    assert_eq!(fault(table(0x87), level4, 0), Fault::Reserved { level: Level::Pml4e, bits: 0x80 });
    assert_eq!(
        fault(table(0x7007), level4, 0x40_0000_0000),
        Fault::Unreadable { level: Level::Pdpte, gpa: 0x7800 }
    );
    assert_eq!(
        fault(vec![], PagingMode::Pae, 0xffff_ffff),
        Fault::Unreadable { level: Level::Pdpte, gpa: 0x18 }
    );
}

/// Sound tables for linear address 0, from the top: one for each size of page
/// in each mode.
const SOUND: &[(PagingMode, &[u64])] = &[
    (PagingMode::Bits32, &[0x2007, 0x1234_5007]),
    (PagingMode::Bits32, &[0x1240_0087]),
    (PagingMode::Pae, &[0x2001, 0x3007, 0x12_3456_7007]),
    (PagingMode::Pae, &[0x2001, 0x12_3440_0087]),
    (PagingMode::Level4, &[0x2007, 0x3007, 0x4007, 0x12_3456_7007]),
    (PagingMode::Level4, &[0x2007, 0x3007, 0x12_3440_0087]),
    (PagingMode::Level4, &[0x2007, 0x12_0000_0087]),
    (PagingMode::Level5, &[0x2007, 0x3007, 0x4007, 0x5007, 0x12_3456_7007]),
    (PagingMode::Level5, &[0x2007, 0x3007, 0x4007, 0x12_3440_0087]),
    (PagingMode::Level5, &[0x2007, 0x3007, 0x12_0000_0087]),
];

/// Each bit of each entry flipped, with and without PSE and NXE: what it means
/// is what the reference says.
#[test]
fn every_bit_of_every_entry() {
    let mut translated = 0;
    for &(mode, entries) in SOUND {
        let (len, bits) = if mode == PagingMode::Bits32 { (4, 32) } else { (8, 64) };
        for (pse, nxe) in [(false, false), (true, false), (false, true), (true, true)] {
            let mut registers = registers(mode, 0x1000);
            registers.cr4 |= if pse { cr4::PSE } else { 0 };
            registers.efer |= if nxe { efer::NXE } else { 0 };
            for (flipped, bit) in (0..entries.len()).flat_map(|e| (0..bits).map(move |b| (e, b))) {
                let mut memory = vec![0; 0x6000];
                for (number, raw) in entries.iter().enumerate() {
                    let raw = if number == flipped { raw ^ 1 << bit } else { *raw };
                    let at = (number + 1) * 0x1000;
                    memory[at..at + len].copy_from_slice(&raw.to_le_bytes()[..len]);
                }
                let expected = reference::translate(&registers, &memory, 0);
                let walk = walk(&registers, &Memory(memory), 0);
                let found = walk.result.ok().map(|t| (t.physical, t.page_len, t.rights));
                assert_eq!(found, expected, "bit {bit} of entry {flipped}: {walk:?}");
                translated += usize::from(found.is_some());
            }
        }
    }
    // Neither all nor none.
    assert!((2000..6000).contains(&translated), "{translated}");
}

/// A typical kernel's start: 4 GiB in 2 MiB pages is one run.
#[test]
fn neighbours_join() {
    let mut memory = vec![0_u8; 0x6000];
    let mut put = |at: u64, raw: u64| {
        memory[at as usize..at as usize + 8].copy_from_slice(&raw.to_le_bytes());
    };
    put(0, 0x1003);
    for table in 0..4 {
        put(0x1000 + table * 8, (0x2000 + table * 0x1000) | 3);
        for page in 0..512 {
            put(0x2000 + table * 0x1000 + page * 8, (table * 512 + page) << 21 | 0x83);
        }
    }
    let (registers, memory) = (registers(PagingMode::Level4, 0), Memory(memory));
    let rights = Rights { writable: true, user: false, executable: true };
    let merged: Vec<_> = mappings(&registers, &memory, u64::MAX).merged().collect();
    assert_eq!(merged, [Mapping { linear: 0, physical: 0, len: 4 << 30, rights }]);
    assert_eq!(mappings(&registers, &memory, u64::MAX).count(), 2048);

    // Other rights part them.
    let Memory(mut memory) = memory;
    memory[0x4008] = 0x81;
    let merged: Vec<_> = mappings(&registers, &Memory(memory), u64::MAX)
        .merged()
        .map(|mapping| (mapping.linear, mapping.len, mapping.rights.writable))
        .collect();
    let (at, page) = (0x8020_0000, 2 << 20);
    assert_eq!(
        merged,
        [(0, at, true), (at, page, false), (at + page, (4 << 30) - at - page, true)]
    );
}
