//! `cargo xtask test`: everything that CI runs.

use std::fs;
use std::path::Path;
use std::process::{self, ExitCode};

use clap::Args;

use crate::command::{Workplace, cargo, succeeds};
use crate::step::{Step, StepResult, Stop, run_all, summary};
use crate::{browser, fuzz, no_std, readme, setup};

/// Exit code of a command line that cannot be understood.
const USAGE: u8 = 2;

const EXAMPLES: &str = "\
Examples:
  cargo xtask test                          everything
  cargo xtask test --list                   what that is
  cargo xtask test --only fmt --only clippy two steps of it
  REQUIRE_KVM=1 cargo xtask test            no KVM is a failure, not a skip

Exits 1 if a step failed. A step that was skipped says why.";

/// What to run.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Options {
    /// Runs this step only; may be given several times
    #[arg(long, value_name = "STEP")]
    only: Vec<String>,
    /// Names the steps and runs none
    #[arg(long)]
    list: bool,
    /// Gives each fuzz target five minutes
    #[arg(long)]
    long: bool,
}

/// Seconds that each fuzz target runs.
const FUZZ_SECONDS: u32 = 20;
const FUZZ_SECONDS_LONG: u32 = 300;

/// Runs the steps that were asked for.
pub(crate) fn run(options: &Options) -> ExitCode {
    let mut place = match Workplace::new() {
        Ok(place) => place,
        Err(error) => {
            eprintln!("error: the target folder cannot be used: {error}");
            return ExitCode::FAILURE;
        }
    };
    let skips = place.scratch().join(format!("skips-{}", process::id()));
    let steps = match chosen(steps(options.long, &skips), &options.only) {
        Ok(steps) => steps,
        Err(sentence) => {
            eprintln!("error: {sentence}");
            return ExitCode::from(USAGE);
        }
    };
    if options.list {
        for step in &steps {
            println!("{:8} {}", step.name, step.what);
        }
        return ExitCode::SUCCESS;
    }
    let reports = run_all(&steps, &mut place);
    let skipped_tests = skipped_tests(&fs::read_to_string(&skips).unwrap_or_default());
    // Not there if no test was skipped.
    let _ = fs::remove_file(&skips);
    println!("{}", summary(&reports, &skipped_tests));
    if reports.iter().any(|report| report.failed()) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// The steps in the order they run: first what the others need, then the quick
/// ones.
fn steps(long: bool, skips: &Path) -> Vec<Step> {
    let skips = skips.to_path_buf();
    let seconds = if long { FUZZ_SECONDS_LONG } else { FUZZ_SECONDS };
    vec![
        step("setup", "packages that tests look for", setup::run),
        step("fmt", "every crate is formatted", fmt),
        step("clippy", "no lint has anything to say", clippy),
        step("doc", "the documentation builds, links and all", doc),
        step("no-std", "core links without std and allocator, devices for wasm32", no_std::run),
        step("tests", "the tests of every crate", move |place| tests(place, &skips)),
        step("bindings", "engine and browser meet as they should", browser::bindings),
        step("page", "the built page in Chromium", browser::page),
        step("fuzz", "each fuzz target for a while", move |place| fuzz::run(place, seconds)),
        step("readme", "the README's commands do what it says", readme::run),
    ]
}

fn step(
    name: &'static str,
    what: &'static str,
    run: impl Fn(&Workplace) -> StepResult + 'static,
) -> Step {
    Step { name, what, run: Box::new(run) }
}

/// The steps named, in their own order; all where none is named.
fn chosen(steps: Vec<Step>, only: &[String]) -> Result<Vec<Step>, String> {
    if let Some(unknown) = only.iter().find(|name| steps.iter().all(|step| step.name != **name)) {
        let names: Vec<&str> = steps.iter().map(|step| step.name).collect();
        return Err(format!("there is no step `{unknown}`; the steps are {}", names.join(", ")));
    }
    let wanted = |step: &Step| only.is_empty() || only.iter().any(|name| name == step.name);
    Ok(steps.into_iter().filter(wanted).collect())
}

/// The workspaces beside the root's own.
const OTHER_WORKSPACES: [&str; 3] =
    ["tests/no-std/Cargo.toml", "fuzz/Cargo.toml", "web/site/Cargo.toml"];

fn fmt(place: &Workplace) -> StepResult {
    need_component("fmt", "rustfmt")?;
    place.run(cargo().args(["fmt", "--all", "--check"]))?;
    for manifest in OTHER_WORKSPACES.map(|path| place.root.join(path)) {
        if manifest.exists() {
            place.run(cargo().args(["fmt", "--check", "--manifest-path"]).arg(manifest))?;
        }
    }
    Ok(String::new())
}

fn clippy(place: &Workplace) -> StepResult {
    need_component("clippy", "clippy")?;
    place.run(cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    // The page's own helper is built into the folder where the page is built.
    let manifest = place.root.join("web/site/Cargo.toml");
    let target = place.target.join("web-site");
    let mut helper = cargo();
    helper.args(["clippy", "--all-targets", "--locked", "--manifest-path"]).arg(manifest);
    helper.arg("--target-dir").arg(target).args(["--", "-D", "warnings"]);
    place.run(&mut helper)?;
    Ok(String::new())
}

fn doc(place: &Workplace) -> StepResult {
    place.run(cargo().env("RUSTDOCFLAGS", "-D warnings").args([
        "doc",
        "--workspace",
        "--no-deps",
    ]))?;
    Ok(String::new())
}

/// Every test of the workspace. Tests that miss something on this machine add
/// a line to the file that `IGVM_TEST_SKIPS` names.
fn tests(place: &Workplace, skips: &Path) -> StepResult {
    let mut command = cargo();
    command.env("IGVM_TEST_SKIPS", skips);
    if setup::is_complete(place) {
        // With everything there, a test that misses a package is wrong.
        command.env("REQUIRE_PACKAGES", "1");
    }
    let ended = place.run(command.args(["test", "--workspace", "--no-fail-fast"])).and_then(|()| {
        let manifest = place.root.join("web/site/Cargo.toml");
        let mut helper = cargo();
        helper.args(["test", "--locked", "--manifest-path"]).arg(manifest);
        place.run(helper.arg("--target-dir").arg(place.target.join("web-site")))
    });
    let counts = test_counts(&place.log_text());
    match ended {
        Ok(()) => Ok(counts),
        Err(Stop::Failed(reason)) => Err(Stop::Failed(format!("{reason}; {counts}"))),
        Err(skipped) => Err(skipped),
    }
}

/// Adds up what the test programs of `cargo test` say at their end.
fn test_counts(output: &str) -> String {
    let count = |what: &str| -> u64 {
        output
            .lines()
            .filter(|line| line.starts_with("test result: "))
            .flat_map(|line| line.split(['.', ';']))
            .filter_map(|part| part.trim().strip_suffix(what)?.trim().parse::<u64>().ok())
            .sum()
    };
    format!(
        "{} tests passed, {} failed, {} ignored",
        count("passed"),
        count("failed"),
        count("ignored")
    )
}

/// The tests that were skipped, of lines `SKIPPED test: reason`.
fn skipped_tests(file: &str) -> Vec<String> {
    let mut tests: Vec<String> = file
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| line.strip_prefix("SKIPPED ").unwrap_or(line).to_owned())
        .collect();
    tests.sort();
    tests
}

/// Skips a step whose tool rustup has not installed.
fn need_component(subcommand: &str, component: &str) -> Result<(), Stop> {
    if succeeds(cargo().args([subcommand, "--version"])) {
        return Ok(());
    }
    Err(Stop::Skipped(format!(
        "this toolchain has no {component}; run: rustup component add {component}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(steps: &[Step]) -> Vec<&str> {
        steps.iter().map(|step| step.name).collect()
    }

    fn all() -> Vec<Step> {
        steps(false, Path::new("skips"))
    }

    #[test]
    fn named_steps_keep_their_order() {
        let only = ["clippy".to_owned(), "fmt".to_owned()];
        assert_eq!(names(&chosen(all(), &only).unwrap_or_default()), ["fmt", "clippy"]);
        assert_eq!(chosen(all(), &[]).unwrap_or_default().len(), all().len());
    }

    #[test]
    fn an_unknown_step_is_named() {
        let error = chosen(all(), &["fnt".to_owned()]).map(|steps| steps.len()).unwrap_err();
        assert!(error.starts_with("there is no step `fnt`; the steps are setup, fmt,"), "{error}");
    }

    #[test]
    fn counts_of_all_test_programs_are_added_up() {
        let output = "\
test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s
test passed ... ok
test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s
";
        assert_eq!(test_counts(output), "15 tests passed, 2 failed, 1 ignored");
    }

    #[test]
    fn skipped_tests_are_sorted_and_without_the_mark() {
        let file = "SKIPPED ovmf_boots: no OVMF\n\nSKIPPED hello: no /dev/kvm\n";
        assert_eq!(skipped_tests(file), ["hello: no /dev/kvm", "ovmf_boots: no OVMF"]);
    }
}
