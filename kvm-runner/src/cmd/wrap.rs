//! `wrap`: an IGVM file from a firmware image or a Linux kernel.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{ArgGroup, Args, ValueEnum};
use igvm_analysis::host::DEVICE_MEMORY;
use igvm_core::span::Span;
use igvm_core::write::wrap::linux::{ACPI, Linux, LinuxFile, MADT_GPA, PCIEXBAR, PMBASE, linux};
use igvm_core::write::wrap::{self, MAX_IMAGE_LEN};

use igvm_devices::acpi::{Chipset, Table, tables_at};

use super::{Failure, output};

/// Make a native IGVM file from a firmware image or a Linux kernel.
///
/// A firmware image ends at 4 GiB, its last 128 KiB stand once more below
/// 1 MiB. A kernel is entered in 64-bit mode, without any firmware, with the
/// loader's memory map, MADT and command line.
#[derive(Args)]
#[command(group(ArgGroup::new("what").required(true).args(["firmware", "kernel"])))]
#[command(after_help = "Examples:
  kvm-runner wrap --firmware /usr/share/seabios/bios.bin --out seabios.igvm
  kvm-runner wrap --kernel /boot/vmlinuz --initrd initrd.img --append console=ttyS0 --out linux.igvm")]
pub(crate) struct Wrap {
    /// The firmware image.
    #[arg(long, value_name = "IMAGE")]
    firmware: Option<PathBuf>,
    /// The Linux kernel, a bzImage for x86-64.
    #[arg(long, value_name = "BZIMAGE")]
    kernel: Option<PathBuf>,
    /// The kernel's initial ramdisk.
    #[arg(long, value_name = "INITRD", requires = "kernel")]
    initrd: Option<PathBuf>,
    /// The kernel's command line. What a host has to say (`boot --append`)
    /// goes behind it.
    #[arg(long, value_name = "TEXT", requires = "kernel")]
    append: Option<String>,
    /// The IGVM file to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// How the processor starts in a firmware image [default: reset16].
    #[arg(long, conflicts_with = "kernel")]
    entry: Option<Entry>,
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

/// Largest kernel or ramdisk that is read at all: both end below this address.
const MAX_LINUX_LEN: u64 = 2 << 30;

impl Wrap {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let file = match (&self.firmware, &self.kernel) {
            (_, Some(kernel)) => self.linux(kernel)?,
            (Some(firmware), None) => self.firmware(firmware)?,
            (None, None) => return Err(Failure::usage("give --firmware or --kernel")),
        };
        output::file(&self.out, |out| {
            out.write_all(&file).map_err(|error| Failure::output(self.out.display(), error))
        })?;
        Ok(ExitCode::SUCCESS)
    }

    fn firmware(&self, path: &Path) -> Result<Vec<u8>, Failure> {
        let what = "a firmware image";
        let image = read(path, what, MAX_IMAGE_LEN as u64, "a firmware image below 4 GiB")?;
        let entry = match self.entry.unwrap_or(Entry::Reset16) {
            Entry::Reset16 => wrap::Entry::Reset16,
            Entry::Flat32 => wrap::Entry::Flat32,
            Entry::Long64 => wrap::Entry::Long64,
        };
        wrap::firmware(&image, entry)
            .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
    }

    /// Says on standard error how much memory it takes: that the kernel decides.
    fn linux(&self, path: &Path) -> Result<Vec<u8>, Failure> {
        let kernel = read(path, "a kernel", MAX_LINUX_LEN, "a kernel")?;
        let ramdisk = "an initial ramdisk";
        let initrd = self.initrd.as_deref();
        let initrd = initrd.map(|path| read(path, ramdisk, MAX_LINUX_LEN, ramdisk)).transpose()?;
        let LinuxFile { bytes, memory } = linux(&Linux {
            kernel: &kernel,
            initrd: initrd.as_deref(),
            command_line: self.append.as_deref().unwrap_or_default().as_bytes(),
            acpi: &acpi(),
        })
        .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
        eprintln!(
            "kvm-runner: kernel and ramdisk take memory up to {:#x}: start it with more than {} MiB",
            memory.end(),
            memory.end().div_ceil(1 << 20)
        );
        Ok(bytes)
    }
}

/// The tables of this PC, as the file's own code sets it up.
fn acpi() -> Vec<u8> {
    /// A MiB for each of 256 buses.
    const ECAM: Span = Span::new(PCIEXBAR as u64, 256 << 20);
    let chipset =
        Chipset { pm_base: PMBASE as u16, ecam: Some(ECAM), windows: DEVICE_MEMORY.to_vec() };
    tables_at(ACPI.start as u32, &chipset, &[Table::At(MADT_GPA)]).unwrap_or_default()
}

/// A whole file; `what` it should be, and how long `largest` may be.
fn read(path: &Path, what: &str, max: u64, largest: &str) -> Result<Vec<u8>, Failure> {
    let shown = path.display();
    let unreadable = |error| Failure::usage(format!("{shown}: {error}"));
    let metadata = path.metadata().map_err(unreadable)?;
    if metadata.is_dir() {
        return Err(Failure::usage(format!("{shown} is a directory; name {what}")));
    }
    if !metadata.is_file() {
        return Err(Failure::usage(format!(
            "{shown} is not a regular file; copy {what} into one first"
        )));
    }
    if metadata.len() > max {
        return Err(Failure::usage(format!(
            "{shown} has {} bytes; {largest} has at most {max}",
            metadata.len()
        )));
    }
    std::fs::read(path).map_err(unreadable)
}
