//! Checking files on a host of 256 MiB.

use igvm_core::check::{Finding, check};
use igvm_core::defs::{IGVM_VHS_MEMORY_MAP_ENTRY, MemoryMapEntryType};
use igvm_core::file::IgvmFile;
use igvm_core::load::{AreaBlock, ExtentBlock, Host, Processor, Storage};
use igvm_core::span::Span;

/// 256 MiB of RAM.
const RAM: [Span; 1] = [Span::new(0, 256 << 20)];
const MEMORY_MAP: [IGVM_VHS_MEMORY_MAP_ENTRY; 1] = [IGVM_VHS_MEMORY_MAP_ENTRY {
    starting_gpa_page_number: 0,
    number_of_pages: (256 << 20) / 4096,
    entry_type: MemoryMapEntryType::MEMORY,
    flags: 0,
    reserved: 0,
}];

/// Every finding about a file.
pub(crate) fn findings(file: &[u8], host: &Host<'_>) -> Vec<Finding> {
    let mut extents = vec![ExtentBlock::new(); 4];
    let mut areas = vec![AreaBlock::new(); 1];
    let mut processors = vec![Processor::default(); host.processors as usize];
    let mut fixups = vec![[0; 4096]; 16];
    let storage = Storage {
        extents: &mut extents,
        areas: &mut areas,
        processors: &mut processors,
        fixups: &mut fixups,
    };
    let mut all = Vec::new();
    let parsed = IgvmFile::parse(file).unwrap();
    check(&parsed, file, host, storage, &mut |finding| all.push(finding)).unwrap();
    all
}

/// One processor, 256 MiB of RAM.
pub(crate) fn host() -> Host<'static> {
    Host::new(&RAM, &MEMORY_MAP)
}

/// The findings, a line each.
pub(crate) fn lines(findings: &[Finding]) -> String {
    findings.iter().map(|f| format!("  {} {}: {f}\n", f.rule.severity, f.rule.id)).collect()
}
