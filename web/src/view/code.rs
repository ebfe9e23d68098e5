//! Instructions, from where the processor starts or from any address.

use igvm_core::x86::paging::PhysicalMemory;
use igvm_core::x86::{Mode, Register, RegisterFile};
use maud::{Markup, html};

use super::View;
use super::parts::{guest, hex, no_processor};
use crate::model::code::{Eyes, Listing, Row, Stop, What};
use crate::model::focus::{CodeBits, Focus, Pane, Selection};
use crate::model::paging::linear_of;

/// Rows that are shown at a time.
const ROWS: usize = 64;

/// What the selection is, for who looks through the page tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Looked {
    /// Nothing that has an address: the entry point.
    Entry,
    /// A linear address.
    Linear(u64),
    /// Guest memory, and a linear address that leads there.
    Mapped { gpa: u64, linear: u64 },
    /// Guest memory that no linear address leads to.
    Unmapped(u64),
}

impl Looked {
    /// What the selection of a view is.
    pub(super) fn at(
        view: View<'_>,
        registers: &RegisterFile,
        memory: &impl PhysicalMemory,
    ) -> Self {
        match (view.focus.selection, view.related.guest) {
            (Some(Selection::Linear(linear)), _) => Self::Linear(linear),
            (None | Some(Selection::Register(..)), _) | (_, None) => Self::Entry,
            (_, Some(span)) => match linear_of(registers, memory, span.start) {
                Some(linear) => Self::Mapped { gpa: span.start, linear },
                None => Self::Unmapped(span.start),
            },
        }
    }

    /// The linear address, where it has one.
    pub(super) const fn linear(self) -> Option<u64> {
        match self {
            Self::Linear(linear) | Self::Mapped { linear, .. } => Some(linear),
            Self::Entry | Self::Unmapped(_) => None,
        }
    }
}

/// The pane.
pub fn code(view: View<'_>) -> Markup {
    let Some((loaded, registers)) = view.processor() else { return no_processor(view) };
    loaded.with_memory(view.document, |memory| {
        let eyes = Eyes::new(registers, memory, view.focus.code_bits);
        let looked = Looked::at(view, registers, memory);
        let (start, listing) = listing(view, &eyes, looked);
        html! {
            div.code-pane {
                (heading(view, &eyes, looked, start))
                (rows(&view.focus.code_at(start), &listing, eyes.entry(), looked.linear()))
                @if let Some(stop) = &listing.stop { (stopped(view.focus, &listing, stop)) }
                nav.pages aria-label="More code" {
                    @if let Some(before) = eyes.before(start, ROWS) {
                        a rel="prev" href=(view.focus.code_from(before).href()) { "↑ before " (hex(start)) }
                    }
                    @if listing.stop.is_none() {
                        a rel="next" href=(view.focus.code_from(listing.next).href()) { "↓ on from " (hex(listing.next)) }
                    }
                }
            }
        }
    })
}

/// The rows that stay where they are while one of them is selected.
fn listing(view: View<'_>, eyes: &Eyes<'_>, looked: Looked) -> (u64, Listing) {
    let start = view.focus.code_at.unwrap_or_else(|| eyes.entry());
    let listing = eyes.list(start, ROWS);
    let holds = |row: &Row, at: u64| match looked {
        Looked::Linear(_) if row.span() <= 15 => row.linear == at,
        _ => at.wrapping_sub(row.linear) < row.span(),
    };
    match looked.linear() {
        Some(at) if at != start && !listing.rows.iter().any(|row| holds(row, at)) => {
            (at, eyes.list(at, ROWS))
        }
        _ => (start, listing),
    }
}

fn heading(view: View<'_>, eyes: &Eyes<'_>, looked: Looked, start: u64) -> Markup {
    let own = CodeBits::by_number(Mode::of(eyes.registers).bitness());
    let vp_index = view.focus.vp_index();
    let at_entry = view.focus.on(Selection::Register(vp_index, Register::Rip));
    let at_entry = Focus { code_at: None, ..at_entry };
    html! {
        div.filters {
            form.go data-action="translate" {
                label { "Code at " input type="text" name="address" value=(format!("{start:#x}")) size="20"
                    autocomplete="off" spellcheck="false" aria-label="Linear address"; }
                button { "Show" }
            }
            nav.switch aria-label="Read as" {
                @for bits in CodeBits::ALL {
                    @let is_own = own == Some(bits);
                    @let focus = view.focus.read_as((!is_own).then_some(bits));
                    a href=(focus.href()) aria-current=[(bits == eyes.bits).then_some("true")]
                        title=[is_own.then_some("as the processor's mode says")] {
                        (bits.number()) "-bit"
                    }
                }
            }
            @if start != eyes.entry() { a href=(at_entry.href()) { "entry point" } }
        }
        p.how {
            (bits_in_words(eyes, own)) " of processor " (vp_index)
            @match looked {
                _ if start == eyes.entry() && !matches!(looked, Looked::Unmapped(_)) => ", from its first instruction on",
                Looked::Entry => { ", from " (hex(start)) " on" },
                Looked::Linear(_) => ", at a linear address",
                Looked::Mapped { gpa, linear } if gpa == linear => { ". Guest physical " (hex(gpa)) " has the same linear address" },
                Looked::Mapped { gpa, linear } => { ". Guest physical " (hex(gpa)) " is at linear " (hex(linear)) },
                Looked::Unmapped(gpa) => { ". No page table leads to guest physical " (hex(gpa)) ": shown is the first instruction" },
            }
            "."
            @let base = eyes.base(start);
            @if base != 0 && base == eyes.registers.cs.base {
                " Jumps count from the base of CS, " (hex(base)) "."
            } @else if base != 0 || (eyes.bits == CodeBits::Bits16 && base != eyes.registers.cs.base) {
                " CS of the processor does not reach this: jumps are shown as if its base were " (hex(base)) "."
            }
        }
    }
}

fn bits_in_words(eyes: &Eyes<'_>, own: Option<CodeBits>) -> Markup {
    let mode = Mode::of(eyes.registers);
    html! {
        (eyes.bits.number()) "-bit code"
        @if own != Some(eyes.bits) { strong.warned { ", though the processor starts in " (mode) "," } }
    }
}

/// Rows of a listing; their links go where `focus` is.
pub(super) fn rows(focus: &Focus, listing: &Listing, entry: u64, selected: Option<u64>) -> Markup {
    let is_translated = listing.rows.iter().any(|row| row.linear != row.physical);
    html! {
        div.table-scroller.listing tabindex="0" role="region" aria-label="Instructions" {
            ol.code.translated[is_translated] {
                @for row in &listing.rows {
                    @let is_selected = selected.is_some_and(|at| at.wrapping_sub(row.linear) < row.span());
                    @let leaves = matches!(row.what, What::Instruction { leaves: true, .. });
                    li.related[is_selected].leaves[leaves] {
                        a.at href=(focus.on(Selection::Linear(row.linear)).href())
                            aria-current=[is_selected.then_some("true")]
                            title=(format!("offset {:#x} in its segment", row.linear.wrapping_sub(listing.base))) {
                            (hex(row.linear))
                        }
                        @if is_translated { span.physical { (guest(focus, row.physical)) } }
                        span.bytes { @for byte in &row.bytes { (format!("{byte:02x} ")) } }
                        span.text {
                            (text(focus, row))
                            @if row.linear == entry { b.entry title="the processor starts here" { "entry" } }
                        }
                    }
                }
            }
        }
    }
}

fn text(focus: &Focus, row: &Row) -> Markup {
    html! {
        @match &row.what {
            What::Bad => span.bad { "(bad)" },
            What::Zeroes(len) => span.dim { (len) " bytes of zeroes" },
            What::Instruction { text, .. } => {
                @for piece in text {
                    @match piece.linear {
                        Some(linear) => a href=(focus.on(Selection::Linear(linear)).href())
                            title=(format!("linear {linear:#x}")) { (piece.text) },
                        None if piece.is_mnemonic => b { (piece.text) },
                        None => (piece.text),
                    }
                }
            }
        }
    }
}

/// Why there are no more rows.
pub(super) fn stopped(focus: &Focus, listing: &Listing, stop: &Stop) -> Markup {
    let paging = focus.in_pane(Pane::Paging).on(Selection::Linear(listing.next));
    html! {
        p.stop {
            strong { "The code ends at linear " a href=(paging.href()) { (hex(listing.next)) } }
            @if let Some(gpa) = stop.gpa() && gpa != listing.next {
                ", guest physical " (guest(&focus.in_pane(Pane::Memory), gpa))
            }
            ": " (stop) "."
        }
    }
}
