//! `cargo xtask samples`: the samples, their golden texts and their markup.
//!
//! The tests that compare them write them instead when they are told to bless,
//! so that there is one way from the sources to the files.

use std::process::ExitCode;

use crate::command::cargo;

/// Package and test that keep the samples, then those that keep what is said
/// of them.
const KEEPERS: [(&str, &str); 3] =
    [("igvm-samples", "committed"), ("kvm-runner", "goldens"), ("igvm-web", "markup")];

/// Writes all anew; `git diff` shows what changed.
pub(crate) fn run() -> ExitCode {
    for (package, test) in KEEPERS {
        let status = cargo()
            .args(["test", "--quiet", "--package", package, "--test", test])
            .env("BLESS", "1")
            .status();
        if !status.is_ok_and(|status| status.success()) {
            eprintln!("error: the test {test} of {package} could not write its files");
            return ExitCode::FAILURE;
        }
    }
    println!("tests/samples and tests/markup are written anew; look at `git diff --stat tests`");
    ExitCode::SUCCESS
}
