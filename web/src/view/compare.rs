//! Two files, or two platforms.

use igvm_analysis::diff::{ChangedHeader, HeaderRun};
use igvm_analysis::report::{FindingView, Size};
use igvm_core::platform::platform_by_name;
use maud::{Markup, html};

use super::View;
use super::difference::{self, SHOWN, Sides, fields, rest, swapped};
use super::parts::{count, file, header, hex};
use crate::model::comparison::Comparison;
use crate::model::focus::{Focus, Other, Pane, Selection};
use crate::model::opened::Opened;

/// The pane.
pub fn compare(view: View<'_>) -> Markup {
    html! {
        div.prose.compare {
            (choose(view))
            @match (view.comparison, &view.focus.with) {
                (Some((comparison, other)), _) => (compared(view, comparison, other)),
                (None, Some(other)) => p.empty {
                    "The other side is " strong { (other.subject.name()) } ", which is not open. "
                    "Drop it here, and the two are compared."
                }
                (None, None) => p.empty {
                    "Choose the other side above, or drop a file here: yesterday's build, say. "
                    "What differs is told by meaning, not by byte: headers, registers, memory."
                }
            }
        }
    }
}

/// The other sides there are.
fn choose(view: View<'_>) -> Markup {
    let chosen = view.focus.with.as_ref();
    let link = |other: Other, text: &str| {
        let current = (chosen == Some(&other)).then_some("true");
        let focus = view.focus.on_nothing().compared_with(other);
        html! { a href=(focus.href()) aria-current=[current] { (text) } }
    };
    let subject = &view.document.subject;
    let platforms = &view.opened.file.platforms;
    let own = view.loaded.map(|loaded| loaded.platform);
    let others = platforms.iter().filter_map(|platform| {
        let typ = platform_by_name(&platform.name)?;
        (Some(typ) != own).then_some((typ, &platform.name))
    });
    let others: Vec<_> = others.take(SHOWN).collect();
    html! {
        nav.choose aria-label="Compare with" {
            span.dim { "Compare with" }
            @for opened in view.files.iter().filter(|opened| opened.document.subject != *subject) {
                (link(Other::new(opened.document.subject.clone()), opened.document.subject.name()))
            }
            @for (platform, name) in others {
                @let other = Other { platform: Some(platform), ..Other::new(subject.clone()) };
                (link(other, &format!("this file for {name}")))
            }
            label.button for="file" { "another file" }
            @if let Some(focus) = swapped(view).filter(|_| view.comparison.is_some()) {
                a.swap href=(focus.href()) { "swap sides" }
            }
        }
    }
}

fn compared(view: View<'_>, comparison: &Comparison, other: &Opened) -> Markup {
    let names = names(view, comparison, other);
    let sides = Sides {
        names: [&names[0], &names[1]],
        machines: [
            comparison.machine().map(|machine| (machine, &other.document)),
            view.loaded.map(|loaded| (loaded, view.document)),
        ],
    };
    html! {
        p.versus { span.dim { "before" } strong { (names[0]) } span.dim { "after" } strong { (names[1]) } }
        p.lead role="status" { (headline(view, comparison)) }
        @if comparison.is_incomplete() { p.warn { "The comparison was cancelled: there may be more than is listed." } }
        @if let Some(why) = comparison.no_machine() { p.alert { "The other side makes no machine. " (why) } }
        (headers(view, comparison))
        @if let Some(report) = comparison.registers().filter(|report| !report.is_same()) {
            h2 { "Registers " span.dim { (report.changed.total) } }
            (difference::registers(view, report))
        }
        (memory(view, comparison, sides))
        (findings(view, comparison, sides))
    }
}

/// What the two sides are called.
fn names(view: View<'_>, comparison: &Comparison, other: &Opened) -> [String; 2] {
    if !comparison.is_one_file() {
        return [&other.document, view.document].map(|file| file.subject.name().to_owned());
    }
    [comparison.machine(), view.loaded].map(|loaded| {
        loaded.map_or_else(|| "no machine".to_owned(), |loaded| loaded.state.platform.clone())
    })
}

/// All of it in a sentence or two.
fn headline(view: View<'_>, comparison: &Comparison) -> Markup {
    let headers = comparison.headers();
    let counts = headers.headers;
    let differing =
        [(counts.removed, "removed"), (counts.added, "added"), (counts.changed, "changed")];
    let told: Vec<String> = differing
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, what)| format!("{} {what}", count(*number, "header")))
        .collect();
    html! {
        @if !comparison.is_done() {
            "Comparing. " @if !told.is_empty() { "So far: " (told.join(", ")) "." }
        } @else if comparison.is_same_bytes() && !comparison.is_one_file() {
            strong { "The files are the same, byte for byte" }
            @if comparison.is_same_machine() { ", and make the same machine." }
            @else { ", but the machines differ: they are for two platforms." }
        } @else if comparison.is_same_machine() {
            strong { "Both make the identical machine" }
            ": the same registers, the same bytes everywhere in memory. "
            @if told.is_empty() {
                @if let Some(at) = comparison.first_byte() {
                    "The files differ, first at " (file(view.focus, at)) ", but no header says anything else."
                }
            } @else {
                "Yet the files differ: " (told.join(", ")) "."
            }
        } @else {
            (differs(comparison, &told))
        }
    }
}

fn differs(comparison: &Comparison, told: &[String]) -> Markup {
    let mut parts = told.to_vec();
    if let Some(report) = comparison.registers() {
        let [before, after] = report.processors;
        if before != after {
            parts.push(format!("{after} processors instead of {before}"));
        }
        if !report.changed.is_empty() {
            parts.push(format!("{} with another value", count(report.changed.total, "register")));
        }
    }
    let ranges = comparison.memory().map_or(0, |report| report.changes.total);
    if ranges > 0 {
        parts.push(format!("{} with other bytes", count(ranges, "memory range")));
    }
    if !comparison.has_same_memory_map() {
        parts.push("another size or place of guest memory".to_owned());
    }
    html! {
        @if parts.is_empty() { strong { "No header differs by meaning." } }
        @else { strong { "They differ" } ": " (parts.join(", ")) "." }
    }
}

/// Headers removed, added, changed.
fn headers(view: View<'_>, comparison: &Comparison) -> Markup {
    let report = comparison.headers();
    let counts = report.headers;
    let swapped = swapped(view);
    let there = swapped.as_ref().unwrap_or(view.focus);
    html! {
        @if !report.is_same() {
            h2 { "Headers " span.dim { (counts.removed + counts.added + counts.changed) ", and " (counts.same) " the same" } }
            @if !report.fixed.is_empty() { p { "In the fixed header:" } (fields(&report.fixed)) }
            ul.differences {
                @for changed in report.changed.kept.iter().take(SHOWN) { (one_changed(view, changed)) }
            }
            (rest(&report.changed, "changed header"))
            ul.differences {
                @for run in report.removed.kept.iter().take(SHOWN) { (one_run(there, "−", "removed", run)) }
            }
            (rest(&report.removed, "removed header"))
            ul.differences {
                @for run in report.added.kept.iter().take(SHOWN) { (one_run(view.focus, "+", "added", run)) }
            }
            (rest(&report.added, "added header"))
        }
    }
}

fn one_changed(view: View<'_>, changed: &ChangedHeader) -> Markup {
    let selection = Selection::Header(changed.after);
    let selected = view.focus.selection == Some(selection);
    html! {
        li {
            a.difference.related[selected] href=(view.focus.on(selection).href()) {
                b.sign title="changed" { "≠" }
                span { (changed.name) span.dim { " " (changed.after) } }
                span.told { (changed.summary) (more_pages(changed.count)) }
            }
            div.what {
                (fields(&changed.fields))
                @if let Some(at) = changed.data {
                    p.dim { "Its data differ, from byte " (hex(at.0)) " on" @if changed.count > 1 { " in the first" } "." }
                }
            }
        }
    }
}

fn one_run(focus: &Focus, sign: &str, title: &str, run: &HeaderRun) -> Markup {
    let focus = focus.in_pane(Pane::Headers).on(Selection::Header(run.header));
    html! {
        li {
            a.difference href=(focus.href()) {
                b.sign title=(title) { (sign) }
                span { (run.name) span.dim { " " (run.header) } }
                span.told { (run.summary) (more_pages(run.count)) }
            }
        }
    }
}

fn more_pages(count: u32) -> Markup {
    html! { @if count > 1 { ", and " (super::parts::count(u64::from(count) - 1, "page")) " after it" } }
}

fn memory(view: View<'_>, comparison: &Comparison, sides: Sides<'_>) -> Markup {
    let Some(report) = comparison.memory() else { return Markup::default() };
    html! {
        @if !report.is_same() || report.other_source > 0 || !comparison.has_same_memory_map() {
            h2 { "Memory " span.dim { (report.changes.total) } }
            @if !comparison.has_same_memory_map() { (memory_maps(sides)) }
            @if report.other_source > 0 {
                p.dim { (Size(report.other_source)) " read the same but come from elsewhere: zeroes that one file writes and the other leaves to the host, say." }
            }
            @if report.unreadable > 0 { p.bad { (Size(report.unreadable)) " could not be read, and so not be compared." } }
            (difference::memory(view, &report.changes, sides))
        }
    }
}

/// How much memory each guest has.
pub(super) fn memory_maps(sides: Sides<'_>) -> Markup {
    let [before, after] = sides.machines.map(|side| {
        side.map(|(loaded, _)| {
            let ranges = loaded.state.guest_memory.iter();
            ranges.map(|range| range.length.0).fold(0, u64::saturating_add)
        })
    });
    html! {
        @if let (Some(before), Some(after)) = (before, after) {
            @let more = if after > before { "more" } else { "less" };
            p {
                "The guest has " (Size(after)) " of memory"
                @if before == after { ", as before, but at other addresses." }
                @else if Size(before).to_string() == Size(after).to_string() { ", " (Size(after.abs_diff(before))) " " (more) " than before." }
                @else { " instead of " (Size(before)) "." }
            }
        }
    }
}

fn findings(view: View<'_>, comparison: &Comparison, sides: Sides<'_>) -> Markup {
    let [new, old] = comparison.findings();
    let swapped = swapped(view);
    let there = swapped.as_ref().unwrap_or(view.focus);
    html! {
        @if new.len() + old.len() > 0 {
            h2 { "Findings " span.dim { (new.len() + old.len()) } }
            (some_findings(view.focus, &format!("only in {}", sides.names[1]), "+", new))
            (some_findings(there, &format!("only in {}", sides.names[0]), "−", old))
        }
    }
}

fn some_findings(focus: &Focus, title: &str, sign: &str, findings: &[FindingView]) -> Markup {
    html! {
        ul.differences {
            @for finding in findings.iter().take(SHOWN) {
                li.finding {
                    b.sign title=(title) { (sign) }
                    b class={ "grade g-" (finding.severity) } { (finding.severity) }
                    span.told {
                        (finding.sentence)
                        @if let Some(index) = finding.header { " · " (header(&focus.in_pane(Pane::Headers), index)) }
                    }
                }
            }
        }
        @if findings.len() > SHOWN { p.dim { "and " (findings.len() - SHOWN) " more" } }
    }
}
