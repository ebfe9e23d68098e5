//! Loading in storage of a fixed size.

use igvm_core::defs::IgvmPlatformType;
use igvm_core::file::IgvmFile;
use igvm_core::load::{
    AreaBlock, ExtentBlock, FixupPage, Host, LoadError, Machine, Problem, Processor, Storage, load,
};
use igvm_core::span::Span;

/// Storage for loads, used again and again.
pub struct Room {
    extents: Vec<ExtentBlock>,
    areas: Vec<AreaBlock>,
    processors: Vec<Processor>,
    fixups: Vec<FixupPage>,
}

impl Room {
    /// Storage for this many blocks of extents and of areas, processors, and
    /// pages of page tables.
    pub fn new(extents: usize, areas: usize, processors: usize, fixups: usize) -> Self {
        Self {
            extents: vec![ExtentBlock::new(); extents],
            areas: vec![AreaBlock::new(); areas],
            processors: vec![Processor::default(); processors],
            fixups: vec![[0; 4096]; fixups],
        }
    }

    /// Lends it.
    pub fn lend(&mut self) -> Storage<'_> {
        Storage {
            extents: &mut self.extents,
            areas: &mut self.areas,
            processors: &mut self.processors,
            fixups: &mut self.fixups,
        }
    }

    /// Loads a file that is in memory.
    ///
    /// # Errors
    /// As [`load`].
    pub fn load(
        &mut self,
        bytes: &[u8],
        platform: IgvmPlatformType,
        host: &Host<'_>,
        problem: &mut dyn FnMut(Problem),
    ) -> Result<Machine<'_>, LoadError> {
        let file = IgvmFile::parse(bytes).expect("the caller has parsed it");
        load(&file, bytes, platform, host, self.lend(), problem)
    }
}

/// Looks at everything that a machine offers, and holds it to what must be true
/// of every machine.
pub fn inspect(machine: &Machine<'_>, host: &Host<'_>) {
    let mut ranges: Vec<Span> = Vec::new();
    machine.memory_ranges(host, &mut |span| ranges.push(span));
    for pair in ranges.windows(2) {
        assert!(pair[0].end() < pair[1].start, "not sorted, or adjacent: {pair:?}");
    }
    for range in &ranges {
        assert!(!range.is_empty());
        assert_eq!((range.start % 4096, range.len % 4096), (0, 0), "{range}");
    }
    let mut last = 0;
    for extent in machine.image().extents(igvm_core::load::Space::Guest) {
        assert!(!extent.span.is_empty() && extent.span.start >= last);
        last = extent.span.end();
        assert!(ranges.iter().any(|range| range.contains_span(extent.span)), "{extent:?}");
        assert!(machine.is_memory(extent.span.start, host));
        let (first, last) = extent.writers();
        assert!(first <= last);
    }
    for area in machine.areas().iter() {
        assert_eq!(machine.areas().get(area.index), Some(area));
    }
}
