//! The `kvm-runner` binary, from the outside.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The binary, with nothing to read.
pub fn kvm_runner() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kvm-runner"));
    command.stdin(Stdio::null());
    command
}

/// Runs it to its end.
pub fn run(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Finished {
    Finished::from(kvm_runner().args(arguments).output().unwrap())
}

/// What came of it.
#[derive(Debug)]
pub struct Finished {
    pub code: Option<i32>,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl From<Output> for Finished {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: output.stdout,
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Finished {
    /// Standard output, of a run that must have ended with this exit code.
    #[track_caller]
    pub fn stdout_of(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{}", self.stderr);
        String::from_utf8(self.stdout).unwrap()
    }

    /// The sentence of a run that did nothing but refuse.
    #[track_caller]
    pub fn refusal(self) -> String {
        assert_eq!(self.code, Some(2), "{}", self.stderr);
        assert!(self.stdout.is_empty(), "{:?}", String::from_utf8_lossy(&self.stdout));
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        let sentence = self.stderr.strip_suffix('\n').unwrap_or_default();
        assert!(!sentence.is_empty(), "refused without a word");
        sentence.to_owned()
    }
}

/// An empty folder of its own for each test.
pub fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    // Left by the run before.
    let _none = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Writes a file into a folder.
pub fn write(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// The bytes of a built-in sample.
pub fn sample(name: &str) -> Vec<u8> {
    (igvm_samples::by_name(name).unwrap().build)()
}

/// What is in a folder, by name.
pub fn listing(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Waits for a program to end, and ends it when the time is up.
#[track_caller]
pub fn finish_in_time(mut child: Child, patience: Duration) -> Finished {
    let until = Instant::now() + patience;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > until {
            child.kill().unwrap();
            let left = child.wait_with_output().unwrap();
            panic!(
                "not over in time\n{}\n{}",
                String::from_utf8_lossy(&left.stdout),
                String::from_utf8_lossy(&left.stderr)
            );
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Finished::from(child.wait_with_output().unwrap())
}
