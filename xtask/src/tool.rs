//! Programs that `cargo install` makes from crates.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{Workplace, other_toolchain, text_of};
use crate::step::Stop;

/// Makes sure that a crate's program is there, in this version if one is named.
pub(crate) fn find(place: &Workplace, krate: &str, version: Option<&str>) -> Result<(), Stop> {
    if is_there(krate, version) {
        return Ok(());
    }
    // Without --locked: the lock file of wasm-bindgen-cli can name versions
    // that a registry does not have. Forced, for a program of the same name may
    // have come by another way.
    let mut install = vec!["install", krate, "--force"];
    if let Some(version) = version {
        install.extend(["--version", version]);
    }
    match place.run(other_toolchain("cargo").args(&install)) {
        Ok(()) if is_there(krate, version) => Ok(()),
        _ => Err(Stop::Skipped(format!(
            "{krate} cannot be installed (see {}); run: cargo {}",
            place.log().display(),
            install.join(" ")
        ))),
    }
}

fn is_there(krate: &str, version: Option<&str>) -> bool {
    let program = krate.trim_end_matches("-cli");
    let said = text_of(Command::new(program).arg("--version").env("PATH", path()));
    said.is_some_and(|said| version.is_none_or(|version| said.ends_with(version)))
}

/// The path with the folder that `cargo install` fills.
pub(crate) fn path() -> OsString {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| {
        let home = env::var_os("HOME")?;
        Some(Path::new(&home).join(".cargo"))
    });
    let rest = env::var_os("PATH").unwrap_or_default();
    let folders = home.map(|home| home.join("bin")).into_iter().chain(env::split_paths(&rest));
    env::join_paths(folders).unwrap_or(rest)
}
