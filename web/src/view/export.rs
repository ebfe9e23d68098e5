//! What can be taken away.

use igvm_analysis::report::Size;
use igvm_core::load::{Space, default_platform};
use igvm_core::span::Span;
use maud::{Markup, html};

use super::View;
use super::overview::sentence;
use super::parts::{count, header, no_machine};
use crate::model::command;
use crate::model::focus::{Pane, Subject};

/// Findings about a loader that are listed.
const NOTES_SHOWN: usize = 12;

/// The pane.
pub fn export(view: View<'_>) -> Markup {
    html! {
        div.prose.export {
            h2 { "Boot it" }
            (commands(view))
            h2 { "Take it away" }
            (files(view))
            h2 { "Guest memory as raw bytes" }
            (memory(view))
        }
    }
}

/// The lines that boot this file on the described host.
fn commands(view: View<'_>) -> Markup {
    let file = match &view.document.subject {
        Subject::Sample(name) => format!("{name}.igvm"),
        Subject::File(name) => name.clone(),
    };
    if default_platform(&view.document.file()).is_none() {
        return html! {
            p { "This file does not support the platform native, and that is the only one that these programs boot without a confidential guest." }
        };
    }
    let host = &view.focus.host;
    html! {
        p {
            "On the " a href=(view.focus.in_pane(Pane::Host).href()) { "described host" } ", "
            (count(host.processors.into(), "processor")) " and " (Size(host.memory)) ". "
            @if matches!(view.document.subject, Subject::Sample(_)) { "The file is below: " code { (file) } ". " }
        }
        (line("kvm-runner", "kvm-line", &command::kvm_runner(host, &file)))
        p.dim { "This project’s own runner, on Linux with KVM. It boots the platform native; add " code { "--until TEXT" } " or " code { "--timeout SECONDS" } " to end it." }
        (line("QEMU", "qemu-line", &command::qemu(host, &file)))
        p.dim { "QEMU 10.1 or later, built with IGVM support. What follows was seen in 10.2.2." }
        (qemu_notes(view))
    }
}

/// A command that can be copied.
fn line(name: &str, id: &str, text: &str) -> Markup {
    html! {
        div.command {
            h3 { (name) }
            pre tabindex="0" {
                code id=(id) {
                    @for (at, word) in text.split(' ').enumerate() { @if at > 0 { " " } span { (word) } }
                }
            }
            button type="button" data-copy-of=(id) data-copy="" aria-label={ "Copy the line for " (name) } { "Copy" }
        }
    }
}

/// What QEMU makes of this file that others do not.
fn qemu_notes(view: View<'_>) -> Markup {
    let all = &view.findings.findings;
    // QEMU reads files with the igvm crate.
    let is_of_qemu = |rule: &str| rule.starts_with("qemu.") || rule.starts_with("igvm-crate.");
    let notes: Vec<_> = all.iter().filter(|finding| is_of_qemu(finding.rule)).collect();
    let is_broken = view.findings.errors > 0;
    let host = &view.focus.host;
    html! {
        ul.notes-list {
            @if !host.command_line.is_empty() { li { "QEMU does not hand the command line to an IGVM file." } }
            @if !host.relocations.is_empty() { li { "QEMU relocates nothing." } }
            @for finding in notes.iter().take(NOTES_SHOWN) {
                li.refuses[finding.sentence.contains("refuses")] {
                    (sentence(&finding.sentence)) @if let Some(index) = finding.header { " (" (header(&view.focus.in_pane(Pane::Headers), index)) ")" }
                }
            }
            @if notes.len() > NOTES_SHOWN { li { "and " (count((notes.len() - NOTES_SHOWN) as u64, "more difference")) } }
            @if is_broken { li { "The file is broken: " a href=(view.focus.in_pane(Pane::Overview).href()) { "what is wrong" } " may keep any loader from booting it." } }
            @if !is_broken && notes.is_empty() && host.command_line.is_empty() && host.relocations.is_empty() {
                li { "Nothing in this file is known that QEMU refuses or loads otherwise." }
            }
        }
    }
}

fn files(view: View<'_>) -> Markup {
    let button = |value: &str, name: &str, what: &Markup| {
        html! { li { button type="button" data-act="export" data-value=(value) { (name) } span { (what) } } }
    };
    html! {
        ul.takeaways {
            (button("report", "Report", &html! { "This page as one HTML document: overview, findings, headers, memory, processors. It needs no network and can be printed." }))
            (button("json", "JSON", &html! {
                "The whole analysis, as " code { "kvm-runner inspect" } ", " code { "state" } " and " code { "check" } " print it with " code { "--json" } "."
            }))
            (button("file", "File", &html! { "The IGVM file itself, " (Size(view.document.file().file_len())) "." }))
        }
    }
}

/// A range of guest memory; that of the selection to begin with.
fn memory(view: View<'_>) -> Markup {
    let Some(loaded) = view.loaded else {
        return no_machine(view);
    };
    let selected = view.related.guest.map(|guest| match guest.len {
        1 => loaded.extent_at(guest.start).map_or(guest, |extent| extent.span),
        _ => guest,
    });
    let first = loaded.extents(Space::Guest).next().map(|extent| extent.span);
    let span = selected.or(first).unwrap_or(Span::new(0, 0x1000));
    html! {
        form.range-form data-action="export-memory" {
            label { "From" input #export-from type="search" name="address" value=(format!("{:#x}", span.start)) autocomplete="off" spellcheck="false" maxlength="40" required; }
            label { "bytes" input #export-bytes type="search" name="length" value=(format!("{:#x}", span.len)) autocomplete="off" spellcheck="false" maxlength="40" required; }
            button { "Save" }
        }
        p.dim { "The first address is hexadecimal; the length is 0x1000, 4096, 64K or 2M, up to 4 GiB. What nothing has written is zeroes." }
    }
}
