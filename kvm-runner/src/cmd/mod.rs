//! The command line: one file for each subcommand.

mod arguments;
mod boot;
mod check;
mod completions;
mod diff;
mod inspect;
mod output;
mod state;
mod walk;
mod wrap;

use std::fmt;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Looks at IGVM files, and boots the machines they make on KVM.
#[derive(Parser)]
#[command(
    name = "kvm-runner",
    version,
    after_help = "Examples:
  kvm-runner boot --sample hello-long64
  kvm-runner wrap --firmware /usr/share/seabios/bios.bin --out seabios.igvm
  kvm-runner check seabios.igvm
  kvm-runner state seabios.igvm --memory 1G --cpus 4 --json"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Inspect(inspect::Inspect),
    Check(check::Check),
    State(state::State),
    Walk(walk::Walk),
    Diff(diff::Diff),
    Wrap(wrap::Wrap),
    Boot(Box<boot::Boot>),
    Completions(completions::Completions),
}

impl Cli {
    pub(crate) fn run(self) -> ExitCode {
        let done = match self.command {
            Command::Inspect(inspect) => inspect.run(),
            Command::Check(check) => check.run(),
            Command::State(state) => state.run(),
            Command::Walk(walk) => walk.run(),
            Command::Diff(diff) => diff.run(),
            Command::Wrap(wrap) => wrap.run(),
            Command::Boot(boot) => boot.run(),
            Command::Completions(completions) => completions.run(),
        };
        match done {
            Ok(code) => code,
            // Whoever reads our output has read enough of it.
            Err(Failure { broken_pipe: true, .. }) => ExitCode::SUCCESS,
            Err(failure) => {
                eprintln!("kvm-runner: {failure}");
                ExitCode::from(failure.code)
            }
        }
    }
}

/// Why a command could not do what it was asked for.
#[derive(Debug)]
pub(crate) struct Failure {
    sentence: String,
    code: u8,
    broken_pipe: bool,
}

impl Failure {
    /// Exit code for bad usage and files that cannot be used.
    const USAGE: u8 = 2;

    /// Bad usage, or a file that cannot be used.
    pub(crate) fn usage(sentence: impl Into<String>) -> Self {
        Self::with_code(Self::USAGE, sentence)
    }

    pub(crate) fn with_code(code: u8, sentence: impl Into<String>) -> Self {
        Self { sentence: sentence.into(), code, broken_pipe: false }
    }

    /// Something could not be written.
    fn output(what: impl fmt::Display, error: std::io::Error) -> Self {
        Self {
            broken_pipe: error.kind() == std::io::ErrorKind::BrokenPipe,
            ..Self::usage(format!("{what}: {error}"))
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}
