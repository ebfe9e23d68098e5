//! The regions of the screen: which there are, and which changed.

use maud::{Markup, html};

use super::{App, Update};
use crate::model::focus::Pane;
use crate::model::related::Related;
use crate::model::window::{ROW, Viewport, top_of};
use crate::view::{self, View};

impl App {
    /// Scrolls a list so that what is selected is seen.
    pub(super) fn reveal(&mut self) -> Option<u64> {
        let (row, rows) = self.selected_row()?;
        let Viewport { top, height } = self.viewport;
        let seen = top..(top + height).saturating_sub(2 * ROW);
        if seen.contains(&(row * ROW)) {
            return None;
        }
        self.viewport.top = top_of(row, rows, height);
        Some(self.viewport.top)
    }

    /// The row of the selection in the list of this pane, and how many rows it
    /// has.
    fn selected_row(&self) -> Option<(u64, u64)> {
        let view = self.view()?;
        match self.focus.pane {
            Pane::Headers => {
                let index = view.related.header?;
                match view.shown {
                    Some(shown) => {
                        Some((shown.binary_search(&index).ok()? as u64, shown.len() as u64))
                    }
                    None => Some((index.into(), view.document.header_count().into())),
                }
            }
            Pane::Memory => view::memory_row_of(view),
            _ => None,
        }
    }

    fn view(&self) -> Option<View<'_>> {
        let opened = self.current()?;
        let loaded = opened.loaded.as_ref();
        Some(View {
            document: &opened.document,
            loaded,
            picture: &opened.picture,
            zoomed: opened.zoomed(),
            findings: &opened.findings,
            focus: &self.focus,
            related: Related::new(&opened.document, loaded, &self.focus),
            filter: self.filtered.filter(),
            shown: self.filtered.shown(),
            shown_is_incomplete: self.filtered.is_incomplete(&opened.document),
            kinds: &opened.kinds,
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
                ..Update::default()
            };
        };
        let regions = regions(view);
        let title = format!(
            "{} · {} · IGVM playground",
            view.document.subject.name(),
            self.focus.pane.title()
        );
        self.changed(regions, scroll, title)
    }

    fn changed(
        &mut self,
        regions: Vec<(&'static str, Markup)>,
        scroll: Option<u64>,
        title: String,
    ) -> Update {
        let mut update = Update {
            title,
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
            if self.sent.get(name) == Some(&markup) {
                continue;
            }
            if name == "pane" {
                // The rows stand inside, and the list starts anew.
                self.sent.remove("rows");
                update.scroll = Some(self.viewport.top);
            }
            self.sent.insert(name, markup.clone());
            update.regions.push((name, markup));
        }
        update
    }
}

/// Everything on the screen, outer regions before those inside them.
fn regions(view: View<'_>) -> Vec<(&'static str, Markup)> {
    let map = html! {
        (view::vertical(view.picture, Some(view.focus), view.related.guest))
        (view::horizontal(view.picture, Some(view.focus), view.related.guest))
    };
    let (pane, rows) = match view.focus.pane {
        Pane::Overview => (view::overview(view), None),
        Pane::Headers => (view::headers(view), Some(view::header_rows(view))),
        Pane::Memory => (view::memory(view), Some(view::memory_rows(view))),
        Pane::Processors => (view::processors(view), None),
        Pane::Paging => (view::paging(view), None),
        Pane::Code => (view::code(view), None),
        Pane::Hex => (view::hex(view), None),
        Pane::Host => (view::host(view), None),
        Pane::Compare => (view::compare(view), None),
        Pane::Export => (view::export(view), None),
    };
    let mut regions = vec![
        ("bar", view::bar(view)),
        ("tabs", view::tabs(view.focus)),
        ("map", map),
        ("inspector", view::inspector(view)),
        ("pane", pane),
    ];
    regions.extend(rows.map(|rows| ("rows", rows)));
    regions
}
