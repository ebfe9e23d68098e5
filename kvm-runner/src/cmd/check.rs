//! `check`: the rule book.

use std::process::ExitCode;

use clap::Args;
use igvm_analysis::report::{FindingsReport, RulesReport};

use super::arguments::{FileArgument, HostArguments};
use super::{Failure, output};

/// Check a file against the specification, and say what loaders make of it.
///
/// All platforms of the file are checked. Exit codes: 0 no finding of severity
/// error, 1 some, 2 the file cannot be read at all.
#[derive(Args)]
pub(crate) struct Check {
    #[command(flatten)]
    file: Option<FileArgument>,
    /// Print the rule book instead, every rule with its source.
    #[arg(long, required_unless_present = "file", conflicts_with = "file")]
    rules: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    host: HostArguments,
}

impl Check {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let Some(file) = self.file else {
            output::report(&RulesReport::new(), self.json)?;
            return Ok(ExitCode::SUCCESS);
        };
        let document = file.open()?;
        let tables = self.host.tables()?;
        let report = FindingsReport::new(&document.file(), &document, &tables.host())
            .map_err(|error| Failure::usage(error.to_string()))?;
        output::report(&report, self.json)?;
        Ok(ExitCode::from(u8::from(report.errors > 0)))
    }
}
