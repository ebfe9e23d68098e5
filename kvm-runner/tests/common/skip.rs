//! Tests that cannot run on this machine say so.

use std::fmt::Display;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

/// What `REQUIRE_KVM` and `REQUIRE_PACKAGES` are set to where a skip is a
/// failure.
fn is_set(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value| value == "1")
}

/// Reports that this test does not run: on standard error past the capture of
/// the test harness, and in the file that `IGVM_TEST_SKIPS` names, which
/// `cargo xtask test` reads.
pub fn skip(reason: impl Display) {
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    let line = format!("SKIPPED {test}: {reason}\n");
    let _closed = io::stderr().write_all(line.as_bytes());
    if let Some(path) = std::env::var_os("IGVM_TEST_SKIPS") {
        // One write: the tests beside this one write here too.
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .and_then(|mut file| file.write_all(line.as_bytes()))
            .unwrap_or_else(|error| panic!("IGVM_TEST_SKIPS: {}: {error}", path.display()));
    }
}

/// KVM, or a skip. With `REQUIRE_KVM=1` there is no skip.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub fn host() -> Option<kvm_runner::kvm::Host> {
    match kvm_runner::kvm::Host::open() {
        Ok(host) => Some(host),
        Err(error) if is_set("REQUIRE_KVM") => panic!("REQUIRE_KVM is set, and {error}"),
        Err(error) => {
            skip(error);
            None
        }
    }
}

/// A file of a Debian package, or a skip. With `REQUIRE_PACKAGES=1` there is no
/// skip.
pub fn packaged(path: &'static str, package: &str) -> Option<&'static Path> {
    let path = Path::new(path);
    if path.exists() {
        return Some(path);
    }
    missing(path.display(), package);
    None
}

/// Something of a Debian package is missing: a skip. With `REQUIRE_PACKAGES=1`
/// a failure.
pub fn missing(what: impl Display, package: &str) {
    let reason = format!("there is no {what} (Debian package {package})");
    assert!(!is_set("REQUIRE_PACKAGES"), "REQUIRE_PACKAGES is set, and {reason}");
    skip(reason);
}
