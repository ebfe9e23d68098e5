//! Going to a byte, looking for some, and taking them away.

use crate::model::export::{self, Export, Sink};
use crate::model::focus::{Focus, Pane, Selection};
use crate::model::goto;
use crate::model::hex::Place;
use crate::model::search::{Search, Wanted};
use crate::view::{self, View};

use super::{App, Update};

impl App {
    /// Goes where a person typed.
    pub(super) fn go_to(&mut self, entry: &str) -> Update {
        // Where the bytes of the file are shown, a number is one of theirs.
        let in_file =
            self.focus.pane == Pane::Hex && Place::of(self.focus.selection) == Place::File;
        let bare = if in_file { Selection::File } else { Selection::Guest };
        match goto::parse(entry, bare).and_then(|selection| self.there(selection)) {
            Ok(selection) => {
                let pane = goto::pane_for(selection, self.focus.pane);
                self.move_to(self.focus.in_pane(pane).on(selection))
            }
            Err(error) => Update { error: Some(error), ..self.update(None) },
        }
    }

    /// Whether the open file has such a place.
    fn there(&self, selection: Selection) -> Result<Selection, String> {
        let Some(opened) = self.current() else {
            return Err("No file is open: there is nowhere to go.".into());
        };
        let (document, loaded) = (&opened.document, opened.loaded.as_ref());
        match selection {
            Selection::Header(index) if index >= document.header_count() => {
                Err(match document.header_count() {
                    0 => "This file has no headers.".into(),
                    count => {
                        format!("There is no header {index}: this file has 0 to {}.", count - 1)
                    }
                })
            }
            Selection::File(offset) if offset >= document.file().file_len() => Err(format!(
                "The file ends at {:#x}, before {offset:#x}.",
                document.file().file_len()
            )),
            Selection::Register(vp_index, _)
                if loaded.and_then(|loaded| loaded.processor(vp_index)).is_none() =>
            {
                Err(format!("There is no processor {vp_index} to look at."))
            }
            Selection::Guest(_) | Selection::Linear(_) if loaded.is_none() => {
                Err(format!("There is no machine. {}", opened.no_machine))
            }
            _ => Ok(selection),
        }
    }

    /// The same as following a link.
    fn move_to(&mut self, focus: Focus) -> Update {
        let href = focus.href();
        Update { fragment: Some(href.clone()), ..self.go(&href) }
    }

    /// A byte was clicked.
    pub(super) fn pick(&mut self, address: &str) -> Update {
        let place = Place::of(self.focus.selection);
        match goto::address(address) {
            Some(at) => self.move_to(self.focus.on(place.selection(at))),
            None => self.update(None),
        }
    }

    /// Looks for bytes in what is shown.
    pub(super) fn look_for(&mut self, text: String, is_text: bool) -> Update {
        let place = Place::of(self.focus.selection);
        match Search::new(Wanted { place, text, is_text }) {
            Ok(search) => {
                (self.search, self.search_arrived) = (Some(search), false);
                self.step();
                self.arrive()
            }
            Err(error) => Update { error: Some(error), ..self.update(None) },
        }
    }

    /// Shows the first place that a search found, behind what is selected.
    pub(super) fn arrive(&mut self) -> Update {
        let Some(search) = self.search.as_ref().filter(|_| !self.search_arrived) else {
            return self.update(None);
        };
        let place = search.wanted.place;
        let is_shown = self.focus.pane == Pane::Hex && Place::of(self.focus.selection) == place;
        let Some(first) = search.hits().first().filter(|_| is_shown) else {
            return self.update(None);
        };
        let from = match self.focus.selection {
            Some(Selection::File(at) | Selection::Guest(at)) => at,
            _ => 0,
        };
        let behind = search.hits().iter().find(|hit| **hit >= from);
        let to = *behind.unwrap_or(first);
        self.search_arrived = true;
        self.move_to(self.focus.on(place.selection(to)))
    }

    /// Makes ready what can be taken away; the border fetches it.
    pub(super) fn prepare(&mut self, export: Export) -> Update {
        let Some(opened) = self.current() else { return self.update(None) };
        // A file that is gone would be handed over empty.
        if !opened.document.data().read_direct(0, &mut [0]) {
            return self.update(None);
        }
        let download = Some(export.name(&opened.document));
        self.export = Some(export);
        Update { download, ..self.update(None) }
    }

    pub(super) fn prepare_memory(&mut self, address: &str, length: &str) -> Update {
        match export::range(address, length) {
            Ok(span) => self.prepare(Export::Memory(span)),
            Err(error) => Update { error: Some(error), ..self.update(None) },
        }
    }

    /// Puts together what was made ready.
    ///
    /// # Errors
    /// A sentence.
    pub fn export(&mut self, sink: &mut dyn Sink) -> Result<(), String> {
        let (Some(export), Some(view)) = (self.export.take(), self.view()) else {
            return Err("There is nothing to take away.".into());
        };
        let View { document, loaded, .. } = view;
        match export {
            Export::Json => export::write_json(document, loaded, view.findings, sink),
            Export::Report => {
                sink.bytes(view::report(view).as_bytes());
                Ok(())
            }
            Export::File => {
                let len = document.file().file_len();
                sink.file(document.data().source(), igvm_core::span::Span::new(0, len));
                Ok(())
            }
            Export::Memory(span) => match loaded {
                Some(loaded) => export::write_memory(document, loaded, span, sink),
                None => Err(format!("There is no machine. {}", view.opened.no_machine)),
            },
        }
    }
}
