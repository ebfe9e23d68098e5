//! A bounded run of every fuzz target, from the seeds in the tree.

use std::fs;
use std::process::Command;

use crate::command::{Workplace, other_toolchain, succeeds};
use crate::setup::{self, Package};
use crate::step::{StepResult, Stop};
use crate::tool;

/// libFuzzer is C++.
const COMPILER: Package = Package { name: "g++", file: "/usr/bin/c++" };

/// The step: so many seconds for each target.
pub(crate) fn run(place: &Workplace, seconds: u32) -> StepResult {
    find_nightly(place)?;
    tool::find(place, "cargo-fuzz", None)?;
    if !succeeds(Command::new("c++").arg("--version")) {
        setup::install(place, &[COMPILER])?;
    }
    let (list, code) = place.capture(cargo_fuzz("list").current_dir(place.root.join("fuzz")))?;
    let targets: Vec<&str> = list.split_whitespace().collect();
    if code != Some(0) || targets.is_empty() {
        return Err(Stop::Failed("`cargo fuzz list` names no target of fuzz/Cargo.toml".into()));
    }
    let failures: Vec<String> = targets
        .iter()
        .filter_map(|target| match run_target(place, target, seconds) {
            Err(Stop::Failed(reason) | Stop::Skipped(reason)) => {
                Some(format!("{target}: {reason}"))
            }
            Ok(()) => None,
        })
        .collect();
    if failures.is_empty() {
        Ok(format!("{seconds} s each of {}", targets.join(", ")))
    } else {
        Err(Stop::Failed(failures.join("; ")))
    }
}

/// Inputs that are new go to `fuzz/corpus`, which is not committed; the seeds
/// are only read.
fn run_target(place: &Workplace, target: &str, seconds: u32) -> Result<(), Stop> {
    let fuzz = place.root.join("fuzz");
    let corpus = fuzz.join("corpus").join(target);
    let seeds = fuzz.join("seeds").join(target);
    if !seeds.is_dir() {
        return Err(Stop::Failed(format!("there are no seeds in {}", seeds.display())));
    }
    fs::create_dir_all(&corpus).map_err(|error| {
        Stop::Failed(format!("{} cannot be created: {error}", corpus.display()))
    })?;
    place.run(
        cargo_fuzz("run")
            .current_dir(fuzz)
            .arg(target)
            .args([corpus, seeds])
            .arg("--")
            .arg(format!("-max_total_time={seconds}"))
            // An input that takes this many seconds is a finding.
            .arg("-timeout=10"),
    )
}

fn cargo_fuzz(action: &str) -> Command {
    let mut command = other_toolchain("cargo");
    command.args(["+nightly", "fuzz", action]);
    command
}

fn find_nightly(place: &Workplace) -> Result<(), Stop> {
    let has_nightly =
        || succeeds(other_toolchain("rustup").args(["run", "nightly", "cargo", "--version"]));
    if has_nightly() {
        return Ok(());
    }
    let install = ["toolchain", "install", "nightly", "--profile", "minimal", "--no-self-update"];
    match place.run(other_toolchain("rustup").args(install)) {
        Ok(()) if has_nightly() => Ok(()),
        _ => Err(Stop::Skipped(format!(
            "fuzzing takes a nightly toolchain, and it cannot be installed (see {}); \
             run: rustup {}",
            place.log().display(),
            install.join(" ")
        ))),
    }
}
