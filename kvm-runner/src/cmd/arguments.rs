//! Arguments that several subcommands share, and how their values are read.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use igvm_analysis::document::Document;
use igvm_analysis::host::{HostDescription, HostTables};
use igvm_analysis::loaded::{LoadStorage, Problems};
use igvm_analysis::number::{relocation, size};
use igvm_core::defs::IgvmPlatformType;
use igvm_core::file::IgvmFile;
use igvm_core::load::{Host, Machine, Relocation, RequiredMemoryPolicy, default_platform};
use igvm_core::platform::{PLATFORMS, platform_by_name, platform_name};

use super::Failure;

/// The virtual machine that the file is loaded for.
#[derive(Args)]
#[command(next_help_heading = "The machine")]
pub(crate) struct MachineArguments {
    /// Platform to load for: native, vsm, sev-snp, tdx, sev, sev-es or cca
    /// [default: native].
    #[arg(long, value_name = "NAME", value_parser = platform)]
    platform: Option<IgvmPlatformType>,
    #[command(flatten)]
    host: HostArguments,
}

/// The host: what the guest finds.
#[derive(Args)]
#[command(next_help_heading = "The machine")]
pub(crate) struct HostArguments {
    /// RAM, in bytes or with K, M, G, T.
    #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = size)]
    memory: u64,
    /// Processors.
    #[arg(long, value_name = "N", default_value_t = 1)]
    cpus: u32,
    /// Command line for the guest.
    #[arg(long, value_name = "TEXT", default_value = "")]
    append: String,
    /// What to do where the file requires memory and there is no RAM.
    #[arg(long, value_name = "POLICY", default_value = "create")]
    required_memory: Policy,
    /// Load the region that the file has at FROM at TO instead (may be given
    /// several times).
    #[arg(long, value_name = "FROM=TO", value_parser = relocation)]
    relocate: Vec<Relocation>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Policy {
    /// Create the memory, as QEMU does.
    Create,
    /// Refuse the file, as the specification says.
    Fail,
}

impl HostArguments {
    /// The host these arguments describe.
    pub(crate) fn tables(&self) -> Result<HostTables, Failure> {
        let description = HostDescription {
            processors: self.cpus,
            memory: self.memory,
            command_line: self.append.clone(),
            required_memory: match self.required_memory {
                Policy::Create => RequiredMemoryPolicy::Create,
                Policy::Fail => RequiredMemoryPolicy::Fail,
            },
            relocations: self.relocate.clone(),
        };
        HostTables::new(description).map_err(|error| Failure::usage(error.to_string()))
    }
}

impl MachineArguments {
    /// Loads a file as these arguments say and hands the machine to `then`,
    /// with the host it is loaded for and the problems of the load.
    pub(crate) fn load<R>(
        &self,
        document: &Document,
        mut then: impl FnMut(Machine<'_>, &Host<'_>, Problems) -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        let file = document.file();
        let tables = self.host.tables()?;
        let host = tables.host();
        let platform = self.platform(&file)?;
        LoadStorage::new()
            .load(&file, document, platform, &host, |machine, problems| {
                then(machine, &host, problems)
            })
            .map_err(|error| Failure::usage(error.to_string()))?
    }

    /// The platform to load for: the one named, else native.
    fn platform(&self, file: &IgvmFile<'_>) -> Result<IgvmPlatformType, Failure> {
        let chosen = match self.platform {
            Some(platform) => file.platform(platform).map(|header| header.platform_type),
            None => default_platform(file),
        };
        chosen.ok_or_else(|| {
            let wanted = self.platform.and_then(platform_name).unwrap_or("native");
            let mut names: Vec<&str> = Vec::new();
            for header in file.platforms() {
                let name = platform_name(header.platform_type).unwrap_or("an unknown one");
                // Once, however often the file declares it.
                if !names.contains(&name) {
                    names.push(name);
                }
            }
            Failure::usage(match names.is_empty() {
                true => format!("the file supports no platform at all, so not {wanted} either"),
                false => format!(
                    "the file does not support {wanted}; it has {}: choose with --platform",
                    names.join(", ")
                ),
            })
        })
    }
}

/// An IGVM file by path.
#[derive(Args)]
pub(crate) struct FileArgument {
    /// The IGVM file.
    file: PathBuf,
}

impl FileArgument {
    pub(crate) fn open(&self) -> Result<Document, Failure> {
        open(&self.file)
    }
}

/// Opens an IGVM file.
pub(crate) fn open(path: &Path) -> Result<Document, Failure> {
    Document::open(path).map_err(|error| Failure::usage(error.to_string()))
}

/// A time in seconds, above zero.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    text.parse()
        .ok()
        .filter(|seconds: &f64| *seconds > 0.0)
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| "give a number of seconds above zero: 2.5".to_owned())
}

fn platform(text: &str) -> Result<IgvmPlatformType, String> {
    platform_by_name(text).ok_or_else(|| {
        let names: Vec<&str> = PLATFORMS.iter().map(|(_, name)| *name).collect();
        format!("there is no such platform; there are {}", names.join(", "))
    })
}
