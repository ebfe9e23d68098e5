//! What the loader is told about the virtual machine.

use igvm_defs::{IGVM_VHS_MEMORY_MAP_ENTRY, IGVM_VHS_MEMORY_RANGE};
use zerocopy::IntoBytes;

use crate::span::Span;
use crate::wire::ParameterKind;

/// The host: processors, RAM, command line, tables. Everything is lent.
///
/// The bytes of a parameter are the same for every directive that asks for
/// them, so the memory image refers to them instead of copying them.
#[derive(Debug, Clone, Copy)]
pub struct Host<'h> {
    /// Processors that the host starts; at least one.
    pub processors: u32,
    /// RAM, sorted by address, disjoint.
    pub ram: &'h [Span],
    /// What the MEMORY_MAP parameter says, sorted by address, without the
    /// final entry of no pages, which the loader adds.
    pub memory_map: &'h [IGVM_VHS_MEMORY_MAP_ENTRY],
    /// What the MMIO_RANGES parameter says.
    pub mmio_ranges: [IGVM_VHS_MEMORY_RANGE; 2],
    /// The command line in ASCII, without the final NUL, which the loader adds.
    pub command_line: &'h [u8],
    /// ACPI SRAT, whole; empty where the host has none.
    pub srat: &'h [u8],
    /// ACPI MADT, whole; empty where the host has none.
    pub madt: &'h [u8],
    /// ACPI SLIT, whole; empty where the host has none.
    pub slit: &'h [u8],
    /// ACPI PPTT, whole; empty where the host has none.
    pub pptt: &'h [u8],
    /// Flattened device tree; empty where the host has none.
    pub device_tree: &'h [u8],
    /// Bit 0 of ENVIRONMENT_INFO: memory starts out shared with the host. False
    /// for a machine without isolation.
    pub memory_is_shared: bool,
    /// What REQUIRED_MEMORY does where the host has no RAM.
    pub required_memory: RequiredMemoryPolicy,
    /// Where regions are to be moved.
    pub relocations: &'h [Relocation],
}

/// What to do about REQUIRED_MEMORY that lies outside the host's RAM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RequiredMemoryPolicy {
    /// The load fails, as the specification says.
    Fail,
    /// The memory is created, as QEMU does.
    #[default]
    Create,
}

/// Moves the region that the file places at `from` (RELOCATABLE_REGION or
/// PAGE_TABLE_RELOCATION_REGION) to `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Relocation {
    /// The region's address in the file.
    pub from: u64,
    /// The address it is loaded at.
    pub to: u64,
}

/// The bytes of a parameter: `head`, then zeroes up to `len`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ParameterBytes<'a> {
    pub(crate) head: ParameterHead<'a>,
    pub(crate) len: u64,
}

/// Bytes that are lent, or few enough to be made on the spot.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ParameterHead<'a> {
    Lent(&'a [u8]),
    Word([u8; 4]),
}

impl ParameterHead<'_> {
    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Lent(bytes) => bytes,
            Self::Word(bytes) => bytes,
        }
    }
}

impl<'h> Host<'h> {
    /// One processor and this RAM; no command line, no tables.
    pub const fn new(ram: &'h [Span], memory_map: &'h [IGVM_VHS_MEMORY_MAP_ENTRY]) -> Self {
        const NO_RANGE: IGVM_VHS_MEMORY_RANGE =
            IGVM_VHS_MEMORY_RANGE { starting_gpa_page_number: 0, number_of_pages: 0 };
        Self {
            processors: 1,
            ram,
            memory_map,
            mmio_ranges: [NO_RANGE; 2],
            command_line: &[],
            srat: &[],
            madt: &[],
            slit: &[],
            pptt: &[],
            device_tree: &[],
            memory_is_shared: false,
            required_memory: RequiredMemoryPolicy::Create,
            relocations: &[],
        }
    }

    /// The bytes of a parameter, `None` where the host has no such table.
    pub(crate) fn parameter(&self, kind: ParameterKind) -> Option<ParameterBytes<'_>> {
        let word = |value: u32| ParameterBytes {
            head: ParameterHead::Word(value.to_le_bytes()),
            len: size_of::<u32>() as u64,
        };
        let table = |bytes: &'h [u8]| (!bytes.is_empty()).then(|| lent(bytes, 0));
        match kind {
            ParameterKind::VpCount => Some(word(self.processors)),
            ParameterKind::EnvironmentInfo => Some(word(self.memory_is_shared.into())),
            ParameterKind::MmioRanges => Some(lent(self.mmio_ranges.as_bytes(), 0)),
            ParameterKind::MemoryMap => {
                Some(lent(self.memory_map.as_bytes(), size_of::<IGVM_VHS_MEMORY_MAP_ENTRY>()))
            }
            ParameterKind::CommandLine => Some(lent(self.command_line, 1)),
            ParameterKind::Srat => table(self.srat),
            ParameterKind::Madt => table(self.madt),
            ParameterKind::Slit => table(self.slit),
            ParameterKind::Pptt => table(self.pptt),
            ParameterKind::DeviceTree => table(self.device_tree),
        }
    }

    /// The part of `span` that the host's RAM does not have, if any: the first
    /// such stretch.
    pub fn first_missing(&self, span: Span) -> Option<Span> {
        let mut at = span.start;
        for ram in self.ram {
            if ram.start > at {
                break;
            }
            at = at.max(ram.end());
        }
        (at < span.end()).then(|| {
            let next = self.ram.iter().map(|ram| ram.start).find(|start| *start > at);
            Span::between(at, next.unwrap_or(u64::MAX).min(span.end()))
        })
    }
}

/// Lent bytes and zeroes behind them.
fn lent(bytes: &[u8], final_zeroes: usize) -> ParameterBytes<'_> {
    let len = (bytes.len() as u64).saturating_add(final_zeroes as u64);
    ParameterBytes { head: ParameterHead::Lent(bytes), len }
}
