//! `boot`: runs a machine on KVM.

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod files;
mod inside;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgGroup, Args, ValueEnum};
use igvm_analysis::document::Document;

use super::Failure;
use super::arguments::{MachineArguments, seconds};

/// Boot the machine on KVM (Linux on x86-64).
///
/// Exit codes: 0 the guest ended by itself or --until was seen, 2 bad usage or
/// file, 3 timeout, 4 the guest failed, 5 KVM is missing or may not be used, 6
/// the sandbox stopped this program, 128 and a signal's number.
#[derive(Args)]
#[command(group(ArgGroup::new("what").required(true).args(["file", "sample"])))]
#[command(after_help = "Examples:
  kvm-runner boot --sample hello-long64
  kvm-runner boot firmware.igvm --debugcon stdio --until 'SeaBIOS (version' --timeout 30
  kvm-runner boot firmware.igvm --gdb tcp:1234
  kvm-runner boot firmware.igvm --trace - --serial none --stop-after 1000")]
pub(crate) struct Boot {
    /// The IGVM file.
    file: Option<PathBuf>,
    /// A built-in sample instead of a file.
    #[arg(long, value_name = "NAME", value_parser = sample_names())]
    sample: Option<String>,
    /// Stop when the guest has written this text.
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    until: Option<String>,
    /// Stop after this many seconds.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<Duration>,
    /// What follows when the guest asks for a reset.
    #[arg(long, value_name = "THEN", default_value = "reset")]
    on_reset: Then,
    /// What follows a triple fault, by which real PCs are reset.
    #[arg(long, value_name = "THEN", default_value = "stop")]
    on_triple_fault: Then,
    /// Reset the machine each time this many seconds have passed.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    reset_every: Option<Duration>,
    /// Run the guest without confining this process: no system call is refused.
    #[arg(long)]
    no_sandbox: bool,
    /// Where the serial port's output goes: stdio, none or a file.
    #[arg(long, value_name = "stdio|none|PATH", default_value = "stdio")]
    serial: PathBuf,
    /// Where the debug port's output goes: stdio, none or a file.
    #[arg(long, value_name = "stdio|none|PATH", default_value = "none")]
    debugcon: PathBuf,
    /// A disk: a file or block device, read-only unless `,rw` follows.
    #[arg(long, value_name = "PATH[,rw]", value_parser = disk)]
    disk: Option<DiskArgument>,
    #[command(flatten)]
    inside: inside::Inside,
    #[command(flatten)]
    machine: MachineArguments,
}

/// The image of a disk, and whether the guest may write it.
#[derive(Clone)]
struct DiskArgument {
    path: PathBuf,
    writable: bool,
}

/// `PATH`, `PATH,rw` or `PATH,ro`, which is the same as `PATH` unless that ends
/// in one of the two itself.
fn disk(text: &str) -> Result<DiskArgument, String> {
    let (path, writable) = match text.rsplit_once(',') {
        Some((path, "rw")) => (path, true),
        Some((path, "ro")) => (path, false),
        _ => (text, false),
    };
    match path {
        "" => Err("give a file or a block device: disk.img or disk.img,rw".to_owned()),
        path => Ok(DiskArgument { path: path.into(), writable }),
    }
}

/// What follows something that could go on by a reset.
#[derive(Clone, Copy, ValueEnum)]
enum Then {
    /// The run ends.
    Stop,
    /// Registers and memory go back to what the file says, and it runs again.
    Reset,
}

fn sample_names() -> clap::builder::PossibleValuesParser {
    use clap::builder::PossibleValue;
    let name = |sample: &igvm_samples::Sample| PossibleValue::new(sample.name).help(sample.title);
    igvm_samples::all().iter().map(name).collect::<Vec<_>>().into()
}

impl Boot {
    fn document(&self) -> Result<Document, Failure> {
        if let Some(file) = &self.file {
            return Document::open(file).map_err(|error| Failure::usage(error.to_string()));
        }
        let sample = self.sample.as_deref().and_then(igvm_samples::by_name);
        let sample = sample.ok_or_else(|| Failure::usage("give a file or --sample"))?;
        Document::from_bytes((sample.build)()).map_err(|error| Failure::usage(error.to_string()))
    }
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
impl Boot {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        self.document()?;
        Err(Failure::with_code(
            5,
            "KVM exists on Linux only, and this runner uses it on x86-64 only; \
             the other commands work here",
        ))
    }
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod on_kvm {
    use std::fs::File;
    use std::path::Path;
    use std::sync::Arc;

    use igvm_analysis::loaded::Problems;
    use igvm_analysis::report::FindingsReport;
    use igvm_core::defs::IgvmPlatformType;
    use igvm_core::file::HeaderRef;
    use igvm_core::load;
    use igvm_core::platform::platform_name;
    use igvm_core::wire::kind_name;
    use igvm_devices::Disk;
    use kvm_runner::console::{Console, Destination};
    use kvm_runner::describe::description;
    use kvm_runner::disk::DiskFile;
    use kvm_runner::guest::BootError;
    use kvm_runner::image::LoadedImage;
    use kvm_runner::kvm::{Host, Machine, Stop};
    use kvm_runner::sandbox::{self, Names};
    use kvm_runner::session::{OnFailure, Session, Settings};
    use kvm_runner::terminal::{HELP, Over, RawTerminal, Typist, listen};

    use super::files::Files;
    use super::{Boot, DiskArgument, Document, ExitCode, Failure, Then};

    /// What `--no-sandbox` gives up.
    const UNCONFINED: &str = "without the sandbox, a guest that finds a mistake in a device can \
                              read and write all that you can, start programs and use the network";

    /// What the sandbox cannot keep where the kernel has no Landlock.
    const NAMES_ANYWHERE: &str = "this kernel has no Landlock: because files get their names when \
                                  the run is over, a guest that finds a mistake in a device can \
                                  remove and rename all files that you can";

    /// Memory outside RAM that is created for a file, at most. Firmware has up
    /// to 16 MiB; a single REQUIRED_MEMORY can ask for a little less than this.
    const CREATED_MAX: u64 = 4 << 30;

    impl From<BootError> for Failure {
        fn from(error: BootError) -> Self {
            Self::with_code(error.exit_code(), error.to_string())
        }
    }

    impl Boot {
        pub(crate) fn run(self) -> Result<ExitCode, Failure> {
            let document = self.document()?;
            let stop = self.machine.load(&document, |machine, host, problems| {
                if machine.platform() != IgvmPlatformType::NATIVE {
                    let name = platform_name(machine.platform()).unwrap_or("this one");
                    return Err(Failure::usage(format!(
                        "only the native platform can be booted; `state --platform {name}` shows \
                         the machine that {name} starts from"
                    )));
                }
                if machine.fatal_problems() > 0 {
                    return Err(not_startable(&document, &problems));
                }
                created_within_reason(&machine, host)?;
                warn_of_errors(&document, host);
                let image = LoadedImage::new(&machine, &document, host);
                self.start(&image, host).map_err(Failure::from)
            })?;
            Ok(ExitCode::from(stop.exit_code()))
        }

        fn settings(&self) -> Settings {
            let then = |then| match then {
                Then::Stop => OnFailure::Stop,
                Then::Reset => OnFailure::Reset,
            };
            Settings {
                limit: self.timeout,
                on_reset: then(self.on_reset),
                on_triple_fault: then(self.on_triple_fault),
                reset_every: self.reset_every,
                pace: self.inside.pace(),
            }
        }

        /// Everything that is opened by a name.
        fn files(&self) -> Files<'_> {
            let mut files = Files::default();
            if let Some(file) = &self.file {
                files.input("the IGVM file", file, false);
            }
            if let Some(disk) = &self.disk {
                files.input("the disk", &disk.path, disk.writable);
            }
            for (what, path) in [("--serial", &self.serial), ("--debugcon", &self.debugcon)] {
                match path.to_str() {
                    Some("none") => {}
                    Some("stdio") => files.standard_output(what, path),
                    _ => files.output(what, path),
                }
            }
            self.inside.name(&mut files);
            files
        }

        fn start(&self, image: &LoadedImage<'_>, host: &load::Host<'_>) -> Result<Stop, BootError> {
            self.inside.check()?;
            self.files().check()?;
            let disk = match &self.disk {
                Some(disk) => Some(open_disk(disk)?),
                None => None,
            };
            let mut machine = Machine::new(Host::open()?, image, host.processors)?;
            // Only now: a machine that cannot be leaves no empty files behind.
            // And both are opened before what they hold is lost.
            let (serial, debug) = (open(&self.serial)?, open(&self.debugcon)?);
            let console = Console::new(
                destination(&self.serial, serial)?,
                destination(&self.debugcon, debug)?,
                self.until.as_deref(),
            );
            let mut inside = self.inside.prepare(&mut machine, &console)?;
            let description = description(host);
            let mut session =
                Session::new(machine, image, &description, console, disk, self.settings())?;
            let (terminal, over) = self.attend(&session, &inside.folders())?;
            let report = inside.run(&mut session);
            over.say();
            drop(terminal);
            let report = report?;
            inside.report(&session.machine, &report)?;
            Ok(report.stop)
        }

        /// Lets people in: by signals and, where the serial port is at standard
        /// input and output, by keys.
        fn attend(
            &self,
            session: &Session<'_>,
            folders: &[&Path],
        ) -> Result<(Option<RawTerminal>, Over), BootError> {
            let control = &session.around.control;
            let types = self.serial.to_str() == Some("stdio");
            // The terminal first: that takes a process with a single thread.
            let terminal = match types {
                true => RawTerminal::take().map_err(BootError::system("take the terminal"))?,
                false => None,
            };
            if terminal.is_some() {
                eprintln!("kvm-runner: {HELP}");
            }
            match self.no_sandbox {
                true => eprintln!("kvm-runner: warning: {UNCONFINED}"),
                false => {
                    let names = sandbox::confine(folders).map_err(BootError::Sandbox)?;
                    if names == Names::Anywhere {
                        eprintln!("kvm-runner: warning: {NAMES_ANYWHERE}");
                    }
                }
            }
            let over = listen(control.clone(), terminal.as_ref().map(RawTerminal::before))
                .map_err(BootError::system("listen to signals"))?;
            if types {
                let devices = Arc::clone(&session.around.devices);
                Typist::start(devices, control.clone())
                    .map_err(BootError::system("read what is typed"))?;
            }
            Ok((terminal, over))
        }
    }

    /// The file may ask for memory where the host has no RAM, and it would be
    /// given: to a few numbers in a header and one page of data, written again
    /// and again, all the memory of this computer.
    fn created_within_reason(
        machine: &load::Machine<'_>,
        host: &load::Host<'_>,
    ) -> Result<(), Failure> {
        let mut memory: u64 = 0;
        machine.memory_ranges(host, &mut |range| memory = memory.saturating_add(range.len));
        let ram: u64 = host.ram.iter().map(|ram| ram.len).sum();
        let created = memory.saturating_sub(ram);
        match created > CREATED_MAX {
            false => Ok(()),
            true => Err(Failure::usage(format!(
                "the file wants {created:#x} bytes of memory where the machine has no RAM, more \
                 than the {CREATED_MAX:#x} that are created for a file; `state` lists them, and \
                 with more --memory some of them may be RAM"
            ))),
        }
    }

    /// A file can break a rule and still be loaded: a wrong checksum, sections
    /// out of order. Other loaders would refuse it, so whoever boots it here
    /// should know.
    fn warn_of_errors(document: &Document, host: &load::Host<'_>) {
        let Ok(report) = FindingsReport::new(&document.file(), document, host) else { return };
        let first = report.findings.iter().find(|finding| finding.severity == "error");
        let Some(first) = first else { return };
        let more = match report.errors - 1 {
            0 => String::new(),
            more => format!(" (and {more} more; `check` lists them)"),
        };
        eprintln!("kvm-runner: warning: other loaders may refuse this file: {}{more}", first.line);
    }

    /// Says what forbids the start, the first problem in full.
    fn not_startable(document: &Document, problems: &Problems) -> Failure {
        let mut fatal = problems.kept.iter().filter(|problem| problem.kind.is_fatal());
        let Some(first) = fatal.next() else {
            return Failure::usage("the file cannot be started; `check` says why");
        };
        let place = match first.kind.is_of_header() {
            true => {
                let header = document.file().header(first.header);
                let name = header.and_then(|header| kind_name(header.typ())).unwrap_or("header");
                let HeaderRef { index, offset } = first.header;
                format!("{name} {index} at file offset {offset:#x}: ")
            }
            false => String::new(),
        };
        let more = match fatal.count() {
            0 => String::new(),
            more => format!(" (and {more} more; `check` lists them)"),
        };
        Failure::usage(format!("{place}{}{more}", first.kind))
    }

    fn open_disk(argument: &DiskArgument) -> Result<Box<dyn Disk>, BootError> {
        let disk = DiskFile::open(&argument.path, argument.writable);
        disk.map(|disk| Box::new(disk) as _).map_err(|error| BootError::Image(error.to_string()))
    }

    /// The file that a path names, as it is; `None` for `stdio` and `none`.
    fn open(path: &Path) -> Result<Option<File>, BootError> {
        match path.to_str() {
            Some("stdio" | "none") => Ok(None),
            _ => {
                let mut options = File::options();
                let file = options.write(true).create(true).truncate(false).open(path);
                file.map(Some).map_err(|error| unwritable(path, &error))
            }
        }
    }

    fn destination(path: &Path, file: Option<File>) -> Result<Destination, BootError> {
        match file {
            None if path.to_str() == Some("stdio") => Ok(Destination::Stdio),
            None => Ok(Destination::Nowhere),
            Some(file) => {
                // A pipe or a terminal has no length.
                let regular = file.metadata().is_ok_and(|metadata| metadata.is_file());
                if regular {
                    file.set_len(0).map_err(|error| unwritable(path, &error))?;
                }
                Ok(Destination::Writer(Box::new(file)))
            }
        }
    }

    fn unwritable(path: &Path, error: &std::io::Error) -> BootError {
        BootError::Image(format!("{} cannot be written: {error}", path.display()))
    }
}
