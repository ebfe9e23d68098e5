//! What is selected, where it comes from, and what it is elsewhere.

use igvm_analysis::report::{ExtentView, Size, fields, summary};
use igvm_core::data::FileData;
use igvm_core::file::Header;
use igvm_core::span::Span;
use igvm_core::wire::kind_name;
use igvm_core::x86::{Register, RegisterFile, RegisterValue, bits, paging};
use maud::{Markup, html};

use super::View;
use super::parts::{
    chip, copy, file, guest, header, hex, linear, no_machine, no_processor, wide_hex,
};
use super::processors::{meaning, width};
use crate::model::focus::{Focus, Pane, Selection};
use crate::model::picture::Kind;
use crate::model::related::Related;

/// Bytes that are shown of a selected place.
const PEEK: u64 = 64;

/// The pane on the right.
pub fn inspector(view: View<'_>) -> Markup {
    let nothing = Focus { selection: None, ..view.focus.clone() };
    html! {
        @match view.focus.selection {
            None => {
                h2 { "Nothing selected" }
                p.dim { "Choose a register, an address, a header or a byte of the file: here stands where it comes from, and every pane shows it." }
            }
            Some(selection) => {
                a.close href=(nothing.href()) aria-label="Select nothing" { "×" }
                @match selection {
                    Selection::Header(index) => (of_header(view, index)),
                    Selection::Register(vp_index, register) => (of_register(view, vp_index, register)),
                    Selection::Guest(gpa) => (of_guest(view, gpa)),
                    Selection::File(offset) => (of_file(view, offset)),
                    Selection::Linear(linear) => (of_linear(view, linear)),
                }
                (chain(view))
            }
        }
    }
}

/// From the header to the machine, each step a link to where it is shown.
fn chain(view: View<'_>) -> Markup {
    let related = view.related;
    let focus = view.focus;
    let pane = |pane| focus.in_pane(pane);
    let sees = view.loaded.is_some_and(|loaded| loaded.processor(focus.vp_index()).is_some());
    let seen = related.linear.filter(|_| sees).or_else(|| identity(view));
    html! {
        @if related != Related::default() {
            h3 { "Where it is" }
            ol.chain {
                @if let Some(index) = related.header {
                    li { (header(&pane(Pane::Headers), index)) (kind_of(view, index)) }
                }
                @if let Some(bytes) = related.file {
                    li {
                        span.dim { "file " } (place(&file(&pane(Pane::Hex), bytes.start), bytes)) (copy(bytes.start))
                    }
                }
                @if let Some(memory) = related.guest {
                    li {
                        span.dim { "guest " } (place(&guest(&pane(Pane::Memory), memory.start), memory)) (copy(memory.start))
                        div.elsewhere {
                            a href=(pane(Pane::Hex).on(Selection::Guest(memory.start)).href()) { "bytes" }
                            a href=(pane(Pane::Code).on(Selection::Guest(memory.start)).href()) { "as code" }
                        }
                    }
                }
                @if let Some(seen) = seen {
                    li {
                        span.dim { "linear " } (linear(&pane(Pane::Paging), seen)) (copy(seen))
                        div.dim { "as processor " (focus.vp_index()) " sees it" }
                    }
                }
                @if let Some((vp_index, register)) = related.register {
                    li {
                        span.dim { "processor " (vp_index) ", " }
                        a href=(pane(Pane::Processors).on(Selection::Register(vp_index, register)).href()) { (register.name()) }
                    }
                }
            }
        }
    }
}

fn kind_of(view: View<'_>, index: u32) -> Markup {
    let name = view.document.header(index).and_then(|header| kind_name(header.typ()));
    html! { @if let Some(name) = name { span.dim { ", " (name) } } }
}

fn place(link: &Markup, span: Span) -> Markup {
    html! { (link) @if span.len > 1 { span.dim { ", " (Size(span.len)) } } }
}

/// The linear address of the guest memory that is selected, where the
/// processor sees it under its own number. Other addresses would take a look at
/// every mapping.
pub(super) fn identity(view: View<'_>) -> Option<u64> {
    let gpa = view.related.guest?.start;
    let walk = view.loaded?.translate(view.document, view.focus.vp_index(), gpa)?;
    walk.result.ok().filter(|found| found.physical == gpa).map(|_| gpa)
}

fn of_header(view: View<'_>, index: u32) -> Markup {
    let Some(header) = view.document.header(index) else {
        return html! { h2 { "Header " (index) } p { "This file has no such header." } };
    };
    let data = view.document.file().data_range(&header, view.document.data());
    html! {
        h2 { "Header " (index) }
        p { strong { (kind_name(header.typ()).unwrap_or("unknown type")) } br; (summary(&header, data)) }
        @if let Some(data) = data {
            h3 { "Its data, " (Size(data.len)) " at file " (file(view.focus, data.start)) }
            (file_peek(view, data.start, data.len))
        }
    }
}

fn of_register(view: View<'_>, vp_index: u32, register: Register) -> Markup {
    let Some(processor) = view.loaded.and_then(|loaded| loaded.processor(vp_index)) else {
        return html! { h2 { (register.name()) } (no_processor(view)) };
    };
    let value = processor.registers.get(register);
    let reset = RegisterFile::reset(vp_index == 0).get(register);
    html! {
        h2 { (register.name()) span.dim { " of processor " (vp_index) } }
        p.value { (shown(register, value)) }
        @if value == reset {
            p.dim { "the same as after reset" }
        } @else {
            p.dim { "after reset: " (shown(register, reset)) }
        }
        @match (value, bits::names(register)) {
            (RegisterValue::Integer(value), names) if !names.is_empty() => ul.bit-list {
                @for (bit, name, meaning) in names {
                    @let set = value >> bit & 1;
                    li class=(if set == 1 { "set" } else { "clear" }) {
                        span.bit-number { (bit) } span.bit-value { (set) } code { (name) } span { (meaning) }
                    }
                }
            },
            (RegisterValue::Segment(segment), _) => p { (meaning(&segment)) },
            (RegisterValue::Integer(value), _) if value != 0 => p { "as a linear address: " (linear(&view.focus.in_pane(Pane::Paging), value)) },
            _ => {}
        }
        @if view.related.header.is_none() { p.dim { "No header gives this value." } }
    }
}

fn shown(register: Register, value: RegisterValue) -> Markup {
    match value {
        RegisterValue::Integer(value) => wide_hex(value, width(register)),
        RegisterValue::Segment(segment) => html! {
            (wide_hex(segment.selector.into(), 2)) " base " (hex(segment.base))
            " limit " (hex(segment.limit.into())) " attributes " (hex(segment.attributes.into()))
        },
        RegisterValue::Table(table) => {
            html! { "base " (hex(table.base)) " limit " (hex(table.limit.into())) }
        }
    }
}

fn of_guest(view: View<'_>, gpa: u64) -> Markup {
    let loaded = view.loaded;
    let extent = loaded.and_then(|loaded| loaded.extent_at(gpa));
    html! {
        h2 { "Guest " (hex(gpa)) (copy(gpa)) }
        @match extent {
            Some(extent) => {
                p {
                    (chip(Kind::of(extent))) (Kind::of(extent).meaning())
                    @if let Some(parameter) = ExtentView::from(extent).parameter { ", " (parameter) }
                    ", in " (hex(extent.span.start)) "–" (hex(extent.span.end() - 1))
                }
                @if let Some(loaded) = loaded {
                    @let len = PEEK.min(extent.span.end() - gpa);
                    (dump(loaded.read(view.document, gpa, len as usize), gpa))
                }
            }
            None if loaded.is_some_and(|loaded| loaded.is_memory(gpa)) => p { "Memory that no header writes: it reads as zero." },
            None if loaded.is_none() => (no_machine(view)),
            None => p { "The guest has no memory here." },
        }
    }
}

fn of_linear(view: View<'_>, linear: u64) -> Markup {
    let walk = view
        .loaded
        .and_then(|loaded| loaded.translate(view.document, view.focus.vp_index(), linear));
    html! {
        h2 { "Linear " (hex(linear)) (copy(linear)) }
        @match walk {
            Some(walk) => {
                @match walk.result {
                    Ok(found) => p { "leads to guest physical " (guest(view.focus, found.physical)) @if !walk.entries.is_empty() { ", page rights " code { (found.rights) } } },
                    Err(fault) => p.bad { "leads nowhere: " (fault) },
                }
                (steps(view, &walk))
            }
            None => (no_processor(view)),
        }
    }
}

/// The entries that a walk met.
fn steps(view: View<'_>, walk: &paging::Walk) -> Markup {
    html! {
        p.dim { (walk.mode) }
        ol.chain.steps {
            @for entry in &walk.entries {
                li {
                    code { (entry.level.name()) } span.dim { " at " } (guest(view.focus, entry.gpa))
                    div { (hex(entry.raw)) span.dim { @for flag in entry.flags() { " " (flag) } } }
                }
            }
        }
    }
}

fn of_file(view: View<'_>, offset: u64) -> Markup {
    html! {
        h2 { "File " (hex(offset)) (copy(offset)) }
        @if offset >= view.document.file().file_len() {
            p { "The file ends before this." }
        } @else {
            p {
                @match (view.document.header_at(offset), view.related.header) {
                    (Some(header), _) => (field_at(&header, offset)),
                    (None, Some(_)) if view.related.register.is_some() => "in the context of a processor",
                    (None, Some(_)) => "data",
                    (None, None) if offset < view.document.file().fixed().len() => "in the fixed header",
                    (None, None) => "nothing that reaches this machine's memory",
                }
            }
            (file_peek(view, offset, u64::MAX))
        }
    }
}

/// Which field of a header a byte belongs to.
fn field_at(header: &Header<'_>, offset: u64) -> Markup {
    let fields = fields(header);
    let field =
        fields.iter().find(|field| Span::new(field.file_offset.0, field.length).contains(offset));
    html! {
        @match field {
            Some(field) => {
                "in " code { (field.name) } " = " code.long { (field.value) }
                @if let Some(meaning) = &field.meaning { span.dim { ", " (meaning) } }
            }
            None if header.padding_range().contains(offset) => "padding",
            None => "type and length",
        }
        " of header " (header.index)
    }
}

fn file_peek(view: View<'_>, offset: u64, len: u64) -> Markup {
    let left = view.document.file().file_len().saturating_sub(offset);
    let mut bytes = vec![0; len.min(PEEK).min(left) as usize];
    dump(view.document.data().read_at(offset, &mut bytes).is_ok().then_some(bytes), offset)
}

/// Bytes in hexadecimal and as text.
fn dump(bytes: Option<Vec<u8>>, start: u64) -> Markup {
    html! {
        @match bytes {
            None => p.bad { "The browser cannot read these bytes." },
            Some(bytes) => pre.dump tabindex="0" aria-label="Bytes" {
                @for (at, line) in bytes.chunks(8).enumerate() {
                    span.dim { (format!("{:>8x}  ", start + at as u64 * 8)) }
                    @for byte in line { (format!("{byte:02x} ")) }
                    @for _ in line.len()..8 { "   " }
                    " "
                    @for byte in line { (if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '·' }) }
                    "\n"
                }
            },
        }
    }
}
