//! Rows of sixteen bytes: of the file, and of guest memory with what nobody
//! wrote folded away.

use igvm_core::load::{Extent, Space};
use igvm_core::span::Span;

use super::document::Document;
use super::focus::Selection;
use super::machine::Loaded;

/// Bytes of a row.
pub const BYTES: u64 = 16;

/// Every so many extents it is kept which row they begin in.
const STRIDE: usize = 1024;

/// Rows of all there is: 2^64 bytes.
const LINES: u64 = 1 << 60;

/// Ranges of data in a file that are kept apart.
const RANGES_MAX: usize = 1 << 18;

/// Which bytes are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Place {
    /// Those of the file.
    #[default]
    File,
    /// Those of guest memory.
    Guest,
}

impl Place {
    /// Where a selection is looked at.
    pub fn of(selection: Option<Selection>) -> Self {
        match selection {
            Some(Selection::Guest(_) | Selection::Linear(_)) => Self::Guest,
            _ => Self::File,
        }
    }

    /// An address there as a selection.
    pub fn selection(self, at: u64) -> Selection {
        match self {
            Self::File => Selection::File(at),
            Self::Guest => Selection::Guest(at),
        }
    }
}

/// A row of guest memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Row {
    /// Sixteen bytes from here, some of them written.
    Bytes(u64),
    /// Nothing is written from the first to the last address.
    Fold(u64, u64),
}

/// Where to go on counting: before an extent.
#[derive(Debug, Clone, Copy)]
struct Mark {
    /// The start of the extent.
    gpa: u64,
    /// The line (of 2^60) behind the last one that is counted.
    line: u64,
    /// Rows so far.
    row: u64,
}

/// The rows of guest memory: those that are written, in whole lines of sixteen
/// bytes, and one for each stretch without.
#[derive(Debug)]
pub struct GuestRows {
    marks: Vec<Mark>,
    len: u64,
}

/// What an extent adds: the fold before it, and its own lines.
struct Added {
    fold: Option<(u64, u64)>,
    lines: std::ops::Range<u64>,
    /// The row of the fold, or of the first line.
    row: u64,
}

impl Mark {
    const START: Self = Self { gpa: 0, line: 0, row: 0 };

    /// Counts an extent.
    fn add(&mut self, extent: &Extent) -> Added {
        let start = (extent.span.start / BYTES).max(self.line);
        let end = ((extent.span.end().saturating_sub(1)) / BYTES + 1).max(start);
        let fold = (start > self.line).then_some((self.line, start));
        let added = Added { fold, lines: start..end, row: self.row };
        self.row += u64::from(fold.is_some()) + (end - start);
        self.line = end;
        added
    }
}

impl Added {
    /// The row that is so far behind its first.
    fn nth(&self, nth: u64) -> Option<Row> {
        match (self.fold, nth) {
            (Some((from, to)), 0) => Some(fold(from, to)),
            (folded, nth) => {
                let line = self.lines.start + nth - u64::from(folded.is_some());
                self.lines.contains(&line).then_some(Row::Bytes(line * BYTES))
            }
        }
    }
}

fn fold(from: u64, to: u64) -> Row {
    Row::Fold(from * BYTES, (to - 1) * BYTES + (BYTES - 1))
}

impl GuestRows {
    /// Counts them, once.
    pub fn new(loaded: &Loaded) -> Self {
        let (mut marks, mut at) = (Vec::new(), Mark::START);
        for (number, extent) in loaded.extents(Space::Guest).enumerate() {
            if number % STRIDE == 0 {
                marks.push(Mark { gpa: extent.span.start, ..at });
            }
            at.add(extent);
        }
        Self { marks, len: at.row + u64::from(at.line < LINES) }
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are none: never, for what is not written is a row.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Goes through the extents from the last mark that `is_before`.
    fn from<'a>(
        &self,
        loaded: &'a Loaded,
        is_before: impl Fn(&Mark) -> bool,
    ) -> (Mark, impl Iterator<Item = &'a Extent>) {
        let number = self.marks.partition_point(is_before).saturating_sub(1);
        let mark = self.marks.get(number).copied();
        let extents = mark.map(|mark| loaded.extents_above(mark.gpa));
        (mark.unwrap_or(Mark::START), extents.into_iter().flatten())
    }

    /// So many rows from one on.
    pub fn rows(&self, loaded: &Loaded, first: u64, count: u64) -> Vec<Row> {
        let end = first.saturating_add(count).min(self.len);
        let mut rows = Vec::new();
        let (mut at, extents) = self.from(loaded, |mark| mark.row <= first);
        for extent in extents {
            if at.row >= end {
                return rows;
            }
            let added = at.add(extent);
            for row in first.max(added.row)..end.min(at.row) {
                rows.extend(added.nth(row - added.row));
            }
        }
        if at.line < LINES && (first..end).contains(&at.row) {
            rows.push(fold(at.line, LINES));
        }
        rows
    }

    /// The row of an address; every address has one.
    pub fn row_of(&self, loaded: &Loaded, gpa: u64) -> u64 {
        let line = gpa / BYTES;
        let (mut at, extents) = self.from(loaded, |mark| mark.line <= line);
        for extent in extents {
            let added = at.add(extent);
            if line < added.lines.start {
                return added.row;
            }
            if line < added.lines.end {
                let folded = u64::from(added.fold.is_some());
                return added.row + folded + (line - added.lines.start);
            }
        }
        at.row
    }
}

/// What bytes of a file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The fixed header.
    Fixed,
    /// A variable header of this index.
    Header(u32),
    /// Padding behind that header's value.
    Padding,
    /// What a header's `file_offset` names.
    Data,
    /// Nothing speaks of these bytes.
    Unexplained,
}

impl Part {
    /// The name in the style sheet.
    pub const fn class(self) -> &'static str {
        match self {
            Self::Fixed => "p-fixed",
            Self::Header(index) if index % 2 == 0 => "p-header",
            Self::Header(_) => "p-odd",
            Self::Padding => "p-padding",
            Self::Data => "p-data",
            Self::Unexplained => "p-unexplained",
        }
    }

    /// What it is, in words.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Fixed => "the fixed header",
            Self::Header(_) => "a header",
            Self::Padding => "padding behind a header",
            Self::Data => "data that a header names",
            Self::Unexplained => "bytes that nothing in the file speaks of",
        }
    }
}

/// Where the data of all headers lies.
#[derive(Debug, Default)]
pub struct DataMap {
    /// By address, apart from each other; `None` where they are too many.
    ranges: Option<Vec<Span>>,
}

impl DataMap {
    /// Looks at every header, once.
    pub fn new(document: &Document) -> Self {
        let file = document.file();
        let spans = file.headers().filter_map(|header| file.data_range(&header, document.data()));
        Self { ranges: merged(spans, RANGES_MAX) }
    }

    /// What the bytes of a range of the file are, in pieces.
    pub fn parts(&self, document: &Document, span: Span) -> Vec<(Span, Part)> {
        let fixed = document.file().fixed().len();
        let mut pieces: Vec<(Span, Part)> = Vec::new();
        let mut at = span.start;
        while at < span.end() {
            let (end, part) = if at < fixed {
                (fixed, Part::Fixed)
            } else if let Some(header) = document.header_at(at) {
                match header.padding_range() {
                    padding if padding.contains(at) => (padding.end(), Part::Padding),
                    padding => (padding.start, Part::Header(header.index)),
                }
            } else {
                let end = document.header_after(at).unwrap_or(u64::MAX);
                self.data(Span::between(at, end))
            };
            let piece = Span::between(at, end.min(span.end()));
            match pieces.last_mut() {
                Some((last, same)) if *same == part => last.len += piece.len,
                _ => pieces.push((piece, part)),
            }
            at = piece.end();
        }
        pieces
    }

    /// Whether the start of a range is data, and how far that goes.
    fn data(&self, span: Span) -> (u64, Part) {
        let Some(ranges) = &self.ranges else { return (span.end(), Part::Data) };
        let next = ranges.partition_point(|range| range.end() <= span.start);
        match ranges.get(next) {
            Some(range) if range.start <= span.start => (range.end().min(span.end()), Part::Data),
            Some(range) => (range.start.min(span.end()), Part::Unexplained),
            None => (span.end(), Part::Unexplained),
        }
    }
}

/// Spans in order, those that touch made one; `None` where there are many more
/// than `max` on the way, or more in the end.
fn merged(spans: impl Iterator<Item = Span>, max: usize) -> Option<Vec<Span>> {
    let mut ranges: Vec<Span> = Vec::new();
    for span in spans.filter(|span| !span.is_empty()) {
        match ranges.last_mut() {
            // Pages one after the other, or all the same one.
            Some(last) if (last.start..=last.end()).contains(&span.start) => {
                *last = Span::between(last.start, last.end().max(span.end()));
            }
            _ => ranges.push(span),
        }
        if ranges.len() >= 4 * max {
            in_order(&mut ranges);
            if ranges.len() > max {
                return None;
            }
        }
    }
    in_order(&mut ranges);
    (ranges.len() <= max).then_some(ranges)
}

fn in_order(ranges: &mut Vec<Span>) {
    ranges.sort_unstable();
    ranges.dedup_by(|next, last| {
        let touch = next.start <= last.end();
        if touch {
            *last = Span::between(last.start, last.end().max(next.end()));
        }
        touch
    });
}

#[cfg(test)]
mod tests {
    use igvm_analysis::host::HostDescription;
    use igvm_core::data::FileData;
    use igvm_core::defs::IgvmPlatformType;
    use igvm_core::write::{FileBuilder, HeaderSpec, Version};
    use proptest::prelude::*;

    use super::*;
    use crate::model::focus::Subject;
    use crate::model::machine::first_platform;

    fn documents() -> Vec<Document> {
        let good = igvm_samples::all().iter().map(|sample| (sample.build)());
        let broken = igvm_samples::broken::all().map(|sample| (sample.build)());
        let open = |bytes: Vec<u8>| {
            let len = bytes.len() as u64;
            Document::open(Subject::File("a".into()), len, Box::new(bytes)).ok()
        };
        good.chain(broken).filter_map(open).collect()
    }

    /// Thousands of pages, some next to each other, most far apart, each an
    /// extent of its own.
    fn sparse() -> Document {
        let mut file = FileBuilder::new(Version::V2_X64);
        file.push(HeaderSpec::platform(IgvmPlatformType::NATIVE, 1)).unwrap();
        for page in 0..5_000_u64 {
            let gpa = (page + page / 3 * (page % 7)) << 12;
            let bytes = page.to_le_bytes();
            let header = match page % 2 {
                0 => HeaderSpec::zero_page(gpa, 1),
                _ => HeaderSpec::page(gpa, 1, &bytes),
            };
            file.push(header).unwrap();
        }
        let bytes = file.finish();
        let len = bytes.len() as u64;
        Document::open(Subject::File("sparse".into()), len, Box::new(bytes)).unwrap()
    }

    fn machines() -> Vec<Loaded> {
        let load = |document: &Document| {
            Loaded::new(document, first_platform(document)?, &HostDescription::default()).ok()
        };
        let machines: Vec<Loaded> =
            documents().iter().chain([&sparse()]).filter_map(load).collect();
        assert!(machines.iter().any(|loaded| loaded.written.extents > 2 * STRIDE as u64));
        machines
    }

    #[test]
    fn every_address_has_its_row_and_every_row_its_address() {
        for loaded in machines() {
            let rows = GuestRows::new(&loaded);
            let step = rows.len() / 500 + 1;
            let mut first = 0;
            while first < rows.len() {
                let some = rows.rows(&loaded, first, 9);
                assert_eq!(some.len() as u64, (rows.len() - first).min(9));
                for (row, nth) in some.iter().zip(first..) {
                    let (start, end) = match *row {
                        Row::Bytes(start) => (start, start + (BYTES - 1)),
                        Row::Fold(start, end) => (start, end),
                    };
                    let image = loaded.machine().image();
                    let span = Span::between(start, end);
                    let written = image.extents_in(Space::Guest, span).next().is_some()
                        || loaded.extent_at(end).is_some();
                    assert_eq!(written, matches!(row, Row::Bytes(_)), "{row:x?}");
                    for gpa in [start, end, start + (end - start) / 2] {
                        assert_eq!(rows.row_of(&loaded, gpa), nth, "{gpa:#x}");
                    }
                }
                first += step;
            }
            assert_eq!(rows.rows(&loaded, rows.len(), 5), []);
            assert_eq!(rows.row_of(&loaded, u64::MAX), rows.len() - 1);
        }
    }

    #[test]
    fn the_whole_file_is_explained_byte_by_byte() {
        for document in documents() {
            let file = document.file();
            let len = file.file_len().min(0x3000);
            let pieces = DataMap::new(&document).parts(&document, Span::new(0, len));
            let ranges: Vec<Span> = file
                .headers()
                .filter_map(|header| file.data_range(&header, document.data()))
                .collect();
            let mut at = 0;
            for (span, part) in pieces {
                assert_eq!(span.start, at);
                at = span.end();
                for offset in span.start..span.end() {
                    let header = file.headers().find(|header| header.range().contains(offset));
                    let is_data = ranges.iter().any(|range| range.contains(offset));
                    let expected = match header {
                        _ if offset < file.fixed().len() => Part::Fixed,
                        Some(header) if header.padding_range().contains(offset) => Part::Padding,
                        Some(header) => Part::Header(header.index),
                        None if is_data => Part::Data,
                        None => Part::Unexplained,
                    };
                    assert_eq!(part, expected, "{offset:#x}");
                }
            }
            assert_eq!(at, len);
            assert!(document.data().read_at(0, &mut [0; 4]).is_ok());
        }
    }

    proptest! {
        #[test]
        fn merging_keeps_every_byte(spans in prop::collection::vec((0..400_u64, 0..30_u64), 0..60)) {
            let spans: Vec<Span> = spans.iter().map(|(start, len)| Span::new(*start, *len)).collect();
            let ranges = merged(spans.iter().copied(), 100).unwrap();
            for at in 0..450 {
                let before = spans.iter().any(|span| span.contains(at));
                prop_assert_eq!(ranges.iter().any(|range| range.contains(at)), before);
            }
            prop_assert!(ranges.windows(2).all(|pair| pair[0].end() < pair[1].start));
            let few = merged(spans.iter().copied(), 3);
            prop_assert!(few.is_none() || few == Some(ranges));
        }
    }
}
