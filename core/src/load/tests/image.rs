//! [`MemoryImage`] against the plainest model there is: the list of all writes,
//! of which the last one that covers a byte counts.
//!
//! Between two neighbouring ends of writes everything is constant or counts
//! up, so looking at the bytes around every end looks at all of them.

use std::collections::BTreeSet;
use std::vec;
use std::vec::Vec;

use igvm_defs::{IGVM_VHS_PAGE_DATA, IgvmPageDataFlags, IgvmPageDataType, PAGE_SIZE_4K};
use proptest::prelude::*;

use crate::file::{HeaderRef, PAGE_SIZE_2M};
use crate::load::{
    BLOCK_LEN, Extent, ExtentBlock, GuestMemory, Host, MemoryImage, Overlap, Source, Space,
};
use crate::span::Span;
use crate::wire::ParameterKind;

/// Bytes of the file behind the extents.
const FILE_LEN: u64 = 3 * PAGE_SIZE_2M;
const COMMAND_LINE: &[u8] = b"console=ttyS0 panic=-1 quiet";

#[derive(Debug, Clone)]
enum Step {
    /// PAGE_DATA headers in a row, as nearly every file has them.
    Pages { page: u64, count: u64, large: bool, zero: bool, offset: u32, shared: bool },
    /// One large page off its natural alignment, as relocation may put it.
    MovedLarge { page: u64 },
    /// A piece of any size in any space.
    Piece { space: Space, span: Span, source: Source, area: Option<u32> },
    /// Headers of other kinds in between: the next page starts a new run.
    Skip { headers: u32 },
}

fn space() -> impl Strategy<Value = Space> {
    prop_oneof![
        3 => Just(Space::Guest),
        1 => Just(Space::Required),
        2 => (0u32..2).prop_map(Space::Area),
    ]
}

fn source() -> impl Strategy<Value = Source> {
    prop_oneof![
        (0u64..0x10000).prop_map(|offset| Source::File { offset }),
        Just(Source::Zero),
        (0u64..40)
            .prop_map(|offset| Source::Parameter { kind: ParameterKind::CommandLine, offset }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let pages = (0u64..1100, 1u64..20, any::<bool>(), any::<bool>(), 1u32..40, any::<bool>())
        .prop_map(|(page, count, zero, close, offset, shared)| {
            let offset = if close { 4096 } else { offset * 1000 };
            Step::Pages { page, count, large: false, zero, offset, shared }
        });
    let large = (0u64..3, 1u64..3, any::<bool>()).prop_map(|(page, count, zero)| Step::Pages {
        page,
        count,
        large: true,
        zero,
        offset: 4096,
        shared: false,
    });
    let piece = (space(), 0u64..0x20000, 1u64..0x6000, source(), prop::option::of(0u32..2))
        .prop_map(|(space, start, len, source, area)| Step::Piece {
            space,
            span: Span::new(start, len),
            source,
            area,
        });
    prop_oneof![
        6 => pages,
        2 => large,
        1 => (0u64..1100).prop_map(|page| Step::MovedLarge { page }),
        6 => piece,
        1 => (1u32..4).prop_map(|headers| Step::Skip { headers }),
    ]
}

/// The writes that a list of steps stands for.
fn writes(steps: &[Step]) -> Vec<Extent> {
    let mut header = HeaderRef { index: 1, offset: 64 };
    let mut next = || {
        let this = header;
        header.index += 1;
        header.offset += 32;
        this
    };
    let mut writes = Vec::new();
    for step in steps {
        match *step {
            Step::Pages { page, count, large, zero, offset, shared } => {
                let len = if large { PAGE_SIZE_2M } else { PAGE_SIZE_4K };
                for nth in 0..count {
                    let file_offset = if zero { 0 } else { offset + (nth * len) as u32 };
                    let header = page_data(file_offset, large, shared);
                    writes.push(Extent::page(&header, (page + nth) * len, next()));
                }
            }
            Step::MovedLarge { page } => {
                let header = page_data(4096, true, false);
                writes.push(Extent::page(&header, page * PAGE_SIZE_4K, next()));
            }
            Step::Piece { space, span, source, area } => {
                let piece = Extent::new(space, span, source, next());
                writes.push(area.map_or(piece, |area| piece.through(area)));
            }
            Step::Skip { headers } => (0..headers).for_each(|_| {
                next();
            }),
        }
    }
    writes
}

fn page_data(file_offset: u32, large: bool, shared: bool) -> IGVM_VHS_PAGE_DATA {
    IGVM_VHS_PAGE_DATA {
        gpa: 0,
        compatibility_mask: 1,
        file_offset,
        flags: IgvmPageDataFlags::new().with_is_2mb_page(large).with_shared(shared),
        data_type: IgvmPageDataType::NORMAL,
        reserved: 0,
    }
}

/// All that is known of one byte.
#[derive(Debug, PartialEq, Eq)]
struct Byte {
    writer: HeaderRef,
    source: Source,
    flags: IgvmPageDataFlags,
    data_type: IgvmPageDataType,
    area: Option<u32>,
}

fn byte_of(extent: &Extent, at: u64, writer: HeaderRef) -> Byte {
    let by = at - extent.span.start;
    let source = match extent.source {
        Source::File { offset } => Source::File { offset: offset + by },
        Source::Parameter { kind, offset } => Source::Parameter { kind, offset: offset + by },
        Source::Fixup { offset } => Source::Fixup { offset: offset + by },
        constant => constant,
    };
    let Extent { flags, data_type, area, .. } = *extent;
    Byte { writer, source, flags, data_type, area }
}

/// What the list of writes says of a byte.
fn expected(writes: &[Extent], space: Space, at: u64) -> Option<Byte> {
    let last = writes.iter().rev().find(|write| write.space == space && write.span.contains(at))?;
    Some(byte_of(last, at, last.writer))
}

fn spaces(writes: &[Extent]) -> BTreeSet<Space> {
    writes.iter().map(|write| write.space).collect()
}

/// The bytes around every end of a write.
fn samples(writes: &[Extent], space: Space) -> BTreeSet<u64> {
    let of_space = writes.iter().filter(|write| write.space == space);
    let ends = of_space.flat_map(|write| [write.span.start, write.span.end()]);
    ends.flat_map(|end| [end.saturating_sub(1), end]).collect()
}

fn assert_same(image: &MemoryImage<'_>, writes: &[Extent]) {
    for space in spaces(writes) {
        let extents: Vec<Extent> = image.extents(space).copied().collect();
        assert!(extents.iter().all(|extent| extent.space == space && !extent.span.is_empty()));
        for pair in extents.windows(2) {
            assert!(pair[0].span.end() <= pair[1].span.start, "{pair:#?}");
        }
        for at in samples(writes, space) {
            let found =
                image.extent_at(space, at).map(|extent| byte_of(extent, at, extent.writer_at(at)));
            assert_eq!(found, expected(writes, space, at), "{space:?} {at:#x}");
        }
    }
}

/// What was covered already of the span that the last write covers.
fn assert_overlaps(reports: &[Overlap], writes: &[Extent]) {
    let (new, before) = writes.split_last().unwrap();
    let mut ends = samples(before, new.space);
    ends.extend([new.span.start, new.span.end()]);
    let ends: Vec<u64> = ends.into_iter().filter(|at| *at <= new.span.end()).collect();
    let covered: u64 = ends
        .windows(2)
        .filter(|pair| new.span.contains(pair[0]))
        .filter(|pair| expected(before, new.space, pair[0]).is_some())
        .map(|pair| pair[1] - pair[0])
        .sum();
    assert_eq!(reports.iter().map(|report| report.span.len).sum::<u64>(), covered);
    for pair in reports.windows(2) {
        assert!(pair[0].span.end() <= pair[1].span.start, "{pair:#?}");
    }
    for report in reports {
        assert!(new.span.contains_span(report.span));
        assert_eq!((report.space, report.later), (new.space, new.writer));
        let first = expected(before, new.space, report.span.start).unwrap();
        assert_eq!(report.earlier, first.writer);
    }
}

fn file_bytes() -> Vec<u8> {
    (0..FILE_LEN).map(|at| (at % 251) as u8).collect()
}

fn byte_value(byte: Option<&Byte>, file: &[u8]) -> u8 {
    match byte.map(|byte| byte.source) {
        Some(Source::File { offset }) => file[offset as usize],
        Some(Source::Parameter { offset, .. }) => {
            COMMAND_LINE.get(offset as usize).copied().unwrap_or(0)
        }
        _ => 0,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn last_writer_wins(steps in prop::collection::vec(step(), 1..40)) {
        let writes = writes(&steps);
        let mut blocks = vec![ExtentBlock::new(); 64];
        let mut image = MemoryImage::new(&mut blocks);
        for done in 1..=writes.len() {
            let mut reports = Vec::new();
            image.write(writes[done - 1], &mut |overlap| reports.push(overlap)).unwrap();
            assert_overlaps(&reports, &writes[..done]);
        }
        assert_same(&image, &writes);
    }

    #[test]
    fn reads_what_was_written(
        steps in prop::collection::vec(step(), 1..30),
        ranges in prop::collection::vec((space(), 0u64..0x22000, 0usize..0x3000), 1..6),
    ) {
        let writes = writes(&steps);
        let mut blocks = vec![ExtentBlock::new(); 64];
        let mut image = MemoryImage::new(&mut blocks);
        for write in &writes {
            image.write(*write, &mut |_| {}).unwrap();
        }
        let file = file_bytes();
        let host = Host { command_line: COMMAND_LINE, ..Host::new(&[], &[]) };
        let memory =
            GuestMemory { image: &image, data: file.as_slice(), host: &host, fixups: &[] };
        for (space, start, len) in ranges {
            let mut bytes = vec![0xaa; len];
            memory.read_space(space, start, &mut bytes).unwrap();
            for (at, byte) in (start..).zip(&bytes).step_by(7) {
                let expected = expected(&writes, space, at);
                assert_eq!(*byte, byte_value(expected.as_ref(), &file), "{space:?} {at:#x}");
            }
        }
    }

    #[test]
    fn cuts_agree_with_single_bytes(
        steps in prop::collection::vec(step(), 1..30),
        start in 0u64..0x22000,
        len in 0u64..0x400000,
    ) {
        let writes = writes(&steps);
        let mut blocks = vec![ExtentBlock::new(); 64];
        let mut image = MemoryImage::new(&mut blocks);
        for write in &writes {
            image.write(*write, &mut |_| {}).unwrap();
        }
        let whole = Span::new(start, len);
        for space in spaces(&writes) {
            for piece in image.extents_in(space, whole) {
                assert!(whole.contains_span(piece.span) && !piece.span.is_empty());
                let (first, last) = piece.writers();
                for (at, writer) in [(piece.span.start, first), (piece.span.end() - 1, last)] {
                    let byte = byte_of(&piece, at, writer);
                    assert_eq!(Some(byte), expected(&writes, space, at));
                }
            }
        }
    }

    /// Until the storage is full everything is as it should be; then the write
    /// fails and nothing panics.
    #[test]
    fn storage_may_run_out(
        count in 0usize..3,
        starts in prop::collection::vec(0u64..2000, 1..600),
    ) {
        let mut blocks = vec![ExtentBlock::new(); count];
        let mut image = MemoryImage::new(&mut blocks);
        let mut header = HeaderRef::default();
        for (done, start) in starts.iter().enumerate() {
            header.index += 1;
            let span = Span::new(*start * 16, 24);
            let extent = Extent::new(Space::Guest, span, Source::Zero, header);
            if image.write(extent, &mut |_| {}).is_err() {
                assert!(done >= count * BLOCK_LEN / 4, "full after {done} writes");
                break;
            }
        }
        let extents: Vec<Span> = image.extents(Space::Guest).map(|extent| extent.span).collect();
        assert!(extents.windows(2).all(|pair| pair[0].end() <= pair[1].start));
    }
}

/// Pages in a row are one extent, of whatever size and also of zeroes.
#[test]
fn runs_are_one_extent() {
    for (large, zero) in [(false, false), (false, true), (true, false), (true, true)] {
        let writes = writes(&[Step::Pages {
            page: 1,
            count: 300,
            large,
            zero,
            offset: 4096,
            shared: false,
        }]);
        let mut blocks = vec![ExtentBlock::new(); 1];
        let mut image = MemoryImage::new(&mut blocks);
        for write in &writes {
            image.write(*write, &mut |_| {}).unwrap();
        }
        let extents: Vec<&Extent> = image.extents(Space::Guest).collect();
        assert_eq!(extents.len(), 1);
        assert_eq!(extents[0].writers(), (writes[0].writer, writes[299].writer));
    }
}
