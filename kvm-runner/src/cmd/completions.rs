//! `completions`: for the shell.

use std::io::Write;
use std::process::ExitCode;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, Failure};

/// Print the completions of a shell, to be sourced or installed.
#[derive(Args)]
pub(crate) struct Completions {
    /// The shell.
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "kvm-runner", &mut script);
        std::io::stdout()
            .write_all(&script)
            .map_err(|error| Failure::output("standard output", error))?;
        Ok(ExitCode::SUCCESS)
    }
}
