//! What people do with this workspace, as commands.

mod bench;
mod browser;
mod command;
mod fuzz;
mod no_std;
mod play;
mod readme;
mod samples;
mod setup;
mod step;
mod test;
mod tool;
mod wasm;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Builds the page and serves it on this machine
    Play(play::Options),
    /// Runs everything that CI runs, and installs what that takes
    Test(test::Options),
    /// Measures the workspace against the reference reader, memcpy and QEMU
    Bench(bench::Options),
    /// Writes the samples and their golden texts anew
    Samples,
}

fn main() -> ExitCode {
    match Cli::parse().task {
        Task::Play(options) => play::run(&options),
        Task::Test(options) => test::run(&options),
        Task::Bench(options) => bench::run(&options),
        Task::Samples => samples::run(),
    }
}
