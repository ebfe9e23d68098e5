//! `cargo xtask bench`: measures, in release builds, and prints a table.

use std::io;
use std::process::{Command, ExitCode};

use clap::Args;

use crate::browser;
use crate::command::{Workplace, cargo};
use crate::step::Stop;

/// How to show it.
#[derive(Args)]
pub(crate) struct Options {
    /// Print JSON instead of a table
    #[arg(long, conflicts_with = "page")]
    json: bool,
    /// Measure the page in Chromium instead
    #[arg(long)]
    page: bool,
}

/// Builds what is measured and what measures, prepares the files, measures.
pub(crate) fn run(options: &Options) -> ExitCode {
    match measure(options) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options) -> io::Result<ExitCode> {
    let mut place = Workplace::new()?;
    if options.page {
        return page(&mut place);
    }
    let folder = place.target.join("bench");
    let release = place.target.join("release");
    let mut build = cargo();
    build.current_dir(&place.root);
    build.args(["build", "--release", "--quiet", "-p", "igvm-bench", "-p", "kvm-runner"]);
    let mut prepare = Command::new(release.join("igvm-bench"));
    prepare.arg("prepare").arg(&folder);
    let mut measure = Command::new(release.join("igvm-bench"));
    measure.arg("measure").arg(&folder).arg(release.join("kvm-runner"));
    if options.json {
        measure.arg("--json");
    }
    for command in [&mut build, &mut prepare, &mut measure] {
        if !command.status()?.success() {
            // It has said why.
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The page's numbers, in a browser.
fn page(place: &mut Workplace) -> io::Result<ExitCode> {
    place.open_log("bench")?;
    match browser::bench(place) {
        Ok(table) => {
            print!("{table}");
            Ok(ExitCode::SUCCESS)
        }
        Err(Stop::Failed(reason) | Stop::Skipped(reason)) => {
            eprintln!("error: {reason}\nLog: {}", place.log().display());
            Ok(ExitCode::FAILURE)
        }
    }
}
