//! The virtual machine around it: the form that describes it, what changes
//! with it, what the guest is told.

use igvm_analysis::host::HostDescription;
use igvm_analysis::report::Size;
use igvm_core::load::RequiredMemoryPolicy;
use maud::{Markup, PreEscaped, html};

use super::View;
use super::compare::memory_maps;
use super::difference::{self, Sides};
use super::overview::processors;
use super::parts::{by_host, count, header, hex};
use super::told::told;
use crate::model::changes::Changes;
use crate::model::focus::Pane;
use crate::model::host_form::{Movable, complaints, movable, nothing_to_move};

/// Hosts that people ask about.
const PRESETS: [(u32, u64); 4] = [(1, 256 << 20), (2, 2 << 30), (4, 8 << 30), (64, 64 << 30)];

/// The pane.
pub fn host(view: View<'_>) -> Markup {
    html! {
        div.prose.host {
            h2 { "The virtual machine" }
            p.dim { "What the loader is told. The machine is computed anew at once; the address bar keeps what you say." }
            @if let Some(complaint) = view.loaded.and_then(|loaded| nothing_to_move(view.document, loaded)) {
                p.alert role="alert" { (complaint) }
            }
            (form(view))
            @if let Some(changes) = view.changes { (changed(view, changes)) }
            @if let Some(loaded) = view.loaded {
                h2 { "What the guest is told" }
                (told(view, loaded))
            }
        }
    }
}

/// One field: what is typed in it, and what is wrong with that.
struct Field<'a> {
    view: View<'a>,
    complaint: Option<(&'static str, String)>,
}

impl Field<'_> {
    fn text(&self, name: &str, usual: String) -> String {
        let typed = self.view.host_form.and_then(|form| form.fields.get(name));
        typed.map_or(usual, str::to_owned)
    }

    fn error(&self, name: &str) -> Option<&str> {
        match (self.view.host_form, &self.complaint) {
            (Some(form), _) => form.errors.get(name),
            (None, Some((field, error))) if *field == name => Some(error),
            _ => None,
        }
    }

    /// A row of the form.
    fn row(&self, name: &str, label: &str, usual: String, note: &Markup) -> Markup {
        let id = format!("host-{name}");
        let error = self.error(name);
        html! {
            div.row-of-form {
                label for=(id) { (label) }
                input #(id) name=(name) value=(self.text(name, usual)) autocomplete="off" spellcheck="false"
                    aria-invalid=[error.map(|_| "true")] aria-describedby={ (id) "-note" };
                p.note #{ (id) "-note" } {
                    @match error {
                        Some(error) => span.bad role="alert" { (sentence(error)) },
                        None => span.dim { (note) },
                    }
                }
            }
        }
    }
}

fn form(view: View<'_>) -> Markup {
    let host = &view.focus.host;
    let complaint = complaints(host).filter(|_| view.host_form.is_none());
    let field = Field { view, complaint };
    let mask = view.loaded.map(|loaded| loaded.machine().compatibility_mask());
    let regions = movable(view.document, mask.unwrap_or(u32::MAX));
    let fails = match view.host_form {
        Some(form) => form.fields.get("required-memory").is_some_and(|policy| policy == "fail"),
        None => host.required_memory == RequiredMemoryPolicy::Fail,
    };
    html! {
        nav.presets aria-label="Usual machines" {
            @for (processors, memory) in PRESETS {
                @let preset = HostDescription { processors, memory, ..host.clone() };
                a href=(view.focus.for_host(preset.clone()).href()) aria-current=[(preset == *host).then_some("true")] {
                    (count(processors.into(), "processor")) ", " (Size(memory))
                }
            }
            @if *host != HostDescription::default() {
                a href=(view.focus.for_host(HostDescription::default()).href()) { "the usual host" }
            }
        }
        form.host-form data-action="host" data-live="true" {
            (field.row("cpus", "Processors", host.processors.to_string(), &html! { "1 to " (igvm_analysis::host::PROCESSORS_MAX) }))
            (field.row("memory", "RAM", size_in_words(host.memory), &html! { "256M, 8G, or bytes as 0x10000000" }))
            (field.row("append", "Command line", host.command_line.clone(), &html! { "ASCII; only where the file has a COMMAND_LINE parameter" }))
            div.row-of-form {
                label for="host-required-memory" { "Required memory" }
                select #host-required-memory name="required-memory" {
                    option value="create" selected[!fails] { "create it" }
                    option value="fail" selected[fails] { "refuse the file" }
                }
                p.note { span.dim { "where REQUIRED_MEMORY lies outside RAM: QEMU creates it, the specification refuses" } }
            }
            @for region in &regions { (relocation(view, &field, region)) }
            div.row-of-form { span {} button { "Apply" } }
        }
    }
}

fn relocation(view: View<'_>, field: &Field<'_>, region: &Movable) -> Markup {
    let wanted = view.focus.host.relocations.iter().find(|wanted| wanted.from == region.gpa);
    let to = wanted.map_or(region.gpa, |wanted| wanted.to);
    let problems = view.loaded.map_or(&[][..], |loaded| &loaded.state.problems);
    let refused = problems.iter().find(|p| p.fatal && p.header == Some(region.header));
    let note = html! {
        @match (refused, region.limits) {
            (Some(problem), _) => strong.bad role="alert" { (sentence(&problem.sentence)) " " },
            (None, Some((min, max, alignment))) => {
                "from " (hex(min)) " up to " (hex(max)) ", in steps of " (Size(alignment)) "; "
            }
            (None, None) => "whole pages; ",
        }
        (Size(region.len)) " by " (header(&view.focus.in_pane(Pane::Headers), region.header))
    };
    let what = if region.limits.is_some() { "Region" } else { "Page tables" };
    let label = format!("{what} {:#x} at", region.gpa);
    field.row(&region.field(), &label, format!("{to:#x}"), &note)
}

/// A size as one would type it.
fn size_in_words(bytes: u64) -> String {
    let units = [(40, 'T'), (30, 'G'), (20, 'M'), (10, 'K')];
    let unit = units.into_iter().find(|(shift, _)| bytes != 0 && bytes.trailing_zeros() >= *shift);
    unit.map_or_else(|| format!("{bytes:#x}"), |(shift, unit)| format!("{}{unit}", bytes >> shift))
}

/// What this host changes, compared with the usual one.
fn changed(view: View<'_>, changes: &Changes) -> Markup {
    let (memory, registers) = (changes.memory(), changes.registers());
    let sides = Sides {
        names: ["usual host", "this host"],
        machines: [
            Some((changes.base(), view.document)),
            view.loaded.map(|loaded| (loaded, view.document)),
        ],
    };
    let base = &changes.base().state.guest_memory;
    let more = view.loaded.is_some_and(|loaded| loaded.state.guest_memory != *base);
    html! {
        h2 { "What this host changes" }
        p role="status" {
            "Compared with 1 processor and 256 MiB: "
            @if memory.is_same() && registers.is_same() && !more {
                "nothing in memory, no register. "
            } @else {
                (count(memory.changes.total, "range")) " of memory, "
                @if registers.changed.is_empty() { "no register. " }
                @else { (count(registers.changed.total, "register")) ". " }
                @if !memory.is_same() { "Marked " (by_host()) " in every pane." }
            }
            @if changes.progress().is_some() { " Still looking." }
            @if changes.is_incomplete() { " Cancelled: there may be more." }
        }
        @if more { (memory_maps(sides)) }
        (difference::registers(view, registers))
        @if let Some(loaded) = view.loaded { p { (processors(view, loaded)) "." } }
        (difference::memory(view, &memory.changes, sides))
    }
}

/// With a capital and a full stop.
fn sentence(text: &str) -> PreEscaped<String> {
    let mut letters = text.chars();
    let first = letters.next().map_or_else(String::new, |first| first.to_uppercase().to_string());
    html! { (first) (letters.as_str()) "." }
}
