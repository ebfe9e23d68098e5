//! Runs of pages are loaded and checked at a stroke; the outcome must be that
//! of one page after the other.

use std::collections::BTreeMap;

use igvm_core::check::structure;
use igvm_core::defs::{
    IGVM_VHS_PAGE_DATA, IgvmPageDataFlags, IgvmPageDataType, IgvmPlatformType,
    IgvmVariableHeaderType,
};
use igvm_core::file::IgvmFile;
use igvm_core::load::{
    AreaBlock, ExtentBlock, GUEST_PHYSICAL_LIMIT, Host, ProblemKind, Processor, Space, Storage,
    load,
};
use igvm_core::span::Span;
use igvm_core::write::{self, Data, HeaderSpec, Slot, Version, Writer};
use proptest::prelude::*;
use zerocopy::IntoBytes;

const PAGE: u64 = 0x1000;
const NATIVE: u32 = 1;
/// A directive that nobody knows.
const SKIPPED: IgvmVariableHeaderType = IgvmVariableHeaderType(0x3ff);
/// Pages of file data.
const DATA_PAGES: usize = 12;

/// Pages that carry on one another, perhaps.
#[derive(Debug, Clone)]
struct Run {
    gpa: u64,
    count: u32,
    /// Where the data of the first page lies; 0 for zeroes.
    offset: u32,
    /// From a page's data to the next one's.
    stride: u32,
    mask: u32,
    data_type: IgvmPageDataType,
    optional: bool,
    /// This page of the run is of another header type, which loaders skip.
    foreign: u32,
}

/// One page, as it stands in the file.
#[derive(Debug, Clone, Copy)]
struct Page {
    gpa: u64,
    offset: u32,
    mask: u32,
    data_type: IgvmPageDataType,
    optional: bool,
    foreign: bool,
}

impl Page {
    fn is_outside(&self, file_len: u64) -> bool {
        self.offset != 0 && u64::from(self.offset) + PAGE > file_len
    }
}

fn run() -> impl Strategy<Value = Run> {
    let near_the_limit = GUEST_PHYSICAL_LIMIT - 4 * PAGE;
    let gpa = prop_oneof![
        8 => (0..24_u64).prop_map(|page| page * PAGE),
        1 => (0..5_u64).prop_map(move |page| near_the_limit + page * PAGE),
        1 => Just(PAGE + 8),
    ];
    // Inside the headers, in the data, past its end, past 32 bits.
    let offset = prop_oneof![
        3 => Just(0),
        8 => 0x100..0x1_2000_u32,
        1 => Just(u32::MAX - 0x2fff),
    ];
    let stride = prop_oneof![8 => Just(PAGE as u32), 1 => Just(0), 1 => Just(0x800)];
    let mask = prop_oneof![8 => Just(NATIVE), 1 => Just(0), 1 => Just(2), 1 => Just(3)];
    let data_type = prop_oneof![
        8 => Just(IgvmPageDataType::NORMAL),
        1 => Just(IgvmPageDataType::SECRETS),
        1 => Just(IgvmPageDataType(9)),
    ];
    let optional = prop::bool::weighted(0.1);
    (gpa, 1..9_u32, offset, stride, mask, data_type, optional, 1..20_u32).prop_map(
        |(gpa, count, offset, stride, mask, data_type, optional, foreign)| Run {
            gpa,
            count,
            offset,
            stride,
            mask,
            data_type,
            optional,
            foreign,
        },
    )
}

impl Run {
    fn pages(&self) -> impl Iterator<Item = Page> {
        (0..self.count).map(|nth| Page {
            gpa: self.gpa + u64::from(nth) * PAGE,
            offset: match self.offset {
                0 => 0,
                offset => offset.wrapping_add(nth * self.stride),
            },
            mask: self.mask,
            data_type: self.data_type,
            optional: self.optional,
            foreign: nth == self.foreign,
        })
    }
}

/// The file of these pages, behind a platform and an area whose data is the
/// file's only data. Returns it with the number of the first page's header.
fn file(pages: &[Page]) -> (Vec<u8>, u32) {
    let junk: Vec<u8> = (0..DATA_PAGES * PAGE as usize).map(|at| (at / 7 % 251) as u8).collect();
    let mut headers = vec![0; 64 + 32 * pages.len()];
    let mut data = vec![0; junk.len()];
    let storage =
        write::Storage { headers: &mut headers, data: &mut data, slots: &mut [Slot::default(); 2] };
    let mut writer = Writer::new(Version::V2_X64, storage);
    writer.push(HeaderSpec::platform(IgvmPlatformType::NATIVE, NATIVE)).unwrap();
    let area = HeaderSpec::ParameterArea {
        index: 0,
        number_of_bytes: junk.len() as u64,
        initial: Data::Bytes(&junk),
    };
    writer.push(area).unwrap();
    for page in pages {
        let value = IGVM_VHS_PAGE_DATA {
            gpa: page.gpa,
            compatibility_mask: page.mask,
            file_offset: page.offset,
            flags: IgvmPageDataFlags::new(),
            data_type: page.data_type,
            reserved: 0,
        };
        let typ = if page.foreign { SKIPPED } else { IgvmVariableHeaderType::IGVM_VHT_PAGE_DATA };
        let header = HeaderSpec::Raw { typ: typ.0, value: value.as_bytes() };
        let optional = page.optional || page.foreign;
        if optional { writer.push_optional(header) } else { writer.push(header) }.unwrap();
    }
    let mut file = vec![0; writer.file_len()];
    writer.finish_into(&mut file).unwrap();
    (file, 2)
}

/// What one page after the other comes to.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    /// Who wrote a page last, and its data's offset.
    written: BTreeMap<u64, (u32, u32)>,
    /// Which page, who wrote it before, who does now.
    overlaps: Vec<(u64, u32, u32)>,
    /// The headers that could not be loaded.
    refused: Vec<u32>,
}

fn expected(pages: &[Page], first: u32, file_len: u64) -> Outcome {
    let mut outcome = Outcome::default();
    for (header, page) in (first..).zip(pages) {
        if page.mask & NATIVE == 0 || page.foreign {
            continue;
        }
        if page.gpa % PAGE != 0
            || page.is_outside(file_len)
            || page.gpa + PAGE > GUEST_PHYSICAL_LIMIT
        {
            outcome.refused.push(header);
            continue;
        }
        if let Some((earlier, _)) = outcome.written.insert(page.gpa, (header, page.offset)) {
            outcome.overlaps.push((page.gpa, earlier, header));
        }
    }
    outcome
}

fn loaded(bytes: &[u8]) -> Outcome {
    let file = IgvmFile::parse(bytes).unwrap();
    let mut outcome = Outcome::default();
    let mut extents = vec![ExtentBlock::new(); 16];
    let storage = Storage {
        extents: &mut extents,
        areas: &mut [AreaBlock::new()],
        processors: &mut [Processor::reset(0)],
        fixups: &mut [],
    };
    let ram = [Span::new(0, 1 << 30)];
    let host = Host::new(&ram, &[]);
    let native = IgvmPlatformType::NATIVE;
    let machine = load(&file, bytes, native, &host, storage, &mut |problem| match problem.kind {
        ProblemKind::Overlap(overlap) => {
            assert_eq!((overlap.span.len, problem.header), (PAGE, overlap.later));
            let (earlier, later) = (overlap.earlier.index, overlap.later.index);
            outcome.overlaps.push((overlap.span.start, earlier, later));
        }
        _ => outcome.refused.push(problem.header.index),
    })
    .unwrap();
    let memory = machine.memory(bytes, &host);
    for extent in machine.image().extents(Space::Guest) {
        for gpa in (extent.span.start..extent.span.end()).step_by(PAGE as usize) {
            let writer = extent.writer_at(gpa);
            assert_eq!(file.header(writer).map(|header| header.index), Some(writer.index));
            let offset = extent.file_span().map_or(0, |span| span.start + gpa - extent.span.start);
            outcome.written.insert(gpa, (writer.index, offset as u32));
            let mut page = [0; PAGE as usize];
            memory.read(gpa, &mut page).unwrap();
            let from_file = &bytes[offset as usize..][..page.len()];
            assert!(if offset == 0 { page == [0; PAGE as usize] } else { page == from_file });
        }
    }
    outcome
}

/// The headers that a rule has something to say about.
fn findings(bytes: &[u8], rule: &str) -> Vec<u32> {
    let file = IgvmFile::parse(bytes).unwrap();
    let mut headers = Vec::new();
    structure(&file, bytes, &mut [AreaBlock::new()], &mut |finding| {
        if finding.rule.id == rule {
            headers.extend(finding.header.map(|header| header.index));
        }
    })
    .unwrap();
    headers
}

fn headers_where(pages: &[Page], first: u32, is: impl Fn(&Page) -> bool) -> Vec<u32> {
    (first..)
        .zip(pages)
        .filter(|(_, page)| !page.foreign && is(page))
        .map(|(header, _)| header)
        .collect()
}

proptest! {
    #[test]
    fn a_run_is_its_pages(runs in prop::collection::vec(run(), 1..12)) {
        let pages: Vec<Page> = runs.iter().flat_map(Run::pages).collect();
        let (bytes, first) = file(&pages);
        let file_len = bytes.len() as u64;
        prop_assert_eq!(loaded(&bytes), expected(&pages, first, file_len));

        let outside = headers_where(&pages, first, |page| page.is_outside(file_len));
        prop_assert_eq!(findings(&bytes, "data.outside-file"), outside);
        let headers_end = file_len - (DATA_PAGES as u64 * PAGE);
        let inside = headers_where(&pages, first, |page| {
            page.offset != 0 && u64::from(page.offset) < headers_end
        });
        prop_assert_eq!(findings(&bytes, "data.inside-headers"), inside);
        let beyond = headers_where(&pages, first, |page| {
            page.gpa % PAGE == 0 && page.gpa + PAGE > GUEST_PHYSICAL_LIMIT
        });
        prop_assert_eq!(findings(&bytes, "memory.beyond-address-space"), beyond);
        let unknown = headers_where(&pages, first, |page| page.data_type.0 > 3);
        prop_assert_eq!(findings(&bytes, "page.data-type"), unknown);
    }
}
