//! Native IGVM files from what people have: a firmware image, a Linux kernel.

mod firmware;
pub mod linux;

use igvm_defs::{IgvmPlatformType, PAGE_SIZE_4K};
use zerocopy::IntoBytes;

pub use firmware::{Entry, MAX_IMAGE_LEN, WrapError, firmware};

use super::{FileBuilder, HeaderSpec, Version, WriteError, start};

const PAGE_LEN: usize = PAGE_SIZE_4K as usize;
/// The mask of the one platform.
const MASK: u32 = 1;

// Page tables in low memory, above the real-mode interrupt vectors and the
// BIOS data area.
const PML4_GPA: u64 = 0x1000;
const PDPT_GPA: u64 = 0x2000;
/// Four page directories, of 1 GiB each.
const PD_GPA: u64 = 0x3000;

/// A file for the native platform and nothing else.
fn native_file() -> Result<FileBuilder, WriteError> {
    let mut file = FileBuilder::new(Version::V2_X64);
    file.push(HeaderSpec::platform(IgvmPlatformType::NATIVE, MASK))?;
    Ok(file)
}

/// The pages of `bytes` from `gpa` on.
fn push_pages(file: &mut FileBuilder, gpa: u64, bytes: &[u8]) -> Result<(), WriteError> {
    for (gpa, page) in (gpa..).step_by(PAGE_LEN).zip(bytes.chunks(PAGE_LEN)) {
        file.push(HeaderSpec::page_or_zero(gpa, MASK, page))?;
    }
    Ok(())
}

/// Identity map of the first 4 GiB in 2 MiB pages, with its root at
/// [`PML4_GPA`].
fn push_identity_map(file: &mut FileBuilder) -> Result<(), WriteError> {
    let directories = (PD_GPA..).step_by(PAGE_LEN).take(4);
    let pml4 = start::page_table([start::table_entry(PDPT_GPA)]);
    let pdpt = start::page_table(directories.clone().map(start::table_entry));
    file.push(HeaderSpec::page(PML4_GPA, MASK, pml4.as_bytes()))?;
    file.push(HeaderSpec::page(PDPT_GPA, MASK, pdpt.as_bytes()))?;
    for (gpa, gigabyte) in directories.zip((0_u64..).step_by(1 << 30)) {
        let pages = (gigabyte..).step_by(2 << 20).map(start::page_entry_2m);
        let directory = start::page_table(pages);
        file.push(HeaderSpec::page(gpa, MASK, directory.as_bytes()))?;
    }
    Ok(())
}
