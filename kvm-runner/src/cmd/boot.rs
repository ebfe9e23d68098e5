//! `boot`: runs a machine on KVM.

use std::path::PathBuf;

use clap::Args;

/// Run a machine on KVM (Linux on x86-64).
///
/// Exit codes: 0 the guest ended by itself or --until was seen, 2 bad usage or
/// file, 3 timeout, 4 the guest failed, 5 KVM is missing or may not be used.
#[derive(Args)]
pub(crate) struct Boot {
    /// A firmware image, started by reset.
    file: PathBuf,
    /// Memory, as bytes or with K, M, G.
    #[arg(long, default_value = "256M", value_parser = size)]
    memory: u64,
    /// Number of processors.
    #[arg(long, default_value_t = 1)]
    cpus: u32,
    /// Stop when the guest has written this text.
    #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    until: Option<String>,
    /// Stop after this many seconds.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<std::time::Duration>,
    /// Where the serial port's output goes: stdio, none or a file.
    #[arg(long, value_name = "stdio|none|PATH", default_value = "stdio")]
    serial: PathBuf,
    /// Where the debug port's output goes: stdio, none or a file.
    #[arg(long, value_name = "stdio|none|PATH", default_value = "none")]
    debugcon: PathBuf,
    /// Print every register at the stop.
    #[arg(long)]
    registers: bool,
}

/// A number of bytes: `4096`, `0x1000`, `64K`, `256M`, `4G`.
fn size(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.strip_suffix(['K', 'k', 'M', 'm', 'G', 'g']) {
        None => (text, 0),
        Some(digits) => match text.as_bytes().last() {
            Some(b'K' | b'k') => (digits, 10),
            Some(b'M' | b'm') => (digits, 20),
            _ => (digits, 30),
        },
    };
    let number = match digits.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => digits.parse(),
    };
    number
        .ok()
        .and_then(|number: u64| number.checked_mul(1 << shift))
        .ok_or_else(|| "a size is a number of bytes, or of K, M or G: 256M".to_owned())
}

fn seconds(text: &str) -> Result<std::time::Duration, String> {
    let number = text.parse().ok().filter(|number: &f64| *number > 0.0);
    number
        .and_then(|number| std::time::Duration::try_from_secs_f64(number).ok())
        .ok_or_else(|| "a time is a number of seconds above 0: 2.5".to_owned())
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
impl Boot {
    pub(crate) fn run(self) -> std::process::ExitCode {
        eprintln!("boot: KVM exists on Linux only, and this runner uses it on x86-64 only");
        std::process::ExitCode::from(5)
    }
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod kvm {
    use std::fs::File;
    use std::io::Read;
    use std::path::Path;
    use std::process::ExitCode;

    use kvm_runner::console::{Console, Destination, Source};
    use kvm_runner::devices::{COM1_IRQ, Description, Devices, HostClock, Wiring};
    use kvm_runner::firmware::Firmware;
    use kvm_runner::guest::BootError;
    use kvm_runner::kvm::{Host, Machine, RESERVED_BY_KVM, Report};

    use super::Boot;

    impl Boot {
        pub(crate) fn run(self) -> ExitCode {
            let (code, sentence) = match self.boot() {
                Ok(report) if self.registers => {
                    (report.stop.exit_code(), format!("{report}\n{}", report.registers()))
                }
                Ok(report) => (report.stop.exit_code(), report.to_string()),
                Err(error) => (error.exit_code(), error.to_string()),
            };
            eprintln!("boot: {}", sentence.trim_end());
            ExitCode::from(code)
        }

        fn boot(&self) -> Result<Report, BootError> {
            let image = Firmware::new(read(&self.file)?, self.memory)?;
            let host = Host::open()?;
            let machine = Description {
                ram: image.ram().to_vec(),
                reserved: vec![RESERVED_BY_KVM],
                processors: self.cpus,
            };
            let mut virtual_machine = Machine::new(host, &image, self.cpus)?;
            // Only now: a machine that cannot be leaves no empty files behind.
            let console = Console::new(
                destination(&self.serial)?,
                destination(&self.debugcon)?,
                self.until.as_deref(),
            );
            let wiring = Wiring {
                serial: console.writer(Source::Serial),
                debug: console.writer(Source::Debug),
                serial_line: virtual_machine.interrupt_line(COM1_IRQ)?,
                clock: Box::new(HostClock::new()),
            };
            virtual_machine.run(Devices::new(&machine, wiring), &console, self.timeout)
        }
    }

    /// Reads a file, and no more of it than tells that it is too large.
    fn read(path: &Path) -> Result<Vec<u8>, BootError> {
        let mut image = Vec::new();
        let read = |file: File| file.take(Firmware::LARGEST + 1).read_to_end(&mut image);
        match File::open(path).and_then(read) {
            Ok(_) => Ok(image),
            Err(error) => {
                Err(BootError::Image(format!("{} cannot be read: {error}", path.display())))
            }
        }
    }

    fn destination(path: &Path) -> Result<Destination, BootError> {
        match path.to_str() {
            Some("stdio") => Ok(Destination::Stdio),
            Some("none") => Ok(Destination::Nowhere),
            _ => match File::create(path) {
                Ok(file) => Ok(Destination::Writer(Box::new(file))),
                Err(error) => {
                    Err(BootError::Image(format!("{} cannot be written: {error}", path.display())))
                }
            },
        }
    }
}
