//! The machine that a document makes, kept while it is looked at.

use std::fmt;

use igvm_analysis::host::{HostDescription, HostError, HostTables};
use igvm_analysis::loaded::KeptMachine;
use igvm_analysis::report::{FindingsReport, ProcessorView, StateReport};
use igvm_core::defs::{IgvmArchitecture, IgvmPlatformType};
use igvm_core::load::{Extent, GuestMemory, Host, LoadError, Machine, Space, default_platform};
use igvm_core::x86::paging;
use igvm_core::x86::{Mode, RegisterFile};

use super::blocks::Blocks;
use super::document::Document;

/// Every so many extents the address of one is kept, to find any by number.
const STRIDE: u64 = 1024;

/// What a document makes on a platform of a host.
pub struct Loaded {
    /// The platform.
    pub platform: IgvmPlatformType,
    /// The machine, as `kvm-runner state` has it, but for the extents: those
    /// are asked for when they are shown.
    pub state: StateReport,
    /// How many extents wrote guest memory, and how many bytes.
    pub written: Written,
    /// Whether its processors are those that are computed: x86-64 ones.
    pub is_x64: bool,
    /// The extents of guest memory by number.
    pub guest: ExtentList,
    /// Those of memory that must be there.
    pub required: ExtentList,
    /// Those of memory for reporting errors.
    pub error_ranges: ExtentList,
    kept: KeptMachine,
    host: HostTables,
}

/// The extents of an address space by number: counted once, for a list of
/// them is drawn with every scroll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtentList {
    space: Space,
    len: u64,
    /// The start of every [`STRIDE`]th.
    starts: Vec<u64>,
}

impl ExtentList {
    fn new(machine: &Machine<'_>, space: Space) -> Self {
        let mut list = Self { space, len: 0, starts: Vec::new() };
        for extent in machine.image().extents(space) {
            if list.len.is_multiple_of(STRIDE) {
                list.starts.push(extent.span.start);
            }
            list.len += 1;
        }
        list
    }

    /// How many.
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// What the file writes into guest memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Written {
    /// Extents.
    pub extents: u64,
    /// Bytes.
    pub bytes: u64,
    /// Bytes below 4 GiB.
    pub low: u64,
}

/// Why there is no machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoMachine {
    /// The file does not support the platform.
    Load(LoadError),
    /// The host that was described cannot be.
    Host(HostError),
}

impl fmt::Display for NoMachine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load(error) => error.fmt(f),
            Self::Host(error) => error.fmt(f),
        }
    }
}

/// The platform that is shown where none is chosen: native, or the first.
pub fn first_platform(document: &Document) -> Option<IgvmPlatformType> {
    let file = document.file();
    let first = || file.platforms().next().map(|platform| platform.platform_type);
    default_platform(&file).or_else(first)
}

impl Loaded {
    /// Loads a document for a host.
    ///
    /// # Errors
    /// When the file does not support the platform, or no such host can be.
    pub fn new(
        document: &Document,
        platform: IgvmPlatformType,
        host: &HostDescription,
    ) -> Result<Self, NoMachine> {
        let tables = HostTables::new(host.clone()).map_err(NoMachine::Host)?;
        let host = tables.host();
        let (kept, problems) =
            KeptMachine::load(&document.file(), document.data(), platform, &host)
                .map_err(NoMachine::Load)?;
        let machine = kept.machine();
        let mut written = Written::default();
        for extent in machine.image().extents(Space::Guest) {
            written.extents += 1;
            written.bytes += extent.span.len;
            written.low += extent.span.len * u64::from(extent.span.start < 4 << 30);
        }
        Ok(Self {
            platform,
            state: StateReport::outline(machine, &host, &problems),
            written,
            guest: ExtentList::new(machine, Space::Guest),
            required: ExtentList::new(machine, Space::Required),
            error_ranges: ExtentList::new(machine, Space::ErrorRange),
            is_x64: document.file().fixed().architecture() == IgvmArchitecture::X64,
            kept,
            host: tables,
        })
    }

    /// The machine itself.
    pub fn machine(&self) -> &Machine<'_> {
        self.kept.machine()
    }

    /// The host it was loaded for.
    pub fn host(&self) -> Host<'_> {
        self.host.host()
    }

    /// What was said about that host.
    pub fn host_description(&self) -> &HostDescription {
        self.host.description()
    }

    /// A processor by number, decoded; none of another architecture, of which
    /// the x86 registers would be an invention.
    pub fn processor(&self, vp_index: u32) -> Option<&ProcessorView> {
        let all = if self.is_x64 { &self.state.processors[..] } else { &[] };
        all.iter().find(|processor| processor.vp_index == vp_index)
    }

    /// The extents of an address space, by address.
    pub fn extents(&self, space: Space) -> impl Iterator<Item = &Extent> {
        self.machine().image().extents(space)
    }

    /// The extents of a list from the `number`th.
    pub fn extents_from(&self, list: &ExtentList, number: u64) -> impl Iterator<Item = &Extent> {
        let start = list.starts.get((number / STRIDE) as usize).copied();
        let space = list.space;
        start
            .into_iter()
            .flat_map(move |start| self.machine().image().extents_from(space, start))
            .skip((number % STRIDE) as usize)
    }

    /// The extents of guest memory from the first that ends above `gpa`.
    pub fn extents_above(&self, gpa: u64) -> impl Iterator<Item = &Extent> {
        self.machine().image().extents_from(Space::Guest, gpa)
    }

    /// The number of the first extent of guest memory that ends above `gpa`.
    pub fn extent_number(&self, gpa: u64) -> u64 {
        let block = self.guest.starts.partition_point(|start| *start <= gpa).saturating_sub(1);
        let first = block as u64 * STRIDE;
        let extents = self.extents_from(&self.guest, first);
        let before = extents.take_while(|extent| extent.span.end() <= gpa);
        first + before.count() as u64
    }

    /// The extent that wrote the byte at `gpa`.
    pub fn extent_at(&self, gpa: u64) -> Option<&Extent> {
        self.machine().image().extent_at(Space::Guest, gpa)
    }

    /// Whether the guest has memory at `gpa`.
    pub fn is_memory(&self, gpa: u64) -> bool {
        self.machine().is_memory(gpa, &self.host.host())
    }

    /// Looks at guest memory.
    pub fn with_memory<R>(
        &self,
        document: &Document,
        look: impl FnOnce(&GuestMemory<'_, Blocks>) -> R,
    ) -> R {
        look(&self.machine().memory(document.data(), &self.host.host()))
    }

    /// Guest memory from `gpa`; `None` where the file cannot be read.
    pub fn read(&self, document: &Document, gpa: u64, len: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.with_memory(document, |memory| memory.read(gpa, &mut bytes).is_ok()).then_some(bytes)
    }

    /// The registers of a processor.
    pub fn registers(&self, vp_index: u32) -> Option<&RegisterFile> {
        self.processor(vp_index).map(|processor| &processor.registers)
    }

    /// A linear address through the page tables of a processor.
    pub fn translate(
        &self,
        document: &Document,
        vp_index: u32,
        linear: u64,
    ) -> Option<paging::Walk> {
        let registers = self.registers(vp_index)?;
        Some(self.with_memory(document, |memory| paging::walk(registers, memory, linear)))
    }
}

/// CS and the instruction pointer together; in 64-bit mode CS has no base, in
/// the others the sum has 32 bits.
pub fn linear_entry(registers: &RegisterFile) -> u64 {
    match Mode::of(registers) {
        Mode::Long64 => registers.rip,
        _ => registers.cs.base.wrapping_add(registers.rip) & 0xffff_ffff,
    }
}

/// The rule book's findings about a document on a host; on the usual one where
/// there can be no such host, for what is wrong with the file is so still.
pub fn findings(document: &Document, host: &HostDescription) -> FindingsReport {
    let tables = HostTables::new(host.clone());
    let Ok(tables) = tables.or_else(|_| HostTables::new(HostDescription::default())) else {
        return FindingsReport::default();
    };
    FindingsReport::new(&document.file(), document.data(), &tables.host()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::focus::Subject;

    #[test]
    fn extents_are_found_by_number_and_by_address() {
        for sample in igvm_samples::all() {
            let bytes = (sample.build)();
            let len = bytes.len() as u64;
            let document =
                Document::open(Subject::Sample(sample.name.into()), len, Box::new(bytes)).unwrap();
            let platform = first_platform(&document).unwrap();
            let loaded = Loaded::new(&document, platform, &HostDescription::default()).unwrap();
            for list in [&loaded.guest, &loaded.required, &loaded.error_ranges] {
                let all: Vec<&Extent> = loaded.extents(list.space).collect();
                assert_eq!(list.len(), all.len() as u64, "{}", sample.name);
                for (number, extent) in all.iter().enumerate().step_by(all.len() / 50 + 1) {
                    assert_eq!(loaded.extents_from(list, number as u64).next(), Some(*extent));
                }
                assert_eq!(loaded.extents_from(list, list.len()).next(), None);
            }
            let all: Vec<&Extent> = loaded.extents(Space::Guest).collect();
            for (number, extent) in all.iter().enumerate().step_by(all.len() / 50 + 1) {
                assert_eq!(loaded.extent_number(extent.span.start), number as u64);
                assert_eq!(loaded.extent_number(extent.span.end() - 1), number as u64);
            }
            assert_eq!(loaded.extent_number(u64::MAX), all.len() as u64);
        }
    }
}
