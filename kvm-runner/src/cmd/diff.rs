//! `diff`: what differs between two files and their machines.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use igvm_analysis::diff::{DiffReport, FileSide, MachineSide};
use igvm_analysis::document::Document;

use super::arguments::{MachineArguments, open};
use super::{Failure, output};

/// Say what differs between two files: headers by meaning, registers, memory.
///
/// Neither the order of headers nor where their data stand in the file counts.
/// Exit codes: 0 nothing differs, 1 something does, 2 bad usage or file.
#[derive(Args)]
pub(crate) struct Diff {
    /// The file as it was.
    before: PathBuf,
    /// The file as it is.
    after: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    machine: MachineArguments,
}

impl Diff {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let (before, after) = (open(&self.before)?, open(&self.after)?);
        let report = self.machine.load(&before, |first, first_host, _| {
            self.machine.load(&after, |second, second_host, _| {
                let machines = [
                    MachineSide { machine: &first, host: *first_host, data: &before },
                    MachineSide { machine: &second, host: *second_host, data: &after },
                ];
                Ok(DiffReport::new([side(&before), side(&after)], Some(machines)))
            })
        })?;
        output::report(&report, self.json)?;
        Ok(ExitCode::from(u8::from(!report.is_same())))
    }
}

fn side(document: &Document) -> FileSide<'_, Document> {
    FileSide { file: document.file(), data: document, mask: None }
}
