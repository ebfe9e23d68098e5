//! The variable headers: a window of rows, the selected one opened.

use igvm_analysis::report::{fields, summary};
use igvm_core::data::FileData;
use igvm_core::defs::IgvmVariableHeaderType;
use igvm_core::file::Header;
use igvm_core::wire::{HeaderSection, kind_name};
use maud::{Markup, html};

use super::View;
use super::parts::{copy_text, count, file, guest_span, hex, space};
use crate::model::focus::{Focus, Pane, Selection};
use crate::model::related::guest_range;
use crate::model::window::{List, ROW};

/// The filters above the rows.
pub fn headers(view: View<'_>) -> Markup {
    let all = u64::from(view.document.header_count());
    html! {
        div.filters {
            label { span.dim { "Type" }
                select #filter-kind data-change="filter-kind" {
                    option value="" selected[view.filter.kind.is_none()] { "all" }
                    @for (kind, number) in view.kinds {
                        option value=(kind) selected[view.filter.kind == Some(*kind)] {
                            (name_of(*kind)) " (" (number) ")"
                        }
                    }
                }
            }
            @if let Some(loaded) = view.loaded {
                label {
                    input #filter-platform type="checkbox" data-change="filter-platform" checked[view.filter.mask.is_some()];
                    " only for " (loaded.state.platform)
                }
            }
            span.dim.tally role="status" {
                @match view.shown {
                    Some(shown) => { (shown.len()) " of " (count(all, "header")) },
                    None => (count(all, "header")),
                }
                @if view.shown_is_incomplete { ", not all looked at" }
                @if !view.filter.text.trim().is_empty() { ", with “" (view.filter.text.trim()) "”" }
            }
        }
        div.scroller #scroller data-scroll="headers" tabindex="0" role="region" aria-label="Headers" {
            ol.rows.headers data-region="rows" {}
        }
    }
}

fn name_of(kind: u32) -> String {
    kind_name(IgvmVariableHeaderType(kind)).map_or_else(|| format!("type {kind:#x}"), str::to_owned)
}

/// Pixels that the opened header takes beyond its row.
fn detail_height(view: View<'_>, index: u32) -> u64 {
    view.document.header(index).map_or(0, |header| {
        let data = view.document.file().data_range(&header, view.document.data());
        (fields(&header).len() as u64 + 2 + u64::from(data.is_some())) * ROW
    })
}

fn total(view: View<'_>) -> usize {
    view.shown.map_or(view.document.header_count() as usize, <[u32]>::len)
}

fn row_of(view: View<'_>, index: u32) -> Option<u64> {
    match view.shown {
        Some(shown) => shown.binary_search(&index).ok().map(|row| row as u64),
        None => (index < view.document.header_count()).then_some(u64::from(index)),
    }
}

/// The row that is opened, and how much higher it is than the others.
fn opened(view: View<'_>) -> Option<(u64, u64)> {
    let Some(Selection::Header(index)) = view.focus.selection else { return None };
    row_of(view, index).map(|row| (row, detail_height(view, index)))
}

/// The list of rows.
pub fn header_list(view: View<'_>) -> List {
    List::new(total(view) as u64, ROW).with_open(opened(view))
}

/// The row of the header that is selected.
pub fn header_row_of(view: View<'_>) -> Option<u64> {
    row_of(view, view.related.header?)
}

/// The rows that are seen.
pub fn header_rows(view: View<'_>) -> Markup {
    let (total, open) = (total(view), opened(view));
    let window = header_list(view).window(view.viewport);
    let index_at = |row: u64| view.shown.map_or(row as u32, |shown| shown[row as usize]);
    html! {
        @if total == 0 { li.empty { "No header passes the filters." } }
        (space(window.above))
        @for row in window.first..window.first + window.count {
            @if let Some(header) = view.document.header(index_at(row)) {
                (one_row(view, &header, row, total, open.is_some_and(|(open, _)| open == row)))
            }
        }
        (space(window.below))
    }
}

fn one_row(view: View<'_>, header: &Header<'_>, row: u64, total: usize, open: bool) -> Markup {
    let data = view.document.file().data_range(header, view.document.data());
    let focus = match open {
        true => Focus { selection: None, ..view.focus.clone() },
        false => view.focus.on(Selection::Header(header.index)),
    };
    let related = view.related.header == Some(header.index);
    html! {
        li class=[related.then_some("related")] aria-posinset=(row + 1) aria-setsize=(total) {
            a.row #{ "header-" (header.index) } href=(focus.href()) aria-expanded=(open) {
                span.index { (header.index) }
                span.offset { (hex(header.raw.offset.into())) }
                span.kind { (section(header)) (name_of(header.typ().0)) @if header.raw.optional { span.dim { " optional" } } }
                span.summary { (summary(header, data)) }
            }
            @if open { (detail(view, header)) }
        }
    }
}

fn section(header: &Header<'_>) -> Markup {
    let section = header.section();
    let (class, letter) = match section {
        HeaderSection::Platform => ("s-platform", 'P'),
        HeaderSection::Initialization => ("s-init", 'I'),
        HeaderSection::Directive => ("s-directive", 'D'),
        HeaderSection::Unassigned => ("s-unknown", '?'),
    };
    html! { b class={ "chip " (class) } title={ (section) " header" } { (letter) } }
}

/// Every field with its name in the specification, value, meaning and place.
fn detail(view: View<'_>, header: &Header<'_>) -> Markup {
    let data = view.document.file().data_range(header, view.document.data());
    let range = header.range();
    html! {
        div.detail {
            div.line.dim {
                "bytes " (hex(range.start)) "–" (hex(range.end().saturating_sub(1))) " of the file, value of "
                (count(header.raw.value.len() as u64, "byte"))
                @if !header.raw.padding.is_empty() { ", then " (count(header.raw.padding.len() as u64, "byte")) " of padding" }
                ". " a href=(view.focus.in_pane(Pane::Hex).href()) { "Show in hex" }
            }
            @for field in fields(header) {
                div.line.field {
                    span.place { (file(view.focus, field.file_offset.0)) }
                    span.name { (field.name) }
                    span.value title=(field.value) { (copy_text(&field.value)) (field.value) }
                    span.bytes title="its bytes in the file" { (field_bytes(view, field.file_offset.0, field.length)) }
                    span.meaning { @if let Some(meaning) = &field.meaning { (meaning) } }
                }
            }
            @if let Some(data) = data {
                div.line {
                    span.dim { "data in the file: " } (file(view.focus, data.start)) "–" (hex(data.end().saturating_sub(1)))
                }
            }
            div.line {
                @match guest_range(header, view.loaded) {
                    Some(guest) => {
                        span.dim { "guest memory: " }
                        (guest_span(&view.focus.in_pane(Pane::Memory), guest))
                    },
                    None => span.dim { "writes no guest memory" },
                }
            }
        }
    }
}

/// Bytes of a field that are written out.
const FIELD_BYTES: u64 = 8;

fn field_bytes(view: View<'_>, offset: u64, len: u64) -> String {
    let mut bytes = vec![0; len.min(FIELD_BYTES) as usize];
    if view.document.data().read_at(offset, &mut bytes).is_err() {
        return String::new();
    }
    let mut text: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    text.extend((len > FIELD_BYTES).then(|| "…".to_owned()));
    text.join(" ")
}
