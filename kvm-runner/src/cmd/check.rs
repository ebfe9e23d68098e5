//! `check`: the rule book.

use std::process::ExitCode;

use clap::Args;

use super::Failure;
use super::arguments::{FileArgument, MachineArguments};

/// Check a file against the specification, and say what loaders make of it.
#[derive(Args)]
pub(crate) struct Check {
    #[command(flatten)]
    file: FileArgument,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    machine: MachineArguments,
}
