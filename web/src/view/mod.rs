//! From the model to markup, by pure functions. No script and no style in it:
//! every link is a focus in the address bar.

mod bar;
mod code;
mod compare;
mod difference;
mod export;
mod gallery;
mod goto;
mod headers;
mod hex;
mod host;
mod inspector;
mod map;
mod memory;
mod overview;
mod paging;
mod parts;
mod processors;
mod report;
mod told;

use igvm_analysis::report::FindingsReport;
use igvm_core::x86::RegisterFile;

use crate::model::changes::Changes;
use crate::model::comparison::Comparison;
use crate::model::document::Document;
use crate::model::filter::Filter;
use crate::model::focus::Focus;
use crate::model::host_form::HostForm;
use crate::model::machine::Loaded;
use crate::model::opened::Opened;
use crate::model::picture::Picture;
use crate::model::related::Related;
use crate::model::search::Search;
use crate::model::window::Viewport;

pub use bar::{bar, files, tabs};
pub use code::code;
pub use compare::compare;
pub use export::export;
pub use gallery::{Card, gallery};
pub use goto::places;
pub use headers::{header_list, header_row_of, header_rows, headers};
pub use hex::{hex, hex_ends, hex_hits, hex_legend, hex_list, hex_row_of, hex_rows, hex_sides};
pub use host::host;
pub use inspector::inspector;
pub use map::{horizontal, vertical};
pub use memory::{memory, memory_list, memory_row_of, memory_rows};
pub use overview::overview;
pub use paging::paging;
pub use processors::processors;
pub use report::report;

/// Everything that a view looks at.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// All that was computed of the file.
    pub opened: &'a Opened,
    /// The file.
    pub document: &'a Document,
    /// Its machine; `None` where there is none: [`Opened::no_machine`] says why.
    pub loaded: Option<&'a Loaded>,
    /// The picture of that machine.
    pub picture: &'a Picture,
    /// The part of it that is looked at closer.
    pub zoomed: Option<&'a Picture>,
    /// What the rule book says.
    pub findings: &'a FindingsReport,
    /// What is looked at.
    pub focus: &'a Focus,
    /// What belongs to the selection.
    pub related: Related,
    /// Which headers are shown.
    pub filter: &'a Filter,
    /// Their indices; `None` for all.
    pub shown: Option<&'a [u32]>,
    /// Whether looking for them was cancelled.
    pub shown_is_incomplete: bool,
    /// The types of header there are, and how often.
    pub kinds: &'a [(u32, u32)],
    /// What is looked for in its bytes.
    pub search: Option<&'a Search>,
    /// Every file that is open, this one among them.
    pub files: &'a [Opened],
    /// What the host changes; `None` for the usual one.
    pub changes: Option<&'a Changes>,
    /// The host as it was typed, where that describes none.
    pub host_form: Option<&'a HostForm>,
    /// This file compared with another, and that one.
    pub comparison: Option<(&'a Comparison, &'a Opened)>,
    /// What is seen of the list.
    pub viewport: Viewport,
}

impl<'a> View<'a> {
    /// The machine and the registers of the processor in focus; `None` without
    /// either.
    fn processor(&self) -> Option<(&'a Loaded, &'a RegisterFile)> {
        let loaded = self.loaded?;
        Some((loaded, loaded.registers(self.focus.vp_index())?))
    }
}
