//! `wrap`: an IGVM file from a firmware image.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use igvm_core::write::wrap::{self, MAX_IMAGE_LEN};

use super::{Failure, output};

/// Make a native IGVM file from a BIOS or OVMF image.
///
/// The image ends at 4 GiB, its last 128 KiB stand once more below 1 MiB.
#[derive(Args)]
pub(crate) struct Wrap {
    /// The firmware image.
    #[arg(long, value_name = "IMAGE")]
    firmware: PathBuf,
    /// The IGVM file to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// How the processor starts.
    #[arg(long, default_value = "reset16")]
    entry: Entry,
}

#[derive(Clone, Copy, ValueEnum)]
enum Entry {
    /// From reset, in real mode at the reset vector.
    Reset16,
    /// In flat 32-bit protected mode at the reset vector.
    Flat32,
    /// In 64-bit mode at the reset vector, with identity page tables.
    Long64,
}

impl Wrap {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let path = self.firmware.display();
        let unreadable = |error| Failure::usage(format!("{path}: {error}"));
        let metadata = self.firmware.metadata().map_err(unreadable)?;
        if metadata.is_dir() {
            return Err(Failure::usage(format!("{path} is a directory; name a firmware image")));
        }
        if !metadata.is_file() {
            return Err(Failure::usage(format!(
                "{path} is not a regular file; copy the firmware image into one first"
            )));
        }
        if metadata.len() > MAX_IMAGE_LEN as u64 {
            return Err(Failure::usage(format!(
                "{path} has {} bytes; a firmware image below 4 GiB has at most {MAX_IMAGE_LEN}",
                metadata.len()
            )));
        }
        let image = std::fs::read(&self.firmware).map_err(unreadable)?;
        let entry = match self.entry {
            Entry::Reset16 => wrap::Entry::Reset16,
            Entry::Flat32 => wrap::Entry::Flat32,
            Entry::Long64 => wrap::Entry::Long64,
        };
        let file = wrap::firmware(&image, entry)
            .map_err(|error| Failure::usage(format!("{path}: {error}")))?;
        output::file(&self.out, |out| {
            out.write_all(&file).map_err(|error| Failure::output(self.out.display(), error))
        })?;
        Ok(ExitCode::SUCCESS)
    }
}
