//! The `kvm-runner` command.

mod cmd;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    cmd::Cli::parse().run()
}
