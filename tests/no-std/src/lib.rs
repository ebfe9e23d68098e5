//! Proof that `igvm-core` needs neither std nor an allocator.
//!
//! Built as a module for `wasm32-unknown-unknown`, where nothing can be linked
//! in silently: what is not in the module is an import, and memory that is
//! allocated is memory that grows. `cargo xtask test --only no-std` builds it
//! and looks for both.
#![no_std]

use core::fmt::{self, Write};

use igvm_core::check::check;
use igvm_core::file::IgvmFile;
use igvm_core::load::{
    AreaBlock, ExtentBlock, FixupPage, Host, Processor, Relocation, Storage, load,
};
use igvm_core::platform::platform_name;
use igvm_core::span::Span;
use igvm_core::wire::kind_name;
use igvm_core::x86::paging::{mappings, walk};

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// Reads the IGVM file at `start` and folds all it says into one number, so
/// that no part of the reading can be optimised out.
///
/// # Safety
/// `start` and `len` must name readable bytes that nobody changes during the
/// call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn igvm_digest(start: *const u8, len: usize) -> u32 {
    // SAFETY: the caller vouches for the range, see above.
    let bytes = unsafe { core::slice::from_raw_parts(start, len) };
    let mut digest = Digest(0);
    // A `Digest` takes any text.
    let _ = fold_file(bytes, &mut digest);
    digest.0
}

fn fold_file(bytes: &[u8], digest: &mut Digest) -> fmt::Result {
    let file = match IgvmFile::parse(bytes) {
        Ok(file) => file,
        Err(error) => return write!(digest, "{error}"),
    };
    write!(digest, "{:?} {:?}", file.fixed(), file.compute_checksum())?;
    for platform in file.platforms() {
        write!(digest, "{:?} {platform:?}", platform_name(platform.platform_type))?;
    }
    let mut headers = file.headers();
    for header in headers.by_ref() {
        write!(
            digest,
            "{:?} {:?} {} {:?} {} {:?}",
            header.reference(),
            kind_name(header.typ()),
            header.section(),
            header.value(),
            header.range(),
            file.data_range(&header, bytes),
        )?;
    }
    if let Some(stop) = headers.stop() {
        write!(digest, "{stop}")?;
    }
    fold_machines(&file, bytes, digest)
}

/// Loads, walks and checks in storage on the stack.
fn fold_machines(file: &IgvmFile<'_>, bytes: &[u8], digest: &mut Digest) -> fmt::Result {
    let relocations = [Relocation { from: 0x20_0000, to: 0x60_0000 }];
    let ram = [Span::new(0, 64 << 20)];
    let host = Host { relocations: &relocations, ..Host::new(&ram, &[]) };
    let mut extents = [const { ExtentBlock::new() }; 2];
    let mut areas = [const { AreaBlock::new() }; 1];
    let mut processors = [Processor::reset(0)];
    let mut fixups: [FixupPage; 2] = [[0; 4096]; 2];
    for platform in file.platforms() {
        let storage = Storage {
            extents: &mut extents,
            areas: &mut areas,
            processors: &mut processors,
            fixups: &mut fixups,
        };
        let mut problem = |problem| {
            let _ = write!(digest, "{problem:?}");
        };
        let loaded = load(file, bytes, platform.platform_type, &host, storage, &mut problem);
        let Ok(machine) = loaded else { continue };
        let memory = machine.memory(bytes, &host);
        if let Some(boot) = machine.boot_processor() {
            let there = walk(&boot.registers, &memory, boot.registers.rip);
            write!(digest, "{boot:?} {:?}", there.result)?;
            for mapping in mappings(&boot.registers, &memory, 1 << 12).merged() {
                write!(digest, "{mapping:?}")?;
            }
        }
        machine.memory_ranges(&host, &mut |range| {
            let _ = write!(digest, "{range}");
        });
    }
    let storage = Storage {
        extents: &mut extents,
        areas: &mut areas,
        processors: &mut processors,
        fixups: &mut fixups,
    };
    let mut finding = |finding| {
        let _ = write!(digest, "{finding}");
    };
    let checked = check(file, bytes, &host, storage, &mut finding);
    write!(digest, "{checked:?}")
}

/// A running hash of text.
struct Digest(u32);

impl Write for Digest {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = self.0.rotate_left(5) ^ u32::from(byte);
        }
        Ok(())
    }
}
