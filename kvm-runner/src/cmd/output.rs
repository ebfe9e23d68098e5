//! Where results go: standard output, or a file that is whole or not there.

use std::fmt;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::Path;

use igvm_core::load::Machine;
use serde::Serialize;

use super::Failure;

/// Prints a report: as text, or as JSON.
pub(crate) fn report<R: fmt::Display + Serialize>(report: &R, json: bool) -> Result<(), Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    let written = match json {
        true => serde_json::to_writer_pretty(&mut out, report)
            .map_err(io::Error::from)
            .and_then(|()| writeln!(out)),
        false => write!(out, "{report}"),
    };
    written.and_then(|()| out.flush()).map_err(|error| Failure::output("standard output", error))
}

/// Says on standard error that what is printed is not the machine that the file
/// wants, for commands that print none of the problems.
pub(crate) fn note_problems(machine: &Machine<'_>) {
    if machine.fatal_problems() > 0 {
        eprintln!(
            "kvm-runner: the file cannot be loaded as it stands, this is what can be of it; \
             `state` lists the problems"
        );
    }
}

/// Writes a file through `fill`. It appears when it is complete; if anything
/// fails, what was there before stays. Devices and pipes are written directly.
pub(crate) fn file(
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let failed = |error| Failure::output(format!("{} cannot be written", path.display()), error);
    if path.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        return Err(Failure::usage(format!(
            "{} is a directory; name a file in it",
            path.display()
        )));
    }
    if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
        let mut out = std::fs::OpenOptions::new().write(true).open(path).map_err(failed)?;
        return fill(&mut out);
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let partial = partial_file(directory.unwrap_or(Path::new("."))).map_err(failed)?;
    let mut out = BufWriter::new(partial);
    fill(&mut out)?;
    let partial = out.into_inner().map_err(|error| failed(error.into_error()))?;
    partial.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

/// Writes raw bytes to standard output, unless a person is looking at it.
pub(crate) fn raw(fill: impl FnOnce(&mut dyn Write) -> Result<(), Failure>) -> Result<(), Failure> {
    if io::stdout().is_terminal() {
        return Err(Failure::usage(
            "raw bytes would upset the terminal; give --out PATH, or send them to a pipe",
        ));
    }
    let mut out = BufWriter::new(io::stdout().lock());
    fill(&mut out)?;
    out.flush().map_err(|error| Failure::output("standard output", error))
}

/// A file beside the result, with the permissions that the user's mask gives
/// to a new file.
fn partial_file(directory: &Path) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.prefix(".kvm-runner-").tempfile_in(directory)
}
