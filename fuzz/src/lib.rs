//! What the fuzz targets share: an input becomes an IGVM file and a host.

pub mod pc;

use igvm_core::defs::IGVM_VHS_MEMORY_MAP_ENTRY;
use igvm_core::file::IgvmFile;
use igvm_core::load::{Host, Relocation, RequiredMemoryPolicy};
use igvm_core::platform::PLATFORMS;
use igvm_core::span::Span;
use igvm_core::wire::Value;

use igvm_conformance::machine::Room;
use igvm_conformance::mutate::{repair_checksum, set_total_size};

/// The input with a CRC and a size that are right, unless its last byte is
/// odd: without that hardly any mutation gets past the first rules.
pub fn file(input: &[u8]) -> Vec<u8> {
    let mut bytes = input.to_vec();
    if input.last().is_some_and(|last| last & 1 == 0) {
        set_total_size(&mut bytes);
        repair_checksum(&mut bytes);
    }
    bytes
}

/// RAM of the small host, in two pieces.
const RAM: [Span; 2] = [Span::new(0, 0xa_0000), Span::new(0x10_0000, 0x70_0000)];
const TABLE: [u8; 44] = [0x41; 44];

/// Calls `with` with small hosts: processors, tables and policies differ, and
/// the regions of the file stay or go where the input says.
pub fn hosts(bytes: &[u8], mut with: impl FnMut(&Host<'_>)) {
    let entry = |span: &Span| IGVM_VHS_MEMORY_MAP_ENTRY {
        starting_gpa_page_number: span.start >> 12,
        number_of_pages: span.len >> 12,
        entry_type: Default::default(),
        flags: Default::default(),
        reserved: 0,
    };
    let map = RAM.each_ref().map(entry);
    let relocations = relocations(bytes);
    let plain = Host::new(&RAM, &map);
    with(&plain);
    with(&Host {
        processors: 3,
        command_line: b"console=ttyS0",
        madt: &TABLE,
        srat: &TABLE,
        memory_is_shared: true,
        required_memory: RequiredMemoryPolicy::Fail,
        relocations: &relocations,
        ..plain
    });
}

/// Wants the first regions of the file elsewhere; how far, its bytes say.
fn relocations(bytes: &[u8]) -> Vec<Relocation> {
    let Ok(file) = IgvmFile::parse(bytes) else { return Vec::new() };
    let starts = file.headers().filter_map(|header| match header.value() {
        Value::RelocatableRegion(region) => Some(region.relocation_region_gpa),
        Value::PageTableRelocationRegion(region) => Some(region.gpa),
        _ => None,
    });
    let steps = bytes.iter().rev().skip(1).copied().chain([1]).cycle();
    starts
        .take(4)
        .zip(steps)
        .map(|(from, step)| {
            let by = u64::from(step & 0x3f) << if step & 0x40 == 0 { 12 } else { 21 };
            let to = if step & 0x80 == 0 { from.wrapping_add(by) } else { from.wrapping_sub(by) };
            Relocation { from, to }
        })
        .collect()
}

/// Calls `with` for each platform that the file declares.
pub fn platforms(
    bytes: &[u8],
    mut with: impl FnMut(&IgvmFile<'_>, igvm_core::defs::IgvmPlatformType),
) {
    let Ok(file) = IgvmFile::parse(bytes) else { return };
    for (platform, _) in PLATFORMS {
        if file.platform(platform).is_some() {
            with(&file, platform);
        }
    }
}

/// Storage for one input; small, so that running out of it is met too.
pub fn room() -> Room {
    Room::new(6, 2, 4, 24)
}
