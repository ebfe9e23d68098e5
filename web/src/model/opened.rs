//! An opened file and what was computed of it.

use std::cell::OnceCell;

use igvm_analysis::host::HostDescription;
use igvm_analysis::report::{FileView, FindingsReport};
use igvm_core::defs::IgvmPlatformType;
use igvm_core::platform::platform_name;
use igvm_core::span::Span;

use super::document::Document;
use super::filter::kinds;
use super::hex::{DataMap, GuestRows};
use super::host_form::nothing_to_move;
use super::machine::{Loaded, NoMachine, findings, first_platform};
use super::picture::Picture;

/// An opened file and what was computed of it.
pub struct Opened {
    /// The file.
    pub document: Document,
    /// What is said of the file as a whole, the checksum of all its headers
    /// among it: taken once.
    pub file: FileView,
    /// The types of header there are, and how often.
    pub kinds: Vec<(u32, u32)>,
    /// What the rule book says, for the host in use.
    pub findings: FindingsReport,
    /// The machine; `None` where there is none to load.
    pub loaded: Option<Loaded>,
    /// Why there is none, in a sentence.
    pub no_machine: String,
    /// The picture of that machine.
    pub picture: Picture,
    /// Computed when bytes are looked at.
    data_map: OnceCell<DataMap>,
    guest_rows: OnceCell<GuestRows>,
    /// A part of that picture, closer.
    zoomed: Option<(Span, Picture)>,
    /// What findings and machine are about; `None` before the first load.
    about: Option<(Option<IgvmPlatformType>, HostDescription)>,
}

impl Opened {
    /// A document of which nothing is computed yet.
    pub fn new(document: Document) -> Self {
        Self {
            file: FileView::new(&document.file()),
            kinds: kinds(&document),
            document,
            findings: FindingsReport::default(),
            loaded: None,
            no_machine: String::new(),
            picture: Picture::default(),
            data_map: OnceCell::new(),
            guest_rows: OnceCell::new(),
            zoomed: None,
            about: None,
        }
    }

    /// Computes the machine for a platform, the first one for `None`, and a
    /// host. The same twice takes no time.
    ///
    /// # Errors
    /// A sentence, when there is no such machine, or when it is not what the
    /// host asks for: a region to move is not there.
    pub fn load(
        &mut self,
        platform: Option<IgvmPlatformType>,
        host: &HostDescription,
    ) -> Result<(), String> {
        if self.about.as_ref().is_some_and(|about| *about == (platform, host.clone())) {
            return Ok(());
        }
        if self.about.as_ref().is_none_or(|(_, before)| before != host) {
            self.findings = findings(&self.document, host);
        }
        self.about = Some((platform, host.clone()));
        self.loaded = None;
        self.picture = Picture::default();
        self.guest_rows = OnceCell::new();
        self.zoomed = None;
        let Some(platform) = platform.or_else(|| first_platform(&self.document)) else {
            self.no_machine = "The file names no platform to load it for.".into();
            return Ok(());
        };
        let loaded = Loaded::new(&self.document, platform, host).map_err(|error| match error {
            NoMachine::Load(error) => {
                let name = platform_name(platform).unwrap_or("of this number");
                format!("This file cannot be loaded for the platform {name}: {error}.")
            }
            NoMachine::Host(error) => format!("There is no such host: {error}."),
        });
        match loaded {
            Ok(loaded) => {
                self.picture = Picture::new(&loaded);
                let complaint = nothing_to_move(&self.document, &loaded);
                self.loaded = Some(loaded);
                complaint.map_or(Ok(()), Err)
            }
            Err(error) => {
                self.no_machine.clone_from(&error);
                Err(error)
            }
        }
    }

    /// Where the data of the headers lies in the file.
    pub fn data_map(&self) -> &DataMap {
        self.data_map.get_or_init(|| DataMap::new(&self.document))
    }

    /// The machine with the rows that its memory makes.
    pub fn guest_rows(&self) -> Option<(&Loaded, &GuestRows)> {
        let loaded = self.loaded.as_ref()?;
        Some((loaded, self.guest_rows.get_or_init(|| GuestRows::new(loaded))))
    }

    /// Draws a part of the picture closer. The same twice takes no time.
    pub fn zoom(&mut self, part: Option<Span>) {
        if self.zoomed.as_ref().map(|(part, _)| *part) == part {
            return;
        }
        let loaded = self.loaded.as_ref();
        self.zoomed = part.zip(loaded).map(|(part, loaded)| (part, Picture::within(loaded, part)));
    }

    /// The part that is drawn closer, if one is.
    pub fn zoomed(&self) -> Option<&Picture> {
        self.zoomed.as_ref().map(|(_, picture)| picture)
    }
}
