//! Puts the page's files together in one folder, and serves such a folder.
//! `cargo xtask play` runs it.

mod assemble;
mod serve;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Puts the page together
    Build {
        /// The engine, built for wasm32-unknown-unknown
        #[arg(long)]
        wasm: PathBuf,
        /// The folder of the hand-written files
        #[arg(long)]
        www: PathBuf,
        /// The folder that is written
        #[arg(long)]
        out: PathBuf,
    },
    /// Serves a folder on this machine
    Serve {
        /// The folder
        folder: PathBuf,
        /// The port on 127.0.0.1
        #[arg(long)]
        port: u16,
    },
}

fn main() -> ExitCode {
    let result = match Cli::parse().task {
        Task::Build { wasm, www, out } => assemble::run(&wasm, &www, &out),
        Task::Serve { folder, port } => serve::run(&folder, port),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("error: {sentence}");
            ExitCode::FAILURE
        }
    }
}
