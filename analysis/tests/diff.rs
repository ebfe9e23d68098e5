//! What `diff` finds is what was changed, and nothing else.

use std::collections::BTreeMap;

use igvm_analysis::diff::{
    Change, DiffReport, FileSide, HeaderDiff, MachineSide, MemoryDiff, RegistersReport,
};
use igvm_analysis::document::Document;
use igvm_analysis::host::{HostDescription, HostTables};
use igvm_analysis::loaded::KeptMachine;
use igvm_core::defs::{IgvmPageDataFlags, IgvmPageDataType, IgvmPlatformType};
use igvm_core::load::Space;
use igvm_core::wire::ParameterKind;
use igvm_core::write::{Data, FileBuilder, HeaderSpec, Version, start};
use igvm_core::x86::Register;
use proptest::prelude::*;

const PAGE: u64 = 0x1000;
const MASK: u32 = 1;

fn side(document: &Document) -> FileSide<'_, Document> {
    FileSide { file: document.file(), data: document, mask: None }
}

fn load(document: &Document, tables: &HostTables) -> KeptMachine {
    let platform = igvm_core::load::default_platform(&document.file())
        .or_else(|| document.file().platforms().next().map(|p| p.platform_type))
        .unwrap();
    KeptMachine::load(&document.file(), document, platform, &tables.host()).unwrap().0
}

fn host(memory: u64) -> HostTables {
    HostTables::new(HostDescription { memory, ..HostDescription::default() }).unwrap()
}

fn diff(before: &Document, after: &Document, tables: &HostTables) -> DiffReport {
    let machines = [load(before, tables), load(after, tables)];
    let documents = [before, after];
    let machine = |at: usize| MachineSide {
        machine: machines[at].machine(),
        host: tables.host(),
        data: documents[at],
    };
    DiffReport::new([side(before), side(after)], Some([machine(0), machine(1)]))
}

#[test]
fn a_file_does_not_differ_from_itself() {
    for sample in igvm_samples::all() {
        let document = Document::from_bytes((sample.build)()).unwrap();
        let report = diff(&document, &document, &host(256 << 20));
        assert!(report.is_same(), "{}: {report}", sample.name);
        assert_eq!(report.headers.headers.same, document.file().headers().count() as u64);
        let text = "headers: the same\nprocessors: the same\nmemory: the same\n";
        assert_eq!(report.to_string(), text);
    }
}

#[test]
fn every_sample_differs_from_every_other_in_both_directions() {
    let samples = igvm_samples::all().iter().filter(|sample| sample.committed);
    let documents: Vec<Document> =
        samples.map(|sample| Document::from_bytes((sample.build)()).unwrap()).collect();
    let tables = host(256 << 20);
    for pair in documents.windows(2) {
        let there = diff(&pair[0], &pair[1], &tables);
        let back = diff(&pair[1], &pair[0], &tables);
        assert!(!there.is_same());
        assert_eq!(there.headers.headers.added, back.headers.headers.removed);
        assert_eq!(there.headers.headers.changed, back.headers.headers.changed);
        let [there, back] = [there.memory.unwrap(), back.memory.unwrap()];
        assert_eq!((there.only_before, there.content), (back.only_after, back.content));
        assert_eq!(there.other_source, back.other_source);
    }
}

/// A page of a file: its content by two numbers, or zeroes.
type Pages = BTreeMap<u64, Option<(u16, u8)>>;

fn content((at, value): (u16, u8)) -> Vec<u8> {
    let mut bytes = vec![0; PAGE as usize];
    bytes[usize::from(at) % PAGE as usize] = value;
    bytes[7] = value / 2;
    bytes
}

fn build(pages: &Pages, order: impl Fn(u64) -> u64, areas: &[u64], rip: u64) -> Document {
    let mut file = FileBuilder::new(Version::V2_X64);
    file.push(HeaderSpec::platform(IgvmPlatformType::NATIVE, MASK)).unwrap();
    for (index, bytes) in (0..).zip(areas) {
        let initial = Data::Zero;
        file.push(HeaderSpec::ParameterArea { index, number_of_bytes: *bytes, initial }).unwrap();
        file.push(HeaderSpec::parameter(ParameterKind::VpCount, index, 8)).unwrap();
    }
    let mut numbers: Vec<u64> = pages.keys().copied().collect();
    numbers.sort_by_key(|number| order(*number));
    for number in numbers {
        let bytes = pages[&number].map(content);
        let data = bytes.as_deref().map_or(Data::Zero, Data::Bytes);
        let (flags, data_type) = (IgvmPageDataFlags::new(), IgvmPageDataType::NORMAL);
        let gpa = number * PAGE;
        file.push(HeaderSpec::PageData { gpa, mask: MASK, flags, data_type, data }).unwrap();
    }
    let context = start::long64(rip, 0x2000, 0x3000, 0x4000);
    file.push(HeaderSpec::native_context(MASK, &context)).unwrap();
    Document::from_bytes(file.finish()).unwrap()
}

fn pages() -> impl Strategy<Value = Pages> {
    let page = proptest::option::of((any::<u16>(), any::<u8>()));
    prop::collection::btree_map(0..48_u64, page, 0..32)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn the_headers_that_differ_are_found(
        before in pages(), after in pages(), turn in 1..47_u64,
        areas in prop::collection::vec(1..4_u64, 0..4), more in 0..2_usize, rips in [0..2_u64, 0..2_u64],
    ) {
        let (mut first, mut second) = (areas.clone(), areas);
        first.truncate(second.len().saturating_sub(more));
        if let Some(area) = second.first_mut() {
            *area += more as u64;
        }
        let bytes = |areas: &[u64]| areas.iter().map(|pages| pages * PAGE).collect::<Vec<_>>();
        // The order and so the file offsets differ; that is no difference.
        let one = build(&before, |number| number, &bytes(&first), rips[0]);
        let other = build(&after, |number| number * turn % 61, &bytes(&second), rips[1]);
        let report = DiffReport::new([side(&one), side(&other)], None).headers;
        let only = |these: &Pages, those: &Pages| {
            these.keys().filter(|number| !those.contains_key(number)).count() as u64
        };
        let plain = |page: &Option<(u16, u8)>| page.map_or(vec![0; PAGE as usize], content);
        let pages_changed = before.iter().filter(|(number, page)| {
            after.get(number).is_some_and(|other| plain(page) != plain(other))
        });
        let area_gone = (second.len() - first.len()) as u64 * 2;
        let area_changed = first.first() != second.first() && !first.is_empty();
        let changed = pages_changed.count() as u64
            + u64::from(area_changed)
            + u64::from(rips[0] != rips[1]);
        prop_assert_eq!(report.headers.removed, only(&before, &after), "{}", &report);
        prop_assert_eq!(report.headers.added, only(&after, &before) + area_gone, "{}", &report);
        prop_assert_eq!(report.headers.changed, changed, "{}", &report);
        let listed = |runs: &[igvm_analysis::diff::HeaderRun]| {
            runs.iter().map(|run| u64::from(run.count)).sum::<u64>()
        };
        prop_assert_eq!(listed(&report.added.kept), report.headers.added);
        prop_assert_eq!(listed(&report.removed.kept), report.headers.removed);
        let listed = report.changed.kept.iter().map(|changed| u64::from(changed.count));
        prop_assert_eq!(listed.sum::<u64>(), changed);
    }

    #[test]
    fn the_memory_that_differs_is_found(
        before in pages(), after in pages(), turn in 1..47_u64, ram in 1..56_u64,
    ) {
        let one = build(&before, |number| number, &[], 0);
        let other = build(&after, |number| number * turn % 61, &[], 0);
        let tables = host(ram * PAGE);
        let report = diff(&one, &other, &tables).memory.unwrap();
        let machines = [load(&one, &tables), load(&other, &tables)];
        let host = tables.host();
        // Byte by byte: 0 the same, 1 other content, 2 and 3 written by one.
        let naive = |gpa: u64| {
            let written = [0, 1].map(|at: usize| {
                machines[at].machine().image().extent_at(Space::Guest, gpa).is_some()
            });
            let has = [0, 1].map(|at: usize| machines[at].machine().is_memory(gpa, &host));
            let page = [(&one, 0), (&other, 1)].map(|(document, at): (&Document, usize)| {
                let mut bytes = vec![0; PAGE as usize];
                machines[at].machine().memory(document, &host).read(gpa & !0xfff, &mut bytes).unwrap();
                bytes
            });
            let at = (gpa & 0xfff) as usize;
            match written {
                [true, true] => u8::from(page[0][at] != page[1][at]),
                [true, false] if !has[1] || page[0].iter().any(|byte| *byte != 0) => 2,
                [false, true] if !has[0] || page[1].iter().any(|byte| *byte != 0) => 3,
                _ => 0,
            }
        };
        let mut counts = [0_u64; 4];
        for page in 0..50 {
            // The bytes that `content` sets, and some others.
            for at in [0, 7, 4095].into_iter().chain(before.get(&page).into_iter().chain(after.get(&page)).flatten().map(|(at, _)| u64::from(*at) % PAGE)) {
                let gpa = page * PAGE + at;
                let found = report.changes.kept.iter().find(|change| change.span().contains(gpa));
                match naive(gpa) {
                    0 => prop_assert!(found.is_none_or(|found| found.change == Change::Content), "{gpa:#x} in {report}"),
                    1 => prop_assert_eq!(found.map(|found| found.change), Some(Change::Content)),
                    2 => prop_assert_eq!(found.map(|found| found.change), Some(Change::OnlyBefore)),
                    _ => prop_assert_eq!(found.map(|found| found.change), Some(Change::OnlyAfter)),
                }
            }
            let all = (page * PAGE..(page + 1) * PAGE).step_by(1);
            if before.contains_key(&page) && after.contains_key(&page) {
                let [first, second] = [&before, &after].map(|pages| pages[&page].map_or(vec![0; PAGE as usize], content));
                counts[1] += first.iter().zip(&second).filter(|(first, second)| first != second).count() as u64;
            } else if let Some(start) = all.clone().next() {
                counts[usize::from(naive(start))] += PAGE;
            }
        }
        prop_assert_eq!([report.content, report.only_before, report.only_after], [counts[1], counts[2], counts[3]]);
        for change in report.changes.kept.iter().filter(|change| change.change == Change::Content) {
            prop_assert_eq!(naive(change.gpa.0), 1);
            prop_assert_eq!(naive(change.span().end() - 1), 1);
        }
        prop_assert!(report.changes.kept.windows(2).all(|two| two[0].span().end() <= two[1].gpa.0));
    }
}

#[test]
fn one_register_and_one_byte() {
    let pages: Pages = [(1, Some((5, 6))), (9, None)].into();
    let one = build(&pages, |number| number, &[PAGE], 0x1000);
    let mut changed = pages.clone();
    changed.insert(1, Some((5, 7)));
    let other = build(&changed, |number| number, &[PAGE], 0x1008);
    let report = diff(&one, &other, &host(1 << 20));
    let registers = report.registers.as_ref().unwrap();
    let names: Vec<Register> =
        registers.changed.kept.iter().map(|change| change.register).collect();
    assert_eq!(names, [Register::Rip]);
    assert_eq!(
        report.to_string(),
        "headers: 0 removed, 0 added, 2 changed, 4 the same\n\
         ~ 3 -> 3 PAGE_DATA 0x1000, 4 KiB from file 0xc0..0x10c0, mask 0x1\n\
         \x20   data differ from byte 0x5 on\n\
         ~ 5 -> 5 VP_CONTEXT processor 0 from file 0x10c0..0x20c0, mask 0x1\n\
         \x20   data differ from byte 0x80 on\n\
         processors: 1 -> 1, 1 register differs\n\
         \x20 0.rip: 0x1000 -> 0x1008\n\
         memory: 1 range differs\n\
         ~ 0x1005..0x1006  1 byte differs\n"
    );
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["registers"]["changed"]["kept"][0]["after"], "0x1008");
    assert_eq!(json["memory"]["changes"]["kept"][0]["change"], "content");
}

/// One file under two platforms: only what each platform sees, and no mask.
#[test]
fn a_platform_sees_its_own_headers() {
    let document =
        Document::from_bytes((igvm_samples::by_name("platforms").unwrap().build)()).unwrap();
    let platforms: Vec<u32> =
        document.file().platforms().map(|platform| platform.compatibility_mask).collect();
    let mut headers = HeaderDiff::default();
    let [before, after] =
        [platforms[0], platforms[1]].map(|mask| FileSide { mask: Some(mask), ..side(&document) });
    while headers.step(before, after) {}
    let report = headers.into_report();
    assert_eq!((report.headers.added, report.headers.removed), (5, 1), "{report}");
    let fields = report.changed.kept.iter().flat_map(|changed| &changed.fields);
    assert!(fields.clone().all(|field| field.name != "compatibility_mask"));
    assert!(report.changed.kept.iter().any(|changed| changed.name == "VP_CONTEXT"), "{report}");
}

/// Half a million headers that all stand elsewhere, and a parameter area of
/// more bytes than anybody has.
#[test]
fn large_and_hostile_files_take_little_time() {
    let start = std::time::Instant::now();
    let build = |turned: bool| {
        let mut file = FileBuilder::new(Version::V2_X64);
        file.push(HeaderSpec::platform(IgvmPlatformType::NATIVE, MASK)).unwrap();
        for index in 0..2 {
            let number_of_bytes = 1 << (50 + u32::from(turned));
            file.push(HeaderSpec::ParameterArea { index, number_of_bytes, initial: Data::Zero })
                .unwrap();
        }
        for number in 0..1 << 19 {
            let number = if turned { (1 << 19) - number } else { number };
            file.push(HeaderSpec::zero_page(number * 2 * PAGE, MASK)).unwrap();
        }
        Document::from_bytes(file.finish()).unwrap()
    };
    let (one, other) = (build(false), build(true));
    let tables = host(1 << 20);
    let report = diff(&one, &other, &tables);
    let counts = report.headers.headers;
    assert_eq!((counts.added, counts.removed, counts.changed), (1, 1, 2));
    assert_eq!(report.memory.unwrap().changes.total, 1);
    assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
}

/// A page whose data are not in the file is no reason to stop.
#[test]
fn what_cannot_be_read_is_said() {
    let whole = build(&[(1, Some((5, 6)))].into(), |number| number, &[], 0);
    let bytes = (igvm_samples::by_name("hello-long64").unwrap().build)();
    let half = Document::from_bytes(bytes[..bytes.len() / 2].to_vec()).unwrap();
    let tables = host(1 << 20);
    assert!(!diff(&whole, &half, &tables).is_same());
    let machine = load(&half, &tables);
    let same = MachineSide { machine: machine.machine(), host: tables.host(), data: &half };
    let mut memory = MemoryDiff::new(same, same, true);
    while memory.step(same, same) {}
    assert!(memory.report().changes.is_empty());
    assert!(RegistersReport::new(machine.machine(), machine.machine()).is_same());
}
