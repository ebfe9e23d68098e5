use igvm_core::x86::bits::{cr0, efer};
use proptest::prelude::*;

use super::*;

/// Some pages from 0 up.
#[derive(Debug)]
struct Pages(Vec<u8>);

impl PhysicalMemory for Pages {
    fn read(&self, gpa: u64, buf: &mut [u8]) -> Result<(), Unreadable> {
        let start = usize::try_from(gpa).map_err(|_| Unreadable)?;
        let bytes = self.0.get(start..).and_then(|rest| rest.get(..buf.len()));
        buf.copy_from_slice(bytes.ok_or(Unreadable)?);
        Ok(())
    }
}

/// Pages with entries at random places that lead to each other, out of memory
/// or to pages, in every paging mode.
fn worlds() -> impl Strategy<Value = (RegisterFile, Pages)> {
    let entry =
        (0..8_u64, 0..512_u64, 0..10_u64, prop_oneof![Just(0x3_u64), Just(0x83), any::<u64>()]);
    let modes = prop_oneof![
        Just((cr4::PSE, 0)),
        Just((cr4::PAE, 0)),
        Just((cr4::PAE, efer::LME | efer::NXE)),
        Just((cr4::PAE | cr4::LA57, efer::LME)),
    ];
    (prop::collection::vec(entry, 0..120), modes, 0..9_u64).prop_map(
        |(entries, (cr4, efer), root)| {
            let mut bytes = vec![0; 8 * PAGE];
            for (page, index, target, bits) in entries {
                let value = target << 12 | bits & 0x8000_0000_0030_01ff;
                let at = (page as usize) * PAGE + index as usize * 8;
                bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
            }
            let registers = RegisterFile {
                cr0: cr0::PE | cr0::PG,
                cr3: root << 12,
                cr4,
                efer,
                ..RegisterFile::reset(true)
            };
            (registers, Pages(bytes))
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// What a table on the screen says of its addresses is what a walk to them
    /// meets.
    #[test]
    fn entries_are_those_that_a_walk_meets((registers, memory) in worlds(), linear: u64, low: u16) {
        let mode = PagingMode::of(&registers);
        for linear in [linear, u64::from(low), u64::from(low) << 21] {
            let linear = canonical(mode, linear);
            let way = walk(&registers, &memory, linear);
            let tables = tables(&registers, &memory, linear);
            prop_assert!(!tables.is_empty() && tables.len() <= 5);
            for (depth, table) in tables.iter().enumerate() {
                prop_assert_eq!(table.runs.iter().filter(|run| run.on_the_way).count(), 1);
                prop_assert!(table.runs.len() <= 2 * RUNS_BESIDE + 1);
                for run in &table.runs {
                    if run.on_the_way {
                        prop_assert_eq!(run.entry, way.entries.get(depth).copied());
                        prop_assert_eq!(index(mode, table.level, linear), run.first);
                    }
                    for nth in [0, run.count / 2, run.count - 1] {
                        let at = run.linear.wrapping_add(u64::from(nth) * run.span);
                        prop_assert!(mode.is_address(at) && mode.is_address(run.last()));
                        let met = walk(&registers, &memory, at).entries.get(depth).copied();
                        let moved = u64::from(nth) * run.step;
                        let same = match (run.entry, met) {
                            (None, None) => true,
                            (Some(ours), Some(met)) => match (ours.kind, met.kind) {
                                (EntryKind::Page { gpa, len }, EntryKind::Page { gpa: other, len: same }) =>
                                    gpa + moved == other && len == same && ours.rights == met.rights,
                                (EntryKind::Table { gpa }, EntryKind::Table { gpa: other }) => gpa + moved == other,
                                (ours, met) => ours == met,
                            },
                            _ => false,
                        };
                        prop_assert!(same, "{run:?} {met:?}");
                    }
                }
            }
        }
    }

    /// The listed ranges are what walks find at their ends and inside.
    #[test]
    fn ranges_are_what_walks_find((registers, memory) in worlds(), part in 0.0..1.0_f64) {
        let ranges = ranges(&registers, &memory);
        prop_assert!(ranges.list.len() <= RANGES_MAX);
        for range in &ranges.list {
            for into in [0, (range.len as f64 * part) as u64, range.len - 1] {
                let into = into.min(range.len - 1);
                let found = walk(&registers, &memory, range.linear.wrapping_add(into)).result.unwrap();
                prop_assert_eq!(found.physical, range.physical + into);
                prop_assert_eq!(found.rights, range.rights);
            }
            let linear = linear_of(&registers, &memory, range.physical).unwrap();
            prop_assert_eq!(walk(&registers, &memory, linear).result.unwrap().physical, range.physical);
        }
    }

    #[test]
    fn typed_addresses_are_read_or_refused(value: u64, junk in "\\PC{0,30}") {
        prop_assert_eq!(typed_address(&format!(" {value:#x} "), None), Some(value));
        prop_assert_eq!(typed_address(&format!("{value:X}"), None), Some(value));
        let _ = typed_address(&junk, Some(&RegisterFile::reset(true)));
    }
}

#[test]
fn a_table_that_names_itself_ends() {
    let mut bytes = vec![0; PAGE];
    for entry in bytes.chunks_mut(8) {
        entry.copy_from_slice(&3_u64.to_le_bytes());
    }
    let registers = RegisterFile {
        cr0: cr0::PE | cr0::PG,
        cr4: cr4::PAE,
        efer: efer::LME,
        ..RegisterFile::reset(true)
    };
    let memory = Pages(bytes);
    let tables = tables(&registers, &memory, 0x1234_5000);
    assert_eq!(tables.len(), 4);
    // All 512 entries say the same: those before the way, on it and behind it.
    assert!(tables.iter().all(|table| table.gpa == 0 && table.runs.len() <= 3));
    let ranges = ranges(&registers, &memory);
    assert!(ranges.more || ranges.exhausted);
    assert_eq!(typed_address("RIP", Some(&registers)), Some(0xfff0));
    assert_eq!(typed_address("ffff_f000", None), Some(0xffff_f000));
    assert_eq!(typed_address("-1", None), None);
    assert_eq!(typed_address("", None), None);
}
