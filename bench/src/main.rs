//! Prepares the measured files, or measures; `cargo xtask bench` runs both.
//!
//! Preparing is a process of its own because booting measures the memory of
//! what it starts, which only a small process can.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs, io};

use igvm_bench::large::{self, Order};
use igvm_bench::measure::{self, FIRMWARE, LARGE, PAYLOAD};
use igvm_bench::report::{Aim, Quantity, Report, load_average};
use igvm_bench::{boot, checked, heap, pages, vmm};

#[global_allocator]
static HEAP: heap::Counting = heap::Counting;

const USAGE: &str = "usage: igvm-bench prepare FOLDER | igvm-bench measure FOLDER RUNNER [--json] | \
                     igvm-bench pages FOLDER";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["prepare", folder] => prepare(Path::new(folder)),
        ["pages", folder] => pages::write(Path::new(folder)),
        ["measure", folder, runner] => measure(folder, runner).map(|report| print!("{report}")),
        ["measure", folder, runner, "--json"] => measure(folder, runner).and_then(|report| {
            println!("{}", serde_json::to_string_pretty(&report)?);
            Ok(())
        }),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn prepare(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let payload = large::payload();
    fs::write(folder.join(PAYLOAD), &payload)?;
    fs::write(folder.join(FIRMWARE), boot::firmware())?;
    fs::write(folder.join(LARGE), large::file(&payload, Order::Ascending))
}

fn measure(folder: &str, runner: &str) -> io::Result<Report> {
    let folder = PathBuf::from(folder);
    let before = load_average();
    let mut skipped = Vec::new();
    // First: the process must be small.
    let boot = measure::booting(Path::new(runner), &folder).unwrap_or_else(|reason| {
        skipped.push(reason);
        Vec::new()
    });

    let machines = vmm::processes(Path::new(runner), &folder).unwrap_or_else(|reason| {
        skipped.push(reason);
        Vec::new()
    });

    let host = checked::host();
    let payload = fs::read(folder.join(PAYLOAD))?;
    let bytes = fs::read(folder.join(LARGE))?;
    let mut rows = measure::reading(&bytes, &host);
    let limit = Aim::Below(Quantity::Bytes(1 << 20));
    rows.push(measure::image_size("memory image", &bytes, &host).aim(limit));
    rows.push(measure::copying(&bytes, &payload, &host));
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    rows.push(measure::filling(&folder.join(LARGE), &payload, &host));
    rows.extend(boot);
    rows.extend(machines);
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    rows.extend(vmm::in_process(&host).unwrap_or_else(|reason| {
        skipped.push(reason);
        Vec::new()
    }));
    drop(bytes);

    let scattered = large::file(&payload, Order::Scattered);
    rows.push(measure::reading_scattered(&scattered, &host));
    rows.push(measure::image_size("memory image, pages scattered", &scattered, &host));
    Ok(Report { load: [before, load_average()], rows, skipped })
}
