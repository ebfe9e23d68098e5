//! The machine that a document makes, and where its first instruction is.

use igvm_analysis::host::{HostDescription, HostTables};
use igvm_analysis::loaded::{LoadStorage, Problems};
use igvm_analysis::report::{ExtentView, FindingsReport, ProcessorView, StateReport};
use igvm_core::defs::IgvmPlatformType;
use igvm_core::load::{Host, LoadError, Machine, Space, default_platform};
use igvm_core::x86::paging;
use igvm_core::x86::{Mode, RegisterFile};

use super::document::Document;

/// What a document makes on a platform.
#[derive(Debug)]
pub struct Loaded {
    /// The platform.
    pub platform: IgvmPlatformType,
    /// The machine, as `kvm-runner state` has it.
    pub state: StateReport,
    /// The first instruction of the boot processor.
    pub entry: Option<Entry>,
}

/// Where a processor starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The mode.
    pub mode: Mode,
    /// Linear address of the first instruction.
    pub linear: u64,
    /// The guest physical address, or why it leads nowhere.
    pub physical: Result<u64, String>,
    /// What the page allows, `rwxs`; `None` without paging.
    pub rights: Option<String>,
    /// How linear addresses become physical ones.
    pub paging: String,
    /// Whether the file writes there.
    pub written: bool,
}

/// The platform that is shown where none is chosen: native, or the first.
pub fn first_platform(document: &Document) -> Option<IgvmPlatformType> {
    let file = document.file();
    let first = || file.platforms().next().map(|platform| platform.platform_type);
    default_platform(&file).or_else(first)
}

/// Loads a document, and looks at the machine while it is there.
///
/// # Errors
/// When the file does not support the platform.
fn with_machine<R>(
    document: &Document,
    platform: IgvmPlatformType,
    mut look: impl FnMut(&Machine<'_>, &Host<'_>, &Problems) -> R,
) -> Result<R, LoadError> {
    let tables = host_tables();
    let host = tables.host();
    LoadStorage::new().load(
        &document.file(),
        document.data(),
        platform,
        &host,
        |machine, problems| look(&machine, &host, &problems),
    )
}

/// The host that nobody has described: one processor, 256 MiB.
fn host_tables() -> HostTables {
    HostTables::new(HostDescription::default()).expect("the default description is of a machine")
}

impl Loaded {
    /// Loads a document.
    ///
    /// # Errors
    /// When the file does not support the platform.
    pub fn new(document: &Document, platform: IgvmPlatformType) -> Result<Self, LoadError> {
        with_machine(document, platform, |machine, host, problems| Self {
            platform,
            state: StateReport::new(machine, host, problems),
            entry: entry(machine, document, host),
        })
    }

    /// A processor by number.
    pub fn processor(&self, vp_index: u32) -> Option<&ProcessorView> {
        self.state.processors.iter().find(|processor| processor.vp_index == vp_index)
    }

    /// The extent that wrote the byte at `gpa`.
    pub fn extent_at(&self, gpa: u64) -> Option<&ExtentView> {
        let memory = &self.state.memory;
        let after = memory.partition_point(|extent| extent.gpa.0 <= gpa);
        let extent = memory.get(after.checked_sub(1)?)?;
        (gpa - extent.gpa.0 < extent.length.0).then_some(extent)
    }

    /// Whether the guest has memory at `gpa`.
    pub fn is_memory(&self, gpa: u64) -> bool {
        self.state
            .guest_memory
            .iter()
            .any(|range| gpa.checked_sub(range.gpa.0).is_some_and(|at| at < range.length.0))
    }

    /// Guest memory from `gpa`; `None` where the file cannot be read.
    pub fn read(&self, document: &Document, gpa: u64, len: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; len];
        with_machine(document, self.platform, |machine, host, _| {
            machine.memory(document.data(), host).read(gpa, &mut bytes).is_ok()
        })
        .ok()?
        .then_some(bytes)
    }
}

fn entry(machine: &Machine<'_>, document: &Document, host: &Host<'_>) -> Option<Entry> {
    let registers = &machine.boot_processor()?.registers;
    let mode = Mode::of(registers);
    let linear = linear_entry(registers, mode);
    let walk = paging::walk(registers, &machine.memory(document.data(), host), linear);
    let physical = walk.result.map(|found| found.physical).map_err(|fault| fault.to_string());
    Some(Entry {
        mode,
        linear,
        rights: walk.result.ok().filter(|_| !walk.entries.is_empty()).map(|t| t.rights.to_string()),
        paging: walk.mode.to_string(),
        written: physical
            .as_ref()
            .is_ok_and(|gpa| machine.image().extent_at(Space::Guest, *gpa).is_some()),
        physical,
    })
}

/// CS and the instruction pointer together; in 64-bit mode CS has no base, in
/// the others the sum has 32 bits.
fn linear_entry(registers: &RegisterFile, mode: Mode) -> u64 {
    match mode {
        Mode::Long64 => registers.rip,
        _ => registers.cs.base.wrapping_add(registers.rip) & 0xffff_ffff,
    }
}

/// The rule book's findings about a document.
pub fn findings(document: &Document) -> FindingsReport {
    let tables = host_tables();
    FindingsReport::new(&document.file(), document.data(), &tables.host()).unwrap_or_default()
}
