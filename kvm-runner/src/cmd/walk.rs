//! `walk`: a linear address through the page tables.

use std::process::ExitCode;

use clap::Args;
use igvm_analysis::loaded::LoadStorage;
use igvm_analysis::report::WalkReport;

use super::arguments::{FileArgument, MachineArguments, number};
use super::{Failure, output};

/// Translate a linear address as the boot processor would.
///
/// Exit codes: 0 it leads to a physical address, 1 it leads nowhere, 2 bad
/// usage or file.
#[derive(Args)]
pub(crate) struct Walk {
    #[command(flatten)]
    file: FileArgument,
    /// The linear address.
    #[arg(value_parser = number)]
    linear: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    machine: MachineArguments,
}

impl Walk {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let document = self.file.open()?;
        let file = document.file();
        let tables = self.machine.tables()?;
        let host = tables.host();
        let platform = self.machine.platform(&file)?;
        let walk = LoadStorage::new().load(&file, &document, platform, &host, |machine, _| {
            let registers = &machine.boot_processor()?.registers;
            output::note_problems(&machine);
            Some(WalkReport::new(registers, &machine.memory(&document, &host), self.linear))
        });
        let walk = walk.map_err(|error| Failure::usage(error.to_string()))?;
        let walk = walk.ok_or_else(|| Failure::usage("the machine has no processor"))?;
        output::report(&walk, self.json)?;
        Ok(ExitCode::from(u8::from(walk.physical.is_none())))
    }
}
