//! The page's state, what changes it, and which regions of the screen follow.

use std::collections::BTreeMap;
use std::fmt;

use igvm_analysis::report::FindingsReport;
use igvm_core::platform::platform_name;
use maud::html;
use serde::{Deserialize, Serialize};

use crate::model::blocks::ByteSource;
use crate::model::document::Document;
use crate::model::filter::{Filter, kinds};
use crate::model::focus::{Focus, Pane, Subject};
use crate::model::machine::{Loaded, findings, first_platform};
use crate::model::picture::Picture;
use crate::model::related::Related;
use crate::model::window::{ROW, Viewport, top_of};
use crate::view::{self, View};

/// What a person does.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
pub enum Event {
    /// The address bar changed.
    Go {
        /// What stands behind the `#`.
        fragment: String,
    },
    /// The list is scrolled.
    Scroll {
        /// Pixels above what is seen.
        top: f64,
        /// Pixels that are seen.
        height: f64,
    },
    /// Only headers of this type, or of all where it is empty.
    FilterKind {
        /// The type as a number.
        value: String,
    },
    /// Only headers of the chosen platform, or all.
    FilterPlatform {
        /// Whether only those.
        value: bool,
    },
    /// A sample that was to be fetched is not there.
    Missing {
        /// Its name.
        name: String,
    },
    /// Only headers with these words.
    FilterText {
        /// The words.
        value: String,
    },
}

/// What the page has to do. Regions that did not change are not in it.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Update {
    /// Markup by region, outer ones before those inside them.
    pub regions: Vec<(&'static str, String)>,
    /// What the address bar should say instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fragment: Option<String>,
    /// Whether that only says better what it said: no step for Back.
    pub replace: bool,
    /// The words that headers are searched for.
    pub search: String,
    /// The title of the window.
    pub title: String,
    /// Where the list is to be scrolled to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scroll: Option<u64>,
    /// Whether a file is shown.
    pub open: bool,
    /// The pane in use.
    pub pane: &'static str,
    /// Whether anything is selected.
    pub selected: bool,
    /// A sample that has to be fetched and opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fetch: Option<String>,
    /// What went wrong, in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// An opened file and what was computed of it.
struct Opened {
    document: Document,
    findings: FindingsReport,
    kinds: BTreeMap<u32, u32>,
    loaded: Option<Loaded>,
    picture: Picture,
}

/// The page's state.
#[derive(Default)]
pub struct App {
    focus: Focus,
    opened: Option<Opened>,
    filter: Filter,
    shown: Option<Vec<u32>>,
    viewport: Viewport,
    /// The regions as the page has them.
    sent: BTreeMap<&'static str, String>,
}

impl App {
    /// Nothing open.
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens a file. Where the address bar already asks for it, its focus
    /// stays; else the file is shown from its start.
    pub fn open(&mut self, subject: Subject, len: u64, source: Box<dyn ByteSource>) -> Update {
        let document = match Document::open(subject.clone(), len, source) {
            Ok(document) => document,
            Err(error) => return self.refuse(subject.name(), &error),
        };
        let replace = self.focus.subject.as_ref() == Some(&subject);
        if !replace {
            self.focus = Focus { subject: Some(subject), ..Focus::default() };
        }
        let (findings, kinds) = (findings(&document), kinds(&document));
        self.opened =
            Some(Opened { document, findings, kinds, loaded: None, picture: Picture::default() });
        self.filter = Filter::default();
        self.shown = None;
        self.viewport.top = 0;
        let error = self.load();
        let scroll = self.reveal();
        let fragment = Some(self.focus.href());
        Update { fragment, replace, error, ..self.update(scroll) }
    }

    /// A file that cannot be shown. What was open before stays.
    fn refuse(&mut self, name: &str, why: &dyn fmt::Display) -> Update {
        let error = Some(format!("{name} cannot be shown: {why}."));
        let shown = self.opened.as_ref().map(|opened| opened.document.subject.clone());
        if self.focus.subject != shown {
            self.focus = Focus { subject: shown, ..Focus::default() };
        }
        let fragment = Some(self.focus.href());
        Update { error, fragment, replace: true, ..self.update(None) }
    }

    /// Reacts to an event.
    pub fn act(&mut self, event: Event) -> Update {
        match event {
            Event::Go { fragment } => return self.go(&fragment),
            Event::Scroll { top, height } => {
                self.viewport = Viewport { top: top as u64, height: height as u64 };
                return self.update(None);
            }
            Event::Missing { name } => {
                return self.refuse(&name, &"there is no sample of this name");
            }
            Event::FilterKind { value } => self.filter.kind = value.parse().ok(),
            Event::FilterPlatform { value } => {
                self.filter.mask = self.mask().filter(|_| value);
            }
            Event::FilterText { value } => {
                self.filter.text = value;
                self.focus.pane = Pane::Headers;
            }
        }
        self.refilter();
        self.viewport.top = 0;
        Update { fragment: Some(self.focus.href()), ..self.update(Some(0)) }
    }

    /// Moves the focus to where the address bar says.
    fn go(&mut self, fragment: &str) -> Update {
        let focus = match Focus::parse(fragment) {
            Ok(focus) => focus,
            Err(error) => {
                let fragment = Some(self.focus.href());
                let error = Some(error.to_string());
                return Update { error, fragment, replace: true, ..self.update(None) };
            }
        };
        let before = std::mem::replace(&mut self.focus, focus);
        let open = self.opened.as_ref().map(|opened| &opened.document.subject);
        if self.focus.subject.is_none() {
            self.opened = None;
            return self.update(None);
        }
        if self.focus.subject.as_ref() != open {
            return self.ask();
        }
        let mut error = None;
        if self.focus.platform != before.platform {
            error = self.load();
            if self.filter.mask.is_some() {
                self.filter.mask = self.mask();
                self.refilter();
            }
        }
        if self.focus.pane != before.pane {
            self.viewport.top = 0;
        }
        let moved = (self.focus.pane, self.focus.selection) != (before.pane, before.selection);
        let scroll = if moved { self.reveal() } else { None };
        Update { error, ..self.update(scroll) }
    }

    /// The address bar names a file that is not open.
    fn ask(&mut self) -> Update {
        match self.focus.subject.clone() {
            Some(Subject::Sample(name)) => Update { fetch: Some(name), ..Update::default() },
            Some(Subject::File(name)) => {
                self.opened = None;
                let error = format!(
                    "This link is about the file {name}, which is on somebody's own disk: drop it \
                     here, and the page shows what the link points at."
                );
                Update { error: Some(error), ..self.update(None) }
            }
            None => self.update(None),
        }
    }

    /// Loads the open file for the platform in focus, and says why not.
    fn load(&mut self) -> Option<String> {
        let opened = self.opened.as_mut()?;
        let platform = self.focus.platform.or_else(|| first_platform(&opened.document))?;
        match Loaded::new(&opened.document, platform) {
            Ok(loaded) => {
                opened.picture = Picture::new(&loaded.state);
                opened.loaded = Some(loaded);
                None
            }
            Err(error) => {
                opened.picture = Picture::default();
                opened.loaded = None;
                let name = platform_name(platform).unwrap_or("of this number");
                Some(format!("This file cannot be loaded for the platform {name}: {error}."))
            }
        }
    }

    fn mask(&self) -> Option<u32> {
        let loaded = self.opened.as_ref()?.loaded.as_ref()?;
        Some(loaded.state.compatibility_mask.0 as u32)
    }

    fn refilter(&mut self) {
        self.shown = self.opened.as_ref().and_then(|opened| self.filter.apply(&opened.document));
    }

    /// Scrolls the list of headers so that the selected one is seen.
    fn reveal(&mut self) -> Option<u64> {
        let view = self.view()?;
        let row = match (self.focus.pane, view.related.header) {
            (Pane::Headers, Some(index)) => match &self.shown {
                Some(shown) => shown.binary_search(&index).ok()? as u64,
                None => u64::from(index),
            },
            _ => return None,
        };
        let rows = self
            .shown
            .as_ref()
            .map_or_else(|| u64::from(view.document.header_count()), |shown| shown.len() as u64);
        let Viewport { top, height } = self.viewport;
        let seen = top..(top + height).saturating_sub(2 * ROW);
        if !seen.contains(&(row * ROW)) {
            self.viewport.top = top_of(row, rows, height);
            return Some(self.viewport.top);
        }
        None
    }

    fn view(&self) -> Option<View<'_>> {
        let opened = self.opened.as_ref()?;
        let loaded = opened.loaded.as_ref();
        Some(View {
            document: &opened.document,
            loaded,
            picture: &opened.picture,
            findings: &opened.findings,
            focus: &self.focus,
            related: Related::new(&opened.document, loaded, self.focus.selection),
            filter: &self.filter,
            shown: self.shown.as_deref(),
            kinds: &opened.kinds,
            viewport: self.viewport,
        })
    }

    /// The regions that changed, and the rest of what the page has to know.
    fn update(&mut self, scroll: Option<u64>) -> Update {
        let Some(view) = self.view() else {
            self.sent.clear();
            return Update {
                title: "IGVM playground".into(),
                pane: Pane::Overview.name(),
                ..Update::default()
            };
        };
        let mut regions = vec![
            ("bar", view::bar(view)),
            ("tabs", view::tabs(view.focus)),
            (
                "map",
                html! {
                    (view::vertical(view.picture, Some(view.focus), view.related.guest))
                    (view::horizontal(view.picture, Some(view.focus), view.related.guest))
                },
            ),
            ("inspector", view::inspector(view)),
        ];
        let rows = match self.focus.pane {
            Pane::Overview => {
                regions.push(("pane", view::overview(view)));
                None
            }
            Pane::Headers => {
                regions.push(("pane", view::headers(view)));
                Some(view::header_rows(view))
            }
            Pane::Memory => {
                regions.push(("pane", view::memory(view)));
                Some(view::memory_rows(view))
            }
            Pane::Processors => {
                regions.push(("pane", view::processors(view)));
                None
            }
        };
        regions.extend(rows.map(|rows| ("rows", rows)));
        let title = format!(
            "{} · {} · IGVM playground",
            view.document.subject.name(),
            self.focus.pane.title()
        );
        self.changed(regions, scroll, title)
    }

    fn changed(
        &mut self,
        regions: Vec<(&'static str, maud::Markup)>,
        scroll: Option<u64>,
        title: String,
    ) -> Update {
        let mut update = Update {
            title,
            scroll,
            open: true,
            pane: self.focus.pane.name(),
            selected: self.focus.selection.is_some(),
            search: self.filter.text.clone(),
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
