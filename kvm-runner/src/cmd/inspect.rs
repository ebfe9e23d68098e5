//! `inspect`: the headers of a file.

use std::process::ExitCode;

use clap::Args;
use igvm_analysis::report::InspectReport;

use super::arguments::FileArgument;
use super::{Failure, output};

/// List every header, one line each, with its file offset.
#[derive(Args)]
pub(crate) struct Inspect {
    #[command(flatten)]
    file: FileArgument,
    /// Print JSON, with every field of every header.
    #[arg(long)]
    json: bool,
}

impl Inspect {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let document = self.file.open()?;
        let file = document.file();
        output::report(&InspectReport::new(&file, &document), self.json)?;
        Ok(ExitCode::SUCCESS)
    }
}
