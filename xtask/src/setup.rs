//! Debian packages that steps need, and installing them.

use std::path::{Path, PathBuf};
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
const PACKAGES: [Package; 6] = [
    Package { name: "seabios", file: "/usr/share/seabios/bios.bin" },
    Package { name: "ovmf", file: "/usr/share/OVMF/OVMF_CODE_4M.fd" },
    Package { name: "qemu-system-x86", file: "/usr/bin/qemu-system-x86_64" },
    Package { name: "acpica-tools", file: "/usr/bin/iasl" },
    Package { name: "device-tree-compiler", file: "/usr/bin/dtc" },
    Package { name: "gdb", file: "/usr/bin/gdb" },
];

/// A package whose files tests want, and not its installation: a kernel would
/// be made bootable on this machine.
struct Unpacked {
    /// What apt calls it, or the package that depends on it.
    name: &'static str,
    /// The folder of the wanted file in the package, and how that file's name
    /// starts and ends.
    folder: &'static str,
    start: &'static str,
    end: &'static str,
}

/// They are unpacked into `target/debian`.
const UNPACKED: [Unpacked; 2] = [
    Unpacked {
        name: "linux-image-cloud-amd64",
        folder: "boot",
        start: "vmlinuz-",
        end: "-cloud-amd64",
    },
    Unpacked { name: "busybox-static", folder: "bin", start: "busybox", end: "" },
];

impl Unpacked {
    fn is_there(&self, root: &Path) -> bool {
        let Ok(files) = root.join(self.folder).read_dir() else { return false };
        files.flatten().any(|file| {
            let name = file.file_name();
            let name = name.to_string_lossy();
            name.starts_with(self.start) && name.ends_with(self.end)
        })
    }

    fn unpack(&self, place: &Workplace, root: &Path) -> Result<(), Stop> {
        // A package without files names the one that has them.
        let depends = place.capture(Command::new("apt-cache").args(["depends", self.name]))?.0;
        let image = depends.lines().find_map(|line| line.trim().strip_prefix("Depends: linux-"));
        let name = image.map_or(self.name.to_owned(), |name| format!("linux-{name}"));
        // The pattern is of this program, the name of the package index.
        let script = format!(
            "rm -f {name}_*.deb; apt-get download {name} && \
             dpkg-deb --fsys-tarfile {name}_*.deb | tar --extract ./{}; rm -f {name}_*.deb",
            self.folder
        );
        place.run(Command::new("sh").args(["-c", &script]).current_dir(root))?;
        match self.is_there(root) {
            true => Ok(()),
            false => Err(Stop::Skipped(format!("package {name} cannot be downloaded here"))),
        }
    }
}

/// The folder for what is unpacked.
fn unpacked_root(target: &Path) -> PathBuf {
    target.join("debian")
}

/// The setup step.
pub(crate) fn run(place: &Workplace) -> StepResult {
    let installed = install(place, &PACKAGES)?;
    let root = unpacked_root(&place.target);
    let missing: Vec<&Unpacked> = UNPACKED.iter().filter(|one| !one.is_there(&root)).collect();
    std::fs::create_dir_all(&root)
        .map_err(|error| Stop::Failed(format!("{}: {error}", root.display())))?;
    missing.iter().try_for_each(|one| one.unpack(place, &root))?;
    match missing.is_empty() {
        true => Ok(installed),
        false => {
            let names: Vec<&str> = missing.iter().map(|one| one.name).collect();
            Ok(format!("{installed}, unpacked {}", names.join(", ")))
        }
    }
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
pub(crate) fn is_complete(place: &Workplace) -> bool {
    let root = unpacked_root(&place.target);
    missing(&PACKAGES).is_empty() && UNPACKED.iter().all(|one| one.is_there(&root))
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
