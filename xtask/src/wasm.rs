//! A Rust toolchain that builds for `wasm32-unknown-unknown`.
//!
//! The ordinary one is rustup's. Where its standard library for wasm32 cannot
//! be downloaded, Debian's `rustc-web` does: its sources hold everything, and
//! the library is built from them once, into the place where rustc looks.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{Workplace, cargo, other_toolchain, succeeds, text_of};
use crate::setup::{self, Package};
use crate::step::Stop;

/// The target's name.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// What rustup calls Debian's toolchain once it is linked.
const DEBIAN: &str = "debian";

/// Debian's compiler, without rustup between.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CARGO: &str = "/usr/bin/cargo";

const DEBIAN_PACKAGES: [Package; 4] = [
    // Not by /usr/bin/rustc: Debian's other compiler, which is too old, has that
    // path as well.
    Package { name: "rustc-web", file: "/var/lib/dpkg/info/rustc-web.list" },
    Package { name: "cargo-web", file: "/var/lib/dpkg/info/cargo-web.list" },
    Package { name: "rust-web-src", file: "/usr/lib/rustlib/src/rust/library/std/Cargo.toml" },
    Package { name: "lld-19", file: "/usr/bin/wasm-ld-19" },
];

/// Which toolchain builds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Toolchain {
    /// The one that built this program.
    Active,
    /// Debian's, as rustup's toolchain `debian`.
    Debian,
}

impl Toolchain {
    /// A toolchain that can build for the target, installed if need be. The
    /// second time this takes no time.
    pub(crate) fn find(place: &Workplace) -> Result<Self, Stop> {
        if active_has_target() {
            return Ok(Self::Active);
        }
        if debian_is_ready() {
            return Ok(Self::Debian);
        }
        let added = place.run(Command::new("rustup").args(["target", "add", TARGET]));
        if added.is_ok() && active_has_target() {
            return Ok(Self::Active);
        }
        install_debian(place).map_err(|stop| {
            let (Stop::Failed(reason) | Stop::Skipped(reason)) = stop;
            Stop::Skipped(format!(
                "no toolchain for {TARGET}: `rustup target add {TARGET}` did not work (its output \
                 is in {}), and neither did Debian's packages: {reason}",
                place.log().display()
            ))
        })?;
        Ok(Self::Debian)
    }

    /// Its name in messages and folders.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Debian => DEBIAN,
        }
    }

    /// `cargo build` for the target. Each toolchain has a target folder of its
    /// own: one folder must not hold what two compilers made.
    pub(crate) fn build(self, place: &Workplace) -> Command {
        let mut command = match self {
            Self::Active => cargo(),
            Self::Debian => {
                let mut command = other_toolchain("rustup");
                command.args(["run", DEBIAN, "cargo"]);
                command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", "wasm-ld-19");
                command
            }
        };
        command.args(["build", "--target", TARGET, "--target-dir"]);
        command.arg(self.target_dir(place));
        command
    }

    /// Tells another program that calls cargo to use this toolchain.
    pub(crate) fn set_environment(self, place: &Workplace, command: &mut Command) {
        command.env("CARGO_TARGET_DIR", self.target_dir(place));
        if self == Self::Debian {
            command.env("RUSTUP_TOOLCHAIN", DEBIAN);
            command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", "wasm-ld-19");
        }
    }

    /// Where a release build leaves its modules.
    pub(crate) fn release_dir(self, place: &Workplace) -> PathBuf {
        self.profile_dir(place, "release")
    }

    /// Where a build of a profile leaves its modules.
    pub(crate) fn profile_dir(self, place: &Workplace, profile: &str) -> PathBuf {
        self.target_dir(place).join(TARGET).join(profile)
    }

    fn target_dir(self, place: &Workplace) -> PathBuf {
        place.target.join("wasm").join(self.name())
    }
}

/// Whether the active toolchain has the standard library of the target.
fn active_has_target() -> bool {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    text_of(Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]))
        .is_some_and(|folder| has_std(Path::new(&folder)))
}

fn has_std(folder: &Path) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("libstd-"))
}

/// Where Debian's compiler looks for the target's standard library.
fn debian_libdir() -> PathBuf {
    Path::new("/usr/lib/rustlib").join(TARGET).join("lib")
}

/// Names the compiler that the standard library there was built by.
fn debian_stamp() -> PathBuf {
    debian_libdir().with_file_name("built-by")
}

/// Version, commit and LLVM of Debian's compiler.
fn debian_version() -> Option<String> {
    text_of(other_toolchain(DEBIAN_RUSTC).arg("-vV"))
}

fn debian_is_ready() -> bool {
    has_debian_std()
        && Path::new("/usr/bin/wasm-ld-19").exists()
        && succeeds(other_toolchain("rustup").args(["run", DEBIAN, "cargo", "--version"]))
}

/// Whether the library is there and of this compiler: no compiler reads what
/// another version made.
fn has_debian_std() -> bool {
    let stamp = fs::read_to_string(debian_stamp()).ok();
    has_std(&debian_libdir()) && stamp.is_some() && stamp == debian_version()
}

/// Debian's packages, the standard library, and the toolchain's name.
fn install_debian(place: &Workplace) -> Result<(), Stop> {
    setup::install(place, &DEBIAN_PACKAGES)?;
    if !has_debian_std() {
        let built = build_std(place)?;
        install_std(&built).map_err(|error| {
            Stop::Skipped(format!(
                "the standard library cannot be written to {}: {error}; run this once as root",
                debian_libdir().display()
            ))
        })?;
    }
    place.run(other_toolchain("rustup").args(["toolchain", "link", DEBIAN, "/usr"]))
}

/// Builds the standard library as the dependency of an empty crate, and says
/// in which folder.
fn build_std(place: &Workplace) -> Result<PathBuf, Stop> {
    let folder = place.scratch().join("wasm-std");
    let manifest = "[package]\nname = \"empty\"\nedition = \"2024\"\n\n[lib]\npath = \"lib.rs\"\n\n[workspace]\n";
    let target_dir = folder.join("target");
    // Libraries of an older compiler must not be taken along.
    remove_if_there(&target_dir)
        .and_then(|()| fs::create_dir_all(&folder))
        .and_then(|()| fs::write(folder.join("Cargo.toml"), manifest))
        .and_then(|()| fs::write(folder.join("lib.rs"), "#![no_std]\n"))
        .map_err(|error| {
            Stop::Failed(format!("{} cannot be written: {error}", folder.display()))
        })?;
    place.run(
        other_toolchain(DEBIAN_CARGO)
            .current_dir(&folder)
            .env("RUSTC", DEBIAN_RUSTC)
            // build-std is for nightly compilers only; this one is told that it
            // may.
            .env("RUSTC_BOOTSTRAP", "1")
            // Without it, builds with link-time optimisation fail.
            .env("RUSTFLAGS", "-Cembed-bitcode=yes")
            .args(["build", "--release", "--target", TARGET, "--target-dir"])
            .arg(&target_dir)
            .arg("-Zbuild-std=std,panic_abort,panic_unwind,proc_macro,test"),
    )?;
    Ok(target_dir.join(TARGET).join("release").join("deps"))
}

/// Puts the libraries where the compiler looks: first beside it, so that a copy
/// that breaks off is not taken for a library.
fn install_std(built: &Path) -> io::Result<()> {
    let libdir = debian_libdir();
    let fresh = libdir.with_file_name("lib.new");
    remove_if_there(&fresh)?;
    fs::create_dir_all(&fresh)?;
    for entry in fs::read_dir(built)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.ends_with(".rlib") && !name.starts_with("libempty-") {
            fs::copy(&path, fresh.join(&*name))?;
        }
    }
    remove_if_there(&libdir)?;
    fs::rename(&fresh, &libdir)?;
    fs::write(debian_stamp(), debian_version().unwrap_or_default())
}

fn remove_if_there(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
