//! `walk`: a linear address through the page tables.

use std::process::ExitCode;

use clap::Args;
use igvm_analysis::number::number;
use igvm_analysis::report::WalkReport;

use super::arguments::{FileArgument, MachineArguments};
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
        let walk = self.machine.load(&document, |machine, host, _| {
            let boot = machine.boot_processor();
            let boot = boot.ok_or_else(|| Failure::usage("the machine has no processor"))?;
            let memory = machine.memory(&document, host);
            output::note_problems(&machine);
            Ok(WalkReport::new(&boot.registers, &memory, self.linear))
        })?;
        output::report(&walk, self.json)?;
        Ok(ExitCode::from(u8::from(walk.physical.is_none())))
    }
}
