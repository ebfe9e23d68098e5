//! The page and its bindings in a real browser.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{Workplace, cargo, other_toolchain, succeeds};
use crate::play::{self, Site};
use crate::setup::{self, Package};
use crate::step::{StepResult, Stop};
use crate::tool;
use crate::wasm::Toolchain;

const CHROMIUM: Package = Package { name: "chromium", file: "/usr/bin/chromium" };
const DRIVER: Package = Package { name: "chromium-driver", file: "/usr/bin/chromedriver" };

/// Where the tests of the page are.
const FOLDER: &str = "tests/web";

/// The bindings: `wasm-pack test --headless --chrome web`.
pub(crate) fn bindings(place: &Workplace) -> StepResult {
    let toolchain = Toolchain::find(place)?;
    setup::install(place, &[CHROMIUM, DRIVER])?;
    tool::find(place, "wasm-pack", None)?;
    tool::find(place, "wasm-bindgen-cli", Some(&bindgen_version(place)?))?;
    // What was installed above is not looked for again on the network.
    let mut command = other_toolchain("wasm-pack");
    command.args(["test", "--mode", "no-install", "--headless", "--chrome"]);
    command.args(["--chromedriver", DRIVER.file, "web"]).env("PATH", tool::path());
    toolchain.set_environment(place, &mut command);
    place.run(&mut command)?;
    let passed = sum_after(&place.log_text(), "test result: ok. ");
    match passed {
        0 => Err(Stop::Failed("no test of the bindings ran".into())),
        passed => Ok(format!("{passed} tests passed in a worker of Chromium")),
    }
}

/// The built page, with Playwright and Debian's Chromium.
pub(crate) fn page(place: &Workplace) -> StepResult {
    let site = play::build(place)?;
    place.run(cargo().args(["build", "-p", "kvm-runner", "-p", "igvm-bench"]))?;
    let (shots, large) = (place.target.join("web-shots"), place.target.join("bench"));
    place.run(Command::new(built(place, "igvm-bench")).arg("pages").arg(&large))?;
    let mut command = node(place, &site)?;
    command.args(["--test", "--test-concurrency=1", "--test-reporter=tap"]);
    if setup::is_complete(place) {
        // With everything there, a test that misses a package is wrong.
        command.env("REQUIRE_PACKAGES", "1");
    }
    command.args(test_files(&place.root.join(FOLDER))?);
    command.env("IGVM_SHOTS", &shots).env("IGVM_LARGE", &large);
    let ended = place.run(&mut command);
    let log = place.log_text();
    let (passed, failed) = (sum_after(&log, "# pass "), sum_after(&log, "# fail "));
    let counts = format!("{passed} tests passed, {failed} failed; pictures in {}", shots.display());
    match ended {
        Ok(()) if passed == 0 => Err(Stop::Failed("no test of the page ran".into())),
        Ok(()) => Ok(counts),
        Err(Stop::Failed(reason)) => Err(Stop::Failed(format!("{reason}; {counts}"))),
        Err(skipped) => Err(skipped),
    }
}

/// Prints the page's numbers.
pub(crate) fn bench(place: &Workplace) -> Result<String, Stop> {
    let site = play::build(place)?;
    place.run(cargo().args(["build", "-p", "igvm-bench"]))?;
    let large = place.target.join("bench");
    place.run(Command::new(built(place, "igvm-bench")).arg("pages").arg(&large))?;
    match place.capture(node(place, &site)?.arg("bench.mjs").arg(&large))? {
        (table, Some(0)) => Ok(table),
        _ => Err(Stop::Failed("the page cannot be measured".into())),
    }
}

/// Node.js in the folder of the browser tests, with what they need installed.
fn node(place: &Workplace, site: &Site) -> Result<Command, Stop> {
    setup::install(place, &[CHROMIUM])?;
    need_node(place)?;
    let folder = place.root.join(FOLDER);
    place.run(Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(&folder))?;
    let mut command = Command::new("node");
    command.current_dir(&folder).env("IGVM_SITE", &site.folder);
    command.env("IGVM_RUNNER", built(place, "kvm-runner")).env("CHROMIUM", CHROMIUM.file);
    Ok(command)
}

/// A program of this workspace, as `cargo build` leaves it.
fn built(place: &Workplace, name: &str) -> PathBuf {
    place.target.join("debug").join(format!("{name}{}", env::consts::EXE_SUFFIX))
}

/// The test files of a folder, in order.
fn test_files(folder: &Path) -> Result<Vec<OsString>, Stop> {
    let entries = fs::read_dir(folder)
        .map_err(|error| Stop::Failed(format!("{}: {error}", folder.display())))?;
    let names = entries.flatten().map(|entry| entry.file_name());
    let mut files: Vec<OsString> =
        names.filter(|name| name.to_string_lossy().ends_with(".test.mjs")).collect();
    files.sort();
    Ok(files)
}

/// Node.js and npm, of the system or from Debian.
fn need_node(place: &Workplace) -> Result<(), Stop> {
    let is_there = |tool: &str| succeeds(Command::new(tool).arg("--version"));
    if is_there("node") && is_there("npm") {
        return Ok(());
    }
    let packages = [
        Package { name: "nodejs", file: "/usr/bin/node" },
        Package { name: "npm", file: "/usr/bin/npm" },
    ];
    setup::install(place, &packages).map(drop)
}

/// The version of wasm-bindgen that the page is built with: its tools must have
/// the very same.
fn bindgen_version(place: &Workplace) -> Result<String, Stop> {
    let lock = fs::read_to_string(place.root.join("Cargo.lock")).unwrap_or_default();
    let mut lines = lock.lines().skip_while(|line| *line != "name = \"wasm-bindgen\"");
    lines
        .nth(1)
        .and_then(|line| line.strip_prefix("version = \"")?.strip_suffix('"'))
        .map(str::to_owned)
        .ok_or_else(|| Stop::Failed("Cargo.lock names no wasm-bindgen".into()))
}

/// The sum of the numbers that follow a word at the start of lines.
fn sum_after(log: &str, word: &str) -> u64 {
    log.lines()
        .filter_map(|line| line.strip_prefix(word)?.split(' ').next()?.parse::<u64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_several_programs_are_added_up() {
        let log = "test result: ok. 5 passed; 0 failed\nx\ntest result: ok. 2 passed;\n# pass 7\n";
        assert_eq!(sum_after(log, "test result: ok. "), 7);
        assert_eq!(sum_after(log, "# pass "), 7);
        assert_eq!(sum_after(log, "# fail "), 0);
    }

    #[test]
    fn the_version_is_the_one_in_use() {
        let place = Workplace::new().unwrap_or_else(|error| panic!("{error}"));
        let version = bindgen_version(&place).unwrap_or_default();
        assert!(version.starts_with("0.2."), "{version}");
    }
}
