//! Arguments of `boot` for seeing inside, and what they do.

use std::path::PathBuf;

use clap::Args;
use igvm_analysis::number::number;
use kvm_runner::gdb::Address;

/// How to see inside.
#[derive(Args)]
#[command(next_help_heading = "Seeing inside")]
pub(crate) struct Inside {
    /// Wait for a debugger before the first instruction: tcp:PORT (on the
    /// loopback address; 0 takes a free port) or unix:PATH.
    #[arg(long, value_name = "tcp:PORT|unix:PATH", value_parser = address)]
    #[arg(conflicts_with_all = ["trace", "break_at", "stop_after"])]
    pub(super) gdb: Option<Address>,
    /// Write a line for each instruction to a file, or to standard output.
    #[arg(long, value_name = "FILE|-")]
    trace: Option<PathBuf>,
    /// Write a line for each exit to the devices; the file may be the same.
    #[arg(long, value_name = "FILE|-")]
    trace_exits: Option<PathBuf>,
    /// Stop before the instruction at this linear address (up to four).
    #[arg(long = "break", id = "break_at", value_name = "LINEAR", value_parser = number)]
    break_at: Vec<u64>,
    /// Stop after this many instructions of all processors.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    stop_after: Option<u64>,
    /// Stop after this many exits to the devices.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    stop_after_exits: Option<u64>,
    /// Print every register at the stop.
    #[arg(long)]
    registers: bool,
    /// Write the report of the stop as JSON to a file, or to standard output.
    #[arg(long, value_name = "FILE|-")]
    json: Option<PathBuf>,
    /// Write memory and registers at the stop as an ELF core, which gdb opens.
    #[arg(long, value_name = "PATH")]
    dump: Option<PathBuf>,
}

fn address(text: &str) -> Result<Address, String> {
    text.parse()
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod on_kvm {
    use std::fs::File;
    use std::io::{self, BufWriter, Write};
    use std::path::{Path, PathBuf};
    use std::sync::{Arc, Mutex, PoisonError};

    use kvm_runner::console::{Console, standard_output};
    use kvm_runner::dump;
    use kvm_runner::gdb::{self, Server};
    use kvm_runner::guest::BootError;
    use kvm_runner::kvm::{
        Breakpoint, HARDWARE_BREAKPOINTS, Machine, Pace, Report, Request, Stop, Style, Trigger,
    };
    use kvm_runner::session::Session;
    use kvm_runner::trace::{Sink, Trace};
    use kvm_runner::whole::WholeFile;

    use super::super::files::Files;
    use super::Inside;

    /// Everything that the arguments want, opened before the first instruction.
    pub(crate) struct Prepared<'a> {
        arguments: &'a Inside,
        server: Option<Server>,
        json: Option<WholeFile>,
        dump: Option<WholeFile>,
        trace: Option<Arc<Mutex<Trace>>>,
    }

    impl Inside {
        /// What cannot be, before anything is asked of KVM.
        pub(crate) fn check(&self) -> Result<(), BootError> {
            if self.break_at.len() > HARDWARE_BREAKPOINTS {
                return Err(BootError::Image(format!(
                    "a processor has {HARDWARE_BREAKPOINTS} breakpoints, not {}",
                    self.break_at.len()
                )));
            }
            let no_file = |path: &&PathBuf| {
                is_stdout(path) || path.metadata().is_ok_and(|metadata| !metadata.is_file())
            };
            match self.dump.as_ref().filter(no_file) {
                Some(path) => Err(BootError::Image(format!(
                    "a dump has holes and is written out of order: it needs a regular file, which \
                     {} is not",
                    path.display()
                ))),
                None => Ok(()),
            }
        }

        /// Names the files that are written.
        pub(crate) fn name<'a>(&'a self, files: &mut Files<'a>) {
            let written = [
                ("--trace", &self.trace),
                ("--trace-exits", &self.trace_exits),
                ("--json", &self.json),
                ("--dump", &self.dump),
            ];
            for (what, path) in written {
                match path {
                    Some(path) if is_stdout(path) => files.standard_output(what, path),
                    Some(path) => files.output(what, path),
                    None => {}
                }
            }
        }

        /// How the processors have to run.
        pub(crate) fn pace(&self) -> Pace {
            match self.trace.is_some() || self.stop_after.is_some() {
                true => Pace::EveryInstruction,
                false => Pace::Free,
            }
        }

        /// Opens what is written to.
        pub(crate) fn prepare(
            &self,
            machine: &mut Machine,
            console: &Console,
        ) -> Result<Prepared<'_>, BootError> {
            let execute = |linear: &u64| Breakpoint { linear: *linear, trigger: Trigger::Execute };
            machine.debug.hardware.extend(self.break_at.iter().map(execute));
            Ok(Prepared {
                arguments: self,
                server: self.gdb.as_ref().map(Server::open).transpose()?,
                json: whole(self.json.as_deref())?,
                dump: whole(self.dump.as_deref())?,
                trace: self
                    .trace(machine.processors(), console)?
                    .map(|trace| Arc::new(Mutex::new(trace))),
            })
        }

        fn trace(&self, processors: u32, console: &Console) -> Result<Option<Trace>, BootError> {
            let mut trace = Trace::new(processors);
            trace.stop_after = self.stop_after;
            trace.stop_after_exits = self.stop_after_exits;
            let open = |path: &Path| -> Result<Sink, BootError> {
                let writer: Box<dyn Write + Send> = match is_stdout(path) {
                    true => standard_output(),
                    false => {
                        Box::new(File::create(path).map_err(|error| unwritable(path, &error))?)
                    }
                };
                Ok(Sink::new(console.interruptible(writer), is_stdout(path)))
            };
            let instructions = match &self.trace {
                Some(path) => Some(trace.add(open(path)?)),
                None => None,
            };
            instructions.into_iter().for_each(|sink| trace.trace_instructions(sink));
            match (&self.trace_exits, instructions) {
                (Some(path), Some(sink)) if self.trace.as_ref() == Some(path) => {
                    trace.trace_exits(sink);
                }
                (Some(path), _) => {
                    let sink = trace.add(open(path)?);
                    trace.trace_exits(sink);
                }
                (None, _) => {}
            }
            let watches = instructions.is_some()
                || self.trace_exits.is_some()
                || self.stop_after.is_some()
                || self.stop_after_exits.is_some();
            Ok(watches.then_some(trace))
        }
    }

    impl Prepared<'_> {
        /// Where files will be made or removed in the end.
        pub(crate) fn folders(&self) -> Vec<&Path> {
            let whole = self.json.iter().chain(&self.dump).filter_map(WholeFile::folder);
            whole.chain(self.server.as_ref().and_then(Server::folder)).collect()
        }

        /// Runs the session to its end, under a debugger if one is wanted.
        pub(crate) fn run(&mut self, session: &mut Session<'_>) -> Result<Report, BootError> {
            session.around.watch = self.trace.clone().map(|trace| trace as _);
            let mut report = match &self.server {
                Some(server) => gdb::run(session, server, tell),
                None => session.run(tell),
            }?;
            // From now on a signal ends the process, which leaves no socket.
            self.server = None;
            if let Some(trace) = &self.trace {
                let finished = trace.lock().unwrap_or_else(PoisonError::into_inner).finish();
                if let (Err(error), 0) = (finished, report.stop.exit_code()) {
                    report.stop = Stop::Trace { error };
                }
            }
            Ok(report)
        }

        /// Says and writes where the machine stands in the end.
        pub(crate) fn report(self, machine: &Machine, report: &Report) -> Result<(), BootError> {
            say(report, self.arguments.registers);
            if let (Some(whole), Some(path)) = (self.dump, &self.arguments.dump) {
                dump::write(machine, &whole.file)
                    .and_then(|()| whole.finish())
                    .map_err(|error| unwritable(path, &error))?;
            }
            let Some(path) = &self.arguments.json else { return Ok(()) };
            let written = match self.json {
                Some(whole) => write_json(report, &whole.file).and_then(|()| whole.finish()),
                None => write_json(report, io::stdout().lock()),
            };
            written.map_err(|error| unwritable(path, &error))
        }
    }

    /// Whether a path means standard output.
    fn is_stdout(path: &Path) -> bool {
        path.as_os_str() == "-"
    }

    fn whole(path: Option<&Path>) -> Result<Option<WholeFile>, BootError> {
        let Some(path) = path.filter(|path| !is_stdout(path)) else { return Ok(None) };
        WholeFile::create(path).map(Some).map_err(|error| unwritable(path, &error))
    }

    fn write_json(report: &Report, out: impl Write) -> io::Result<()> {
        let mut out = BufWriter::new(out);
        serde_json::to_writer_pretty(&mut out, report)?;
        writeln!(out)?;
        out.flush()
    }

    /// What somebody has asked for while the machine runs.
    fn tell(report: &Report) {
        eprintln!("kvm-runner: {}", report.full(Style::of_stderr(), false));
    }

    /// The end: two lines where nothing went wrong, else all there is.
    fn say(report: &Report, every_register: bool) {
        match report.stop {
            Stop::Ended(_)
            | Stop::Until(_)
            | Stop::Requested(Request::Quit)
            | Stop::Output { .. }
            | Stop::Trace { .. } => {
                eprintln!("kvm-runner: {report}");
                if every_register {
                    eprintln!("{}", report.registers().to_string().trim_end());
                }
            }
            _ => eprintln!("kvm-runner: {}", report.full(Style::of_stderr(), every_register)),
        }
    }

    fn unwritable(path: &Path, error: &io::Error) -> BootError {
        BootError::Image(format!("{} cannot be written: {error}", path.display()))
    }
}
