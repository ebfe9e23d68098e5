//! Guest memory: the picture, and a list of everything on it.

use igvm_analysis::report::{AreaView, ExtentView, OverlapView, RangeView, Size};
use igvm_core::span::Span;
use maud::{Markup, html};

use super::View;
use super::map::{horizontal, legend};
use super::parts::{chip, file, guest_span, header, space};
use crate::model::focus::Selection;
use crate::model::machine::Loaded;
use crate::model::picture::Kind;
use crate::model::window::window;

/// The picture above the list.
pub fn memory(view: View<'_>) -> Markup {
    html! {
        @if view.loaded.is_some() {
            figure.picture {
                (horizontal(view.picture, Some(view.focus), view.related.guest))
                figcaption {
                    (legend(view.picture))
                    span.dim { "Low addresses on the left; a page is drawn large enough to see, a gigabyte is not a million times as long." }
                }
            }
        } @else {
            p.empty { "Without a platform there is no machine, and no memory to show." }
        }
        div.scroller #scroller data-scroll="memory" tabindex="0" role="region" aria-label="Guest memory" {
            ol.rows.memory data-region="rows" {}
        }
    }
}

/// One line of the list.
enum Row<'a> {
    Heading(&'static str),
    Extent(&'a ExtentView, Kind),
    Ram(&'a RangeView),
    Area(&'a AreaView),
    Overlap(&'a OverlapView),
}

/// A heading and what stands under it.
struct Section<'a> {
    heading: &'static str,
    len: usize,
    row: Box<dyn Fn(usize) -> Row<'a> + 'a>,
}

/// The sections that have anything in them.
fn sections(loaded: &Loaded) -> Vec<Section<'_>> {
    let state = &loaded.state;
    let mut sections = vec![
        Section {
            heading: "Written by the file",
            len: state.memory.len(),
            row: Box::new(|at| Row::Extent(&state.memory[at], Kind::of(&state.memory[at]))),
        },
        Section {
            heading: "Written more than once (the later header's bytes stand)",
            len: state.overlaps.len(),
            row: Box::new(|at| Row::Overlap(&state.overlaps[at])),
        },
        Section {
            heading: "Required to be memory",
            len: state.required_memory.len(),
            row: Box::new(|at| Row::Extent(&state.required_memory[at], Kind::Required)),
        },
        Section {
            heading: "For reporting errors",
            len: state.error_ranges.len(),
            row: Box::new(|at| Row::Extent(&state.error_ranges[at], Kind::ErrorRange)),
        },
        Section {
            heading: "Parameter areas",
            len: state.parameter_areas.len(),
            row: Box::new(|at| Row::Area(&state.parameter_areas[at])),
        },
        Section {
            heading: "All memory the guest has",
            len: state.guest_memory.len(),
            row: Box::new(|at| Row::Ram(&state.guest_memory[at])),
        },
    ];
    sections.retain(|section| section.len > 0);
    sections
}

/// Rows of the list.
pub fn memory_row_count(loaded: Option<&Loaded>) -> u64 {
    let sections = loaded.map(sections).unwrap_or_default();
    sections.iter().map(|section| section.len as u64 + 1).sum()
}

/// The rows that are seen.
pub fn memory_rows(view: View<'_>) -> Markup {
    let Some(loaded) = view.loaded else { return Markup::default() };
    let window = window(memory_row_count(view.loaded), None, view.viewport);
    let sections = sections(loaded);
    let at = |mut row: u64| {
        for section in &sections {
            match row {
                0 => return Row::Heading(section.heading),
                row if row <= section.len as u64 => return (section.row)(row as usize - 1),
                _ => row -= section.len as u64 + 1,
            }
        }
        Row::Heading("")
    };
    html! {
        (space(window.above))
        @for row in window.first..window.first + window.count { (one_row(view, &at(row))) }
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

fn extent_row(view: View<'_>, extent: &ExtentView, kind: Kind) -> Markup {
    let span = Span::new(extent.gpa.0, extent.length.0);
    let related = view.related.guest.is_some_and(|guest| guest.overlaps(span));
    let focus = view.focus;
    html! {
        li.line.related[related] {
            span.range { (chip(kind)) (guest_span(focus, span)) }
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
