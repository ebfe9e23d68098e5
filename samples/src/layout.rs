//! Where the samples put things in guest memory, and the pages every sample in
//! protected or long mode needs.

use igvm_core::defs::{IgvmNativeVpContextX64, IgvmPlatformType};
use igvm_core::write::{FileBuilder, HeaderSpec, Version, start};
use zerocopy::IntoBytes;

/// Root of the page tables; the lower levels follow page by page.
pub(crate) const PML4: u64 = 0x1000;
const PDPT: u64 = 0x2000;
const PD: u64 = 0x3000;
const PT: u64 = 0x4000;
/// The page with [`start::FLAT_GDT`].
pub(crate) const GDT: u64 = 0x6000;
/// The stack, one page, and its top.
pub(crate) const STACK: u64 = 0x8000;
pub(crate) const STACK_TOP: u64 = 0x9000;
/// The program.
pub(crate) const CODE: u64 = 0x1_0000;

/// The mask of samples with one platform.
pub(crate) const NATIVE: u32 = 1;

pub(crate) const PAGE_4K: u64 = 0x1000;
pub(crate) const PAGE_2M: u64 = 0x20_0000;

/// A version 2 file for the native platform alone.
pub(crate) fn native_file() -> FileBuilder {
    let mut file = FileBuilder::new(Version::V2_X64);
    push(&mut file, HeaderSpec::platform(IgvmPlatformType::NATIVE, NATIVE));
    file
}

/// Appends a header of a sample.
pub(crate) fn push(file: &mut FileBuilder, header: HeaderSpec<'_>) {
    file.push(header).expect("a sample is small and its headers are in order");
}

/// The descriptor table and an empty stack.
pub(crate) fn push_gdt_and_stack(file: &mut FileBuilder, mask: u32) {
    push(file, HeaderSpec::page(GDT, mask, start::FLAT_GDT.as_bytes()));
    push(file, HeaderSpec::zero_page(STACK, mask));
}

/// Page tables that map the first `count` times 2 MiB as they are, in large
/// pages.
pub(crate) fn push_identity_2m(file: &mut FileBuilder, mask: u32, count: u64) {
    let pages = (0..count).map(|index| start::page_entry_2m(index * PAGE_2M));
    push_upper_tables(file, mask);
    push_table(file, mask, PD, pages);
}

/// Page tables that map the first 2 MiB as they are, in 4 KiB pages.
pub(crate) fn push_identity_4k(file: &mut FileBuilder, mask: u32) {
    let pages = (0..512).map(|index| start::page_entry_4k(index * PAGE_4K));
    push_upper_tables(file, mask);
    push_table(file, mask, PD, [start::table_entry(PT)]);
    push_table(file, mask, PT, pages);
}

fn push_upper_tables(file: &mut FileBuilder, mask: u32) {
    push_table(file, mask, PML4, [start::table_entry(PDPT)]);
    push_table(file, mask, PDPT, [start::table_entry(PD)]);
}

/// One page table, of any level, with these first entries.
pub(crate) fn push_table(
    file: &mut FileBuilder,
    mask: u32,
    gpa: u64,
    entries: impl IntoIterator<Item = u64>,
) {
    push(file, HeaderSpec::page(gpa, mask, start::page_table(entries).as_bytes()));
}

/// Everything 64-bit mode needs but the program: tables, stack, and a context
/// that starts at [`CODE`].
pub(crate) fn push_long64(file: &mut FileBuilder, mask: u32) -> IgvmNativeVpContextX64 {
    push_identity_2m(file, mask, 1);
    push_gdt_and_stack(file, mask);
    long64_context()
}

/// 64-bit mode at [`CODE`] with the tables and the stack of this layout.
pub(crate) fn long64_context() -> IgvmNativeVpContextX64 {
    start::long64(CODE, STACK_TOP, GDT as u32, PML4)
}
