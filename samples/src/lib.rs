//! The built-in samples: IGVM files that each teach one thing, built from
//! sources in this crate.
//!
//! Those that boot print one line on COM1 and end through the exit port, see
//! [`guest`]. The generated files stand in `tests/samples`, but for the large
//! ones ([`Sample::committed`]).

pub mod broken;
pub mod bzimage;
mod context;
pub mod guest;
mod hello;
mod layout;
mod optional_headers;
mod overlap;
mod page_2m;
mod parameters;
mod platforms;
mod relocatable;
mod version1;

use std::io;
use std::path::{Path, PathBuf};

/// One built-in file.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Its name, as on the command line; the file is `NAME.igvm`.
    pub name: &'static str,
    /// What it teaches, in a sentence.
    pub title: &'static str,
    /// What the guest prints on COM1, or how that begins where the rest
    /// depends on the host.
    pub prints: &'static str,
    /// Whether the generated file is small enough to stand in `tests/samples`.
    pub committed: bool,
    /// Builds the file.
    pub build: fn() -> Vec<u8>,
}

const ALL: &[Sample] = &[
    hello::REAL_RESET,
    hello::REAL16,
    hello::PROTECTED32,
    hello::LONG64,
    hello::LONG64_4K,
    hello::COMPAT32,
    relocatable::SAMPLE,
    parameters::SAMPLE,
    platforms::SAMPLE,
    version1::SAMPLE,
    optional_headers::SAMPLE,
    page_2m::SAMPLE,
    overlap::SAMPLE,
];

/// Every sample, from simple to involved.
pub fn all() -> &'static [Sample] {
    ALL
}

/// The sample of this name.
pub fn by_name(name: &str) -> Option<&'static Sample> {
    ALL.iter().find(|sample| sample.name == name)
}

/// Writes the committed samples as `NAME.igvm` into `dir`, which must exist,
/// and the broken ones into its folder `broken`; the paths written.
///
/// # Errors
/// Whatever the file system has against it.
pub fn write_all(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let broken_dir = dir.join("broken");
    std::fs::create_dir_all(&broken_dir)?;
    let committed = ALL.iter().filter(|sample| sample.committed);
    let good = committed.map(|sample| (dir.join(sample.name), sample.build));
    let broken = broken::all().map(|sample| (broken_dir.join(sample.name()), sample.build));
    good.chain(broken)
        .map(|(path, build)| {
            let path = path.with_extension("igvm");
            std::fs::write(&path, build())?;
            Ok(path)
        })
        .collect()
}
