//! What the file is, in words; what is wrong with it; its fixed header.

use igvm_analysis::report::{FindingView, ProcessorView, Size};
use igvm_core::x86::paging::Fault;
use igvm_core::x86::{Mode, PagingMode, Register};
use maud::{Markup, html};

use super::View;
use super::code::{rows, stopped};
use super::parts::{count, file, guest, header, hex, to};
use super::processors::capital;
use crate::model::code::Eyes;
use crate::model::focus::{Focus, Pane, Selection};
use crate::model::machine::{Loaded, Written};
use crate::model::start::{Memory, Obstacle, Place, Start};

/// The pane.
pub fn overview(view: View<'_>) -> Markup {
    html! {
        div.prose {
            @let start = view.loaded.and_then(|loaded| Start::new(view.document, loaded, view.focus.vp_index()));
            (truncated(view))
            @if let Some(start) = &start { (obstacle(view, start)) }
            (alert(view, start.as_ref().is_some_and(|start| start.obstacle.is_some())))
            p.lead { (in_words(view)) }
            @if let Some(start) = &start && let Some(loaded) = view.loaded {
                (how_it_starts(view, loaded, start))
                (first_instructions(view))
            }
            @if let Some(loaded) = view.loaded { (told(view, loaded)) }
            (findings(view))
            (fixed_header(view))
        }
    }
}

/// A file of which only a part is there, before everything that follows of it.
fn truncated(view: View<'_>) -> Markup {
    let file = &view.opened.file;
    let (there, whole) = (file.file_size.0, file.total_file_size.0);
    html! {
        @if there < whole {
            p.alert role="alert" {
                strong { "This file is truncated: " (Size(there)) " of " (Size(whole)) " are there. " }
                "All of that is shown; the findings name what the rest would have held."
                @if contexts_are_missing(view) {
                    " The data of the processor contexts is not there either: what is said below \
                     about how it starts is true of a processor after reset."
                }
            }
        }
    }
}

/// Whether a processor has a context of which no register is there.
fn contexts_are_missing(view: View<'_>) -> bool {
    let processors = view.loaded.map_or(&[][..], |loaded| &loaded.state.processors);
    let has_lost = |processor: &ProcessorView| {
        processor.context_header.is_some() && processor.origins.is_empty()
    };
    processors.iter().any(has_lost)
}

/// Why the first instruction cannot run: the headline, where it is so.
fn obstacle(view: View<'_>, start: &Start) -> Markup {
    let Some(obstacle) = &start.obstacle else { return Markup::default() };
    let entry = &start.entry;
    let paging = view.focus.in_pane(Pane::Paging).on(Selection::Linear(entry.linear));
    let place = match obstacle {
        Obstacle::NotExecutable(entry) | Obstacle::SupervisorPage(entry) => Some(entry.gpa),
        Obstacle::Fault(Fault::Unreadable { gpa, .. }) => Some(*gpa),
        Obstacle::Fault(_) => entry.entries.last().map(|entry| entry.gpa),
        _ => entry.result.ok().map(|found| found.physical),
    };
    html! {
        p.alert.headline role="alert" {
            strong { "The first instruction cannot run. " }
            "Processor " (view.focus.vp_index()) " starts at linear "
            a href=(paging.href()) { (hex(entry.linear)) } ", and " (obstacle) "."
            @if let Some(gpa) = place { " Look at guest " (guest(&view.focus.in_pane(Pane::Memory), gpa)) "." }
        }
    }
}

/// Mode, first instruction, page tables, stack and processors, each with a
/// link to the pane that says more.
fn how_it_starts(view: View<'_>, loaded: &Loaded, start: &Start) -> Markup {
    let vp_index = view.focus.vp_index();
    let Some(processor) = loaded.processor(vp_index) else { return Markup::default() };
    let register = |register: Register| {
        let focus = view.focus.in_pane(Pane::Processors);
        focus.on(Selection::Register(vp_index, register)).href()
    };
    let paging = view.focus.in_pane(Pane::Paging);
    html! {
        h2 { "How it starts" }
        dl.facts.starts {
            dt { "Mode" }
            dd { (capital(&processor.mode_because)) "." }
            dt { "First instruction" }
            dd {
                a href=(register(Register::Cs)) { "CS" } ":" a href=(register(Register::Rip)) { "RIP" } " is linear "
                (linear(&paging, start.entry.linear)) (leads(view, &start.entry))
                @if let Some(found) = start.entry.result.ok().filter(|_| !start.entry.entries.is_empty()) {
                    ", page rights " code title="read, write, execute; s: for the supervisor only" { (found.rights) }
                }
            }
            dt { "Page tables" }
            dd {
                @if PagingMode::of(&processor.registers) == PagingMode::None {
                    a href=(paging.href()) { "none" } ": linear addresses are physical ones"
                } @else {
                    a href=(paging.href()) { (PagingMode::of(&processor.registers)) } " from "
                    a href=(register(Register::Cr3)) { "CR3" } ", " (hex(processor.registers.cr3))
                }
            }
            dt { "Stack" }
            dd { (stack(view, start, &register(Register::Ss), &register(Register::Rsp))) }
            dt { "Processors" }
            dd { (processors(view, loaded)) }
        }
    }
}

fn linear(paging: &Focus, address: u64) -> Markup {
    html! { a href=(paging.on(Selection::Linear(address)).href()) title="linear address" { (hex(address)) } }
}

/// Where a linear address leads to, and what is there.
fn leads(view: View<'_>, place: &Place) -> Markup {
    let memory = view.focus.in_pane(Pane::Memory);
    html! {
        @match place.result {
            Err(fault) => { ", which " strong.bad { "leads nowhere" } ": " (fault) }
            Ok(found) => {
                @if found.physical == place.linear && place.entries.is_empty() {
                    ", in "
                } @else {
                    ", guest physical " (guest(&memory, found.physical)) ", in "
                }
                @match place.memory {
                    Some(Memory::Written(index)) => { "memory that " (header(view.focus, index)) " fills" }
                    Some(Memory::Unwritten) => "memory that no header writes: it reads as zero",
                    Some(Memory::Missing) | None => strong.bad { "no memory of the guest" },
                }
            }
        }
    }
}

fn stack(view: View<'_>, start: &Start, ss: &str, rsp: &str) -> Markup {
    let paging = view.focus.in_pane(Pane::Paging);
    html! {
        a href=(ss) { "SS" } ":" a href=(rsp) { "RSP" } " is linear " (linear(&paging, start.stack.linear))
        ". The first push writes to " (linear(&paging, start.push.linear)) (leads(view, &start.push))
        @if !start.push_allowed && start.push.result.is_ok() { ", " strong.bad { "which is read-only" } ", and CR0.WP is set" }
    }
}

/// How many there are, and what they do first.
pub(super) fn processors(view: View<'_>, loaded: &Loaded) -> Markup {
    let all = &loaded.state.processors;
    let waiting = all.iter().filter(|processor| processor.start != "runs").count() as u64;
    let own = all.iter().filter(|processor| processor.context_header.is_some()).count() as u64;
    html! {
        a href=(view.focus.in_pane(Pane::Processors).href()) { (all.len()) }
        " of the " a href=(view.focus.in_pane(Pane::Host).href()) { "host" }
        @if waiting > 0 {
            ": " (all.len() as u64 - waiting) " at once, " (waiting)
            @if waiting == 1 { " waits" } @else { " wait" } " for a start-up interrupt"
        }
        @match own {
            0 => ", none with a context of the file",
            own => { ", " (own) " with a context of the file" },
        }
    }
}

/// Rows of code that the overview shows.
const INSTRUCTIONS: usize = 5;

fn first_instructions(view: View<'_>) -> Markup {
    let Some((loaded, registers)) = view.processor() else { return Markup::default() };
    let code = Focus { code_at: None, code_bits: None, ..view.focus.in_pane(Pane::Code) };
    loaded.with_memory(view.document, |memory| {
        let eyes = Eyes::new(registers, memory, None);
        let listing = eyes.list(eyes.entry(), INSTRUCTIONS);
        html! {
            h2 { "First instructions" }
            (rows(&code, &listing, u64::MAX, None))
            @match &listing.stop {
                Some(stop) => (stopped(&code, &listing, stop)),
                None => p { a href=(code.on_nothing().href()) { "More of the code" } },
            }
        }
    })
}

/// Parameters that are listed.
const TOLD_MAX: usize = 48;

/// What the firmware is told, and where it finds that.
fn told(view: View<'_>, loaded: &Loaded) -> Markup {
    let areas = &loaded.state.parameter_areas;
    let parameters = || {
        areas.iter().flat_map(|area| {
            let named = area.content.iter().filter(|part| part.parameter.is_some());
            named.map(move |part| (area, part))
        })
    };
    let hidden = parameters().skip(TOLD_MAX).count();
    let memory = view.focus.in_pane(Pane::Memory);
    html! {
        h2 { "What the firmware is told" }
        @if areas.is_empty() {
            p { "The file has no parameter areas: the firmware is told nothing, and must find out by itself." }
        } @else if parameters().next().is_none() {
            p { "The host puts nothing into the parameter areas of the file." }
        } @else {
            div.table-scroller tabindex="0" role="region" aria-label="Parameters" {
                table.told {
                    thead { tr {
                        th scope="col" { "what" } th scope="col" { "value" } th scope="col" { "guest physical" }
                        th scope="col" { "size" } th scope="col" { "by" }
                    } }
                    tbody {
                        @for (area, part) in parameters().take(TOLD_MAX) {
                            tr {
                                @let name = part.parameter.unwrap_or_default();
                                @let name = name.strip_suffix("_PARAMETER").unwrap_or(name);
                                th scope="row" { (name) }
                                td.words { (told_value(name, loaded)) }
                                td {
                                    @match area.inserted {
                                        Some(inserted) => (guest(&memory, inserted.gpa.0.saturating_add(part.gpa.0))),
                                        None => span.dim { "never inserted" },
                                    }
                                }
                                td { (Size(part.length.0)) }
                                td { (header(view.focus, part.header)) }
                            }
                        }
                    }
                }
            }
            @if hidden > 0 { p.dim { "and " (hidden) " more" } }
        }
    }
}

/// The value of a parameter in few words.
fn told_value(parameter: &str, loaded: &Loaded) -> Markup {
    let host = loaded.host_description();
    html! {
        @match parameter {
            "VP_COUNT" => (count(host.processors.into(), "processor")),
            "ENVIRONMENT_INFO" => "memory is not shared",
            "COMMAND_LINE" if host.command_line.is_empty() => "empty",
            "COMMAND_LINE" => code { (host.command_line) },
            "MEMORY_MAP" => { (Size(host.memory)) " of RAM" },
            "MMIO_RANGES" => "two ranges for devices",
            "DEVICE_TREE" => "all of this as a device tree",
            "MADT" | "SRAT" | "PPTT" | "SLIT" => { "ACPI table, " (count(host.processors.into(), "processor")) },
            _ => "",
        }
    }
}

/// What stops this file, before everything else; `is_told` where the headline
/// has said already what is wrong with the first instruction.
fn alert(view: View<'_>, is_told: bool) -> Markup {
    let stops = view.findings.findings.iter().find(|finding| {
        finding.severity == "error" && !(is_told && finding.rule.starts_with("entry."))
    });
    html! {
        @if let Some(finding) = stops {
            p.alert role="alert" {
                strong { "This file is broken. " }
                (sentence(&finding.sentence)) " "
                @if let Some(index) = finding.header { (header(view.focus, index)) }
            }
        }
    }
}

/// The file in one paragraph.
pub(super) fn in_words(view: View<'_>) -> Markup {
    let file = &view.opened.file;
    let platforms: Vec<String> =
        file.platforms.iter().map(|platform| platform.name.clone()).collect();
    html! {
        @match view.loaded {
            Some(loaded) if loaded.is_x64 => {
                (first_start(view, loaded))
                (filled(loaded))
            }
            Some(loaded) => {
                "This is not a file for x86 processors: its headers and its memory are shown, its \
                 processors are not computed. "
                (filled(loaded))
            }
            None => { "There is no machine. " (view.opened.no_machine) " " }
        }
        (count(view.document.header_count().into(), "header"))
        (if view.document.header_count() == 1 { " describes it" } else { " describe it" })
        @if !platforms.is_empty() { ", for " (list(&platforms)) }
        "."
        @if let Some(stopped) = view.document.stopped() { " The headers end early: " (stopped) "." }
    }
}

/// Where and how the first processor starts.
fn first_start(view: View<'_>, loaded: &Loaded) -> Markup {
    let start = Start::new(view.document, loaded, 0);
    let Some((registers, Start { entry, .. })) = loaded.registers(0).zip(start) else {
        return Markup::default();
    };
    let processors = view.focus.in_pane(Pane::Processors);
    let rip = processors.on(Selection::Register(0, Register::Rip));
    html! {
        "The first processor starts in "
        (to(&processors, &html! { (Mode::of(registers)) }))
        " at " (to(&rip, &hex(entry.linear)))
        ", with " (PagingMode::of(registers))
        @match entry.result {
            Ok(found) => {
                @if found.physical != entry.linear { ", which is guest physical " (guest(view.focus, found.physical)) }
                @match entry.memory {
                    Some(Memory::Written(index)) => {
                        ". Its first instruction lies in memory that " (header(view.focus, index)) " fills"
                    }
                    _ => { ". " strong.bad { "No header writes the memory of its first instruction" } }
                }
                @if !entry.entries.is_empty() {
                    " (page rights " code title="read, write, execute; s: for the supervisor only" { (found.rights) } ")"
                }
            }
            Err(fault) => { ". " strong.bad { "That address leads nowhere: " (fault) } }
        }
        ". "
    }
}

/// How much memory the file fills.
fn filled(loaded: &Loaded) -> Markup {
    let Written { extents, bytes, low } = loaded.written;
    let state = &loaded.state;
    html! {
        "The file fills " (Size(bytes)) " of guest memory in "
        (count(extents, "range"))
        @if low != bytes { ", " (Size(low)) " of that below 4 GiB" }
        @if !state.parameter_areas.is_empty() {
            ", and leaves " (count(state.parameter_areas.len() as u64, "parameter area"))
            " to the host"
        }
        ". "
    }
}

fn list(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

/// The findings, worst first.
pub(super) fn findings(view: View<'_>) -> Markup {
    let report = view.findings;
    let of = |severity: &'static str| {
        report.findings.iter().filter(move |finding| finding.severity == severity)
    };
    let sorted: Vec<&FindingView> = of("error").chain(of("warning")).chain(of("note")).collect();
    html! {
        h2 { "Findings " span.dim { (report.errors + report.warnings + report.notes) } }
        @if sorted.is_empty() { p { "The whole rule book was tried, and nothing was found." } }
        ul.findings {
            @for finding in sorted.iter().take(FINDINGS_SHOWN) { (one_finding(view, finding)) }
        }
        @let hidden = report.not_listed + sorted.len().saturating_sub(FINDINGS_SHOWN) as u64;
        @if hidden > 0 { p.dim { "and " (hidden) " more; kvm-runner check lists them all" } }
    }
}

/// Findings that are written out.
const FINDINGS_SHOWN: usize = 200;

fn one_finding(view: View<'_>, finding: &FindingView) -> Markup {
    let focus = view.focus.in_pane(Pane::Headers);
    html! {
        li class={ "f-" (finding.severity) } {
            b.grade { (finding.severity) }
            div {
                @if let Some(platform) = &finding.platform { "On " (platform) ": " }
                (sentence(&finding.sentence))
                div.dim.where {
                    @if let Some(index) = finding.header { (header(&focus, index)) " · " }
                    @if let Some(bytes) = finding.file { "file " (file(view.focus, bytes.file_offset.0)) " · " }
                    @if let Some(range) = finding.guest { "guest " (guest(view.focus, range.gpa.0)) " · " }
                    code title=(finding.summary) { (finding.rule) } " · " (finding.source)
                }
            }
        }
    }
}

/// With a full stop, and with a capital unless a register comes first.
pub(super) fn sentence(text: &str) -> String {
    let first_word = text.split_whitespace().next().unwrap_or("");
    let mut letters = text.chars();
    match letters.next() {
        Some(first) if Register::by_name(first_word).is_none() => {
            format!("{}{}.", first.to_ascii_uppercase(), letters.as_str())
        }
        _ => format!("{text}."),
    }
}

pub(super) fn fixed_header(view: View<'_>) -> Markup {
    let view = &view.opened.file;
    let headers_end = view.variable_header_offset.0.saturating_add(view.variable_header_size.0);
    html! {
        h2 { "Fixed header" }
        dl.facts {
            dt { "Format" } dd { "version " (view.version) ", " (view.architecture) ", pages of " (Size(view.page_size.into())) }
            dt { "File size" }
            dd {
                (hex(view.file_size.0)) ", " (Size(view.file_size.0))
                @if view.total_file_size != view.file_size {
                    ", " strong.bad { "but the header says " (hex(view.total_file_size.0)) }
                }
            }
            dt { "Variable headers" }
            dd {
                (hex(view.variable_header_offset.0)) span.dim { "–" } (hex(headers_end.saturating_sub(1)))
                ", " (Size(view.variable_header_size.0))
                @if headers_end > view.file_size.0 { ", " strong.bad { "cut short by the end of the file" } }
            }
            dt { "CRC-32" }
            dd {
                (hex(view.checksum.0)) ", "
                @match view.computed_checksum {
                    Some(sum) if sum == view.checksum => "correct",
                    Some(sum) => strong.bad { "wrong: the headers have " (hex(sum.0)) },
                    None => "not checked, for the headers are cut short",
                }
                div.dim { "It covers this header and the variable headers; a changed byte of page data goes unnoticed." }
            }
            @for platform in &view.platforms {
                dt { "Platform" }
                dd { (platform.name) span.dim { ", compatibility mask " } (hex(platform.compatibility_mask.0)) }
            }
        }
    }
}
