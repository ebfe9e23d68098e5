//! Guest memory: the picture, and a list of everything on it.

use igvm_analysis::report::{AreaView, ExtentView, OverlapView, RangeView, Size};
use igvm_core::load::Extent;
use igvm_core::span::Span;
use maud::{Markup, html};

use super::View;
use super::map::{horizontal, legend};
use super::parts::{by_host, chip, file, guest_span, header, hex, no_machine, space};
use crate::model::focus::Selection;
use crate::model::machine::{ExtentList, Loaded};
use crate::model::picture::{Kind, Picture};
use crate::model::window::{List, ROW, window};

/// The picture above the list.
pub fn memory(view: View<'_>) -> Markup {
    html! {
        @if view.loaded.is_some() {
            @let picture = view.zoomed.unwrap_or(view.picture);
            figure.picture {
                (horizontal(picture, Some(view.focus), view.related.guest))
                (zooming(view, picture))
                figcaption {
                    (legend(picture))
                    span.dim { "Low addresses on the left; a page is drawn large enough to see, a gigabyte is not a million times as long." }
                }
            }
        } @else {
            (no_machine(view))
        }
        div.scroller #scroller data-scroll="memory" tabindex="0" role="region" aria-label="Guest memory" {
            ol.rows.memory data-region="rows" {}
        }
    }
}

/// Closer, wider, up and down the address space.
fn zooming(view: View<'_>, picture: &Picture) -> Markup {
    let (whole, now) = (view.picture, view.focus.zoom);
    let link = |name: &str, words: &str, to: Option<Span>| {
        html! { a href=(view.focus.zoomed(to).href()) title=(words) { (name) } }
    };
    html! {
        nav.zoom aria-label="Part of memory on the picture" {
            @if let Some(closer) = whole.moved(now, 0.25, 0.75) { (link("closer", "the middle half", Some(closer))) }
            @if let Some(part) = now {
                (link("wider", "twice as much", whole.moved(now, -0.5, 1.5)))
                @if let Some(lower) = whole.moved(now, -0.5, 0.5) { (link("← lower", "half a width down", Some(lower))) }
                @if let Some(higher) = whole.moved(now, 0.5, 1.5) { (link("higher →", "half a width up", Some(higher))) }
                (link("all", "all of memory", None))
                span.dim {
                    (hex(part.start)) "–" (hex(part.end().saturating_sub(1)))
                    @if picture.marks.is_empty() { ": nothing is there" }
                }
            }
            @if let Some(selected) = view.related.guest.filter(|span| span.len > 1 && now != Some(*span)) {
                (link("selection", "what is selected", Some(selected)))
            }
        }
    }
}

/// One line of the list.
enum Row<'a> {
    Heading(&'static str),
    Extent(&'a Extent, Kind),
    Ram(&'a RangeView),
    Area(&'a AreaView),
    Overlap(&'a OverlapView),
}

/// A heading and what stands under it.
struct Section<'a> {
    heading: &'static str,
    len: u64,
    /// The rows from one on.
    rows: Box<dyn Fn(u64) -> Box<dyn Iterator<Item = Row<'a>> + 'a> + 'a>,
}

impl<'a> Section<'a> {
    fn new<I: Iterator<Item = Row<'a>> + 'a>(
        heading: &'static str,
        len: u64,
        rows: impl Fn(u64) -> I + 'a,
    ) -> Self {
        let rows = move |first| Box::new(rows(first)) as Box<dyn Iterator<Item = _>>;
        Self { heading, len, rows: Box::new(rows) }
    }

    fn of_extents(
        heading: &'static str,
        loaded: &'a Loaded,
        list: &'a ExtentList,
        kind: fn(&Extent) -> Kind,
    ) -> Self {
        let row = move |extent| Row::Extent(extent, kind(extent));
        Self::new(heading, list.len(), move |first| loaded.extents_from(list, first).map(row))
    }

    fn of_all<T>(heading: &'static str, all: &'a [T], row: fn(&'a T) -> Row<'a>) -> Self {
        Self::new(heading, all.len() as u64, move |first| all[first as usize..].iter().map(row))
    }
}

/// The sections that have anything in them.
fn sections(loaded: &Loaded) -> Vec<Section<'_>> {
    let state = &loaded.state;
    let mut sections = vec![
        Section::of_extents("Written by the file", loaded, &loaded.guest, Kind::of),
        Section::of_all(
            "Written more than once (the later header's bytes stand)",
            &state.overlaps,
            Row::Overlap,
        ),
        Section::of_extents("Required to be memory", loaded, &loaded.required, |_| Kind::Required),
        Section::of_extents("For reporting errors", loaded, &loaded.error_ranges, |_| {
            Kind::ErrorRange
        }),
        Section::of_all("Parameter areas", &state.parameter_areas, Row::Area),
        Section::of_all("All memory the guest has", &state.guest_memory, Row::Ram),
    ];
    sections.retain(|section| section.len > 0);
    sections
}

fn row_count(sections: &[Section<'_>]) -> u64 {
    sections.iter().map(|section| section.len + 1).sum()
}

/// The list of rows.
pub fn memory_list(view: View<'_>) -> List {
    List::new(view.loaded.map_or(0, |loaded| row_count(&sections(loaded))), ROW)
}

/// The row of the extent that is selected.
pub fn memory_row_of(view: View<'_>) -> Option<u64> {
    let loaded = view.loaded?;
    let gpa = view.related.guest?.start;
    loaded.extent_at(gpa)?;
    Some(loaded.extent_number(gpa) + 1)
}

/// The rows that are seen.
pub fn memory_rows(view: View<'_>) -> Markup {
    let Some(loaded) = view.loaded else { return Markup::default() };
    let sections = sections(loaded);
    let window = window(row_count(&sections), None, view.viewport);
    let mut rows: Vec<Row<'_>> = Vec::new();
    let mut start = 0;
    for section in &sections {
        let end = start + section.len + 1;
        let wanted = window.first.max(start)..(window.first + window.count).min(end);
        if wanted.contains(&start) {
            rows.push(Row::Heading(section.heading));
        }
        let first = wanted.start.max(start + 1);
        let count = wanted.end.saturating_sub(first) as usize;
        if count > 0 {
            rows.extend((section.rows)(first - start - 1).take(count));
        }
        start = end;
    }
    html! {
        (space(window.above))
        @for row in &rows { (one_row(view, row)) }
        (space(window.below))
    }
}

fn one_row(view: View<'_>, row: &Row<'_>) -> Markup {
    match row {
        Row::Heading(text) => html! { li.heading { (text) } },
        Row::Extent(extent, kind) => extent_row(view, extent, *kind),
        Row::Ram(range) => {
            let span = Span::new(range.gpa.0, range.length.0);
            html! { li.line {
                span.range { (guest_span(view.focus, span)) } span.size { (Size(span.len)) }
            } }
        }
        Row::Area(area) => html! { li.line {
            span.range { "area " (area.index) } span.size { (Size(area.length.0)) }
            span.author { (header(view.focus, area.header)) }
            span.source {
                @match area.inserted {
                    Some(inserted) => { "inserted at " (super::parts::guest(view.focus, inserted.gpa.0)) " by " (header(view.focus, inserted.header)) },
                    None => "never inserted",
                }
            }
        } },
        Row::Overlap(overlap) => {
            let span = Span::new(overlap.gpa.0, overlap.length.0);
            html! { li.line {
                span.range { (chip(Kind::Overlap)) (guest_span(view.focus, span)) } span.size { (Size(span.len)) }
                span.author { (header(view.focus, overlap.later)) }
                span.source { "over " (header(view.focus, overlap.earlier)) @if let Some(area) = overlap.area { ", in parameter area " (area) } }
            } }
        }
    }
}

fn extent_row(view: View<'_>, extent: &Extent, kind: Kind) -> Markup {
    let span = extent.span;
    let extent = ExtentView::from(extent);
    let related = view.related.guest.is_some_and(|guest| guest.overlaps(span));
    let focus = view.focus;
    html! {
        li.line.related[related] {
            span.range {
                (chip(kind)) (guest_span(focus, span))
                @if view.changes.is_some_and(|changes| changes.touches(span)) { (by_host()) }
            }
            span.size { (Size(span.len)) }
            span.author {
                (header(focus, extent.header))
                @if let Some(last) = extent.last_header {
                    " to " a href=(focus.on(Selection::Header(last)).href()) { (last) }
                }
            }
            span.source {
                @match (extent.file_offset, extent.parameter) {
                    (Some(offset), _) => { "file " (file(focus, offset.0)) },
                    (None, Some(parameter)) => (parameter),
                    (None, None) if kind == Kind::Zero => "zeroes",
                    (None, None) => "content as it was",
                }
                @if let Some(area) = extent.area { ", through area " (area) }
                @if let Some(data_type) = extent.data_type { ", " (data_type) }
                @if extent.unmeasured { ", unmeasured" }
                @if extent.shared { ", shared" }
            }
        }
    }
}
