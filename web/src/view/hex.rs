//! Bytes of the file and of guest memory, each coloured by who wrote it.

use std::ops::Range;

use igvm_analysis::report::Size;
use igvm_core::data::FileData;
use igvm_core::load::Space;
use igvm_core::span::Span;
use maud::{Markup, html};

use super::View;
use super::parts::{copy, file, guest, header, hex as number, linear, space};
use crate::model::focus::Selection;
use crate::model::hex::{BYTES, Part, Place, Row};
use crate::model::picture::Kind;
use crate::model::search::{self, HITS_MAX, Search};
use crate::model::window::List;

/// Pixels of a row. The style sheet says the same.
const ROW: u64 = 20;

/// Places that are listed while the search goes on.
const HITS_AT_ONCE: usize = 50;

/// The pane: what does not change while one looks around.
pub fn hex() -> Markup {
    html! {
        div.hex-head {
            div.hex-forms {
                div data-region="sides" {}
                form.find data-action="find" role="search" {
                    input #find type="search" name="text" placeholder="de ad be ef" aria-label="Find bytes or text" autocomplete="off" spellcheck="false" maxlength="1000";
                    select #find-kind name="kind" aria-label="What is typed" {
                        option value="bytes" { "bytes" }
                        option value="text" { "text" }
                    }
                    button { "Find" }
                }
                form.go data-action="go-to" {
                    input #hex-go type="search" name="value" placeholder="0x1000" aria-label="Go to an address" autocomplete="off" spellcheck="false" maxlength="80";
                    button { "Go" }
                }
            }
            p.both-ends data-region="ends" role="status" {}
            div.hits data-region="hits" {}
        }
        div.scroller #scroller tabindex="0" role="region" aria-label="Bytes" {
            ol.rows.hex data-region="rows" {}
        }
        ul.byte-legend data-region="legend" aria-label="Colours" {}
    }
}

/// Which bytes are shown; the other ones are those at the other end.
pub fn hex_sides(view: View<'_>) -> Markup {
    let shown = Place::of(view.focus.selection);
    let (of_file, of_guest) = (view.related.file, view.related.guest);
    let first = || Some(view.loaded?.extents(Space::Guest).next()?.span.start);
    let to_file = view.focus.on(Selection::File(of_file.map_or(0, |span| span.start)));
    let guest_start = of_guest.map(|span| span.start).or_else(first);
    html! {
        nav.switch aria-label="Bytes of" {
            a href=(to_file.href()) aria-current=[(shown == Place::File).then_some("true")] { "File" }
            @if view.loaded.is_some() {
                a href=(view.focus.on(Selection::Guest(guest_start.unwrap_or(0))).href())
                    aria-current=[(shown == Place::Guest).then_some("true")] { "Guest memory" }
            }
        }
    }
}

/// The selection: file, guest, linear, and who wrote it.
pub fn hex_ends(view: View<'_>) -> Markup {
    let related = view.related;
    let focus = view.focus;
    let seen = related.linear.or_else(|| super::inspector::identity(view));
    html! {
        @if related.file.is_none() && related.guest.is_none() {
            span.dim { "Choose a byte: here stands where it comes from and where it goes." }
        }
        @if let Some(bytes) = related.file { span { "file " (file(focus, bytes.start)) (longer(bytes)) (copy(bytes.start)) } }
        @if related.file.is_some() && related.guest.is_some() { span.dim { "=" } }
        @if let Some(memory) = related.guest { span { "guest " (guest(focus, memory.start)) (longer(memory)) (copy(memory.start)) } }
        @if let Some(seen) = seen { span.dim { "=" } span { "linear " (linear(focus, seen)) } }
        @if let Some(index) = related.header {
            span { span.dim { (if related.guest.is_some() { "written by " } else { "of " }) } (header(focus, index)) }
        } @else if related.guest.is_some() {
            span.dim { "written by nobody" }
        }
    }
}

fn longer(span: Span) -> Markup {
    html! { @if span.len > 1 { span.dim { "–" (number(span.end().saturating_sub(1))) } } }
}

/// What the colours mean.
pub fn hex_legend(view: View<'_>) -> Markup {
    let file = [Part::Fixed, Part::Header(0), Part::Padding, Part::Data, Part::Unexplained];
    let guest = [Kind::File, Kind::Zero, Kind::Parameter, Kind::Fixup];
    html! {
        @match Place::of(view.focus.selection) {
            Place::File => @for part in file { li title=(part.meaning()) { i class=(part.class()) { "00" } " " (short(part)) } },
            Place::Guest => @for kind in guest { li title=(kind.meaning()) { i class=(class_of(kind)) { "00" } " " (kind.name()) } },
        }
    }
}

fn short(part: Part) -> &'static str {
    match part {
        Part::Fixed => "fixed header",
        Part::Header(_) => "headers",
        Part::Padding => "padding",
        Part::Data => "data",
        Part::Unexplained => "unexplained",
    }
}

const fn class_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Zero => "w-zero",
        Kind::Parameter => "w-parameter",
        Kind::Fixup => "w-fixup",
        _ => "w-file",
    }
}

/// What the search found.
pub fn hex_hits(view: View<'_>) -> Markup {
    let Some(search) = view.search else { return Markup::default() };
    let place = search.wanted.place;
    let at = match place {
        Place::File => view.related.file,
        Place::Guest => view.related.guest,
    };
    let at = at.filter(|_| Place::of(view.focus.selection) == place).map(|span| span.start);
    let (before, behind) = search::around(search.hits(), at);
    let step = |hit: Option<u64>, name: &str, sign: &str| {
        html! {
            @match hit {
                Some(hit) => a.button href=(view.focus.on(place.selection(hit)).href()) aria-label=(name) title=(name) { (sign) },
                None => span.button.off aria-hidden="true" { (sign) },
            }
        }
    };
    let runs = search.progress(view.document, view.loaded).is_some();
    let listed = if runs { HITS_AT_ONCE } else { HITS_MAX };
    html! {
        div.hits-head {
            (step(before, "Previous place", "‹")) (step(behind, "Next place", "›"))
            span role="status" {
                strong { (places(search)) } " of "
                @if search.wanted.is_text { "“" (search.wanted.text) "”" } @else { code { (search.wanted.text.trim()) } }
                " in " (if place == Place::File { "the file" } else { "guest memory" })
                @if runs { span.dim { " so far" } }
                @if let Some(why) = search.incomplete() { span.dim { ", not all looked at: " (why) } }
                @if search.count() > HITS_MAX as u64 { span.dim { ", the first " (HITS_MAX) " listed" } }
            }
            button type="button" data-act="find-end" aria-label="Close the search" title="Close the search" { "×" }
        }
        @if !search.hits().is_empty() {
            ul.hit-list tabindex="0" aria-label="Places" {
                @for hit in search.hits().iter().take(listed) {
                    li { a href=(view.focus.on(place.selection(*hit)).href()) aria-current=[(at == Some(*hit)).then_some("true")] { (number(*hit)) } }
                }
            }
        }
    }
}

fn places(search: &Search) -> String {
    match search.count() {
        0 => "no place".into(),
        1 => "1 place".into(),
        many => format!("{many} places"),
    }
}

/// The list of rows.
pub fn hex_list(view: View<'_>) -> List {
    let rows = match Place::of(view.focus.selection) {
        Place::File => view.document.file().file_len().div_ceil(BYTES),
        Place::Guest => view.opened.guest_rows().map_or(0, |(_, rows)| rows.len()),
    };
    List::new(rows, ROW)
}

/// The row of the selection.
pub fn hex_row_of(view: View<'_>) -> Option<u64> {
    match Place::of(view.focus.selection) {
        Place::File => {
            let len = view.document.file().file_len();
            Some(view.related.file?.start).filter(|at| *at < len).map(|at| at / BYTES)
        }
        Place::Guest => {
            let (loaded, rows) = view.opened.guest_rows()?;
            Some(rows.row_of(loaded, view.related.guest?.start))
        }
    }
}

/// The rows that are seen.
pub fn hex_rows(view: View<'_>) -> Markup {
    let place = Place::of(view.focus.selection);
    let window = hex_list(view).window(view.viewport);
    let rows = match (place, view.opened.guest_rows()) {
        (Place::File, _) => {
            (window.first..window.first + window.count).map(|row| Row::Bytes(row * BYTES)).collect()
        }
        (Place::Guest, Some((loaded, rows))) => rows.rows(loaded, window.first, window.count),
        (Place::Guest, None) => Vec::new(),
    };
    html! {
        (space(window.above))
        @for run in runs(&rows) {
            @match run {
                Run::Fold(start, end) => (fold(view, start, end)),
                Run::Bytes(span) => {
                    @let bytes = Bytes::of(view, place, span);
                    @match bytes.read {
                        Some(_) => @for at in (0..span.len).step_by(BYTES as usize) { (line(view, &bytes, at)) },
                        None => @for _ in 0..span.len.div_ceil(BYTES) { li.line.bad { "The browser cannot read these bytes." } },
                    }
                }
            }
        }
        (space(window.below))
    }
}

/// Rows that lie one behind the other, read at once.
enum Run {
    Bytes(Span),
    Fold(u64, u64),
}

fn runs(rows: &[Row]) -> Vec<Run> {
    let mut runs = Vec::new();
    for row in rows {
        match (*row, runs.last_mut()) {
            (Row::Bytes(at), Some(Run::Bytes(span))) if span.end() == at => span.len += BYTES,
            (Row::Bytes(at), _) => runs.push(Run::Bytes(Span::new(at, BYTES))),
            (Row::Fold(start, end), _) => runs.push(Run::Fold(start, end)),
        }
    }
    runs
}

/// A stretch in which nothing is written.
fn fold(view: View<'_>, start: u64, end: u64) -> Markup {
    let chosen = match view.focus.selection {
        Some(Selection::Guest(gpa)) => (start..=end).contains(&gpa),
        _ => false,
    };
    let is_memory = view.loaded.is_some_and(|loaded| loaded.is_memory(start));
    html! {
        li.fold.chosen[chosen] {
            a.at href=(view.focus.on(Selection::Guest(start)).href()) { (address(start)) }
            span {
                "nothing written"
                @if start == 0 && end == u64::MAX { " at all" }
                @else if end == u64::MAX { " above" }
                @else { " for " (Size(end - start + 1)) }
                @if is_memory { span.dim { ", memory that reads as zero" } }
            }
        }
    }
}

/// Bytes and what is to be seen of each.
struct Bytes {
    start: u64,
    /// `None` where they cannot be read.
    read: Option<Vec<u8>>,
    classes: Vec<&'static str>,
    /// Whether each is selected, and whether a search found it.
    marks: Vec<(bool, bool)>,
}

impl Bytes {
    fn of(view: View<'_>, place: Place, span: Span) -> Self {
        let (span, read, mut pieces) = match (place, view.loaded) {
            (Place::Guest, Some(loaded)) => {
                let extents = loaded.machine().image().extents_in(Space::Guest, span);
                let classed = extents.map(|extent| (extent.span, class_of(Kind::of(&extent))));
                let pieces: Vec<(Span, &str)> = classed.collect();
                (span, loaded.read(view.document, span.start, span.len as usize), pieces)
            }
            _ => {
                let len = view.document.file().file_len();
                let span = Span::between(span.start, span.end().min(len));
                let mut bytes = vec![0; span.len as usize];
                let read = view.document.data().read_at(span.start, &mut bytes).is_ok();
                let parts = view.opened.data_map().parts(view.document, span);
                let pieces = parts.into_iter().map(|(span, part)| (span, part.class())).collect();
                (span, read.then_some(bytes), pieces)
            }
        };
        let mut classes = vec![""; span.len as usize];
        for (piece, class) in pieces.drain(..) {
            classes[within(span, piece)].fill(class);
        }
        let mut marks = vec![(false, false); span.len as usize];
        let chosen = match place {
            Place::File => view.related.file,
            Place::Guest => view.related.guest,
        };
        for mark in &mut marks[chosen.map_or(0..0, |chosen| within(span, chosen))] {
            mark.0 = true;
        }
        for hit in hits(view, place, span) {
            for mark in &mut marks[within(span, hit)] {
                mark.1 = true;
            }
        }
        Self { start: span.start, read, classes, marks }
    }

    /// The bytes of a range of indices that look alike, piece by piece.
    fn alike(&self, range: Range<usize>) -> Vec<Range<usize>> {
        let mut pieces: Vec<Range<usize>> = Vec::new();
        let look = |at: usize| (self.classes[at], self.marks[at]);
        for at in range {
            match pieces.last_mut() {
                Some(piece) if look(piece.start) == look(at) => piece.end = at + 1,
                _ => pieces.push(at..at + 1),
            }
        }
        pieces
    }

    fn class(&self, at: usize) -> String {
        let (selected, found) = self.marks[at];
        let selected = if selected { " chosen" } else { "" };
        format!("{}{selected}{}", self.classes[at], if found { " found" } else { "" })
    }
}

/// The indices in `whole` of what `part` has in common with it.
fn within(whole: Span, part: Span) -> Range<usize> {
    let index = |at: u64| (at.clamp(whole.start, whole.end()) - whole.start) as usize;
    index(part.start)..index(part.end())
}

/// What the search found in a range.
fn hits(view: View<'_>, place: Place, span: Span) -> impl Iterator<Item = Span> {
    let search = view.search.filter(|search| search.wanted.place == place);
    let (hits, len) = search.map_or((&[][..], 0), |search| (search.hits(), search.len()));
    let first = hits.partition_point(|hit| hit.saturating_add(len) <= span.start);
    let hits = hits[first..].iter().take_while(move |hit| **hit < span.end());
    hits.map(move |hit| Span::new(*hit, len))
}

/// One row. A click says which byte by its place: a link for each would be
/// thousands.
fn line(view: View<'_>, bytes: &Bytes, at: u64) -> Markup {
    let start = bytes.start + at;
    let range = |from: u64, len: u64| {
        let end = bytes.classes.len();
        (from as usize).min(end)..((from + len) as usize).min(end)
    };
    let pick = |at: u64| format!("{:#x}", bytes.start + at);
    let place = Place::of(view.focus.selection);
    html! {
        li.line {
            a.at href=(view.focus.on(place.selection(start)).href()) { (address(start)) }
            @for half in [at, at + BYTES / 2] {
                code.cells data-pick=(pick(half)) data-cells="8" { (digits(bytes, range(half, BYTES / 2))) }
            }
            code.cells.letters data-pick=(pick(at)) data-cells="16" { (letters(bytes, range(at, BYTES))) }
        }
    }
}

/// Three letters for each byte.
fn digits(bytes: &Bytes, range: Range<usize>) -> Markup {
    let read = bytes.read.as_deref().unwrap_or(&[]);
    let text = |piece: Range<usize>| {
        let mut text = String::with_capacity(piece.len() * 3);
        for at in piece {
            match bytes.classes[at] {
                "" => text += "·· ",
                _ => text += &format!("{:02x} ", read[at]),
            }
        }
        text.truncate(text.trim_end().len());
        text
    };
    let missing = BYTES as usize / 2 - range.len();
    html! {
        @for piece in bytes.alike(range) {
            i class=(bytes.class(piece.start)) { (text(piece)) } " "
        }
        @for _ in 0..missing { "   " }
    }
}

/// One letter for each byte.
fn letters(bytes: &Bytes, range: Range<usize>) -> Markup {
    let read = bytes.read.as_deref().unwrap_or(&[]);
    let letter = |at: usize| match (bytes.classes[at], read[at]) {
        ("", _) => ' ',
        (_, byte) if byte.is_ascii_graphic() || byte == b' ' => char::from(byte),
        _ => '·',
    };
    let missing = BYTES as usize - range.len();
    html! {
        @for piece in bytes.alike(range) {
            i class=(bytes.class(piece.start)) { (piece.map(letter).collect::<String>()) }
        }
        @for _ in 0..missing { " " }
    }
}

/// An address in a column: as wide as most are.
fn address(at: u64) -> Markup {
    super::parts::wide_hex(at, if at > u64::from(u32::MAX) { 8 } else { 4 })
}
