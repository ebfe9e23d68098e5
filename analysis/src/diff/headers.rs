//! The headers of two files, matched by what they are about: neither their
//! order nor where their data stand in the file is a difference.

use std::collections::BTreeSet;

use igvm_core::data::FileData;
use igvm_core::file::{Header, HeaderRef, IgvmFile, page_len};
use igvm_core::span::Span;
use igvm_core::wire::{Value, kind_name};
use serde::Serialize;

use super::{Bounded, FileSide, first_difference};
use crate::report::{FieldView, FileView, Hex, fields, summary};

/// Work of a step, in bytes of data that are compared.
const STEP: u64 = 1 << 20;

/// What a header costs beside its data.
const HEADER_COST: u64 = 1 << 10;

/// Bytes that are compared at once.
const CHUNK: usize = 64 << 10;

/// Longer values are compared, but not written out.
const VALUE_SHOWN: usize = 4096;

/// What differs between the headers of two files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct HeadersReport {
    /// Headers of the second file that the first has not; runs of pages count
    /// as one.
    pub added: Bounded<HeaderRun>,
    /// Headers of the first file that the second has not.
    pub removed: Bounded<HeaderRun>,
    /// Headers that both have, and that say something else.
    pub changed: Bounded<ChangedHeader>,
    /// The headers behind these three, pages counted one by one.
    pub headers: Counts,
    /// What the fixed headers say, where it is about the machine.
    pub fixed: Vec<FieldChange>,
}

/// How many headers were added, removed, changed and left as they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Only in the second file.
    pub added: u64,
    /// Only in the first file.
    pub removed: u64,
    /// In both, but not alike.
    pub changed: u64,
    /// The same in both.
    pub same: u64,
}

/// A header, or pages of consecutive ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeaderRun {
    /// The first.
    pub header: u32,
    /// How many.
    pub count: u32,
    /// The name of the type.
    pub name: String,
    /// The first in words.
    pub summary: String,
}

/// A header that both files have, or pages of consecutive ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChangedHeader {
    /// The first, in the first file.
    pub before: u32,
    /// The first, in the second file.
    pub after: u32,
    /// How many.
    pub count: u32,
    /// The name of the type.
    pub name: String,
    /// The first in words, as the second file has it.
    pub summary: String,
    /// The fields that differ.
    pub fields: Vec<FieldChange>,
    /// Offset of the first byte that differs in the data behind the header;
    /// of the first of several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Hex>,
}

/// A field with two values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldChange {
    /// The name in the specification.
    pub name: &'static str,
    /// What the first file says.
    pub before: String,
    /// What the second says.
    pub after: String,
}

impl HeadersReport {
    /// Whether nothing differs.
    pub fn is_same(&self) -> bool {
        let Counts { added, removed, changed, .. } = self.headers;
        added + removed + changed == 0 && self.fixed.is_empty()
    }
}

/// What a header is about: its type, and a place, a number or nothing, and
/// whom it is for.
type Key = (u32, u64, u32);

/// Where one of the two files is read.
#[derive(Debug, Default)]
struct Reader {
    next: Option<HeaderRef>,
    ended: bool,
    /// Headers that met no partner yet, in the order of their keys.
    waiting: BTreeSet<(Key, HeaderRef)>,
}

/// The comparison of two files' headers. Time: n log n; memory: a few bytes
/// for each header that stands at another place among the headers than its
/// partner.
#[derive(Debug, Default)]
pub struct HeaderDiff {
    sides: [Reader; 2],
    pair: Option<Pair>,
    report: HeadersReport,
    done: bool,
}

/// Two headers whose data are being compared.
#[derive(Debug)]
struct Pair {
    headers: [HeaderRef; 2],
    contents: [Content; 2],
    /// Bytes that were found equal.
    equal: u64,
}

/// The data behind a header.
#[derive(Debug, Clone, Copy)]
enum Content {
    Nothing,
    Zero(u64),
    File(Span),
}

impl HeaderDiff {
    /// Looks at some headers; false when nothing is left to do. The files are
    /// the same each time.
    pub fn step<D: FileData + ?Sized>(
        &mut self,
        before: FileSide<'_, D>,
        after: FileSide<'_, D>,
    ) -> bool {
        let sides = [before, after];
        let mut work = STEP;
        while work > 0 && !self.done {
            work = work.saturating_sub(self.advance(sides));
        }
        !self.done
    }

    /// How much is done, of 1.
    pub fn progress<D: ?Sized>(&self, sides: [FileSide<'_, D>; 2]) -> f64 {
        let [mut read, mut all] = [0; 2];
        for (reader, side) in self.sides.iter().zip(sides) {
            let headers = side.file.fixed().variable_headers();
            all += headers.len;
            read += match (reader.ended, reader.next) {
                (true, _) => headers.len,
                (false, next) => {
                    next.map_or(0, |next| u64::from(next.offset).saturating_sub(headers.start))
                }
            };
        }
        if self.done { 1.0 } else { read as f64 / all.max(1) as f64 }
    }

    /// What was found so far.
    pub fn report(&self) -> &HeadersReport {
        &self.report
    }

    /// What was found.
    pub fn into_report(self) -> HeadersReport {
        self.report
    }

    /// A bounded piece of work; returns what it cost.
    fn advance<D: FileData + ?Sized>(&mut self, sides: [FileSide<'_, D>; 2]) -> u64 {
        if let Some(pair) = self.pair.take() {
            return self.compare_data(pair, sides);
        }
        // In turn, so that few headers wait for their partners.
        let [first, second] = &self.sides;
        let at = match (first.ended, second.ended) {
            (true, true) => {
                self.finish(sides);
                return 0;
            }
            (false, true) => 0,
            (true, false) => 1,
            (false, false) => {
                let index = |reader: &Reader| reader.next.map_or(0, |next| next.index);
                usize::from(index(second) < index(first))
            }
        };
        self.take(at, sides);
        HEADER_COST
    }

    /// The next header of a side: it meets its partner, or waits for it.
    fn take<D: FileData + ?Sized>(&mut self, at: usize, sides: [FileSide<'_, D>; 2]) {
        let (side, reader) = (sides[at], &mut self.sides[at]);
        let header = match reader.next {
            None => side.file.headers().next(),
            Some(next) => side.file.headers_from(next).next(),
        };
        let Some(header) = header else {
            reader.ended = true;
            return;
        };
        let offset = u32::try_from(header.range().end()).unwrap_or(u32::MAX);
        reader.next = Some(HeaderRef { index: header.index + 1, offset });
        if !side.mask.is_none_or(|mask| header.value().applies_to(mask)) {
            return;
        }
        let key = key(&header, side.mask.is_some());
        // Of several alike, the first meets the first.
        let others = &mut self.sides[1 - at].waiting;
        let first = (key, HeaderRef { index: 0, offset: 0 });
        let partner = others.range(first..).next().filter(|(other, _)| *other == key).copied();
        match partner {
            None => {
                self.sides[at].waiting.insert((key, header.reference()));
            }
            Some(partner) => {
                others.remove(&partner);
                let mut headers = [header.reference(), partner.1];
                if at == 1 {
                    headers.reverse();
                }
                self.pair = Some(Pair::new(headers, sides));
            }
        }
    }

    /// Compares some of the data of a pair, then, at the end, the fields.
    fn compare_data<D: FileData + ?Sized>(
        &mut self,
        mut pair: Pair,
        sides: [FileSide<'_, D>; 2],
    ) -> u64 {
        let len = pair.contents[0].len().min(pair.contents[1].len());
        let rest = len - pair.equal;
        if rest == 0 || pair.is_alike() {
            let differs = (pair.contents[0].len() != pair.contents[1].len()).then_some(len);
            self.compare_fields(&pair, sides, differs);
            return HEADER_COST;
        }
        let chunk = rest.min(CHUNK as u64) as usize;
        let mut buffers = [vec![0; chunk], vec![0; chunk]];
        let mut read = true;
        for ((buffer, content), side) in buffers.iter_mut().zip(pair.contents).zip(sides) {
            read &= content.read(pair.equal, buffer, side.data);
        }
        let difference = match read {
            true => first_difference(&buffers[0], &buffers[1]),
            false => Some(0),
        };
        match difference {
            Some(at) => self.compare_fields(&pair, sides, Some(pair.equal + at as u64)),
            None => {
                pair.equal += chunk as u64;
                self.pair = Some(pair);
            }
        }
        2 * chunk as u64
    }

    fn compare_fields<D: FileData + ?Sized>(
        &mut self,
        pair: &Pair,
        sides: [FileSide<'_, D>; 2],
        data: Option<u64>,
    ) {
        let [before, after] = sides;
        let headers = [(before, pair.headers[0]), (after, pair.headers[1])];
        let [Some(first), Some(second)] = headers.map(|(side, at)| side.file.header(at)) else {
            return;
        };
        let fields = changed_fields([&first, &second], before.mask.is_some());
        if fields.is_empty() && data.is_none() {
            self.report.headers.same += 1;
            return;
        }
        self.report.headers.changed += 1;
        let carries_on = |last: &&mut ChangedHeader| {
            let same = |last: u32, count: u32, now: u32| last.checked_add(count) == Some(now);
            fields.is_empty()
                && last.fields.is_empty()
                && is_page(&first)
                && same(last.before, last.count, first.index)
                && same(last.after, last.count, second.index)
        };
        let changed = &mut self.report.changed;
        let is_last_kept = changed.total == changed.kept.len() as u64;
        if let Some(last) = changed.kept.last_mut().filter(carries_on)
            && is_last_kept
        {
            last.count += 1;
            return;
        }
        changed.add(ChangedHeader {
            before: first.index,
            after: second.index,
            count: 1,
            name: name_of(&second),
            summary: summary(&second, after.file.data_range(&second, after.data)),
            fields,
            data: data.map(Hex),
        });
    }

    /// Who waits now has no partner.
    fn finish<D: FileData + ?Sized>(&mut self, sides: [FileSide<'_, D>; 2]) {
        let [before, after] = sides;
        let [removed, added] = self.sides.each_mut().map(|reader| {
            let waiting = std::mem::take(&mut reader.waiting).into_iter();
            let mut headers: Vec<u64> = waiting.map(|(_, header)| in_file_order(header)).collect();
            headers.sort_unstable();
            headers
        });
        self.report.headers.removed = removed.len() as u64;
        self.report.headers.added = added.len() as u64;
        self.report.removed = runs(&removed, before);
        self.report.added = runs(&added, after);
        self.report.fixed = changed_fixed(&before.file, &after.file);
        self.done = true;
    }
}

impl Pair {
    fn new<D: FileData + ?Sized>(headers: [HeaderRef; 2], sides: [FileSide<'_, D>; 2]) -> Self {
        let mut contents = [Content::Nothing; 2];
        for ((content, side), at) in contents.iter_mut().zip(sides).zip(headers) {
            if let Some(header) = side.file.header(at) {
                *content = Content::of(&header, side);
            }
        }
        Self { headers, contents, equal: 0 }
    }

    /// Whether there is nothing to read to know that both are the same.
    fn is_alike(&self) -> bool {
        matches!(self.contents, [Content::Zero(_), Content::Zero(_)])
    }
}

impl Content {
    fn of<D: FileData + ?Sized>(header: &Header<'_>, side: FileSide<'_, D>) -> Self {
        match (side.file.data_range(header, side.data), header.value()) {
            (Some(range), _) => {
                // As far as the file goes.
                let end = range.end().min(side.file.file_len()).max(range.start);
                Self::File(Span::between(range.start, end))
            }
            (None, Value::PageData(page)) => Self::Zero(page_len(&page)),
            (None, Value::ParameterArea(area)) => Self::Zero(area.number_of_bytes),
            (None, _) => Self::Nothing,
        }
    }

    fn len(self) -> u64 {
        match self {
            Self::Nothing => 0,
            Self::Zero(len) => len,
            Self::File(span) => span.len,
        }
    }

    fn read(self, at: u64, buf: &mut [u8], data: &(impl FileData + ?Sized)) -> bool {
        match self {
            Self::File(span) => data.read_at(span.start + at, buf).is_ok(),
            Self::Nothing | Self::Zero(_) => true,
        }
    }
}

/// What a header is about. Several can be about the same; then their order
/// tells them apart.
fn key(header: &Header<'_>, for_one_platform: bool) -> Key {
    let value = header.value();
    let place = match value {
        Value::SupportedPlatform(v) => u64::from(v.platform_type.0),
        Value::RelocatableRegion(v) => v.relocation_region_gpa,
        Value::PageTableRelocationRegion(v) => v.vp_index.into(),
        Value::ParameterArea(v) => v.parameter_area_index.into(),
        Value::PageData(v) => v.gpa,
        Value::ParameterInsert(v) => v.parameter_area_index.into(),
        Value::VpContext(v) => v.vp_index.into(),
        Value::RequiredMemory(v) => v.gpa,
        Value::Parameter(_, v) => v.parameter_area_index.into(),
        Value::ErrorRange(v) => v.gpa,
        _ => 0,
    };
    let mask = match value {
        // Which mask a platform has is what its header says.
        Value::SupportedPlatform(_) => None,
        value => value.compatibility_mask().filter(|_| !for_one_platform),
    };
    (header.typ().0, place, mask.unwrap_or(0))
}

fn changed_fields(headers: [&Header<'_>; 2], for_one_platform: bool) -> Vec<FieldChange> {
    let [before, after] = headers;
    let mut changes = Vec::new();
    if before.raw.optional != after.raw.optional {
        let word = |optional| if optional { "optional" } else { "required" }.to_owned();
        let (before, after) = (word(before.raw.optional), word(after.raw.optional));
        changes.push(FieldChange { name: "type", before, after });
    }
    let [first, second] = [before.raw.value, after.raw.value];
    if first == second {
        return changes;
    }
    if first.len().max(second.len()) > VALUE_SHOWN {
        let at = first_difference(first, second).unwrap_or(first.len().min(second.len()));
        let word = |value: &[u8]| format!("{} bytes, another from byte {at:#x} on", value.len());
        changes.push(FieldChange { name: "value", before: word(first), after: word(second) });
        return changes;
    }
    let [first, second] = headers.map(fields);
    for field in &second {
        let Some(other) = first.iter().find(|other| other.name == field.name) else { continue };
        // Where data stand means nothing; what they are is compared.
        let counts = field.name != "file_offset"
            && (field.name != "compatibility_mask" || !for_one_platform);
        if counts && other.value != field.value {
            let (before, after) = (shown(other), shown(field));
            changes.push(FieldChange { name: field.name, before, after });
        }
    }
    if first.len() != second.len() {
        let word = |fields: &[FieldView]| format!("{} fields", fields.len());
        let (before, after) = (word(&first), word(&second));
        changes.push(FieldChange { name: "value", before, after });
    }
    changes
}

fn shown(field: &FieldView) -> String {
    match &field.meaning {
        Some(meaning) => format!("{} ({meaning})", field.value),
        None => field.value.clone(),
    }
}

fn changed_fixed(before: &IgvmFile<'_>, after: &IgvmFile<'_>) -> Vec<FieldChange> {
    let said = |file: &IgvmFile<'_>| {
        let fixed = FileView::new(file);
        [
            ("format_version", fixed.version.to_string()),
            ("architecture", fixed.architecture.to_string()),
            ("page_size", format!("{:#x}", fixed.page_size)),
        ]
    };
    let both = said(before).into_iter().zip(said(after));
    both.filter(|((_, before), (_, after))| before != after)
        .map(|((name, before), (_, after))| FieldChange { name, before, after })
        .collect()
}

/// A header as a number that is larger for a later one.
fn in_file_order(header: HeaderRef) -> u64 {
    u64::from(header.index) << 32 | u64::from(header.offset)
}

/// Headers in file order, consecutive pages as one.
fn runs<D: FileData + ?Sized>(headers: &[u64], side: FileSide<'_, D>) -> Bounded<HeaderRun> {
    let mut runs = Bounded::default();
    // The header after the last, if that was a page.
    let mut next = None;
    let header_at = |number: u64| {
        side.file.header(HeaderRef { index: (number >> 32) as u32, offset: number as u32 })
    };
    for header in headers.iter().filter_map(|number| header_at(*number)) {
        let carries_on = is_page(&header) && next == Some(header.index);
        next = is_page(&header).then_some(header.index + 1);
        if !carries_on {
            let name = name_of(&header);
            let summary = summary(&header, side.file.data_range(&header, side.data));
            runs.add(HeaderRun { header: header.index, count: 1, name, summary });
        } else if runs.total == runs.kept.len() as u64
            && let Some(last) = runs.kept.last_mut()
        {
            last.count += 1;
        }
    }
    runs
}

fn is_page(header: &Header<'_>) -> bool {
    matches!(header.value(), Value::PageData(_))
}

fn name_of(header: &Header<'_>) -> String {
    let typ = header.typ();
    kind_name(typ).map_or_else(|| format!("type {:#x}", typ.0), str::to_owned)
}
