//! What a person does, and what the page has to do then.

use serde::Serialize;

pub use crate::model::host_form::Fields;

/// What a person does.
#[derive(Debug, Clone)]
pub enum Event {
    /// The address bar changed.
    Go {
        /// What stands behind the `#`.
        fragment: String,
    },
    /// The list is scrolled.
    Scroll {
        /// Pixels above what is seen.
        top: u64,
        /// Pixels that are seen.
        height: u64,
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
    /// Only headers with these words.
    FilterText {
        /// The words.
        value: String,
    },
    /// A linear address is looked at.
    Translate {
        /// As it was typed.
        address: String,
    },
    /// A sample that was to be fetched is not there.
    Missing {
        /// Its name.
        name: String,
    },
    /// Goes to a place that was typed.
    GoTo {
        /// What was typed.
        value: String,
    },
    /// A byte of those that are shown was chosen.
    Pick {
        /// Its address.
        value: String,
    },
    /// Looks for bytes, where bytes are shown.
    Find {
        /// What was typed.
        text: String,
        /// `bytes` or `text`.
        kind: String,
    },
    /// What was found is not shown any more.
    FindEnd,
    /// Makes a file to take away.
    Export {
        /// `json`, `report` or `file`.
        value: String,
    },
    /// Makes a file of guest memory.
    ExportMemory {
        /// The first address.
        address: String,
        /// How many bytes.
        length: String,
    },
    /// The host is described anew.
    Host {
        /// The fields of the form by name, as text.
        fields: Fields,
    },
    /// A file is not needed any more.
    Close {
        /// Its place among those that are open.
        value: String,
    },
    /// Long work is not to go on.
    Cancel,
}

impl Event {
    /// Reads an event: the name of the action, in the page's markup too, and
    /// its fields. `None` for an action that there is not.
    pub fn read(action: &str, mut fields: Fields) -> Option<Self> {
        let number = |text: &str| text.split('.').next()?.parse().ok();
        let numbers = |name: &str| fields.get(name).and_then(number).unwrap_or(0);
        let (top, height) = (numbers("top"), numbers("height"));
        let mut text = |name: &str| fields.take(name).unwrap_or_default();
        Some(match action {
            "go" => Self::Go { fragment: text("fragment") },
            "scroll" => Self::Scroll { top, height },
            "filter-kind" => Self::FilterKind { value: text("value") },
            "filter-platform" => Self::FilterPlatform { value: text("value") == "true" },
            "filter-text" => Self::FilterText { value: text("value") },
            "translate" => Self::Translate { address: text("address") },
            "missing" => Self::Missing { name: text("name") },
            "go-to" => Self::GoTo { value: text("value") },
            "pick" => Self::Pick { value: text("value") },
            "find" => Self::Find { text: text("text"), kind: text("kind") },
            "find-end" => Self::FindEnd,
            "export" => Self::Export { value: text("value") },
            "export-memory" => {
                Self::ExportMemory { address: text("address"), length: text("length") }
            }
            "host" => Self::Host { fields },
            "close" => Self::Close { value: text("value") },
            "cancel" => Self::Cancel,
            _ => return None,
        })
    }
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
    /// The name of a file that is ready to be taken away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub download: Option<String>,
    /// What went wrong, in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Work that is not done: the worker calls for more of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub working: Option<Working>,
}

/// Work that takes longer than a moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Working {
    /// What is done: "Searching the headers".
    pub what: &'static str,
    /// How much of it is done, of 1000.
    pub part: u32,
}

impl Working {
    /// `part` is of 1.
    pub(super) fn new(what: &'static str, part: f64) -> Self {
        Self { what, part: (part * 1000.0) as u32 }
    }
}
