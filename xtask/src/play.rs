//! `cargo xtask play`: builds the page and serves it on this machine.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use clap::Args;

use crate::command::{Workplace, cargo};
use crate::step::Stop;
use crate::wasm::Toolchain;

/// How to serve it.
#[derive(Args)]
pub(crate) struct Options {
    /// The port on 127.0.0.1
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Builds target/site and does not serve it
    #[arg(long)]
    build_only: bool,
}

/// The cargo profile of the page.
const PROFILE: &str = "web";

/// Builds and serves.
pub(crate) fn run(options: &Options) -> ExitCode {
    let built = Workplace::new().map_err(|error| error.to_string()).and_then(|mut place| {
        place.open_log("play").map_err(|error| error.to_string())?;
        build(&place).map_err(|stop| {
            let (Stop::Failed(reason) | Stop::Skipped(reason)) = stop;
            format!("{reason}\nLog: {}", place.log().display())
        })
    });
    let site = match built {
        Ok(site) => site,
        Err(reason) => {
            eprintln!("error: {reason}");
            return ExitCode::FAILURE;
        }
    };
    if options.build_only {
        println!("{}", site.folder.display());
        return ExitCode::SUCCESS;
    }
    let served = Command::new(&site.helper)
        .arg("serve")
        .arg(&site.folder)
        .args(["--port", &options.port.to_string()])
        .status();
    match served {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        // It has said why.
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {} cannot be run: {error}", site.helper.display());
            ExitCode::FAILURE
        }
    }
}

/// What a build leaves.
pub(crate) struct Site {
    /// The page: plain files.
    pub(crate) folder: PathBuf,
    /// The program that put it together, and that serves it.
    helper: PathBuf,
}

/// Builds the engine for wasm32, then the program that puts the page together,
/// then the page.
pub(crate) fn build(place: &Workplace) -> Result<Site, Stop> {
    eprintln!("Building the engine for wasm32 (some minutes the first time) ...");
    let toolchain = Toolchain::find(place)?;
    place.run(toolchain.build(place).args(["--profile", PROFILE, "-p", "igvm-web", "--locked"]))?;
    eprintln!("Putting the page together ...");
    let target = place.target.join("web-site");
    let manifest = place.root.join("web/site/Cargo.toml");
    place.run(
        cargo()
            .args(["build", "--locked", "--manifest-path"])
            .arg(manifest)
            .arg("--target-dir")
            .arg(&target),
    )?;
    let helper =
        target.join("debug").join(format!("igvm-web-site{}", std::env::consts::EXE_SUFFIX));
    let folder = place.target.join("site");
    place.run(
        Command::new(&helper)
            .arg("build")
            .arg("--wasm")
            .arg(toolchain.profile_dir(place, PROFILE).join("igvm_web.wasm"))
            .arg("--www")
            .arg(place.root.join("www"))
            .arg("--out")
            .arg(&folder),
    )?;
    Ok(Site { folder, helper })
}
