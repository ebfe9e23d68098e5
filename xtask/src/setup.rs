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

/// What tests look for. Firmware is not committed: its licence stays with its
/// package. The two compilers read the tables that a host hands over, the
/// debugger tries ours.
const PACKAGES: [Package; 5] = [
    Package { name: "seabios", file: "/usr/share/seabios/bios.bin" },
    Package { name: "ovmf", file: "/usr/share/OVMF/OVMF_CODE_4M.fd" },
    Package { name: "acpica-tools", file: "/usr/bin/iasl" },
    Package { name: "device-tree-compiler", file: "/usr/bin/dtc" },
    Package { name: "gdb", file: "/usr/bin/gdb" },
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
    let names: Vec<&str> = missing.iter().map(|package| package.name).collect();
    if !succeeds(Command::new("apt-get").arg("--version")) {
        let remedy = format!("install what your system calls {}", names.join(" and "));
        return Err(blocked(&missing, "there is no apt-get", &remedy));
    }
    let remedy = format!("run: sudo apt-get install {}", names.join(" "));
    let blocked = |why: &str| blocked(&missing, why, &remedy);
    if text_of(Command::new("id").arg("-u")).as_deref() != Some("0") {
        return Err(blocked("that takes root"));
    }
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

/// Whether all packages that tests look for are there.
pub(crate) fn is_complete() -> bool {
    missing(&PACKAGES).is_empty()
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

/// The skip that says what is missing, why it stays so, and what to do.
fn blocked(missing: &[Package], why: &str, remedy: &str) -> Stop {
    let things: Vec<String> =
        missing.iter().map(|package| format!("{} ({})", package.name, package.file)).collect();
    Stop::Skipped(format!(
        "missing: {}; cannot be installed here: {why}; {remedy}",
        things.join(" and ")
    ))
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
        let Stop::Skipped(sentence) = blocked(&missing, "that takes root", "ask") else {
            panic!("a missing package is no failure");
        };
        assert_eq!(
            sentence,
            "missing: away (/nonexistent/away) and gone (/nonexistent/gone); cannot be installed here: \
             that takes root; ask"
        );
    }
}
