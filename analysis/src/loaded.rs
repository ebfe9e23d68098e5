//! Loading with storage that grows.

use igvm_core::data::FileData;
use igvm_core::defs::{IgvmPlatformType, PAGE_SIZE_4K};
use igvm_core::file::IgvmFile;
use igvm_core::load::{
    self, AreaBlock, ExtentBlock, FixupPage, Host, LoadError, Machine, Problem, Processor, Storage,
    StorageKind,
};
use igvm_core::wire::{HeaderSection, Value};
use self_cell::{MutBorrow, self_cell};

/// Problems that are kept; more are counted.
const PROBLEMS_KEPT: usize = 10_000;

/// Pages of page tables that a relocation may change.
const FIXUP_PAGES_MAX: u64 = 4096;

/// Storage for loads. It grows to what a file needs and can be used again.
#[derive(Debug, Default)]
pub struct LoadStorage {
    extents: Vec<ExtentBlock>,
    areas: Vec<AreaBlock>,
    processors: Vec<Processor>,
    fixups: Vec<FixupPage>,
}

/// The problems of a load.
#[derive(Debug, Default, Clone)]
pub struct Problems {
    /// The first ones.
    pub kept: Vec<Problem>,
    /// How many there are.
    pub total: u64,
}

impl Problems {
    fn add(&mut self, problem: Problem) {
        self.total += 1;
        // What forbids the start is not lost behind any number of overlaps.
        let room = if problem.kind.is_fatal() { 2 * PROBLEMS_KEPT } else { PROBLEMS_KEPT };
        if self.kept.len() < room {
            self.kept.push(problem);
        }
    }
}

impl LoadStorage {
    /// Enough to begin with; nothing of it depends on what the file claims.
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs `work` with this storage until it has enough. The storage doubles
    /// each time, and is at most a small multiple of the file's headers.
    ///
    /// # Errors
    /// Whatever `work` fails with, except for running out of storage.
    pub fn with<R>(
        &mut self,
        file: &IgvmFile<'_>,
        host: &Host<'_>,
        mut work: impl FnMut(Storage<'_>) -> Result<R, LoadError>,
    ) -> Result<R, LoadError> {
        self.prepare(file, host);
        loop {
            match work(self.lend()) {
                Err(LoadError::StorageFull(kind)) if self.make_room(kind) => {}
                other => return other,
            }
        }
    }

    /// Makes room for what the host alone decides, and a little for the rest.
    fn prepare(&mut self, file: &IgvmFile<'_>, host: &Host<'_>) {
        self.processors.resize(host.processors as usize, Processor::reset(0));
        self.fixups.resize(fixup_pages(file, host), [0; PAGE_SIZE_4K as usize]);
        grow(&mut self.extents, 8);
        grow(&mut self.areas, 1);
    }

    fn lend(&mut self) -> Storage<'_> {
        Storage {
            extents: &mut self.extents,
            areas: &mut self.areas,
            processors: &mut self.processors,
            fixups: &mut self.fixups,
        }
    }

    /// Doubles what was full; false for what never grows.
    fn make_room(&mut self, kind: StorageKind) -> bool {
        match kind {
            StorageKind::Extents => {
                let wanted = self.extents.len() * 2;
                grow(&mut self.extents, wanted);
            }
            StorageKind::Areas => {
                let wanted = self.areas.len() * 2;
                grow(&mut self.areas, wanted);
            }
            _ => return false,
        }
        true
    }

    /// Loads a file and hands the machine to `then`.
    ///
    /// # Errors
    /// When the file does not support the platform.
    pub fn load<D: FileData + ?Sized, R>(
        &mut self,
        file: &IgvmFile<'_>,
        data: &D,
        platform: IgvmPlatformType,
        host: &Host<'_>,
        mut then: impl FnMut(Machine<'_>, Problems) -> R,
    ) -> Result<R, LoadError> {
        self.with(file, host, |storage| {
            let mut problems = Problems::default();
            let machine =
                load::load(file, data, platform, host, storage, &mut |p| problems.add(p))?;
            Ok(then(machine, problems))
        })
    }
}

self_cell! {
    /// A machine that is kept, with the storage it lies in.
    pub struct KeptMachine {
        owner: MutBorrow<LoadStorage>,
        #[covariant]
        dependent: Machine,
    }
}

impl KeptMachine {
    /// Loads a file, to look at the machine for as long as one likes.
    ///
    /// # Errors
    /// When the file does not support the platform.
    pub fn load<D: FileData + ?Sized>(
        file: &IgvmFile<'_>,
        data: &D,
        platform: IgvmPlatformType,
        host: &Host<'_>,
    ) -> Result<(Self, Problems), LoadError> {
        let mut storage = LoadStorage::new();
        storage.prepare(file, host);
        loop {
            let mut problems = Problems::default();
            let kept = Self::try_new_or_recover(MutBorrow::new(storage), |storage| {
                let storage = storage.borrow_mut().lend();
                load::load(file, data, platform, host, storage, &mut |p| problems.add(p))
            });
            match kept {
                Ok(machine) => return Ok((machine, problems)),
                Err((returned, error)) => {
                    storage = returned.into_inner();
                    match error {
                        LoadError::StorageFull(kind) if storage.make_room(kind) => {}
                        error => return Err(error),
                    }
                }
            }
        }
    }

    /// The machine.
    pub fn machine(&self) -> &Machine<'_> {
        self.borrow_dependent()
    }
}

fn grow<T: Default>(storage: &mut Vec<T>, wanted: usize) {
    if storage.len() < wanted {
        storage.resize_with(wanted, T::default);
    }
}

/// Pages that following a relocation can take: those of the largest page table
/// region, within reason, and none if nothing is to be moved.
fn fixup_pages(file: &IgvmFile<'_>, host: &Host<'_>) -> usize {
    if host.relocations.is_empty() {
        return 0;
    }
    let pages = file
        .headers()
        .take_while(|header| header.section() <= HeaderSection::Initialization)
        .filter_map(|header| match header.value() {
            Value::PageTableRelocationRegion(region) => Some(region.size / PAGE_SIZE_4K),
            _ => None,
        })
        .max();
    pages.unwrap_or(0).min(FIXUP_PAGES_MAX) as usize
}
