//! Debian packages that steps need, and installing them.

use std::path::Path;
use std::process::Command;

use crate::command::{Workplace, succeeds, text_of};
use crate::step::{StepResult, Stop};

/// A Debian package.
#[derive(Clone, Copy)]
pub(crate) struct Package {
    /// What apt calls it.
    pub(crate) name: &'static str,
    /// A file that is there when it is installed, by this package or another.
    pub(crate) file: &'static str,
}

/// What tests look for by its path. Firmware is not committed: its licence
/// stays with its package.
const PACKAGES: [Package; 2] = [
    Package { name: "seabios", file: "/usr/share/seabios/bios.bin" },
    Package { name: "ovmf", file: "/usr/share/OVMF/OVMF_CODE_4M.fd" },
];

/// The setup step.
pub(crate) fn run(place: &Workplace) -> StepResult {
    install(place, &PACKAGES)
}

/// Makes sure that packages are there and says what that took. Where one is
/// missing and cannot be installed, the step is skipped.
pub(crate) fn install(place: &Workplace, packages: &[Package]) -> StepResult {
    let missing = missing(packages);
    if missing.is_empty() {
        return Ok("all packages are there".into());
    }
    let blocked = |why: &str| Stop::Skipped(cannot_install(&missing, why));
    if !succeeds(Command::new("apt-get").arg("--version")) {
        return Err(blocked("there is no apt-get"));
    }
    if text_of(Command::new("id").arg("-u")).as_deref() != Some("0") {
        return Err(blocked("that takes root"));
    }
    let names: Vec<&str> = missing.iter().map(|package| package.name).collect();
    // A host that has not asked for long knows of versions that are gone.
    let installed = place.run(apt_get("install").args(&names)).or_else(|_| {
        place.run(&mut apt_get("update"))?;
        place.run(apt_get("install").args(&names))
    });
    match installed {
        Ok(()) if self::missing(&missing).is_empty() => {
            Ok(format!("installed {}", names.join(", ")))
        }
        Ok(()) => Err(blocked("the package holds no such file")),
        Err(Stop::Failed(reason) | Stop::Skipped(reason)) => Err(blocked(&reason)),
    }
}

fn missing(packages: &[Package]) -> Vec<Package> {
    packages.iter().filter(|package| !Path::new(package.file).exists()).copied().collect()
}

fn apt_get(action: &str) -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    // Another apt may be at work.
    command.args(["-o", "DPkg::Lock::Timeout=120", action, "--yes"]);
    if action == "install" {
        command.arg("--no-install-recommends");
    }
    command
}

/// What is missing, why it stays so, and what to do.
fn cannot_install(missing: &[Package], why: &str) -> String {
    let files: Vec<&str> = missing.iter().map(|package| package.file).collect();
    let names: Vec<&str> = missing.iter().map(|package| package.name).collect();
    format!(
        "{} cannot be installed here, {why}; run: sudo apt-get install {} (or bring the files by other means)",
        files.join(" and "),
        names.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Package = Package { name: "here", file: env!("CARGO_MANIFEST_DIR") };
    const AWAY: Package = Package { name: "away", file: "/nonexistent/away" };
    const GONE: Package = Package { name: "gone", file: "/nonexistent/gone" };

    #[test]
    fn only_what_is_missing_is_named() {
        let missing = missing(&[HERE, AWAY, GONE]);
        let sentence = cannot_install(&missing, "that takes root");
        assert!(sentence.starts_with("/nonexistent/away and /nonexistent/gone cannot"));
        assert!(sentence.contains("; run: sudo apt-get install away gone ("), "{sentence}");
    }
}
