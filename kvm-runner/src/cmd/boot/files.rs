//! The files of a run, and whether one of them would spoil another.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use kvm_runner::guest::BootError;

/// Links that are followed to a file that is not there yet, at most; as Linux
/// has it.
const LINKS_MAX: usize = 40;

/// The files of a run, before one of them is opened for writing.
#[derive(Default)]
pub(super) struct Files<'a>(Vec<Use<'a>>);

/// A file that is read or written.
struct Use<'a> {
    /// How a sentence calls it: `--serial`.
    what: &'static str,
    path: &'a Path,
    place: Option<Place>,
    written: bool,
}

/// What a path leads to, whatever it is called.
#[derive(PartialEq, Eq)]
enum Place {
    /// Device and inode.
    File(u64, u64),
    /// A block device, by its number.
    Block(u64),
    /// A name that is not there yet, in the folder with this device and inode.
    New(u64, u64, std::ffi::OsString),
    /// Standard output, where it is no file.
    StandardOutput,
}

impl<'a> Files<'a> {
    /// Something that is there; a disk may be written as well.
    pub(super) fn input(&mut self, what: &'static str, path: &'a Path, written: bool) {
        self.0.push(Use { what, path, place: place(path), written });
    }

    /// Something that is made or overwritten.
    pub(super) fn output(&mut self, what: &'static str, path: &'a Path) {
        self.0.push(Use { what, path, place: place(path), written: true });
    }

    /// Standard output; `path` is what it is called.
    pub(super) fn standard_output(&mut self, what: &'static str, path: &'a Path) {
        self.0.push(Use { what, path, place: Some(standard_output()), written: true });
    }

    /// That none of them spoils another.
    ///
    /// # Errors
    /// Fails with a sentence about the first that would.
    pub(super) fn check(&self) -> Result<(), BootError> {
        for (at, second) in self.0.iter().enumerate() {
            let spoilt = |first: &&Use<'_>| {
                (first.written || second.written)
                    && first.place.is_some()
                    && first.place == second.place
                    && !share(first, second)
            };
            if let Some(first) = self.0[..at].iter().find(spoilt) {
                return Err(BootError::Image(sentence(first, second)));
            }
        }
        Ok(())
    }
}

/// Whether two are one by intention: the guest's streams on standard output take
/// turns, and a file may have both traces.
fn share(first: &Use<'_>, second: &Use<'_>) -> bool {
    first.path == second.path
        && match (first.what, second.what) {
            ("--serial", "--debugcon") => first.path.as_os_str() == "stdio",
            ("--trace", "--trace-exits") => true,
            _ => false,
        }
}

fn sentence(first: &Use<'_>, second: &Use<'_>) -> String {
    let [one, other] = [first, second].map(|it| format!("{} {}", it.what, it.path.display()));
    if first.place == Some(Place::StandardOutput) {
        let way_out = match first.what {
            "--serial" => "give --serial none or a file",
            _ => "give a file to one of them",
        };
        return format!("{one} and {other} both go to standard output: {way_out}");
    }
    match first.written && second.written {
        true => format!("{one} and {other} are the same file, and each would spoil the other"),
        false => format!("{one} and {other} are the same file, which would be overwritten"),
    }
}

/// Pipes and most devices have none: what two write there is mixed, not lost.
fn place(path: &Path) -> Option<Place> {
    match path.metadata() {
        Ok(metadata) => place_of(&metadata),
        Err(_) => {
            let path = end_of_links(path);
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let folder = folder.unwrap_or(Path::new(".")).metadata().ok()?;
            Some(Place::New(folder.dev(), folder.ino(), path.file_name()?.to_owned()))
        }
    }
}

fn place_of(metadata: &std::fs::Metadata) -> Option<Place> {
    let kind = metadata.file_type();
    if kind.is_file() {
        Some(Place::File(metadata.dev(), metadata.ino()))
    } else if kind.is_block_device() {
        Some(Place::Block(metadata.rdev()))
    } else {
        None
    }
}

/// Where links lead that end nowhere: a file would be made there.
fn end_of_links(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        let Ok(target) = path.read_link() else { break };
        path.pop();
        path.push(target);
    }
    path
}

fn standard_output() -> Place {
    let file = io::stdout().as_fd().try_clone_to_owned().map(File::from);
    let metadata = file.and_then(|file| file.metadata()).ok();
    match metadata.as_ref().and_then(place_of) {
        Some(place @ Place::File(..)) => place,
        _ => Place::StandardOutput,
    }
}
