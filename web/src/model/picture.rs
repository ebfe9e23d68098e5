//! The guest's address space as a picture: a bar on which empty stretches are
//! folded and everything else is as long as the logarithm of its size.
//!
//! A page among gigabytes stays visible, and a picture has the same few marks
//! however many extents there are.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use igvm_core::load::{Extent, Source, Space};
use igvm_core::span::Span;

use super::machine::Loaded;

/// Most marks in a lane; more are merged, those closest together first.
const MARKS_MAX: usize = 120;

/// Length of a fold.
const FOLD: f64 = 7.0;

/// What a range is, for colour and letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Bytes of the file.
    File,
    /// Zeroes that the file writes.
    Zero,
    /// What the host says.
    Parameter,
    /// Page tables changed by relocation.
    Fixup,
    /// Several kinds, too close together to tell apart.
    Mixed,
    /// Must be memory: REQUIRED_MEMORY.
    Required,
    /// For reporting errors: ERROR_RANGE.
    ErrorRange,
    /// Written more than once.
    Overlap,
    /// Other bytes than for the usual host.
    Changed,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::File,
        Self::Zero,
        Self::Parameter,
        Self::Fixup,
        Self::Mixed,
        Self::Required,
        Self::ErrorRange,
        Self::Overlap,
        Self::Changed,
    ];

    /// The letter that stands with the colour.
    pub const fn letter(self) -> char {
        match self {
            Self::File => 'F',
            Self::Zero => 'Z',
            Self::Parameter => 'P',
            Self::Fixup => 'T',
            Self::Mixed => 'M',
            Self::Required => 'R',
            Self::ErrorRange => 'E',
            Self::Overlap => '!',
            Self::Changed => 'C',
        }
    }

    /// The name, in the style sheet too.
    pub const fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Zero => "zero",
            Self::Parameter => "parameter",
            Self::Fixup => "fixup",
            Self::Mixed => "mixed",
            Self::Required => "required",
            Self::ErrorRange => "error",
            Self::Overlap => "overlap",
            Self::Changed => "changed",
        }
    }

    /// What it means.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::File => "bytes of the file",
            Self::Zero => "zeroes",
            Self::Parameter => "what the host says",
            Self::Fixup => "relocated page tables",
            Self::Mixed => "several sources",
            Self::Required => "required memory",
            Self::ErrorRange => "error range",
            Self::Overlap => "written twice",
            Self::Changed => "changed by this host",
        }
    }

    /// The kind of an extent of written memory.
    pub fn of(extent: &Extent) -> Self {
        match extent.source {
            Source::File { .. } => Self::File,
            Source::Parameter { .. } => Self::Parameter,
            Source::Fixup { .. } => Self::Fixup,
            Source::Zero | Source::Untouched => Self::Zero,
        }
    }

    /// Whether it stands beside the bar of written memory, not on it.
    pub const fn is_beside(self) -> bool {
        matches!(self, Self::Required | Self::ErrorRange | Self::Overlap | Self::Changed)
    }
}

/// A range on the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Guest physical addresses.
    pub span: Span,
    /// What they are.
    pub kind: Kind,
    /// How many ranges of the machine it stands for.
    pub ranges: u32,
    /// The header that wrote it, the first one where several did.
    pub author: Option<u32>,
}

/// An empty stretch, folded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fold {
    /// Where it starts on the picture.
    pub at: f64,
    /// The addresses that are not drawn.
    pub span: Span,
}

/// The picture. Places on it go from 0 to 1000.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Picture {
    /// Ranges, by lane and address.
    pub marks: Vec<Mark>,
    /// Empty stretches.
    pub folds: Vec<Fold>,
    /// Addresses and their places, both ascending.
    stops: Vec<(u64, f64)>,
}

impl Picture {
    /// Draws a machine.
    pub fn new(loaded: &Loaded) -> Self {
        Self::within(loaded, Span::between(0, u64::MAX))
    }

    /// Draws a part of a machine's memory.
    pub fn within(loaded: &Loaded, part: Span) -> Self {
        let image = loaded.machine().image();
        let extents = |space, kind: fn(&Extent) -> Kind| {
            let mark = move |extent: Extent| Mark {
                author: Some(extent.writers().0.index),
                ..mark(extent.span.start, extent.span.len, kind(&extent))
            };
            coarse(|| image.extents_in(space, part).map(mark))
        };
        let mut overlaps: Vec<Mark> = loaded
            .state
            .overlaps
            .iter()
            .filter(|overlap| overlap.area.is_none())
            .filter_map(|overlap| {
                let span = Span::new(overlap.gpa.0, overlap.length.0).intersection(part)?;
                Some(mark(span.start, span.len, Kind::Overlap))
            })
            .collect();
        overlaps.sort_unstable_by_key(|mark| mark.span);
        let lanes = [
            extents(Space::Guest, Kind::of),
            extents(Space::Required, |_| Kind::Required),
            extents(Space::ErrorRange, |_| Kind::ErrorRange),
            coarse(|| overlaps.iter().copied()),
        ];
        Self::of(lanes.concat())
    }

    /// The same with marks beside what changed. Ranges by address.
    pub fn with_changes(&self, changed: impl Iterator<Item = Span> + Clone) -> Self {
        let changed =
            coarse(|| changed.clone().map(|span| mark(span.start, span.len, Kind::Changed)));
        Self::of([self.marks.as_slice(), &changed].concat())
    }

    /// What is seen after moving by parts of what is seen now: from 0.25 to
    /// 0.75 is closer, from 0.5 to 1.5 is half a width further up. `None` where
    /// that is everything, or nothing.
    pub fn moved(&self, now: Option<Span>, from: f64, to: f64) -> Option<Span> {
        let (first, last) = (self.stops.first()?, self.stops.last()?);
        let place = |gpa: u64| self.place(gpa.clamp(first.0, last.0)).unwrap_or(0.0);
        let (start, end) = now.map_or((0.0, last.1), |now| (place(now.start), place(now.end())));
        let wide = end - start;
        let (start, end) = (start + wide * from, start + wide * to);
        if start <= 0.0 && end >= last.1 {
            return None;
        }
        let span = Span::between(self.address(start), self.address(end));
        (!span.is_empty()).then_some(span)
    }

    /// The address at a place, the opposite of [`Picture::place`].
    fn address(&self, place: f64) -> u64 {
        let after = self.stops.partition_point(|(_, start)| *start <= place);
        let Some(before) = after.checked_sub(1) else {
            return self.stops.first().map_or(0, |stop| stop.0);
        };
        let (start, from) = self.stops[before];
        match self.stops.get(after) {
            Some((end, to)) => {
                let part = (place - from) / (to - from);
                start + ((end - start) as f64 * part) as u64
            }
            None => start,
        }
    }

    fn of(marks: Vec<Mark>) -> Self {
        let mut stops: Vec<u64> =
            marks.iter().flat_map(|mark| [mark.span.start, mark.span.end()]).collect();
        stops.sort_unstable();
        stops.dedup();
        let covered = covered(&marks);
        let (mut at, mut places, mut folds) = (0.0, Vec::new(), Vec::new());
        for pair in stops.windows(2) {
            let span = Span::between(pair[0], pair[1]);
            places.push((pair[0], at));
            if covered.iter().any(|range| range.contains_span(span)) {
                at += length(span.len);
            } else {
                folds.push(Fold { at, span });
                at += FOLD;
            }
        }
        places.extend(stops.last().map(|last| (*last, at)));
        let scale = if at > 0.0 { 1000.0 / at } else { 0.0 };
        places.iter_mut().for_each(|(_, place)| *place *= scale);
        folds.iter_mut().for_each(|fold| fold.at *= scale);
        Self { marks, folds, stops: places }
    }

    /// The place of an address; `None` beyond both ends.
    pub fn place(&self, gpa: u64) -> Option<f64> {
        let after = self.stops.partition_point(|(start, _)| *start <= gpa);
        let (start, from) = *self.stops.get(after.checked_sub(1)?)?;
        match self.stops.get(after) {
            Some((end, to)) => {
                let part = (gpa - start) as f64 / (end - start) as f64;
                Some(from + (to - from) * part)
            }
            None => (gpa == start).then_some(from),
        }
    }
}

fn mark(gpa: u64, len: u64, kind: Kind) -> Mark {
    Mark { span: Span::new(gpa, len), kind, ranges: 1, author: None }
}

/// A page is 10 long, and each doubling adds 4.
fn length(len: u64) -> f64 {
    10.0 + 4.0 * (len as f64 / 4096.0).max(1.0).log2()
}

/// The union of all marks, by address.
fn covered(marks: &[Mark]) -> Vec<Span> {
    let mut spans: Vec<Span> = marks.iter().map(|mark| mark.span).collect();
    spans.sort_unstable();
    let mut union: Vec<Span> = Vec::new();
    for span in spans {
        match union.last_mut() {
            Some(last) if span.start <= last.end() => {
                last.len = last.end().max(span.end()) - last.start;
            }
            _ => union.push(span),
        }
    }
    union
}

/// Merges neighbours until few enough are left. Widest gaps stay. The marks are
/// asked for twice and never kept: there may be a million of them.
fn coarse<I: Iterator<Item = Mark>>(marks: impl Fn() -> I) -> Vec<Mark> {
    let breaks = widest_gaps(marks());
    let mut merged: Vec<Mark> = Vec::new();
    for (at, mark) in marks().enumerate() {
        match merged.last_mut() {
            Some(last) if breaks.binary_search(&at).is_err() => {
                last.span.len = mark.span.end().max(last.span.end()) - last.span.start;
                last.ranges += 1;
                if last.kind != mark.kind {
                    last.kind = Kind::Mixed;
                }
            }
            _ => merged.push(mark),
        }
    }
    merged
}

/// The marks with the widest gaps before them, by number, ascending.
fn widest_gaps(marks: impl Iterator<Item = Mark>) -> Vec<usize> {
    // The narrowest of those kept is on top; of equal ones the last.
    let mut widest = BinaryHeap::new();
    let mut end = None;
    for (at, mark) in marks.enumerate() {
        if let Some(end) = end.replace(mark.span.end()) {
            widest.push(Reverse((mark.span.start.saturating_sub(end), Reverse(at))));
            if widest.len() >= MARKS_MAX {
                widest.pop();
            }
        }
    }
    let mut breaks: Vec<usize> = widest.into_iter().map(|Reverse((_, Reverse(at)))| at).collect();
    breaks.sort_unstable();
    breaks
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Ranges in order and apart.
    fn lanes() -> impl Strategy<Value = Vec<Mark>> {
        let piece = (0..1_u64 << 40, 1..1_u64 << 34, 0..3_u8);
        prop::collection::vec(piece, 0..400).prop_map(|pieces| {
            let mut at = 0;
            let place = |(gap, len, kind): (u64, u64, u8)| {
                let start = at + gap % (1 << (gap % 41));
                at = start + len;
                let kinds = [Kind::File, Kind::Zero, Kind::Parameter];
                mark(start, len, kinds[usize::from(kind)])
            };
            pieces.into_iter().map(place).collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn everything_is_drawn_once_and_in_order(marks in lanes()) {
            let drawn = coarse(|| marks.iter().copied());
            prop_assert!(drawn.len() <= MARKS_MAX);
            prop_assert_eq!(drawn.iter().map(|m| m.ranges as usize).sum::<usize>(), marks.len());
            prop_assert!(drawn.windows(2).all(|two| two[0].span.end() <= two[1].span.start));
            for mark in &marks {
                prop_assert!(drawn.iter().any(|m| m.span.contains_span(mark.span)));
            }
            let picture = Picture::of(drawn.clone());
            let mut last = 0.0;
            for mark in &drawn {
                let (start, end) = (picture.place(mark.span.start), picture.place(mark.span.end()));
                let (start, end) = (start.unwrap(), end.unwrap());
                prop_assert!(last <= start && start < end && end <= 1000.001);
                last = end;
            }
            prop_assert!(drawn.is_empty() || (last - 1000.0).abs() < 0.001);
        }
    }

    #[test]
    fn moving_about_stays_on_the_picture() {
        let whole = Picture::of(vec![
            mark(0x1000, 0x10_0000, Kind::File),
            mark(0xffff_0000, 0x1_0000, Kind::Zero),
        ]);
        let mut now = None;
        for _ in 0..60 {
            let Some(closer) = whole.moved(now, 0.25, 0.75) else { break };
            assert!(now.is_none_or(|now: Span| now.contains_span(closer) && closer.len < now.len));
            assert!(closer.start >= 0x1000 && closer.end() <= 0x1_0000_0000);
            now = Some(closer);
        }
        let mut wider = now;
        for _ in 0..80 {
            wider = wider.and_then(|span| whole.moved(Some(span), -0.5, 1.5));
        }
        assert_eq!(wider, None);
        let up = whole.moved(Some(Span::new(0x1000, 0x1000)), 0.5, 1.5).unwrap();
        assert!(up.start > 0x1000 && up.start < 0x2000 && up.end() > 0x2000);
        for hostile in [Span::between(0, u64::MAX), Span::new(u64::MAX - 1, 1), Span::new(0, 1)] {
            let _ = whole.moved(Some(hostile), -0.5, 0.5);
        }
    }

    #[test]
    fn gaps_are_folded() {
        let picture = Picture::of(vec![
            mark(0x1000, 0x1000, Kind::File),
            mark(0xffff_f000, 0x1000, Kind::Zero),
        ]);
        assert_eq!(picture.folds.len(), 1);
        assert_eq!(picture.folds[0].span, Span::between(0x2000, 0xffff_f000));
        assert_eq!(picture.place(0xfff), None);
        assert!(picture.place(0x1000) < picture.place(0x1800));
        assert_eq!(picture.place(0x1_0000_0001), None);
    }
}
