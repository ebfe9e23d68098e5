//! Small pieces that look the same in every pane.

use igvm_core::span::Span;
use maud::{Markup, html};

use super::View;
use crate::model::focus::{Focus, Selection};
use crate::model::picture::Kind;

/// A hexadecimal number in groups of four digits. The separator is drawn by
/// the style sheet, so that copying gives a plain number.
pub(super) fn hex(value: u64) -> Markup {
    digits(&format!("{value:x}"))
}

/// The same with leading zeroes, for registers of so many bytes.
pub(super) fn wide_hex(value: u64, bytes: usize) -> Markup {
    digits(&format!("{value:0width$x}", width = bytes * 2))
}

fn digits(text: &str) -> Markup {
    let first = (text.len() - 1) % 4 + 1;
    let (head, rest) = text.split_at(first);
    html! {
        span.num {
            "0x" (head)
            @for at in (0..rest.len()).step_by(4) { i {} (rest[at..at + 4]) }
        }
    }
}

/// A link to a focus; plain text where there is no page to go to, as in a
/// report.
pub(super) fn to(focus: &Focus, text: &Markup) -> Markup {
    titled(focus, None, text)
}

fn titled(focus: &Focus, title: Option<&str>, text: &Markup) -> Markup {
    html! {
        @match focus.subject {
            Some(_) => a href=(focus.href()) title=[title] { (text) },
            None => (text),
        }
    }
}

/// A guest physical address as a link to what is there.
pub(super) fn guest(focus: &Focus, gpa: u64) -> Markup {
    titled(&focus.on(Selection::Guest(gpa)), Some("guest physical address"), &hex(gpa))
}

/// A range of guest memory.
pub(super) fn guest_span(focus: &Focus, span: Span) -> Markup {
    html! {
        (guest(focus, span.start))
        @if span.is_empty() { ", 0 bytes" } @else { span.dim { "–" } (hex(span.end() - 1)) }
    }
}

/// A linear address of the processor in focus as a link.
pub(super) fn linear(focus: &Focus, linear: u64) -> Markup {
    titled(&focus.on(Selection::Linear(linear)), Some("linear address"), &hex(linear))
}

/// An offset in the file as a link.
pub(super) fn file(focus: &Focus, offset: u64) -> Markup {
    titled(&focus.on(Selection::File(offset)), Some("offset in the file"), &hex(offset))
}

/// A header by number as a link.
pub(super) fn header(focus: &Focus, index: u32) -> Markup {
    to(&focus.on(Selection::Header(index)), &html! { "header " (index) })
}

/// Copies an address, without the groups of its digits.
pub(super) fn copy(value: u64) -> Markup {
    copy_text(&format!("{value:#x}"))
}

/// Copies a short text.
pub(super) fn copy_text(text: &str) -> Markup {
    html! { button.copy type="button" data-copy=(text) aria-label={ "Copy " (text) } title={ "Copy " (text) } {} }
}

/// Colour and letter of a kind of memory.
pub(super) fn chip(kind: Kind) -> Markup {
    html! { b class={ "chip k-" (kind.name()) } title=(kind.meaning()) { (kind.letter()) } }
}

/// The sign of what the host changed.
pub(super) fn by_host() -> Markup {
    html! { b.by-host title=(Kind::Changed.meaning()) { (Kind::Changed.letter()) } }
}

/// What a pane says that has no machine to show.
pub(super) fn no_machine(view: View<'_>) -> Markup {
    html! { p.empty { "There is no machine. " (view.opened.no_machine) } }
}

/// What a pane says that has no processor to show.
pub(super) fn no_processor(view: View<'_>) -> Markup {
    html! {
        @match view.loaded {
            None => (no_machine(view)),
            Some(loaded) if !loaded.is_x64 => p.empty { "This is not a file for x86 processors: what they start with is not computed." },
            Some(_) => p.empty { "This host starts no processor " (view.focus.vp_index()) "." },
        }
    }
}

/// "1 page", "3 pages".
pub(super) fn count(number: u64, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    }
}

/// An empty box that is so many pixels high: a drawing without anything in it,
/// for the page allows no style in its markup.
pub(super) fn space(pixels: u64) -> Markup {
    html! { @if pixels > 0 { svg.blank width="1" height=(pixels) aria-hidden="true" {} } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_for_the_eye_only() {
        let shown = |value| hex(value).into_string();
        assert_eq!(shown(0), r#"<span class="num">0x0</span>"#);
        assert_eq!(shown(0x118), r#"<span class="num">0x118</span>"#);
        assert_eq!(shown(0xffff_f000), r#"<span class="num">0xffff<i></i>f000</span>"#);
        assert_eq!(shown(0x1_0000_0000), r#"<span class="num">0x1<i></i>0000<i></i>0000</span>"#);
        assert_eq!(
            wide_hex(0x10, 4).into_string(),
            r#"<span class="num">0x0000<i></i>0010</span>"#
        );
    }
}
