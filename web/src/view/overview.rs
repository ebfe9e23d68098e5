//! What the file is, in words; what is wrong with it; its fixed header.

use igvm_analysis::report::{FileView, FindingView, Size};
use igvm_core::defs::IgvmArchitecture;
use maud::{Markup, html};

use super::View;
use super::parts::{count, file, guest, header, hex, to};
use crate::model::focus::{Pane, Selection};
use crate::model::machine::{Entry, Loaded, Written};
use igvm_core::x86::Register;

/// The pane.
pub fn overview(view: View<'_>) -> Markup {
    html! {
        div.prose {
            (alert(view))
            p.lead { (in_words(view)) }
            (findings(view))
            (fixed_header(view))
        }
    }
}

/// What stops this file, before everything else.
fn alert(view: View<'_>) -> Markup {
    let stops = view.findings.findings.iter().find(|finding| finding.severity == "error");
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
    let igvm = view.document.file();
    let platforms: Vec<String> =
        FileView::new(&igvm).platforms.into_iter().map(|platform| platform.name).collect();
    let is_x64 = igvm.fixed().architecture() == IgvmArchitecture::X64;
    html! {
        @match (view.loaded, is_x64) {
            (Some(loaded), true) => {
                @if let Some(entry) = &loaded.entry { (start(view, entry)) }
                (filled(loaded))
            }
            (Some(loaded), false) => {
                "This is not a file for x86 processors: its headers and its memory are shown, its \
                 processors are not computed. "
                (filled(loaded))
            }
            (None, _) => "The file names no platform, so no loader makes a machine of it. "
        }
        (count(view.document.header_count().into(), "header"))
        " describe it"
        @if !platforms.is_empty() { ", for " (list(&platforms)) }
        "."
        @if let Some(stopped) = view.document.stopped() { " The headers end early: " (stopped) "." }
    }
}

/// Where and how the first processor starts.
fn start(view: View<'_>, entry: &Entry) -> Markup {
    let processors = view.focus.in_pane(Pane::Processors);
    let rip = processors.on(Selection::Register(0, Register::Rip));
    html! {
        "The first processor starts in "
        (to(&processors, &html! { (entry.mode) }))
        " at " (to(&rip, &hex(entry.linear)))
        ", with " (entry.paging)
        @match &entry.physical {
            Ok(gpa) => {
                @if *gpa != entry.linear { ", which is guest physical " (guest(view.focus, *gpa)) }
                @match view.loaded.and_then(|loaded| loaded.extent_at(*gpa)) {
                    Some(extent) => {
                        ". Its first instruction lies in memory that "
                        (header(view.focus, extent.writer_at(*gpa).index))
                        " fills"
                    }
                    None => { ". " strong.bad { "No header writes the memory of its first instruction" } }
                }
                @if let Some(rights) = &entry.rights { " (page rights " code title="read, write, execute; s: for the supervisor only" { (rights) } ")" }
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
    let mut sorted: Vec<&FindingView> = report.findings.iter().collect();
    sorted.sort_by_key(|finding| match finding.severity.as_str() {
        "error" => 0,
        "warning" => 1,
        _ => 2,
    });
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
    let view = FileView::new(&view.document.file());
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
