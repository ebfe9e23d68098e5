//! What the commands say of every sample, word for word, beside the samples in
//! `tests/samples`. `BLESS=1 cargo test -p kvm-runner --test goldens` writes
//! the texts anew; then look at the difference in git.

mod common;

use std::fmt::Write;
use std::path::{Path, PathBuf};

use common::binary::kvm_runner;
use igvm_samples::broken;

/// Samples whose reports are kept as JSON, too.
const WITH_JSON: [&str; 2] = ["hello-long64", "parameters"];

fn samples_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/samples")
}

/// What a command prints, run where the file is.
fn output(folder: &Path, arguments: &[&str]) -> (String, i32) {
    let output = kvm_runner().current_dir(folder).args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (String::from_utf8(text).unwrap(), output.status.code().unwrap())
}

/// Commands and what they print, like a terminal.
fn session(folder: &Path, name: &str, commands: &[&str]) -> String {
    let mut text = String::new();
    for command in commands {
        let file = format!("{name}.igvm");
        let (output, code) = output(folder, &[command, &file]);
        let gap = if text.is_empty() { "" } else { "\n" };
        write!(text, "{gap}$ kvm-runner {command} {file}\n{output}").unwrap();
        if code != 0 {
            writeln!(text, "[exit code {code}]").unwrap();
        }
    }
    text
}

/// All reports in one JSON document.
fn json(folder: &Path, name: &str) -> String {
    let report = |command| {
        let (report, _) = output(folder, &[command, &format!("{name}.igvm"), "--json"]);
        format!("\"{command}\": {}", report.trim_end())
    };
    let text = format!("{{\n{}\n}}\n", ["inspect", "check", "state"].map(report).join(",\n"));
    serde_json::from_str::<serde_json::Value>(&text).expect("the reports are JSON");
    text
}

/// Golden texts of one folder.
struct Goldens {
    folder: PathBuf,
    files: Vec<String>,
    complaints: String,
}

impl Goldens {
    fn new(folder: PathBuf) -> Self {
        Self { folder, files: Vec::new(), complaints: String::new() }
    }

    fn compare(&mut self, file: String, text: &str) {
        let path = self.folder.join(&file);
        if std::env::var_os("BLESS").is_some_and(|value| value == "1") {
            std::fs::write(&path, text).unwrap();
        }
        match std::fs::read_to_string(&path) {
            Ok(golden) if golden == text => {}
            Ok(golden) => self.complaints += &format!("{file}:\n{}", difference(&golden, text)),
            Err(error) => self.complaints += &format!("{file}: {error}\n"),
        }
        self.files.push(file);
    }

    /// Fails if any text differs, or belongs to no sample.
    fn finish(mut self) {
        for entry in std::fs::read_dir(&self.folder).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let golden = name.ends_with(".txt") || name.ends_with(".json");
            if golden && !self.files.contains(&name) {
                self.complaints += &format!("{name}: there is no such sample; delete it\n");
            }
        }
        assert!(
            self.complaints.is_empty(),
            "\n{}\nIf this is what it should say: BLESS=1 cargo test -p kvm-runner --test goldens\n",
            self.complaints
        );
    }
}

/// The lines between the first and the last that differ.
fn difference(golden: &str, text: &str) -> String {
    const MOST: usize = 20;
    let (old, new): (Vec<_>, Vec<_>) = (golden.lines().collect(), text.lines().collect());
    let common = |pairs: &mut dyn Iterator<Item = (&&str, &&str)>| {
        pairs.take_while(|(old, new)| old == new).count()
    };
    let first = common(&mut old.iter().zip(&new));
    let last = common(&mut old[first..].iter().rev().zip(new[first..].iter().rev()));
    let mut shown = format!("  line {}\n", first + 1);
    for (mark, lines) in
        [('-', &old[first..old.len() - last]), ('+', &new[first..new.len() - last])]
    {
        for line in lines.iter().take(MOST) {
            writeln!(shown, "  {mark} {line}").unwrap();
        }
        if lines.len() > MOST {
            writeln!(shown, "  {mark} and {} more lines", lines.len() - MOST).unwrap();
        }
    }
    shown
}

#[test]
fn samples() {
    let folder = samples_folder();
    let mut goldens = Goldens::new(folder.clone());
    for sample in igvm_samples::all().iter().filter(|sample| sample.committed) {
        let name = sample.name;
        let text = session(&folder, name, &["inspect", "check", "state"]);
        goldens.compare(format!("{name}.txt"), &text);
        if WITH_JSON.contains(&name) {
            goldens.compare(format!("{name}.json"), &json(&folder, name));
        }
    }
    goldens.finish();
}

#[test]
fn broken_samples() {
    let folder = samples_folder().join("broken");
    let mut goldens = Goldens::new(folder.clone());
    for sample in broken::all() {
        let name = sample.name();
        goldens.compare(format!("{name}.txt"), &session(&folder, &name, &["check"]));
    }
    goldens.finish();
}
