//! Decoding and checking, with storage that is there beforehand.

use igvm_analysis::host::{HostDescription, HostTables};
use igvm_core::check::{Severity, check};
use igvm_core::file::IgvmFile;
use igvm_core::load::{AreaBlock, ExtentBlock, Processor, Storage};
use igvm_core::wire::Value;

use crate::large::{PAGES, RAM};

/// The machine that the file is checked for.
pub fn host() -> HostTables {
    HostTables::new(HostDescription { memory: RAM, ..HostDescription::default() })
        .expect("a machine of one processor can be")
}

/// Storage for the load of any file of as many pages.
pub struct CheckStorage {
    extents: Vec<ExtentBlock>,
    areas: Vec<AreaBlock>,
    processors: Vec<Processor>,
}

impl CheckStorage {
    /// Enough for pages of which no two make one extent.
    pub fn new() -> Self {
        // Blocks that were split are half full.
        let blocks = 2 * PAGES / igvm_core::load::BLOCK_LEN + 1;
        Self {
            extents: vec![ExtentBlock::new(); blocks],
            areas: vec![AreaBlock::new(); 1],
            processors: vec![Processor::reset(0)],
        }
    }

    fn lend(&mut self) -> Storage<'_> {
        Storage {
            extents: &mut self.extents,
            areas: &mut self.areas,
            processors: &mut self.processors,
            fixups: &mut [],
        }
    }

    /// Reads a file and runs the rule book over headers, load and machine.
    /// Returns the findings of severity error.
    pub fn decode_and_check(&mut self, bytes: &[u8], host: &HostTables) -> u64 {
        let file = IgvmFile::parse(bytes).expect("the file was written by the writer");
        let mut errors = 0;
        check(&file, bytes, &host.host(), self.lend(), &mut |finding| {
            errors += u64::from(finding.rule.severity == Severity::Error);
        })
        .expect("the storage is for files of this size");
        errors
    }
}

impl Default for CheckStorage {
    fn default() -> Self {
        Self::new()
    }
}

/// Decodes every header and its value; nothing is checked. Returns the sum of
/// the addresses of the pages.
pub fn decode(bytes: &[u8]) -> u64 {
    let file = IgvmFile::parse(bytes).expect("the file was written by the writer");
    file.headers().fold(0, |sum, header| match header.value() {
        Value::PageData(page) => sum.wrapping_add(page.gpa),
        _ => sum,
    })
}

/// What the reference reader makes of a file: how many directives it has.
pub fn reference(bytes: &[u8]) -> usize {
    igvm::IgvmFile::new_from_binary(bytes, None)
        .expect("the reference reader takes the file")
        .directives()
        .len()
}
