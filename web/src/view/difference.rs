//! Two values beside each other: memory, registers, fields.

use igvm_analysis::diff::{Bounded, Change, FieldChange, MemoryChange, RegistersReport};
use igvm_analysis::report::Size;
use igvm_core::x86::{Register, RegisterValue};
use maud::{Markup, html};

use super::View;
use super::parts::{count, guest_span, hex, wide_hex};
use super::processors::width;
use crate::model::comparison::hidden;
use crate::model::document::Document;
use crate::model::focus::{Focus, Pane, Selection};
use crate::model::machine::Loaded;

/// Entries of a list that are written out.
pub(super) const SHOWN: usize = 100;

/// Bytes of a row.
const ROW: usize = 16;

/// Bytes that are shown around the first that differs.
const AROUND: u64 = 8 * ROW as u64;

/// The two sides: what they are called, and their machines.
#[derive(Clone, Copy)]
pub(super) struct Sides<'a> {
    pub(super) names: [&'a str; 2],
    pub(super) machines: [Option<(&'a Loaded, &'a Document)>; 2],
}

/// What a list does not show.
pub(super) fn rest<T>(things: &Bounded<T>, what: &str) -> Markup {
    let hidden = hidden(things, SHOWN);
    html! { @if hidden > 0 { p.dim { "and " (count(hidden, what)) " more" } } }
}

/// Memory that differs, each range a link; the selected one shows its bytes.
pub(super) fn memory(view: View<'_>, changes: &Bounded<MemoryChange>, sides: Sides<'_>) -> Markup {
    html! {
        ul.differences {
            @for change in changes.kept.iter().take(SHOWN) { (one_range(view, change, sides)) }
        }
        (rest(changes, "range"))
    }
}

fn one_range(view: View<'_>, change: &MemoryChange, sides: Sides<'_>) -> Markup {
    let span = change.span();
    let open = matches!(view.focus.selection, Some(Selection::Guest(gpa)) if span.contains(gpa));
    let focus = match open {
        true => view.focus.on_nothing(),
        false => view.focus.on(Selection::Guest(span.start)),
    };
    let (sign, title) = match change.change {
        Change::Content => ("≠", "other bytes"),
        Change::OnlyBefore => ("−", "written by one only"),
        Change::OnlyAfter => ("+", "written by one only"),
    };
    html! {
        li {
            a.difference.related[open] #{ "guest-" (span.start) } href=(focus.href()) aria-expanded=(open) {
                b.sign title=(title) { (sign) }
                span { (hex(span.start)) @if span.len > 1 { span.dim { "–" } (hex(span.end() - 1)) } }
                span.told {
                    @match change.change {
                        Change::Content if change.bytes == 1 => "1 byte differs",
                        Change::Content if change.bytes == span.len => { (Size(span.len)) ", every byte differs" }
                        Change::Content => { (count(change.bytes, "byte")) " of " (Size(span.len)) " differ" }
                        Change::OnlyBefore => { (Size(span.len)) ", only in " (sides.names[0]) }
                        Change::OnlyAfter => { (Size(span.len)) ", only in " (sides.names[1]) }
                    }
                }
            }
            @if open { (bytes(view, change, sides)) }
        }
    }
}

/// The bytes of both sides around the first that differs.
fn bytes(view: View<'_>, change: &MemoryChange, sides: Sides<'_>) -> Markup {
    let first = change.span().start;
    let start = (first & !(ROW as u64 - 1)).saturating_sub(ROW as u64);
    let read = sides.machines.map(|side| {
        let (loaded, document) = side?;
        loaded.read(document, start, AROUND as usize)
    });
    let memory = view.focus.in_pane(Pane::Memory);
    html! {
        div.both {
            @match read {
                [Some(before), Some(after)] => (side_by_side(sides.names, [&before, &after], start)),
                _ => p.bad { "The browser cannot read these bytes." },
            }
            p.dim {
                "In memory: " (guest_span(&memory, change.span()))
                @if let Some(header) = change.after { ", written by " (super::parts::header(&view.focus.in_pane(Pane::Headers), header)) }
                " · " a href=(view.focus.in_pane(Pane::Hex).on(Selection::Guest(first)).href()) { "in hex" }
            }
        }
    }
}

/// Rows of 16 bytes; those that differ are marked on both sides.
pub(super) fn side_by_side(names: [&str; 2], bytes: [&[u8]; 2], start: u64) -> Markup {
    let [before, after] = bytes;
    let rows = || before.chunks(ROW).zip(after.chunks(ROW)).enumerate();
    html! {
        div.dumps {
            @for (at, name) in names.into_iter().enumerate() {
                figure {
                    figcaption title=(name) { (name) }
                    pre.dump tabindex="0" aria-label={ "Bytes of " (name) } {
                        @for (row, (before, after)) in rows() {
                            span.dim { (format!("{:>9x}  ", start + (row * ROW) as u64)) }
                            (row_of(if at == 0 { before } else { after }, if at == 0 { after } else { before }))
                            "\n"
                        }
                    }
                }
            }
        }
    }
}

fn row_of(bytes: &[u8], other: &[u8]) -> Markup {
    let differs = |at: usize| bytes.get(at) != other.get(at);
    // Bytes that differ stand together, to keep the markup short.
    let mut runs: Vec<(bool, Vec<u8>)> = Vec::new();
    for (at, byte) in bytes.iter().enumerate() {
        match runs.last_mut() {
            Some((marked, run)) if *marked == differs(at) => run.push(*byte),
            _ => runs.push((differs(at), vec![*byte])),
        }
    }
    let letter = |byte: &u8| match byte {
        b' '..=b'~' => char::from(*byte),
        _ => '·',
    };
    html! {
        @for (marked, run) in &runs {
            @let digits: Vec<String> = run.iter().map(|byte| format!("{byte:02x}")).collect();
            @if *marked { mark { (digits.join(" ")) } } @else { (digits.join(" ")) }
            " "
        }
        " "
        @for (marked, run) in &runs {
            @let letters: String = run.iter().map(letter).collect();
            @if *marked { mark { (letters) } } @else { (letters) }
        }
    }
}

/// Registers that differ, by processor.
pub(super) fn registers(view: View<'_>, report: &RegistersReport) -> Markup {
    let [before, after] = report.processors;
    let processors = view.focus.in_pane(Pane::Processors);
    html! {
        @if before != after {
            p { "There are " (after) " processors instead of " (before) "." }
        }
        @for start in report.starts.kept.iter().take(SHOWN) {
            p {
                "Processor " (start.vp_index)
                @if start.runs { " runs at once; before, it waited for a start-up interrupt." }
                @else { " waits for a start-up interrupt; before, it ran at once." }
            }
        }
        @if !report.changed.is_empty() {
            div.table-scroller tabindex="0" role="region" aria-label="Registers that differ" {
                table.values {
                    thead { tr { th scope="col" { "register" } th scope="col" { "before" } th scope="col" { "after" } } }
                    tbody {
                        @for change in report.changed.kept.iter().take(SHOWN) {
                            @let selection = Selection::Register(change.vp_index, change.register);
                            tr class=[(view.focus.selection == Some(selection)).then_some("related")] {
                                th scope="row" {
                                    a href=(processors.on(selection).href()) { (change.register.name()) }
                                    @if after.max(before) > 1 { span.dim { " of " (change.vp_index) } }
                                }
                                td { (value(change.register, change.before)) }
                                td { (value(change.register, change.after)) }
                            }
                        }
                    }
                }
            }
            (rest(&report.changed, "register"))
        }
    }
}

fn value(register: Register, value: RegisterValue) -> Markup {
    match value {
        RegisterValue::Integer(value) => wide_hex(value, width(register)),
        RegisterValue::Segment(segment) => html! {
            (wide_hex(segment.selector.into(), 2)) span.dim { " base " } (hex(segment.base))
            span.dim { " limit " } (hex(segment.limit.into())) span.dim { " attributes " } (hex(segment.attributes.into()))
        },
        RegisterValue::Table(table) => html! {
            span.dim { "base " } (hex(table.base)) span.dim { " limit " } (hex(table.limit.into()))
        },
    }
}

/// Fields with both values.
pub(super) fn fields(fields: &[FieldChange]) -> Markup {
    html! {
        @if !fields.is_empty() {
            ul.fields {
                @for field in fields {
                    li {
                        code { (field.name) }
                        span.old title=(field.before) { (field.before) }
                        span.dim { "→" }
                        span.new title=(field.after) { (field.after) }
                    }
                }
            }
        }
    }
}

/// A focus whose two sides have changed places.
pub(super) fn swapped(view: View<'_>) -> Option<Focus> {
    let other = view.focus.with.clone()?;
    let here = crate::model::focus::Other {
        subject: view.document.subject.clone(),
        platform: view.loaded.map(|loaded| loaded.platform),
    };
    Some(Focus {
        subject: Some(other.subject),
        platform: other.platform,
        with: Some(here),
        ..view.focus.on_nothing()
    })
}
