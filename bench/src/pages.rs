//! Files that the page is measured on: large ones, and one with a million
//! headers.

use std::fs;
use std::io;
use std::path::Path;

use igvm_core::defs::{IgvmPlatformType, PAGE_SIZE_4K};
use igvm_core::write::{FileBuilder, HeaderSpec, Version, start};

/// The compatibility mask of the native platform.
const NATIVE: u32 = 1;

/// Names, pages, and whether they have data: 64 MiB, 512 MiB, a million headers.
const FILES: [(&str, u64, bool); 3] =
    [("64m.igvm", 16_384, true), ("512m.igvm", 131_072, true), ("million.igvm", 1_000_000, false)];

/// Writes the files that are not there yet.
///
/// # Errors
/// When a file cannot be written.
pub fn write(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for (name, pages, has_data) in FILES {
        let path = folder.join(name);
        if !path.exists() {
            // First beside it: half a file must not be taken for one.
            let part = path.with_extension("part");
            fs::write(&part, file(pages, has_data))?;
            fs::rename(&part, &path)?;
        }
    }
    Ok(())
}

/// A file of so many pages, one after the other. Its processor starts in real
/// mode, in the second page.
fn file(pages: u64, has_data: bool) -> Vec<u8> {
    let mut builder = FileBuilder::new(Version::V2_X64);
    let mut push = |header: HeaderSpec<'_>| builder.push(header).expect("these are in order");
    push(HeaderSpec::platform(IgvmPlatformType::NATIVE, NATIVE));
    for number in 0..pages {
        let gpa = number * PAGE_SIZE_4K;
        if has_data || number == 1 {
            // No two pages alike.
            let page = number.to_le_bytes().repeat(PAGE_SIZE_4K as usize / 8);
            push(HeaderSpec::page(gpa, NATIVE, &page));
        } else {
            push(HeaderSpec::zero_page(gpa, NATIVE));
        }
    }
    push(HeaderSpec::native_context(NATIVE, &start::real16(0x100, 0, 0)));
    builder.finish()
}
