//! The guest memory of two machines, by content.

use std::mem::discriminant;

use igvm_core::data::FileData;
use igvm_core::defs::PAGE_SIZE_4K;
use igvm_core::load::{Extent, Source, Space};
use igvm_core::span::Span;
use serde::Serialize;

use super::{Bounded, MachineSide, first_difference};
use crate::report::Hex;

/// Work of a step, in bytes that are compared.
const STEP: u64 = 1 << 20;

/// What an extent costs beside its bytes.
const EXTENT_COST: u64 = 512;

/// Bytes that are compared at once.
const CHUNK: u64 = 64 << 10;

/// Bytes that may be the same within a range that differs.
const SAME_WITHIN: u64 = 32;

/// What differs between the memory that two files write.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct MemoryReport {
    /// Ranges that differ, by address.
    pub changes: Bounded<MemoryChange>,
    /// Bytes that both write and that differ.
    pub content: u64,
    /// Bytes that only the first file writes, or only the first machine has.
    pub only_before: u64,
    /// Bytes that only the second file writes, or only the second machine has.
    pub only_after: u64,
    /// Bytes that are the same although they come from elsewhere: zeroes of
    /// the file in one machine, memory that nobody wrote in the other.
    pub other_source: u64,
    /// Bytes that could not be read and so not be compared.
    pub unreadable: u64,
}

/// A range of guest memory that differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct MemoryChange {
    /// The first byte that differs.
    pub gpa: Hex,
    /// Bytes up to the last that differs. A few that are the same in between do
    /// not end it, where one header wrote them all.
    pub length: Hex,
    /// Bytes that differ.
    pub bytes: u64,
    /// How.
    pub change: Change,
    /// The header that wrote the first byte in the first machine.
    pub before: Option<u32>,
    /// The header that wrote the first byte in the second.
    pub after: Option<u32>,
}

impl MemoryChange {
    /// Where it is.
    pub fn span(&self) -> Span {
        Span::new(self.gpa.0, self.length.0)
    }
}

/// How a range differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// Both write it, other bytes.
    Content,
    /// Only the first file writes it.
    OnlyBefore,
    /// Only the second file writes it.
    OnlyAfter,
}

impl MemoryReport {
    /// Whether both guests read the same bytes everywhere.
    pub fn is_same(&self) -> bool {
        self.changes.is_empty() && self.unreadable == 0
    }
}

/// The comparison of two machines' memory. Time: what is written; memory: what
/// is kept.
#[derive(Debug)]
pub struct MemoryDiff {
    /// Whether both machines come from one file: what stands at one offset
    /// need not be read twice.
    same_file: bool,
    /// Where to go on; `None` at the end.
    at: Option<u64>,
    work: u64,
    done: u64,
    /// The last change, which may go on.
    last: Option<MemoryChange>,
    report: MemoryReport,
}

impl MemoryDiff {
    /// Nothing compared yet.
    pub fn new<D: FileData + ?Sized>(
        before: MachineSide<'_, D>,
        after: MachineSide<'_, D>,
        same_file: bool,
    ) -> Self {
        let extents = |side: MachineSide<'_, D>| {
            let extents = side.machine.image().extents(Space::Guest);
            extents.map(|extent| EXTENT_COST + extent.file_span().map_or(0, |span| span.len)).sum()
        };
        let work: [u64; 2] = [before, after].map(extents);
        Self {
            same_file,
            at: Some(0),
            work: work[0].saturating_add(work[1]),
            done: 0,
            last: None,
            report: MemoryReport::default(),
        }
    }

    /// Compares some memory; false when nothing is left to do. The machines
    /// are the same each time.
    pub fn step<D: FileData + ?Sized>(
        &mut self,
        before: MachineSide<'_, D>,
        after: MachineSide<'_, D>,
    ) -> bool {
        let mut work = STEP;
        while let Some(at) = self.at.filter(|_| work > 0) {
            let cost = self.advance(at, [before, after]);
            self.done = self.done.saturating_add(cost);
            work = work.saturating_sub(cost);
        }
        self.at.is_some()
    }

    /// How much is done, of 1.
    pub fn progress(&self) -> f64 {
        match self.at {
            Some(_) => (self.done as f64 / self.work.max(1) as f64).min(1.0),
            None => 1.0,
        }
    }

    /// What was found so far.
    pub fn report(&self) -> &MemoryReport {
        &self.report
    }

    /// What was found.
    pub fn into_report(self) -> MemoryReport {
        self.report
    }

    /// A stretch that is the work of one header at most on each side.
    fn advance<D: FileData + ?Sized>(&mut self, at: u64, sides: [MachineSide<'_, D>; 2]) -> u64 {
        let extents = sides.map(|side| side.machine.image().extents_from(Space::Guest, at).next());
        let starts = extents.iter().flatten().map(|extent| extent.span.start.max(at));
        let Some(start) = starts.min() else {
            self.flush();
            self.at = None;
            return 0;
        };
        let ends = extents.iter().flatten().map(|extent| match extent.span.start > start {
            true => extent.span.start,
            false => extent.span.end(),
        });
        let span = Span::between(start, ends.min().unwrap_or(start));
        let here = extents.map(|extent| extent.filter(|extent| extent.span.contains(start)));
        let (done, cost) = match here {
            [Some(before), Some(after)] => self.both(span, [before, after], sides),
            [Some(before), None] => self.one(span, before, sides, 0),
            [None, Some(after)] => self.one(span, after, sides, 1),
            [None, None] => (span.end(), 0),
        };
        self.at = Some(done);
        EXTENT_COST + cost
    }

    /// Memory that both files write. Returns where it stopped, and the cost.
    fn both<D: FileData + ?Sized>(
        &mut self,
        span: Span,
        extents: [&Extent; 2],
        sides: [MachineSide<'_, D>; 2],
    ) -> (u64, u64) {
        let [before, after] = extents;
        if self.is_same_source(span.start, before, after) {
            return (span.end(), 0);
        }
        let span = first_chunk(span);
        let headers = [Some(before), Some(after)];
        match sides.map(|side| read(side, span)) {
            [Some(first), Some(second)] if first == second => {
                if discriminant(&before.source) != discriminant(&after.source) {
                    self.report.other_source += span.len;
                }
            }
            [Some(first), Some(second)] => {
                for (page, at) in pages(span) {
                    let (first, second) = (&first[at.clone()], &second[at]);
                    self.differing(page, first, second, headers);
                }
            }
            _ => self.report.unreadable += span.len,
        }
        (span.end(), 2 * span.len)
    }

    /// Memory that one file writes, the one at `which`.
    fn one<D: FileData + ?Sized>(
        &mut self,
        span: Span,
        extent: &Extent,
        sides: [MachineSide<'_, D>; 2],
        which: usize,
    ) -> (u64, u64) {
        let change = [Change::OnlyBefore, Change::OnlyAfter][which];
        let mut headers = [None; 2];
        headers[which] = Some(extent);
        let (other_has_memory, until) = memory_at(sides[1 - which], span);
        let span = Span::between(span.start, until);
        if !other_has_memory {
            self.add(change, span, span.len, headers);
            return (until, 0);
        }
        if matches!(extent.source, Source::Zero | Source::Untouched) {
            self.report.other_source += span.len;
            return (until, 0);
        }
        let span = first_chunk(span);
        match read(sides[which], span) {
            Some(bytes) => {
                for (page, at) in pages(span) {
                    match bytes[at].iter().all(|byte| *byte == 0) {
                        true => self.report.other_source += page.len,
                        false => self.add(change, page, page.len, headers),
                    }
                }
            }
            None => self.report.unreadable += span.len,
        }
        (span.end(), span.len)
    }

    fn is_same_source(&self, at: u64, before: &Extent, after: &Extent) -> bool {
        let into = |extent: &Extent| at - extent.span.start;
        match (before.source, after.source) {
            (Source::Zero | Source::Untouched, Source::Zero | Source::Untouched) => true,
            (Source::File { offset: first }, Source::File { offset: second }) => {
                self.same_file && first + into(before) == second + into(after)
            }
            _ => false,
        }
    }

    /// A page that both write.
    fn differing(
        &mut self,
        page: Span,
        first: &[u8],
        second: &[u8],
        headers: [Option<&Extent>; 2],
    ) {
        let mut at = 0;
        while let Some(same) = first_difference(&first[at..], &second[at..]) {
            let start = at + same;
            let run = first[start..].iter().zip(&second[start..]);
            let len = run.take_while(|(first, second)| first != second).count();
            let span = Span::new(page.start + start as u64, len as u64);
            self.add(Change::Content, span, span.len, headers);
            at = start + len;
        }
    }

    fn add(&mut self, change: Change, span: Span, bytes: u64, headers: [Option<&Extent>; 2]) {
        *match change {
            Change::Content => &mut self.report.content,
            Change::OnlyBefore => &mut self.report.only_before,
            Change::OnlyAfter => &mut self.report.only_after,
        } += bytes;
        if let Some(last) = &mut self.last
            && last.change == change
            && carries_on(last.span().end(), span.start, change, headers)
        {
            last.length = Hex(span.end() - last.gpa.0);
            last.bytes += bytes;
            return;
        }
        self.flush();
        let [before, after] =
            headers.map(|extent| extent.map(|extent| extent.writer_at(span.start).index));
        let (gpa, length) = (Hex(span.start), Hex(span.len));
        self.last = Some(MemoryChange { gpa, length, bytes, change, before, after });
    }

    fn flush(&mut self) {
        if let Some(last) = self.last.take() {
            self.report.changes.add(last);
        }
    }
}

/// Whether a range that ends at `end` goes on with one that starts at `start`.
fn carries_on(end: u64, start: u64, change: Change, headers: [Option<&Extent>; 2]) -> bool {
    let one_source = headers.iter().flatten().all(|extent| extent.span.start < end);
    end == start || (change == Change::Content && one_source && start - end <= SAME_WITHIN)
}

/// As much as is compared at once, up to the end of a page.
fn first_chunk(span: Span) -> Span {
    let end = (span.start & !(PAGE_SIZE_4K - 1)).saturating_add(CHUNK);
    Span::between(span.start, span.end().min(end))
}

/// The pages of a chunk, and where their bytes stand in it.
fn pages(chunk: Span) -> impl Iterator<Item = (Span, std::ops::Range<usize>)> {
    let first = chunk.start & !(PAGE_SIZE_4K - 1);
    let starts = (first..chunk.end()).step_by(PAGE_SIZE_4K as usize);
    starts.filter_map(move |start| {
        let page = Span::new(start, PAGE_SIZE_4K).intersection(chunk)?;
        let at = (page.start - chunk.start) as usize;
        Some((page, at..at + page.len as usize))
    })
}

fn read<D: FileData + ?Sized>(side: MachineSide<'_, D>, span: Span) -> Option<Vec<u8>> {
    let mut bytes = vec![0; span.len as usize];
    side.machine.memory(side.data, &side.host).read(span.start, &mut bytes).ok()?;
    Some(bytes)
}

/// Whether the machine has memory at the start of `span`, which its file does
/// not write, and up to where that stays so.
fn memory_at<D: ?Sized>(side: MachineSide<'_, D>, span: Span) -> (bool, u64) {
    let at = span.start;
    let ram = side.host.ram.iter().copied();
    let spaces = [Space::Required, Space::ErrorRange, Space::Region];
    let made = spaces.iter().filter_map(|space| {
        side.machine.image().extents_from(*space, at).next().map(|extent| extent.span)
    });
    let edges = ram.chain(made).flat_map(|range| [range.start, range.end()]);
    let until = edges.filter(|edge| *edge > at).min().unwrap_or(u64::MAX);
    (side.machine.is_memory(at, &side.host), until.min(span.end()))
}
