//! How linear addresses become physical ones.

use igvm_analysis::report::Size;
use igvm_core::x86::bits::{cr0, cr4, efer};
use igvm_core::x86::paging::{EntryKind, Rights, Walk, walk};
use igvm_core::x86::{PagingMode, Register, RegisterFile};
use maud::{Markup, html};

use super::View;
use super::code::Looked;
use super::parts::{count, guest, hex, no_processor};
use crate::model::focus::{Focus, Pane, Selection};
use crate::model::machine::linear_entry;
use crate::model::paging::{Ranges, Run, Table, because, index, ranges, tables};

/// The pane.
pub fn paging(view: View<'_>) -> Markup {
    let Some((loaded, registers)) = view.processor() else { return no_processor(view) };
    loaded.with_memory(view.document, |memory| {
        let looked = Looked::at(view, registers, memory);
        let linear = looked.linear().unwrap_or_else(|| linear_entry(registers));
        let way = walk(registers, memory, linear);
        let has_tables = way.mode != PagingMode::None;
        html! {
            div.prose.paging {
                h2 { "Paging of processor " (view.focus.vp_index()) }
                (mode(view, registers))
                (steps(view, &way, looked))
                @if has_tables {
                    h2 { "Tables" }
                    (tree(view, &tables(registers, memory, linear), registers.cr3))
                }
                h2 { "Ranges" }
                (range_list(view, &ranges(registers, memory), linear, has_tables))
            }
        }
    })
}

/// The paging mode, and the bits that say so.
fn mode(view: View<'_>, registers: &RegisterFile) -> Markup {
    let mode = PagingMode::of(registers);
    let processors = view.focus.in_pane(Pane::Processors);
    let register = |register| {
        let focus = processors.on(Selection::Register(view.focus.vp_index(), register));
        html! { a href=(focus.href()) { (register.name()) } }
    };
    html! {
        p.lead {
            @match mode {
                PagingMode::None => "No paging",
                PagingMode::Bits32 => "32-bit paging",
                PagingMode::Pae => "PAE paging",
                PagingMode::Level4 => "4-level paging",
                PagingMode::Level5 => "5-level paging",
            }
            ", because " (because(registers)) "."
            @if mode == PagingMode::None { " A linear address is the guest physical address of the same number." }
        }
        p.dim {
            "Registers: " (register(Register::Cr0)) ", " (register(Register::Cr3)) ", " (register(Register::Cr4)) ", " (register(Register::Efer)) ". "
            @if mode != PagingMode::None {
                @let has_xd = !matches!(mode, PagingMode::Bits32);
                @if has_xd && registers.efer & efer::NXE == 0 { "EFER.NXE is clear: every page is executable, and XD is a reserved bit. " }
                @if has_xd && registers.efer & efer::NXE != 0 { "EFER.NXE is set: XD keeps a page from being executed. " }
                @if registers.cr0 & cr0::WP == 0 { "CR0.WP is clear: the supervisor writes to read-only pages, too. " }
                @if registers.cr4 & cr4::SMEP != 0 { "CR4.SMEP is set: the supervisor does not execute user pages. " }
            }
        }
    }
}

/// The box for an address, and each step of the way to it.
fn steps(view: View<'_>, way: &Walk, looked: Looked) -> Markup {
    let focus = view.focus;
    html! {
        form.go data-action="translate" {
            label { "Linear address " input #translate type="text" name="address" value=(format!("{:#x}", way.linear)) size="22"
                autocomplete="off" spellcheck="false"; }
            button { "Translate" }
            span.dim {
                @match looked {
                    Looked::Entry => "the first instruction",
                    Looked::Linear(_) => "",
                    Looked::Mapped { gpa, .. } => { "leads to guest physical " (hex(gpa)) },
                    Looked::Unmapped(gpa) => { "the first instruction; nothing leads to guest physical " (hex(gpa)) },
                }
            }
        }
        @if !way.entries.is_empty() {
            div.table-scroller tabindex="0" role="region" aria-label="Steps of the walk" {
                table.steps {
                    thead { tr {
                        th scope="col" { "entry" } th scope="col" { "at" } th scope="col" { "value" }
                        th scope="col" { "flags" } th scope="col" { "leads to" }
                    } }
                    tbody {
                        @for entry in &way.entries {
                            tr {
                                th scope="row" { (entry.level) " " (index(way.mode, entry.level, way.linear)) }
                                td { (guest(focus, entry.gpa)) }
                                td { (hex(entry.raw)) }
                                td.flags { @for flag in entry.flags() { span.bit { (flag) } } }
                                td { (target(focus, entry.kind)) }
                            }
                        }
                    }
                }
            }
        }
        p.result role="status" {
            @match way.result {
                Ok(found) => {
                    @if way.entries.is_empty() {
                        "Guest physical " (guest(focus, found.physical)) ", the same number."
                    } @else {
                        @let offset = way.linear & (found.page_len - 1);
                        "Offset " (hex(offset)) " in that page of " (Size(found.page_len))
                        " is guest physical " strong { (guest(focus, found.physical)) }
                        ", " (rights(found.rights)) "."
                    }
                    " " a href=(focus.in_pane(Pane::Code).on(Selection::Linear(way.linear)).href()) { "Code there" }
                },
                Err(fault) => strong.bad { "The address leads nowhere: " (fault) "." },
            }
        }
    }
}

fn target(focus: &Focus, kind: EntryKind) -> Markup {
    html! {
        @match kind {
            EntryKind::NotPresent => span.dim { "nothing: P is clear" },
            EntryKind::Reserved { bits } => span.bad { "nothing: " (hex(bits)) " must be 0" },
            EntryKind::Table { gpa } => { "table at " (guest(focus, gpa)) },
            EntryKind::Page { gpa, len } => { "page of " (Size(len)) " at " (guest(focus, gpa)) },
        }
    }
}

/// Rights in four letters.
fn rights(rights: Rights) -> Markup {
    let words = format!(
        "read{}{}, {}",
        if rights.writable { ", write" } else { "" },
        if rights.executable { ", execute" } else { "" },
        if rights.user { "user code too" } else { "supervisor only" }
    );
    html! { code.rights title=(words) { (rights) } }
}

/// The tables on the way, each inside the entry that names it.
fn tree(view: View<'_>, tables: &[Table], cr3: u64) -> Markup {
    html! {
        @match tables.first() {
            None => p { "This is no address of the paging mode, so no way leads through the tables." },
            Some(root) => {
                p.dim {
                    "From CR3, " (hex(cr3)) ": the tables on the way to the address. Choose an entry to open another."
                }
                div.table-scroller.tree tabindex="0" role="region" aria-label="Page tables" { (one_table(view, root, &tables[1..])) }
            }
        }
    }
}

fn one_table(view: View<'_>, table: &Table, below: &[Table]) -> Markup {
    html! {
        div.page-table {
            div.table-name { (table.level) "s at " (guest(view.focus, table.gpa)) }
            ol {
                @if table.hidden.0 > 0 {
                    li.dim.hidden-runs { (count(table.hidden.0 as u64, "more run")) " of entries before" }
                }
                @for run in &table.runs {
                    li.on-the-way[run.on_the_way] {
                        (one_run(view, run))
                        @if run.on_the_way && let Some((next, rest)) = below.split_first() {
                            (one_table(view, next, rest))
                        }
                    }
                }
                @if table.hidden.1 > 0 {
                    li.dim.hidden-runs { (count(table.hidden.1 as u64, "more run")) " of entries behind" }
                }
            }
        }
    }
}

fn one_run(view: View<'_>, run: &Run) -> Markup {
    let focus = view.focus.on(Selection::Linear(run.linear));
    let last = run.first + run.count - 1;
    html! {
        div.run {
            a.index href=(focus.href()) aria-current=[run.on_the_way.then_some("true")] {
                (run.first) @if run.count > 1 { "–" (last) }
            }
            span.linear { (hex(run.linear)) span.dim { "–" } (hex(run.last())) }
            @match run.entry {
                None => span.bad { "no memory, where the entry should be" },
                Some(entry) => {
                    span {
                        (target(view.focus, entry.kind))
                        @if run.count > 1 && !matches!(entry.kind, EntryKind::NotPresent) {
                            @if run.step == 0 { span.dim { ", all the same" } } @else { span.dim { " and on" } }
                        }
                    }
                    span.flags {
                        @if !matches!(entry.kind, EntryKind::NotPresent) {
                            @for flag in entry.flags() { span.bit { (flag) } }
                        }
                    }
                }
            }
        }
    }
}

/// What is mapped, neighbours merged.
fn range_list(view: View<'_>, ranges: &Ranges, linear: u64, has_tables: bool) -> Markup {
    html! {
        p.dim {
            @if ranges.list.is_empty() { "The tables map nothing. " }
            @else if has_tables {
                (count(ranges.list.len() as u64, "range"))
                ", neighbours with the same rights merged. "
            }
            @if ranges.more { "There are more than these. " }
            @if ranges.exhausted { "The tables hold more entries than are looked at here, so ranges may be missing. " }
            @if ranges.broken > 0 {
                strong.bad { "Broken entries: " (ranges.broken) }
                ", with reserved bits set or no memory where they should be. "
            }
        }
        @if !ranges.list.is_empty() {
            div.table-scroller tabindex="0" role="region" aria-label="Mapped ranges" {
                table.ranges {
                    thead { tr {
                        th scope="col" { "linear" } th scope="col" { "guest physical" }
                        th scope="col" { "size" } th scope="col" { "rights" }
                    } }
                    tbody {
                        @for range in &ranges.list {
                            @let holds = linear.wrapping_sub(range.linear) < range.len;
                            tr.related[holds] {
                                td {
                                    a href=(view.focus.on(Selection::Linear(range.linear)).href()) { (hex(range.linear)) }
                                    span.dim { "–" } (hex(range.linear.wrapping_add(range.len - 1)))
                                }
                                td {
                                    (guest(view.focus, range.physical))
                                    @if range.linear == range.physical { span.dim { " the same" } }
                                }
                                td.size { (Size(range.len)) }
                                td { (rights(range.rights)) }
                            }
                        }
                    }
                }
            }
        }
    }
}
