//! The page as one document that needs neither script nor network.

use igvm_analysis::report::{ExtentView, ProcessorView, Size, summary};
use igvm_core::load::{Extent, Space};
use igvm_core::platform::platform_name;
use igvm_core::wire::kind_name;
use igvm_core::x86::{PagingMode, Register, RegisterFile, RegisterValue};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::View;
use super::map::{horizontal, legend};
use super::overview::{findings, fixed_header, in_words};
use super::parts::{chip, count, guest_span, hex, wide_hex};
use super::processors::{capital, meaning, width};
use crate::model::code::{Eyes, Stop};
use crate::model::focus::Focus;
use crate::model::machine::Loaded;
use crate::model::paging::{because, ranges};
use crate::model::picture::Kind;

/// Rows of a table; how many more there are is said.
const ROWS_MAX: usize = 2000;

/// Processors that are written out.
const PROCESSORS_MAX: usize = 4;

const STYLE: &str = include_str!("report.css");

/// The document.
pub fn report(view: View<'_>) -> String {
    // Without a subject nothing is a link: there is no page behind it.
    let focus = Focus { host: view.focus.host.clone(), ..Focus::default() };
    let view = View { focus: &focus, ..view };
    let name = view.document.subject.name();
    let document = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (name) " · IGVM report" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    h1 { (name) }
                    (loaded_for(view))
                    p.lead { (in_words(view)) }
                    (findings(view))
                    (fixed_header(view))
                    @if let Some(loaded) = view.loaded {
                        (memory(view, loaded))
                        (processors(loaded))
                        (paging(view))
                        (code(view))
                    }
                    (headers(view))
                }
            }
        }
    };
    document.into_string()
}

/// What the machine depends on.
fn loaded_for(view: View<'_>) -> Markup {
    let host = &view.focus.host;
    html! {
        p.dim {
            @match view.loaded.and_then(|loaded| platform_name(loaded.platform)) {
                Some(platform) => { "Loaded for the platform " (platform) ", " }
                None => "No machine is loaded; ",
            }
            "on a host with " (count(host.processors.into(), "processor")) " and " (Size(host.memory)) " of RAM"
            @if !host.command_line.is_empty() { ", command line " code { (host.command_line) } }
            @for moved in &host.relocations { ", what lies at " (hex(moved.from)) " loaded at " (hex(moved.to)) }
            "."
        }
    }
}

fn left_out(all: u64, what: &str, command: &str) -> Markup {
    let hidden = all.saturating_sub(ROWS_MAX as u64);
    html! {
        @if hidden > 0 {
            p.dim { "and " (count(hidden, what)) " more; " code { "kvm-runner " (command) } " lists them all" }
        }
    }
}

fn memory(view: View<'_>, loaded: &Loaded) -> Markup {
    let state = &loaded.state;
    html! {
        h2 { "Guest memory" }
        figure { (horizontal(view.picture, None, None)) figcaption { (legend(view.picture)) } }
        table.memory {
            thead { tr { th { "range" } th { "size" } th { "headers" } th { "from" } } }
            tbody {
                @for extent in loaded.extents(Space::Guest).take(ROWS_MAX) { (extent_row(view, extent)) }
            }
        }
        (left_out(loaded.written.extents, "range", "state"))
        @if !state.parameter_areas.is_empty() {
            h3 { "Parameter areas" }
            ul {
                @for area in state.parameter_areas.iter().take(ROWS_MAX) {
                    li {
                        "area " (area.index) ", " (Size(area.length.0)) ", header " (area.header)
                        @match area.inserted {
                            Some(inserted) => { ", inserted at " (hex(inserted.gpa.0)) " by header " (inserted.header) }
                            None => ", never inserted",
                        }
                    }
                }
            }
        }
        h3 { "All memory the guest has" }
        ul {
            @for range in state.guest_memory.iter().take(ROWS_MAX) {
                li { (hex(range.gpa.0)) "–" (hex(range.gpa.0.saturating_add(range.length.0).saturating_sub(1))) ", " (Size(range.length.0)) }
            }
        }
        @if !state.problems.is_empty() {
            h3 { "Problems of loading" }
            ul {
                @for problem in state.problems.iter().take(ROWS_MAX) {
                    li { @if let Some(index) = problem.header { "header " (index) ": " } (problem.sentence) }
                }
            }
        }
    }
}

fn extent_row(view: View<'_>, extent: &Extent) -> Markup {
    let kind = Kind::of(extent);
    let shown = ExtentView::from(extent);
    html! {
        tr {
            td { (chip(kind)) (guest_span(view.focus, extent.span)) }
            td { (Size(extent.span.len)) }
            td { (shown.header) @if let Some(last) = shown.last_header { "–" (last) } }
            td {
                @match (shown.file_offset, shown.parameter) {
                    (Some(offset), _) => { "file " (hex(offset.0)) }
                    (None, Some(parameter)) => (parameter),
                    (None, None) => (kind.meaning()),
                }
                @if let Some(area) = shown.area { ", through area " (area) }
                @if let Some(data_type) = shown.data_type { ", " (data_type) }
                @if shown.unmeasured { ", unmeasured" }
                @if shown.shared { ", shared" }
            }
        }
    }
}

fn processors(loaded: &Loaded) -> Markup {
    if !loaded.is_x64 {
        return html! { p { "This is not a file for x86 processors: what they start with is not computed." } };
    }
    let all = &loaded.state.processors;
    html! {
        @for processor in all.iter().take(PROCESSORS_MAX) { (processor_table(processor)) }
        @if all.len() > PROCESSORS_MAX {
            p.dim { "and " (count((all.len() - PROCESSORS_MAX) as u64, "processor")) " more; " code { "kvm-runner state" } " lists them all" }
        }
    }
}

/// What the page tables of the first processor map.
fn paging(view: View<'_>) -> Markup {
    let Some((loaded, registers)) = view.processor() else { return Markup::default() };
    let ranges = loaded.with_memory(view.document, |memory| ranges(registers, memory));
    html! {
        h2 { "Paging" }
        p { (PagingMode::of(registers)) ", because " (because(registers)) "." }
        @if PagingMode::of(registers) != PagingMode::None {
            table.ranges {
                thead { tr { th { "linear" } th { "guest physical" } th { "size" } th { "rights" } } }
                tbody {
                    @for range in &ranges.list {
                        tr {
                            td { (hex(range.linear)) } td { (hex(range.physical)) }
                            td { (Size(range.len)) } td { code { (range.rights) } }
                        }
                    }
                }
            }
            @if ranges.more || ranges.exhausted { p.dim { "There are more than these." } }
            @if ranges.broken > 0 { p { "Broken entries: " (ranges.broken) "." } }
        }
    }
}

/// Instructions that are written out.
const INSTRUCTIONS: usize = 32;

/// The first instructions of the first processor.
fn code(view: View<'_>) -> Markup {
    let Some((loaded, registers)) = view.processor() else { return Markup::default() };
    let listing = loaded.with_memory(view.document, |memory| {
        let eyes = Eyes::new(registers, memory, None);
        eyes.list(eyes.entry(), INSTRUCTIONS)
    });
    html! {
        h2 { "First instructions" }
        table.code {
            tbody {
                @for row in &listing.rows {
                    tr {
                        td { (hex(row.linear)) }
                        td.dim { @for byte in &row.bytes { (format!("{byte:02x} ")) } }
                        td { (row.words()) }
                    }
                }
            }
        }
        @match &listing.stop {
            None => {}
            Some(Stop::Fault(_, fault)) => p { "The code ends there: " (fault) "." },
            Some(Stop::NoMemory(_)) => p { "The code ends there: the guest has no memory behind it." },
            Some(Stop::Unwritten(_)) => p { "The code ends there: no header writes what is behind it." },
            Some(Stop::Unreadable(_)) => p { "The code ends there: the file cannot be read." },
        }
    }
}

fn processor_table(processor: &ProcessorView) -> Markup {
    let reset = RegisterFile::reset(processor.vp_index == 0);
    html! {
        h2 { "Processor " (processor.vp_index) }
        p {
            (capital(&processor.mode_because)) ". "
            @match processor.context_header {
                Some(index) => { "Its context comes from header " (index) ". " }
                None => "No header gives it a context. ",
            }
            @if processor.start != "runs" { "It waits for a start-up interrupt. " }
            span.dim { "Values marked ≠ differ from those after reset." }
        }
        table.registers {
            tbody {
                @for register in Register::ALL {
                    @let value = processor.registers.get(register);
                    tr {
                        th scope="row" { (register.name()) }
                        td { @if value != reset.get(register) { "≠" } }
                        td data-register=(register.name()) {
                            @match value {
                                RegisterValue::Integer(value) => (wide_hex(value, width(register))),
                                RegisterValue::Segment(segment) => {
                                    (wide_hex(segment.selector.into(), 2)) " base " (hex(segment.base))
                                    " limit " (hex(segment.limit.into())) " attributes " (hex(segment.attributes.into()))
                                    span.dim { " " (meaning(&segment)) }
                                }
                                RegisterValue::Table(table) => { "base " (hex(table.base)) " limit " (hex(table.limit.into())) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn headers(view: View<'_>) -> Markup {
    let total = view.document.header_count();
    html! {
        h2 { "Headers" }
        table.headers {
            thead { tr { th { "" } th { "file" } th { "type" } th { "what it says" } } }
            tbody {
                @for header in (0..total.min(ROWS_MAX as u32)).filter_map(|index| view.document.header(index)) {
                    @let data = view.document.file().data_range(&header, view.document.data());
                    tr {
                        td { (header.index) }
                        td { (hex(header.raw.offset.into())) }
                        td { (kind_name(header.typ()).unwrap_or("unknown type")) }
                        td { (summary(&header, data)) }
                    }
                }
            }
        }
        (left_out(total.into(), "header", "inspect"))
    }
}
