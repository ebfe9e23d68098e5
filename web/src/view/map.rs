//! The address space as a bar, lying or standing.

use igvm_analysis::report::Size;
use igvm_core::span::Span;
use maud::{Markup, html};

use crate::model::focus::{Focus, Selection};
use crate::model::picture::{Kind, Mark, Picture};

/// Percent across the bar of written memory, and where the marks beside it are.
const BAR: Stretch = (13.0, 60.0);
const BESIDE: Stretch = (80.0, 13.0);

/// The least that a mark is long, in percent.
const SHORTEST: f64 = 0.3;

/// Marks from this length on have room for their letter, in percent.
const LETTERED: f64 = 2.4;

/// The bar lying down. Marks are links if there is a focus to change.
pub fn horizontal(picture: &Picture, focus: Option<&Focus>, selected: Option<Span>) -> Markup {
    html! {
        svg.map.lying role="group" aria-label="Guest address space, empty stretches folded" {
            (content(picture, focus, selected, |along, across| {
                [along.0, across.0, along.1, across.1]
            }))
        }
    }
}

/// The bar standing, low addresses at the bottom.
pub fn vertical(picture: &Picture, focus: Option<&Focus>, selected: Option<Span>) -> Markup {
    html! {
        svg.map.standing role="group" aria-label="Guest address space, empty stretches folded, low addresses below" {
            (content(picture, focus, selected, |along, across| {
                [across.0, 100.0 - along.0 - along.1, across.1, along.1]
            }))
        }
    }
}

/// Start and length.
type Stretch = (f64, f64);

fn content(
    picture: &Picture,
    focus: Option<&Focus>,
    selected: Option<Span>,
    turn: impl Fn(Stretch, Stretch) -> [f64; 4],
) -> Markup {
    let shape = |class: &str, along: Stretch, across: Stretch| {
        let [x, y, width, height] = turn(along, across).map(percent);
        html! { rect class=(class) x=(x) y=(y) width=(width) height=(height) {} }
    };
    // Percent keep letters upright, however the picture is stretched.
    let letter = |kind: Kind, along: Stretch, across: Stretch| {
        let [x, y, width, height] = turn(along, across);
        let (x, y) = (percent(x + width / 2.0), percent(y + height / 2.0));
        let class = format!("letter on-{}", kind.name());
        html! { text class=(class) x=(x) y=(y) aria-hidden="true" { (kind.letter()) } }
    };
    let percent_at = |gpa: u64| Some(picture.place(gpa)? / 10.0);
    let place = |gpa: u64| percent_at(gpa).unwrap_or(0.0);
    let stretch = |span: Span| {
        let start = place(span.start);
        (start, (place(span.end()) - start).max(SHORTEST))
    };
    html! {
        @for fold in &picture.folds {
            g {
                title { "nothing for " (Size(fold.span.len)) }
                (shape("fold", (fold.at / 10.0, place(fold.span.end()) - fold.at / 10.0), (BAR.0 + BAR.1 / 2.0 - 1.5, 3.0)))
            }
        }
        @for mark in &picture.marks {
            @let across = if mark.kind.is_beside() { BESIDE } else { BAR };
            @let drawn = html! {
                title { (told(mark)) }
                @let along = stretch(mark.span);
                (shape(&format!("k-{}", mark.kind.name()), along, across))
                @if along.1 >= LETTERED { (letter(mark.kind, along, across)) }
            };
            @match focus {
                Some(focus) => {
                    a href=(focus.on(Selection::Guest(mark.span.start)).href()) aria-label=(told(mark)) { (drawn) }
                }
                None => g { (drawn) }
            }
        }
        @if let Some(selected) = selected
            && let (Some(start), Some(end)) = (percent_at(selected.start), percent_at(selected.end())) {
            (shape("selected", (start, (end - start).max(SHORTEST)), (3.0, 94.0)))
        }
    }
}

fn percent(number: f64) -> String {
    let hundredths = (number * 100.0).round() as u32;
    format!("{}.{:02}%", hundredths / 100, hundredths % 100)
}

fn told(mark: &Mark) -> String {
    let kind = mark.kind.meaning();
    let author = mark.author.map_or_else(String::new, |header| format!(", by header {header}"));
    let many = match mark.ranges {
        1 => author,
        ranges => format!(", {ranges} ranges"),
    };
    format!("{}, {}, {kind}{many}", mark.span, Size(mark.span.len))
}

/// What the colours on a picture mean.
pub(super) fn legend(picture: &Picture) -> Markup {
    let is_there = |kind: &Kind| picture.marks.iter().any(|mark| mark.kind == *kind);
    let kinds = Kind::ALL.into_iter().filter(is_there);
    html! {
        ul.legend {
            @for kind in kinds { li { (super::parts::chip(kind)) " " (kind.meaning()) } }
            @if !picture.folds.is_empty() { li { span.fold-sign aria-hidden="true" {} " nothing, folded" } }
        }
    }
}
