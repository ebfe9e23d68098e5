//! Running other programs, with all they print in the log of the step.

use std::env;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::step::Stop;

/// Where a step works and where what it runs is written down.
pub(crate) struct Workplace {
    /// The root of the workspace.
    pub(crate) root: PathBuf,
    /// The workspace's target folder.
    pub(crate) target: PathBuf,
    log: PathBuf,
}

impl Workplace {
    /// The workspace this program was built from.
    pub(crate) fn new() -> io::Result<Self> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = manifest.parent().unwrap_or(manifest).to_path_buf();
        let target = match env::var_os("CARGO_TARGET_DIR") {
            Some(folder) => env::current_dir()?.join(folder),
            None => root.join("target"),
        };
        let mut place = Self { root, target, log: PathBuf::new() };
        place.log = place.scratch().join("log");
        fs::create_dir_all(&place.log)?;
        Ok(place)
    }

    /// A folder for files of this program.
    pub(crate) fn scratch(&self) -> PathBuf {
        self.target.join("xtask")
    }

    /// Starts an empty log for the step of this name.
    pub(crate) fn open_log(&mut self, step: &str) -> io::Result<()> {
        self.log = self.scratch().join("log").join(step).with_extension("log");
        File::create(&self.log).map(drop)
    }

    /// The log of the running step.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// What that log holds so far.
    pub(crate) fn log_text(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Runs a command in the root of the workspace, unless it names another
    /// folder. Its output goes to the log; it has no input.
    pub(crate) fn run(&self, command: &mut Command) -> Result<(), Stop> {
        let started = self.start_logged(command).and_then(|log| {
            command.stdout(log.try_clone()?).stderr(log).stdin(Stdio::null()).status()
        });
        match started {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(Stop::Failed(format!("`{}` failed: {status}", shown(command)))),
            Err(error) => Err(Stop::Failed(cannot_run(command, &error))),
        }
    }

    /// As [`Workplace::run`], but standard output and the exit code come back,
    /// whatever the code is.
    pub(crate) fn capture(&self, command: &mut Command) -> Result<(String, Option<i32>), Stop> {
        let result = self.start_logged(command).and_then(|mut log| {
            let output = command.stderr(log.try_clone()?).stdin(Stdio::null()).output()?;
            log.write_all(&output.stdout)?;
            Ok(output)
        });
        match result {
            Ok(output) => {
                Ok((String::from_utf8_lossy(&output.stdout).into_owned(), output.status.code()))
            }
            Err(error) => Err(Stop::Failed(cannot_run(command, &error))),
        }
    }

    fn start_logged(&self, command: &mut Command) -> io::Result<File> {
        if command.get_current_dir().is_none() {
            command.current_dir(&self.root);
        }
        let mut log = File::options().append(true).create(true).open(&self.log)?;
        writeln!(log, "$ {}", shown(command))?;
        Ok(log)
    }
}

/// The cargo that started this program, or the one on the path.
pub(crate) fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// A program of another Rust toolchain than the one that started this program,
/// rid of what cargo and rustup hand down to what they start.
pub(crate) fn other_toolchain(program: &str) -> Command {
    let mut command = Command::new(program);
    for name in [
        "CARGO",
        "RUSTC",
        "RUSTDOC",
        "RUSTFLAGS",
        "CARGO_ENCODED_RUSTFLAGS",
        "RUSTUP_TOOLCHAIN",
        // Holds the libraries of the first toolchain's compiler.
        "LD_LIBRARY_PATH",
    ] {
        command.env_remove(name);
    }
    command
}

/// Whether a command runs and succeeds; nobody sees what it prints.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// What a command that succeeds prints, without the white space around it.
pub(crate) fn text_of(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

fn cannot_run(command: &Command, error: &io::Error) -> String {
    format!("`{}` cannot be run: {error}", shown(command))
}

/// A command as one would type it: the program without its folder.
fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let mut text = program.file_name().unwrap_or(program.as_os_str()).display().to_string();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}
