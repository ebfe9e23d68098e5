//! Files that the page is measured on: large ones, one with a million headers,
//! and one whose million pages do not touch, the worst a file can do.

use std::fs;
use std::io;
use std::path::Path;

use igvm_core::defs::{IgvmPlatformType, PAGE_SIZE_4K};
use igvm_core::write::{FileBuilder, HeaderSpec, Version, start};

/// The compatibility mask of the native platform.
const NATIVE: u32 = 1;

struct File {
    name: &'static str,
    pages: u64,
    /// Every page has data of its own; else they are zeroes.
    has_data: bool,
    /// From one page to the next, in pages.
    stride: u64,
}

const FILES: [File; 4] = [
    File { name: "64m.igvm", pages: 16_384, has_data: true, stride: 1 },
    File { name: "512m.igvm", pages: 131_072, has_data: true, stride: 1 },
    File { name: "million.igvm", pages: 1_000_000, has_data: false, stride: 1 },
    File { name: "scattered.igvm", pages: 1_000_000, has_data: false, stride: 2 },
];

/// Writes the files that are not there yet.
///
/// # Errors
/// When a file cannot be written.
pub fn write(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for file in FILES {
        let path = folder.join(file.name);
        if !path.exists() {
            // First beside it: half a file must not be taken for one.
            let part = path.with_extension("part");
            fs::write(&part, file.bytes())?;
            fs::rename(&part, &path)?;
        }
    }
    Ok(())
}

impl File {
    /// Its processor starts in real mode, in the second page.
    fn bytes(&self) -> Vec<u8> {
        let mut builder = FileBuilder::new(Version::V2_X64);
        let mut push = |header: HeaderSpec<'_>| builder.push(header).expect("these are in order");
        push(HeaderSpec::platform(IgvmPlatformType::NATIVE, NATIVE));
        for number in 0..self.pages {
            let gpa = number * self.stride * PAGE_SIZE_4K;
            if self.has_data || number == 1 {
                // No two pages alike.
                let page = number.to_le_bytes().repeat(PAGE_SIZE_4K as usize / 8);
                push(HeaderSpec::page(gpa, NATIVE, &page));
            } else {
                push(HeaderSpec::zero_page(gpa, NATIVE));
            }
        }
        let segment = (self.stride * PAGE_SIZE_4K) >> 4;
        push(HeaderSpec::native_context(NATIVE, &start::real16(segment as u16, 0, 0)));
        builder.finish()
    }
}
