//! The command line: one file for each subcommand.

mod boot;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Runs the machine that an IGVM file makes.
#[derive(Parser)]
#[command(version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Boot(boot::Boot),
}

impl Cli {
    pub(crate) fn run(self) -> ExitCode {
        match self.command {
            Command::Boot(boot) => boot.run(),
        }
    }
}
