//! A virtual machine in a few words, and what the guest is told about it.

mod acpi;
mod device_tree;

use std::fmt;

use igvm_core::defs::{
    IGVM_VHS_MEMORY_MAP_ENTRY, IGVM_VHS_MEMORY_RANGE, MemoryMapEntryType, PAGE_SIZE_4K,
};
use igvm_core::load::{Host, Relocation, RequiredMemoryPolicy};
use igvm_core::span::Span;

/// RAM of less than this lies below 4 GiB as a whole. The addresses from here on
/// belong to devices and firmware in any machine; on a q35, configuration space
/// is mapped first.
pub const LOW_RAM_LIMIT: u64 = 0xb000_0000;

/// Where RAM of [`LOW_RAM_LIMIT`] or more ends below 4 GiB: a power of two, so
/// that few memory type ranges describe it. Devices get no address below it.
pub const LOW_RAM_END: u64 = 0x8000_0000;

/// Where RAM goes on above the devices.
pub const HIGH_RAM_START: u64 = 4 << 30;

/// The I/O APIC and everything above it up to 4 GiB is not for device memory.
const LOW_MMIO_END: u64 = 0xfec0_0000;

/// Device memory above all RAM that fits below it. It ends where the addresses
/// of a processor with 39 bits of them do: fewer has none that runs guests.
const HIGH_MMIO: Span = Span::between((1 << 39) - (64 << 30), 1 << 39);

/// Device memory of every machine, whatever RAM it has. A machine with less RAM
/// below 4 GiB has more: see MMIO_RANGES of [`HostTables::host`].
pub const DEVICE_MEMORY: [Span; 2] = [Span::between(LOW_RAM_LIMIT, LOW_MMIO_END), HIGH_MMIO];

/// More processors than the tables of this crate can name.
pub const PROCESSORS_MAX: u32 = 4096;

/// Most RAM that a host may have: what lies below the upper device memory.
pub const MEMORY_MAX: u64 = HIGH_MMIO.start - HIGH_RAM_START;

/// What a person says about the virtual machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostDescription {
    /// Processors, 1 to [`PROCESSORS_MAX`].
    pub processors: u32,
    /// RAM in bytes, a multiple of 4 KiB, at most [`MEMORY_MAX`].
    pub memory: u64,
    /// The command line; ASCII without NUL.
    pub command_line: String,
    /// What REQUIRED_MEMORY does where there is no RAM.
    pub required_memory: RequiredMemoryPolicy,
    /// Regions to move.
    pub relocations: Vec<Relocation>,
}

impl Default for HostDescription {
    /// One processor and 256 MiB.
    fn default() -> Self {
        Self {
            processors: 1,
            memory: 256 << 20,
            command_line: String::new(),
            required_memory: RequiredMemoryPolicy::Create,
            relocations: Vec::new(),
        }
    }
}

/// A description that no machine fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostError {
    /// Zero, or more than [`PROCESSORS_MAX`].
    Processors(u32),
    /// Zero, not in whole pages, or more than [`MEMORY_MAX`].
    Memory(u64),
    /// The command line holds this character, which ASCII does not have, or a
    /// NUL.
    CommandLine(char),
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Processors(count) => {
                write!(f, "{count} processors: give 1 to {PROCESSORS_MAX}")
            }
            Self::Memory(0) => write!(f, "a machine without memory cannot start"),
            Self::Memory(bytes) if *bytes > MEMORY_MAX => {
                write!(f, "{bytes:#x} bytes of memory are too many: at most {MEMORY_MAX:#x} fit")
            }
            Self::Memory(bytes) => {
                write!(f, "{bytes:#x} bytes of memory are not a multiple of 4 KiB")
            }
            Self::CommandLine('\0') => write!(f, "the command line ends at its first NUL; drop it"),
            Self::CommandLine(c) => {
                write!(f, "the command line holds {c:?}, but IGVM's command line is ASCII")
            }
        }
    }
}

impl std::error::Error for HostError {}

/// A described host with its tables made: what [`Host`] borrows from.
#[derive(Debug, Clone)]
pub struct HostTables {
    description: HostDescription,
    ram: Vec<Span>,
    memory_map: Vec<IGVM_VHS_MEMORY_MAP_ENTRY>,
    mmio_ranges: [IGVM_VHS_MEMORY_RANGE; 2],
    srat: Vec<u8>,
    madt: Vec<u8>,
    slit: Vec<u8>,
    pptt: Vec<u8>,
    device_tree: Vec<u8>,
}

impl HostTables {
    /// Makes the tables of a description.
    ///
    /// # Errors
    /// When the description is not of a machine that can be.
    pub fn new(description: HostDescription) -> Result<Self, HostError> {
        validate(&description)?;
        let ram = ram(description.memory);
        let memory_map = ram.iter().map(|ram| memory_map_entry(*ram)).collect();
        let mmio = [Span::between(ram[0].end().max(LOW_RAM_END), LOW_MMIO_END), HIGH_MMIO];
        Ok(Self {
            memory_map,
            mmio_ranges: mmio.map(memory_range),
            srat: acpi::srat(description.processors, &ram),
            madt: acpi::madt(description.processors),
            slit: acpi::slit(),
            pptt: acpi::pptt(description.processors),
            device_tree: device_tree::build(&description, &ram),
            ram,
            description,
        })
    }

    /// What the tables were made of.
    pub fn description(&self) -> &HostDescription {
        &self.description
    }

    /// The host as the loader wants it.
    pub fn host(&self) -> Host<'_> {
        Host {
            processors: self.description.processors,
            ram: &self.ram,
            memory_map: &self.memory_map,
            mmio_ranges: self.mmio_ranges,
            command_line: self.description.command_line.as_bytes(),
            srat: &self.srat,
            madt: &self.madt,
            slit: &self.slit,
            pptt: &self.pptt,
            device_tree: &self.device_tree,
            memory_is_shared: false,
            required_memory: self.description.required_memory,
            relocations: &self.description.relocations,
        }
    }
}

fn validate(description: &HostDescription) -> Result<(), HostError> {
    let HostDescription { processors, memory, command_line, .. } = description;
    if !(1..=PROCESSORS_MAX).contains(processors) {
        return Err(HostError::Processors(*processors));
    }
    if *memory == 0 || *memory > MEMORY_MAX || memory % PAGE_SIZE_4K != 0 {
        return Err(HostError::Memory(*memory));
    }
    match command_line.chars().find(|c| !c.is_ascii() || *c == '\0') {
        Some(c) => Err(HostError::CommandLine(c)),
        None => Ok(()),
    }
}

/// RAM from 0 up, around the hole below 4 GiB, as QEMU's q35 has it.
fn ram(memory: u64) -> Vec<Span> {
    let low = if memory < LOW_RAM_LIMIT { memory } else { LOW_RAM_END };
    let high = memory - low;
    let mut ram = vec![Span::new(0, low)];
    if high > 0 {
        ram.push(Span::new(HIGH_RAM_START, high));
    }
    ram
}

fn memory_map_entry(ram: Span) -> IGVM_VHS_MEMORY_MAP_ENTRY {
    IGVM_VHS_MEMORY_MAP_ENTRY {
        starting_gpa_page_number: ram.start / PAGE_SIZE_4K,
        number_of_pages: ram.len / PAGE_SIZE_4K,
        entry_type: MemoryMapEntryType::MEMORY,
        flags: 0,
        reserved: 0,
    }
}

fn memory_range(span: Span) -> IGVM_VHS_MEMORY_RANGE {
    IGVM_VHS_MEMORY_RANGE {
        starting_gpa_page_number: span.start / PAGE_SIZE_4K,
        number_of_pages: span.len / PAGE_SIZE_4K,
    }
}
