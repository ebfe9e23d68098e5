//! The fix-up of page tables after relocation, against the oracle's
//! `PageTableRelocationBuilder`, and by what must hold afterwards.
//!
//! The oracle is asked about moves upward only: for moves downward it subtracts
//! the sign-extended offset, which goes up.

use std::collections::BTreeMap;

use igvm::hv_defs::Vtl;
use igvm::page_table::{CpuPagingState, PageTableRelocationBuilder};
use igvm_conformance::machine::{Room, inspect};
use igvm_conformance::oracle::{self, Verdict};
use igvm_conformance::random::Random;
use igvm_core::defs::{
    IGVM_VHF_RELOCATABLE_REGION_APPLY_GDTR, IGVM_VHF_RELOCATABLE_REGION_APPLY_PC,
    IGVM_VHS_PAGE_TABLE_RELOCATION, IGVM_VHS_RELOCATABLE_REGION, IgvmPlatformType,
};
use igvm_core::load::{Host, ProblemKind, Relocation};
use igvm_core::span::Span;
use igvm_core::write::{FileBuilder, HeaderSpec, Version, start};
use range_map_vec::RangeMap;

const MASK: u32 = 1;
const PAGE: u64 = 4096;
const LARGE: u64 = 2 << 20;
const HUGE: u64 = 1 << 30;
const PRESENT: u64 = 1;
const LEAF: u64 = 1 << 7;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
/// Bits that a leaf carries along: writable, accessed, dirty, global, NX.
const CARRIED: [u64; 5] = [1 << 1, 1 << 5, 1 << 6, 1 << 8, 1 << 63];

/// Page tables of a file: identity mapped pages of three sizes.
struct Tables {
    gpa: u64,
    bytes: Vec<u8>,
    spare: u64,
}

impl Tables {
    fn new(gpa: u64, spare: u64) -> Self {
        Self { gpa, bytes: vec![0; PAGE as usize], spare }
    }

    fn entry(&mut self, at: u64) -> &mut [u8; 8] {
        let offset = (at - self.gpa) as usize;
        self.bytes[offset..].first_chunk_mut().unwrap()
    }

    /// Maps the page of this size that holds `linear`, unless something is
    /// there.
    fn map(&mut self, linear: u64, size: u64, bits: u64) {
        let mut table = self.gpa;
        for shift in [39, 30, 21, 12] {
            let at = table + (linear >> shift & 511) * 8;
            let entry = u64::from_le_bytes(*self.entry(at));
            if size == 1 << shift {
                let leaf = if shift == 12 { 0 } else { LEAF };
                if entry & PRESENT == 0 {
                    *self.entry(at) = (linear & !(size - 1) | PRESENT | leaf | bits).to_le_bytes();
                }
                return;
            }
            if entry & PRESENT == 0 {
                table = self.gpa + self.bytes.len() as u64;
                self.bytes.resize(self.bytes.len() + PAGE as usize, 0);
                *self.entry(at) = (table | PRESENT | 2).to_le_bytes();
            } else if shift < 39 && entry & LEAF != 0 {
                return;
            } else {
                table = entry & ADDRESS;
            }
        }
    }

    fn used(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn size(&self) -> u64 {
        self.used() + self.spare * PAGE
    }
}

/// Every mapping of tables that lie at `gpa`: linear address to size, entry.
fn mappings(bytes: &[u8], gpa: u64) -> BTreeMap<u64, (u64, u64)> {
    fn visit(
        bytes: &[u8],
        gpa: u64,
        at: u64,
        shift: u32,
        linear: u64,
        to: &mut BTreeMap<u64, (u64, u64)>,
    ) {
        let start = (at - gpa) as usize;
        for (nth, entry) in bytes[start..start + 4096].chunks_exact(8).enumerate() {
            let entry = u64::from_le_bytes(entry.try_into().unwrap());
            let linear = linear + ((nth as u64) << shift);
            if entry & PRESENT == 0 {
                continue;
            }
            if shift == 12 || (shift < 39 && entry & LEAF != 0) {
                to.insert(linear, (1 << shift, entry));
            } else {
                visit(bytes, gpa, entry & ADDRESS, shift - 9, linear, to);
            }
        }
    }
    let mut to = BTreeMap::new();
    visit(bytes, gpa, gpa, 39, 0, &mut to);
    to
}

struct Move {
    from: Span,
    to: u64,
    alignment: u64,
}

struct Case {
    tables: Tables,
    tables_to: u64,
    moves: Vec<Move>,
}

fn case(random: &mut Random, upward: bool) -> Case {
    // The tables stand apart from the regions, in 4 KiB steps.
    let mut tables = Tables::new(0x7_0000_0000, random.below(12));
    let mut moves = Vec::new();
    for nth in 0..1 + random.below(3) {
        // Regions 8 GiB apart; upward they go 64 GiB further, or nearby.
        let size = random.pick(&[PAGE, 16 * PAGE, LARGE, 3 * LARGE]);
        let alignment = random.pick(&[PAGE, LARGE, HUGE]);
        let slot = (1 + nth) * 8 * HUGE;
        let from = slot + alignment * random.below(3);
        let near = alignment * random.below(5);
        let far = 64 * HUGE + alignment * random.below(1000);
        let up = from + if random.one_in(3) { near } else { far };
        let down = (nth * HUGE) / 4 / alignment * alignment;
        let to = if upward { up } else { down };
        moves.push(Move { from: Span::new(from, size), to, alignment });
        for page in 0..size.div_ceil(PAGE).min(600) {
            if random.one_in(if size > LARGE { 16 } else { 2 }) {
                let bits = CARRIED
                    .iter()
                    .fold(0, |bits, bit| bits | if random.one_in(2) { *bit } else { 0 });
                let mapped = random.pick(&[PAGE, PAGE, LARGE, HUGE]);
                if mapped <= alignment || random.one_in(40) {
                    tables.map(from + page * PAGE, mapped, bits);
                }
            }
        }
        // And something that does not move.
        tables.map(slot + 6 * HUGE + random.below(64) * PAGE, PAGE, 2);
    }
    if random.one_in(2) {
        tables.map(tables.gpa, LARGE, 2);
    }
    let steps = if random.one_in(2) { 0 } else { 1 + random.below(500) };
    let tables_to = match upward {
        true => tables.gpa + steps * LARGE,
        false => tables.gpa - steps * LARGE,
    };
    Case { tables, tables_to, moves }
}

fn file(case: &Case) -> Vec<u8> {
    let mut file = FileBuilder::new(Version::V2_X64);
    file.push(HeaderSpec::platform(IgvmPlatformType::NATIVE, MASK)).unwrap();
    for (nth, moved) in case.moves.iter().enumerate() {
        // RIP and GDTR follow the first.
        let flags = match nth {
            0 => IGVM_VHF_RELOCATABLE_REGION_APPLY_PC | IGVM_VHF_RELOCATABLE_REGION_APPLY_GDTR,
            _ => 0,
        };
        file.push(HeaderSpec::RelocatableRegion(IGVM_VHS_RELOCATABLE_REGION {
            compatibility_mask: MASK,
            vp_index: 0,
            vtl: 0,
            flags,
            relocation_alignment: moved.alignment,
            relocation_region_gpa: moved.from.start,
            relocation_region_size: moved.from.len,
            minimum_relocation_gpa: 0,
            maximum_relocation_gpa: 1 << 47,
        }))
        .unwrap();
    }
    file.push(HeaderSpec::PageTableRelocationRegion(IGVM_VHS_PAGE_TABLE_RELOCATION {
        compatibility_mask: MASK,
        vp_index: 0,
        vtl: 0,
        reserved: 0,
        gpa: case.tables.gpa,
        size: case.tables.size(),
        used_size: case.tables.used(),
    }))
    .unwrap();
    for (page, gpa) in case.tables.bytes.chunks(4096).zip((case.tables.gpa..).step_by(4096)) {
        file.push(HeaderSpec::page_or_zero(gpa, MASK, page)).unwrap();
    }
    let mut context = start::long64(0, 0x8000, 0x5000, 0);
    context.cr3 = case.tables.gpa;
    context.rip = case.moves[0].from.start + 0x10;
    context.gdtr_base = case.moves[0].from.start + 0x20;
    file.push(HeaderSpec::native_context(MASK, &context)).unwrap();
    file.finish()
}

/// The tables as core fixes them up, or why it cannot.
fn ours(case: &Case) -> Result<Vec<u8>, ProblemKind> {
    let bytes = file(case);
    let mut relocations: Vec<Relocation> =
        case.moves.iter().map(|m| Relocation { from: m.from.start, to: m.to }).collect();
    relocations.push(Relocation { from: case.tables.gpa, to: case.tables_to });
    let host = Host { relocations: &relocations, ..Host::new(&[], &[]) };
    let mut room = Room::new(8, 1, 1, (case.tables.size() / PAGE) as usize);
    let mut failure = None;
    let machine = room
        .load(&bytes, IgvmPlatformType::NATIVE, &host, &mut |problem| match problem.kind {
            ProblemKind::FixupFailed { .. } => failure = Some(problem.kind),
            ProblemKind::MemoryMissing { created: true, .. } => {}
            other => panic!("{other}"),
        })
        .unwrap();
    inspect(&machine, &host);
    if let Some(failure) = failure {
        assert_ne!(machine.fatal_problems(), 0);
        return Err(failure);
    }
    let registers = &machine.boot_processor().unwrap().registers;
    assert_eq!(registers.cr3, case.tables_to);
    assert_eq!(registers.rip, case.moves[0].to + 0x10);
    assert_eq!(registers.gdtr.base, case.moves[0].to + 0x20);
    let mut tables = vec![0; case.tables.size() as usize];
    machine.memory(bytes.as_slice(), &host).read(case.tables_to, &mut tables).unwrap();
    Ok(tables)
}

/// The tables as the oracle fixes them up, spare ones as zeroes.
fn theirs(case: &Case) -> Option<Vec<u8>> {
    let Tables { gpa, ref bytes, .. } = case.tables;
    let size = case.tables.size();
    let mut builder = PageTableRelocationBuilder::new(gpa, size, bytes.len() as u64, 0, Vtl::Vtl0);
    for (page, gpa) in bytes.chunks(4096).zip((gpa..).step_by(4096)) {
        builder.set_page_data(gpa, page).unwrap();
    }
    let mut offsets = RangeMap::new();
    for moved in &case.moves {
        if moved.to != moved.from.start {
            let offset = moved.to as i64 - moved.from.start as i64;
            offsets.insert(moved.from.start..=moved.from.end() - 1, offset);
        }
    }
    let offset = case.tables_to as i64 - gpa as i64;
    let built = oracle::ask(|| {
        // The builder has errors of its own kind; any of the file's will do.
        builder
            .build(offset, offsets, CpuPagingState { cr3: gpa, cr4: 0x20 })
            .map_err(|_| igvm::Error::InvalidFixedHeader)
    });
    match built {
        Verdict::Accepted(mut tables) => {
            tables.resize(size as usize, 0);
            Some(tables)
        }
        Verdict::Refused(_) | Verdict::Panicked => None,
    }
}

/// Pages that moved are identity mapped where they are now, with their bits;
/// all others are as they were.
fn assert_identity(case: &Case, fixed: &[u8]) {
    let before = mappings(&case.tables.bytes, case.tables.gpa);
    let after = mappings(fixed, case.tables_to);
    let tables = Move {
        from: Span::new(case.tables.gpa, case.tables.size()),
        to: case.tables_to,
        alignment: PAGE,
    };
    let mut expected = BTreeMap::new();
    for (linear, (size, entry)) in before {
        let page = Span::new(linear, size);
        let moved = case
            .moves
            .iter()
            .chain([&tables])
            .filter(|m| m.to != m.from.start && m.from.overlaps(page))
            .min_by_key(|m| m.from.start)
            .filter(|m| m.to.abs_diff(m.from.start) >= size);
        let (linear, entry) = match moved {
            None => (linear, entry),
            Some(moved) => {
                let to = linear.wrapping_sub(moved.from.start).wrapping_add(moved.to);
                (to, entry & !ADDRESS | to)
            }
        };
        expected.insert(linear, (size, entry));
    }
    assert_eq!(after, expected);
}

#[test]
fn upward_as_the_oracle_does_it() {
    let (mut same, mut refused) = (0, 0);
    for seed in 0..1500 {
        let case = case(&mut Random::new(seed), true);
        match (ours(&case), theirs(&case)) {
            (Ok(ours), Some(theirs)) => {
                assert_identity(&case, &ours);
                // New tables may be taken in another order.
                assert_eq!(mappings(&ours, case.tables_to), mappings(&theirs, case.tables_to));
                same += 1;
            }
            (Err(_), None) => refused += 1,
            (ours, theirs) => panic!("seed {seed}: {ours:?}, oracle {}", theirs.is_some()),
        }
    }
    assert!(same > 500 && refused > 20, "{same} the same, {refused} refused");
}

#[test]
fn downward_by_what_must_hold() {
    let mut fixed = 0;
    for seed in 0..1500 {
        let case = case(&mut Random::new(seed), false);
        if let Ok(tables) = ours(&case) {
            assert_identity(&case, &tables);
            fixed += 1;
        }
    }
    assert!(fixed > 500, "{fixed} fixed");
}

/// A large page has its PAT bit where a small one's address begins. The oracle
/// drops it.
#[test]
fn a_large_page_keeps_its_pat_bit() {
    const PAT: u64 = 1 << 12;
    let from = Span::new(8 * HUGE, LARGE);
    let mut tables = Tables::new(0x7_0000_0000, 0);
    tables.map(from.start, LARGE, PAT | 2);
    let tables_to = tables.gpa;
    let moves = vec![Move { from, to: from.start + LARGE, alignment: LARGE }];
    let fixed = ours(&Case { tables, tables_to, moves }).unwrap();
    let to = from.start + LARGE;
    let expected = BTreeMap::from([(to, (LARGE, to | LEAF | PAT | 2 | PRESENT))]);
    assert_eq!(mappings(&fixed, tables_to), expected);
}
