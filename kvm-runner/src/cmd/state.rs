//! `state`: the machine that loading makes.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use igvm_analysis::document::Document;
use igvm_analysis::number::{number, size};
use igvm_analysis::report::StateReport;
use igvm_core::load::{GuestMemory, Host, Machine};
use igvm_core::span::Span;

use super::arguments::{FileArgument, MachineArguments};
use super::{Failure, output};

/// Show the machine that loading makes: processors, memory, parameter areas.
#[derive(Args)]
pub(crate) struct State {
    #[command(flatten)]
    file: FileArgument,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Instead of the report, write raw guest memory: LEN bytes from GPA. RAM
    /// that the file does not write reads as zero.
    #[arg(long, value_name = "GPA:LEN", value_parser = range, conflicts_with = "json")]
    read: Option<Span>,
    /// Where --read writes to; standard output if it is a pipe or a file.
    #[arg(long, value_name = "PATH", requires = "read")]
    out: Option<PathBuf>,
    #[command(flatten)]
    machine: MachineArguments,
}

impl State {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let document = self.file.open()?;
        self.machine.load(&document, |machine, host, problems| match self.read {
            None => output::report(&StateReport::new(&machine, host, &problems), self.json),
            Some(span) => {
                in_one_piece(&machine, host, span)?;
                output::note_problems(&machine);
                self.read(span, machine.memory(&document, host))
            }
        })?;
        Ok(ExitCode::SUCCESS)
    }

    fn read(&self, span: Span, memory: GuestMemory<'_, Document>) -> Result<(), Failure> {
        let copy = |out: &mut dyn Write| copy_out(span, memory, out);
        match &self.out {
            Some(path) => output::file(path, copy),
            None => output::raw(copy),
        }
    }
}

/// Makes sure that the guest has memory all over the range.
fn in_one_piece(machine: &Machine<'_>, host: &Host<'_>, span: Span) -> Result<(), Failure> {
    let mut inside = span.is_empty();
    machine.memory_ranges(host, &mut |range| inside |= range.contains_span(span));
    match inside {
        true => Ok(()),
        false => Err(Failure::usage(format!(
            "the guest has no memory all over {span}; `state` lists what it has"
        ))),
    }
}

fn copy_out(
    span: Span,
    memory: GuestMemory<'_, Document>,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let mut buffer = [0; 1 << 16];
    let mut at = span.start;
    while at < span.end() {
        let len = (span.end() - at).min(buffer.len() as u64) as usize;
        let chunk = &mut buffer[..len];
        memory.read(at, chunk).map_err(|error| Failure::usage(error.to_string()))?;
        out.write_all(chunk).map_err(|error| Failure::output("guest memory", error))?;
        at += len as u64;
    }
    Ok(())
}

/// `GPA:LEN`.
fn range(text: &str) -> Result<Span, String> {
    let (gpa, len) = text.split_once(':').ok_or("give an address and a length: 0x1000:4K")?;
    let span = Span::new(number(gpa)?, size(len)?);
    match span.checked_end() {
        Some(_) => Ok(span),
        None => Err("the range ends beyond the last address".to_owned()),
    }
}
