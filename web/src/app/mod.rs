//! The page's state, what changes it, and which regions of the screen follow.

mod bytes;
mod event;
mod screen;

use std::fmt;

pub use event::{Event, Fields, Update, Working};

use crate::model::blocks::ByteSource;
use crate::model::changes::Changes;
use crate::model::comparison::{About, Comparison};
use crate::model::document::Document;
use crate::model::export::Export;
use crate::model::filter::{Filter, Filtered};
use crate::model::focus::{Focus, Other, Pane, Selection, Subject};
use crate::model::hex::Place;
use crate::model::host_form::{self, HostForm};
use crate::model::opened::Opened;
use crate::model::paging::typed_address;
use crate::model::related::Related;
use crate::model::search::Search;
use crate::model::window::Viewport;

/// Steps of a comparison before its progress is shown.
const STEPS_AT_ONCE: u32 = 8;

/// Files that stay open; one more closes the one opened first.
const OPEN_MAX: usize = 8;

/// The page's state.
#[derive(Default)]
pub struct App {
    focus: Focus,
    /// In the order they were opened.
    opened: Vec<Opened>,
    /// What belongs to the selection, found once.
    related: Related,
    filtered: Filtered,
    /// What is looked for in the bytes, and whether the first place was shown.
    search: Option<Search>,
    search_arrived: bool,
    /// What is to be taken away.
    export: Option<Export>,
    /// What the host in focus changes.
    changes: Option<Changes>,
    /// The host as it was typed, while that describes none.
    host_form: Option<HostForm>,
    comparison: Option<Comparison>,
    viewport: Viewport,
    /// The regions as the page has them.
    sent: Vec<(&'static str, String)>,
}

impl App {
    /// Nothing open.
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens a file. Where the address bar already asks for it, its focus
    /// stays; where a comparison waits for its other side, it is that; else
    /// the file is shown from its start.
    pub fn open(&mut self, subject: Subject, len: u64, source: Box<dyn ByteSource>) -> Update {
        let wanted = self.is_wanted(&subject);
        let subject = if wanted { subject } else { self.not_yet_open(subject) };
        let document = match Document::open(subject.clone(), len, source) {
            Ok(document) => document,
            Err(error) => return self.refuse(subject.name(), &error),
        };
        self.keep(Opened::new(document));
        self.comparison = None;
        if !wanted {
            self.focus = match self.focus.pane {
                Pane::Compare if self.current().is_some() => {
                    self.focus.compared_with(Other::new(subject))
                }
                _ => Focus { subject: Some(subject), ..Focus::default() },
            };
        }
        self.start_anew();
        let update = self.settle();
        Update { fragment: Some(self.focus.href()), replace: wanted, ..update }
    }

    /// Whether the focus speaks of a file that is not open.
    fn is_wanted(&self, subject: &Subject) -> bool {
        let other = self.focus.with.as_ref().map(|other| &other.subject);
        let named = [self.focus.subject.as_ref(), other].contains(&Some(subject));
        named && self.find(subject).is_none()
    }

    /// A file of the same name is another file: perhaps yesterday's.
    fn not_yet_open(&self, subject: Subject) -> Subject {
        let Subject::File(name) = &subject else { return subject };
        let numbered = (2..).map(|number| Subject::File(format!("{name} ({number})")));
        let mut names = std::iter::once(subject.clone()).chain(numbered);
        names.find(|subject| self.find(subject).is_none()).unwrap_or(subject)
    }

    fn keep(&mut self, opened: Opened) {
        self.opened.retain(|other| other.document.subject != opened.document.subject);
        if self.opened.len() >= OPEN_MAX {
            let in_use =
                |opened: &Opened| Some(&opened.document.subject) == self.focus.subject.as_ref();
            let oldest = self.opened.iter().position(|opened| !in_use(opened));
            self.opened.remove(oldest.unwrap_or(0));
        }
        self.opened.push(opened);
    }

    fn find(&self, subject: &Subject) -> Option<usize> {
        self.opened.iter().position(|opened| opened.document.subject == *subject)
    }

    /// The file in focus, if it is open.
    fn current(&self) -> Option<&Opened> {
        self.opened.get(self.find(self.focus.subject.as_ref()?)?)
    }

    /// Another file is shown: nothing of the list stays.
    fn start_anew(&mut self) {
        self.filtered = Filtered::default();
        self.search = None;
        self.changes = None;
        self.host_form = None;
        self.viewport.to_start();
    }

    /// A file that cannot be shown. What was open before stays.
    fn refuse(&mut self, name: &str, why: &dyn fmt::Display) -> Update {
        let error = Some(format!("{name} cannot be shown: {why}."));
        let Focus { subject, with, .. } = &self.focus;
        let is_open = |subject: &Subject| self.find(subject).is_some();
        if with.as_ref().is_some_and(|other| !is_open(&other.subject)) {
            self.focus.with = None;
        } else if subject.as_ref().is_some_and(|subject| !is_open(subject)) {
            let last = self.opened.last().map(|opened| opened.document.subject.clone());
            self.focus = Focus { subject: last, ..Focus::default() };
        }
        let update = self.settle();
        Update { error, fragment: Some(self.focus.href()), replace: true, ..update }
    }

    /// Reacts to an event.
    pub fn act(&mut self, event: Event) -> Update {
        let update = self.react(event);
        self.with_doubt(update)
    }

    /// Adds that a file cannot be read any more, where that came up: what is
    /// shown without its bytes must not look like the truth.
    fn with_doubt(&self, mut update: Update) -> Update {
        let failed = |opened: &&Opened| opened.document.data().take_failed();
        if let Some(opened) = self.opened.iter().find(failed) {
            update.error = Some(format!(
                "{} cannot be read any more: it was moved or changed since it was opened, and what \
                 is shown of it is not complete. Open it again.",
                opened.document.subject.name()
            ));
        }
        update
    }

    fn react(&mut self, event: Event) -> Update {
        match event {
            Event::Go { fragment } => self.go(&fragment),
            Event::Scroll { top, height } => self.scroll(top, height),
            Event::Missing { name } => self.refuse(&name, &"there is no sample of this name"),
            Event::FilterKind { value } => {
                self.filter(Filter { kind: value.parse().ok(), ..self.filtered.filter().clone() })
            }
            Event::FilterPlatform { value } => {
                let mask = self.mask().filter(|_| value);
                self.filter(Filter { mask, ..self.filtered.filter().clone() })
            }
            Event::FilterText { value } => {
                self.focus.pane = Pane::Headers;
                self.filter(Filter { text: value, ..self.filtered.filter().clone() })
            }
            Event::Translate { address } => self.translate(&address),
            Event::GoTo { value } => self.go_to(&value),
            Event::Pick { value } => self.pick(&value),
            Event::Find { text, kind } => self.look_for(text, kind == "text"),
            Event::FindEnd => {
                self.search = None;
                self.update(None)
            }
            Event::Export { value } => self.prepare(match value.as_str() {
                "json" => Export::Json,
                "report" => Export::Report,
                _ => Export::File,
            }),
            Event::ExportMemory { address, length } => self.prepare_memory(&address, &length),
            Event::Host { fields } => self.describe_host(fields),
            Event::Close { value } => self.close(&value),
            Event::Cancel => {
                self.filtered.stop();
                self.search.iter_mut().for_each(Search::stop);
                self.changes.iter_mut().for_each(Changes::stop);
                self.comparison.iter_mut().for_each(Comparison::stop);
                self.update(None)
            }
        }
    }

    /// Looks at a linear address that somebody typed.
    fn translate(&mut self, address: &str) -> Update {
        let loaded = self.current().and_then(|opened| opened.loaded.as_ref());
        let registers = loaded.and_then(|loaded| loaded.registers(self.focus.vp_index()));
        let Some(linear) = typed_address(address, registers) else {
            let error = format!(
                "{} is no address. Type one in hexadecimal, as in 0xffff_f000, or the name of a \
                 register.",
                address.trim().chars().take(40).collect::<String>()
            );
            return Update { error: Some(error), ..self.update(None) };
        };
        self.focus = self.focus.on(Selection::Linear(linear));
        Update { fragment: Some(self.focus.href()), ..self.settle() }
    }

    fn filter(&mut self, filter: Filter) -> Update {
        self.filtered = Filtered::new(filter);
        self.viewport.to_start();
        self.step();
        Update { fragment: Some(self.focus.href()), ..self.update(Some(0)) }
    }

    /// Goes on with long work for as long as there is time, and shows how far
    /// it came.
    pub fn work(&mut self, mut has_time: impl FnMut() -> bool) -> Update {
        while self.step() && has_time() {}
        let update = self.arrive();
        self.with_doubt(update)
    }

    /// A little of the work that is left; false when there is none.
    fn step(&mut self) -> bool {
        let Some(at) = self.focus.subject.as_ref().and_then(|subject| self.find(subject)) else {
            return false;
        };
        let other = self.focus.with.as_ref().and_then(|other| self.find(&other.subject));
        let this = &self.opened[at];
        let Opened { document, loaded, .. } = this;
        let (search, changes) = (self.search.as_mut(), self.changes.as_mut());
        let comparison = self.comparison.as_mut().filter(|_| self.focus.pane == Pane::Compare);
        self.filtered.step(document)
            || search.is_some_and(|search| search.step(document, loaded.as_ref()))
            || changes.is_some_and(|changes| changes.step(this))
            || comparison
                .zip(other)
                .is_some_and(|(comparison, other)| comparison.step(this, &self.opened[other]))
    }

    fn working(&self) -> Option<Working> {
        let this = self.current()?;
        let Opened { document, loaded, .. } = this;
        if let Some(part) = self.filtered.progress(document) {
            return Some(Working::new("Searching the headers", part));
        }
        let search = self.search.as_ref();
        if let Some(part) = search.and_then(|search| search.progress(document, loaded.as_ref())) {
            return Some(Working::new("Searching the bytes", part));
        }
        if let Some(part) = self.changes.as_ref().and_then(Changes::progress) {
            return Some(Working::new("Looking for what this host changes", part));
        }
        let comparison = self.comparison.as_ref().filter(|_| self.focus.pane == Pane::Compare)?;
        let part = comparison.progress(this, self.other()?)?;
        Some(Working::new("Comparing", part))
    }

    /// The other side of a comparison, if it is open.
    fn other(&self) -> Option<&Opened> {
        self.opened.get(self.find(&self.focus.with.as_ref()?.subject)?)
    }

    /// Begins the comparisons that the focus asks for, and ends the others.
    fn compare(&mut self) {
        let Some(this) = self.current() else { return };
        let stays = |changes: &Changes| changes.is_about(this);
        if !self.changes.as_ref().is_some_and(stays) {
            self.changes = Changes::new(this);
        }
        let about = About::of(&self.focus);
        let stays =
            |comparison: &Comparison| about.as_ref().is_some_and(|a| comparison.is_about(a));
        if !self.comparison.as_ref().is_some_and(stays) {
            let wanted = about.zip(self.current().zip(self.other()));
            let wanted = wanted.filter(|_| self.focus.pane == Pane::Compare);
            self.comparison =
                wanted.map(|(about, (this, other))| Comparison::new(about, this, other));
        }
        // What is short is done before anything is shown of it.
        for _ in 0..STEPS_AT_ONCE {
            if !self.step() {
                break;
            }
        }
    }

    /// Takes what was typed about the host, or says what is wrong with it.
    fn describe_host(&mut self, fields: Fields) -> Update {
        let Some(this) = self.current() else { return self.update(None) };
        let mask = this.loaded.as_ref().map(|loaded| loaded.machine().compatibility_mask());
        let regions = host_form::movable(&this.document, mask.unwrap_or(u32::MAX));
        match host_form::read(fields, &regions) {
            Ok(host) => {
                self.host_form = None;
                self.focus = self.focus.for_host(host);
                let update = self.settle();
                Update { fragment: Some(self.focus.href()), ..update }
            }
            Err(form) => {
                self.host_form = Some(form);
                self.update(None)
            }
        }
    }

    /// Closes a file. Another one takes its place on the screen.
    fn close(&mut self, value: &str) -> Update {
        let at = value.parse().ok().filter(|at| *at < self.opened.len());
        let Some(at) = at else { return self.update(None) };
        let closed = self.opened.remove(at).document.subject;
        self.comparison = None;
        if self.focus.with.as_ref().is_some_and(|other| other.subject == closed) {
            self.focus.with = None;
        }
        if self.focus.subject.as_ref() == Some(&closed) {
            let next = self.opened.get(at.min(self.opened.len().saturating_sub(1)));
            let subject = next.map(|opened| opened.document.subject.clone());
            let host = self.focus.host.clone();
            self.focus = Focus { subject, pane: self.focus.pane, host, ..Focus::default() };
            self.start_anew();
        }
        let update = self.settle();
        Update { fragment: Some(self.focus.href()), ..update }
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
        self.host_form = None;
        if self.focus.subject != before.subject {
            self.start_anew();
        }
        let list = |focus: &Focus| (focus.pane, Place::of(focus.selection));
        let is_other_list = match self.focus.pane {
            Pane::Hex => list(&self.focus) != list(&before),
            pane => pane != before.pane,
        };
        if is_other_list {
            self.viewport.to_start();
        }
        if self.focus.pane != before.pane {
            // Who comes back to a comparison that was cancelled wants it.
            self.comparison.take_if(|comparison| comparison.is_incomplete());
        }
        if self.focus.platform != before.platform || self.focus.host != before.host {
            self.search = None;
        }
        let had_mask = self.filtered.filter().mask.is_some();
        let mut update = self.settle();
        if had_mask && self.focus.platform != before.platform {
            let mask = self.mask();
            update = self.filter(Filter { mask, ..self.filtered.filter().clone() });
        }
        update
    }

    /// Makes true what the focus says: the machine it asks for, the files it
    /// names.
    fn settle(&mut self) -> Update {
        let Some(subject) = self.focus.subject.clone() else { return self.update(None) };
        let Some(at) = self.find(&subject) else { return self.ask(subject) };
        let opened = &mut self.opened[at];
        let error = opened.load(self.focus.platform, &self.focus.host).err();
        opened.zoom(self.focus.zoom);
        let loaded = opened.loaded.as_ref();
        self.related = Related::new(&opened.document, loaded, &self.focus);
        self.compare();
        if let Some(other) =
            self.focus.with.clone().filter(|other| self.find(&other.subject).is_none())
        {
            return self.ask(other.subject);
        }
        let scroll = self.reveal();
        Update { error, ..self.update(scroll) }
    }

    /// The focus names a file that is not open.
    fn ask(&mut self, subject: Subject) -> Update {
        match subject {
            Subject::Sample(name) => Update { fetch: Some(name), ..Update::default() },
            Subject::File(name) => {
                let error = format!(
                    "This link is about the file {name}, which is on somebody's own disk: drop it \
                     here, and the page shows what the link points at."
                );
                Update { error: Some(error), ..self.update(None) }
            }
        }
    }

    fn mask(&self) -> Option<u32> {
        Some(self.current()?.loaded.as_ref()?.machine().compatibility_mask())
    }
}
