//! The bar on top: which file, which platform, the verdict; and the panes.

use igvm_analysis::report::Size;
use igvm_core::platform::platform_by_name;
use maud::{Markup, html};

use super::View;
use super::parts::count;
use crate::model::focus::{Focus, Pane};
use crate::model::opened::Opened;

/// File, platform, verdict.
pub fn bar(view: View<'_>) -> Markup {
    let file = &view.opened.file;
    let chosen = view.loaded.map(|loaded| loaded.platform);
    html! {
        (files(view.files, Some(view)))
        span.dim.file-size { (Size(file.file_size.0)) }
        @if !file.platforms.is_empty() {
            nav.switch aria-label="Platform" {
                @for platform in &file.platforms {
                    @if let Some(typ) = platform_by_name(&platform.name) {
                        @let focus = Focus { selection: None, ..view.focus.for_platform(typ) };
                        a href=(focus.href()) aria-current=[(Some(typ) == chosen).then_some("true")] {
                            (platform.name)
                        }
                    }
                }
            }
        }
        (verdict(view))
        a.compare-link href=(view.focus.in_pane(Pane::Compare).href()) title="Compare with another file or platform" { "Compare" }
    }
}

/// The files that are open; the one that is shown is no link.
pub fn files(opened: &[Opened], shown: Option<View<'_>>) -> Markup {
    let is_shown =
        |file: &Opened| shown.is_some_and(|view| view.document.subject == file.document.subject);
    html! {
        ul.files aria-label="Open files" {
            @for (at, file) in opened.iter().enumerate() {
                @let name = file.document.subject.name();
                li aria-current=[is_shown(file).then_some("true")] {
                    @if is_shown(file) { span.file-name title=(name) { (name) } }
                    @else { a href=(at_start(shown, file).href()) title=(name) { (name) } }
                    button.close-file type="button" data-act="close" data-value=(at) aria-label={ "Close " (name) } title="Close" { "×" }
                }
            }
        }
    }
}

/// Another file in the same pane, for the same host.
fn at_start(shown: Option<View<'_>>, file: &Opened) -> Focus {
    let subject = Some(file.document.subject.clone());
    let (pane, host) = match shown {
        Some(view) if view.focus.pane != Pane::Compare => {
            (view.focus.pane, view.focus.host.clone())
        }
        _ => Default::default(),
    };
    Focus { subject, pane, host, ..Focus::default() }
}

/// The verdict in a word, leading to the findings.
fn verdict(view: View<'_>) -> Markup {
    let findings = view.findings;
    let (class, sign, word) = match (findings.errors, findings.warnings) {
        (0, 0) => ("sound", "✓", "sound".to_owned()),
        (0, warnings) => ("warned", "!", count(warnings, "warning")),
        (errors, _) => ("broken", "✕", format!("broken, {}", count(errors, "error"))),
    };
    let focus = view.focus.in_pane(Pane::Overview);
    html! {
        a class={ "verdict v-" (class) } href=(focus.href()) { b aria-hidden="true" { (sign) } " " (word) }
    }
}

/// The panes, by their digits.
pub fn tabs(focus: &Focus) -> Markup {
    html! {
        @for (at, pane) in Pane::ALL.into_iter().enumerate() {
            @let digit = (at + 1) % 10;
            a href=(focus.in_pane(pane).href()) data-key=(digit)
                aria-current=[(pane == focus.pane).then_some("page")]
                aria-keyshortcuts=(digit) { (pane.title()) }
        }
    }
}
