//! The regions of the screen: which there are, and which changed.

use maud::{Markup, html};

use super::{App, Update};
use crate::model::changes::Changes;
use crate::model::focus::{Pane, Subject};
use crate::model::window::{List, ROW};
use crate::view::{self, View};

impl App {
    /// The bar of the list was moved.
    pub(super) fn scroll(&mut self, bar: u64, height: u64) -> Update {
        let list = self.list().unwrap_or(List::new(0, ROW));
        let scroll = self.viewport.scrolled(&list, bar, height);
        match self.view() {
            // Nothing else depends on where the list stands.
            Some(view) => self.changed(rows(view).into_iter().collect(), scroll),
            None => self.update(scroll),
        }
    }

    /// Scrolls a list so that what is selected is seen.
    pub(super) fn reveal(&mut self) -> Option<u64> {
        let (row, list) = (self.selected_row()?, self.list()?);
        if self.viewport.shows(&list, row) {
            return None;
        }
        self.viewport.reveal(&list, row);
        Some(self.viewport.bar)
    }

    /// The list of this pane.
    fn list(&self) -> Option<List> {
        let view = self.view()?;
        match self.focus.pane {
            Pane::Headers => Some(view::header_list(view)),
            Pane::Memory => Some(view::memory_list(view)),
            Pane::Hex => Some(view::hex_list(view)),
            _ => None,
        }
    }

    /// The row of the selection in it.
    fn selected_row(&self) -> Option<u64> {
        let view = self.view()?;
        match self.focus.pane {
            Pane::Headers => view::header_row_of(view),
            Pane::Memory => view::memory_row_of(view),
            Pane::Hex => view::hex_row_of(view),
            _ => None,
        }
    }

    pub(super) fn view(&self) -> Option<View<'_>> {
        let opened = self.current()?;
        let loaded = opened.loaded.as_ref();
        let changes = self.changes.as_ref();
        Some(View {
            opened,
            document: &opened.document,
            loaded,
            picture: changes.and_then(Changes::picture).unwrap_or(&opened.picture),
            zoomed: opened.zoomed(),
            findings: &opened.findings,
            focus: &self.focus,
            related: self.related,
            filter: self.filtered.filter(),
            shown: self.filtered.shown(),
            shown_is_incomplete: self.filtered.is_incomplete(&opened.document),
            kinds: &opened.kinds,
            search: self.search.as_ref(),
            files: &self.opened,
            changes,
            host_form: self.host_form.as_ref(),
            comparison: self.comparison.as_ref().zip(self.other()),
            viewport: self.viewport,
        })
    }

    /// The regions that changed, and the rest of what the page has to know.
    pub(super) fn update(&mut self, scroll: Option<u64>) -> Update {
        let Some(view) = self.view() else {
            self.sent.clear();
            return Update {
                title: "IGVM playground".into(),
                pane: Pane::Overview.name(),
                // The way back to what is open.
                regions: vec![("bar", view::files(&self.opened, None).into_string())],
                ..Update::default()
            };
        };
        let mut regions = around(view);
        regions.extend(rows(view));
        self.changed(regions, scroll)
    }

    /// What of these regions the page does not have yet.
    fn changed(&mut self, regions: Vec<Region>, scroll: Option<u64>) -> Update {
        let name = self.focus.subject.as_ref().map_or("", Subject::name);
        let mut update = Update {
            title: format!("{name} · {} · IGVM playground", self.focus.pane.title()),
            scroll,
            open: true,
            pane: self.focus.pane.name(),
            selected: self.focus.selection.is_some(),
            search: self.filtered.filter().text.clone(),
            working: self.working(),
            ..Update::default()
        };
        for (name, markup) in regions {
            let markup = markup.into_string();
            if self.sent.iter().any(|(sent, before)| *sent == name && *before == markup) {
                continue;
            }
            if name == "pane" {
                // The others stand inside, and the list starts anew.
                self.sent.retain(|(name, _)| OUTER.contains(name));
                update.scroll = Some(self.viewport.bar);
            }
            self.sent.retain(|(sent, _)| *sent != name);
            self.sent.push((name, markup.clone()));
            update.regions.push((name, markup));
        }
        update
    }
}

/// A region by name, and what stands in it.
type Region = (&'static str, Markup);

/// Regions that are not inside the pane.
const OUTER: [&str; 5] = ["bar", "tabs", "map", "inspector", "pane"];

/// Everything on the screen but the rows of a list, outer regions before those
/// inside them.
fn around(view: View<'_>) -> Vec<Region> {
    let map = html! {
        (view::vertical(view.picture, Some(view.focus), view.related.guest))
        (view::horizontal(view.picture, Some(view.focus), view.related.guest))
    };
    let pane = match view.focus.pane {
        Pane::Overview => view::overview(view),
        Pane::Headers => view::headers(view),
        Pane::Memory => view::memory(view),
        Pane::Processors => view::processors(view),
        Pane::Paging => view::paging(view),
        Pane::Code => view::code(view),
        Pane::Hex => view::hex(),
        Pane::Host => view::host(view),
        Pane::Compare => view::compare(view),
        Pane::Export => view::export(view),
    };
    let mut regions = vec![
        ("bar", view::bar(view)),
        ("tabs", view::tabs(view.focus)),
        ("map", map),
        ("inspector", view::inspector(view)),
        ("pane", pane),
    ];
    if view.focus.pane == Pane::Hex {
        regions.extend([
            ("sides", view::hex_sides(view)),
            ("ends", view::hex_ends(view)),
            ("hits", view::hex_hits(view)),
            ("legend", view::hex_legend(view)),
        ]);
    }
    regions
}

/// The rows that are seen of the list, in a pane that has one.
fn rows(view: View<'_>) -> Option<Region> {
    let rows = match view.focus.pane {
        Pane::Headers => view::header_rows(view),
        Pane::Memory => view::memory_rows(view),
        Pane::Hex => view::hex_rows(view),
        _ => return None,
    };
    Some(("rows", rows))
}
