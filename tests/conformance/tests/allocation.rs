//! Decoding, checking, loading and walking in lent storage allocate nothing at all, so nothing
//! that the numbers of a file could choose.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fmt::Write;

use igvm_conformance::machine::Room;
use igvm_conformance::mutate;
use igvm_conformance::random::Random;
use igvm_core::check::check;
use igvm_core::file::IgvmFile;
use igvm_core::load::{Host, Relocation};
use igvm_core::platform::PLATFORMS;
use igvm_core::span::Span;
use igvm_core::x86::paging::{mappings, walk};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes on to the system's allocator as it came; the count is
// a plain thread-local number that needs no allocation itself.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`, and every block
        // comes from `System`.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Takes words without keeping them.
struct Nowhere;

impl Write for Nowhere {
    fn write_str(&mut self, _: &str) -> std::fmt::Result {
        Ok(())
    }
}

/// The whole way from bytes to memory and mappings, in lent storage.
fn pipeline(bytes: &[u8], room: &mut Room, host: &Host<'_>) {
    let file = match IgvmFile::parse(bytes) {
        Ok(file) => file,
        Err(error) => return write!(Nowhere, "{error}").unwrap(),
    };
    let _ = file.compute_checksum();
    for header in file.headers() {
        write!(Nowhere, "{:?} {:?}", header.value(), file.data_range(&header, bytes)).unwrap();
    }
    let _ = check(&file, bytes, host, room.lend(), &mut |finding| {
        write!(Nowhere, "{finding}").unwrap();
    });
    for (platform, _) in PLATFORMS {
        let mut say = |problem: igvm_core::load::Problem| {
            write!(Nowhere, "{}", problem.kind).unwrap();
        };
        let Ok(machine) = room.load(bytes, platform, host, &mut say) else { continue };
        machine.memory_ranges(host, &mut |span| write!(Nowhere, "{span}").unwrap());
        let memory = machine.memory(bytes, host);
        for processor in machine.processors() {
            let registers = &processor.registers;
            let _ = walk(registers, &memory, registers.rip);
            let _ = mappings(registers, &memory, 2000).count();
        }
        let mut page = [0; 4096];
        let _ = memory.read(0x1000, &mut page);
        for extent in machine.image().extents(igvm_core::load::Space::Guest).take(64) {
            let _ = memory.fill(extent, &mut page[..extent.span.len.min(4096) as usize]);
        }
    }
}

#[test]
fn nothing_is_allocated() {
    let mut room = Room::new(64, 8, 4, 64);
    let ram = [Span::new(0, 64 << 20)];
    let relocations = [Relocation { from: 0x20_0000, to: 0x60_0000 }];
    let mut random = Random::new(1);
    for relocations in [&[][..], &relocations] {
        let host = Host { processors: 4, relocations, ..Host::new(&ram, &[]) };
        for sample in igvm_samples::all() {
            let bytes = (sample.build)();
            let damaged: Vec<Vec<u8>> = (0..if bytes.len() < 64 << 10 { 200 } else { 2 })
                .map(|_| mutate::damage(&bytes, &mut random))
                .collect();
            let before = ALLOCATIONS.get();
            for bytes in damaged.iter().chain([&bytes]) {
                pipeline(bytes, &mut room, &host);
            }
            assert_eq!(ALLOCATIONS.get(), before, "{}", sample.name);
        }
    }
    // The count does count.
    let before = ALLOCATIONS.get();
    drop(vec![1u8; 100]);
    assert_eq!(ALLOCATIONS.get(), before + 1);
}
