//! Good files to break.

use igvm_core::defs::{IgvmNativeVpContextX64, IgvmPlatformType as Platform, VbsVpContextRegister};
use igvm_core::file::IgvmFile;
use igvm_core::write::{Context, FileBuilder, HeaderSpec, Version, start};
use igvm_core::x86::RegisterFile;
use zerocopy::IntoBytes;

use crate::context::{self, SEV_FEATURE_SNP};
use crate::hello::RESET_PAGE;
use crate::layout::{CODE, NATIVE, PAGE_4K, PML4, STACK, STACK_TOP, push, push_table};

/// The descriptor table, in the page of the program.
pub(super) const GDT: u64 = CODE + 0x800;
/// The save area of an SNP processor.
pub(super) const VMSA: u64 = 0xffff_ffff_f000;

/// One HLT after the other: a program wherever it is entered.
pub(super) const HALTS: [u8; PAGE_4K as usize] = [0xf4; PAGE_4K as usize];

/// A file of these headers and nothing else.
pub(super) fn file_of<'a>(
    version: Version,
    headers: impl IntoIterator<Item = HeaderSpec<'a>>,
) -> Vec<u8> {
    let mut file = FileBuilder::new(version);
    file.allow_any_order();
    for header in headers {
        push(&mut file, header);
    }
    file.finish()
}

/// The native platform.
pub(super) const fn native<'a>() -> HeaderSpec<'a> {
    HeaderSpec::platform(Platform::NATIVE, NATIVE)
}

/// A native guest that starts at the reset vector, with these headers before
/// its only page and behind it.
pub(super) fn reset_with(init: &[HeaderSpec<'_>], directives: &[HeaderSpec<'_>]) -> Vec<u8> {
    on(&[native()], init, directives)
}

/// The same for other platforms; the page is for mask bit 0.
pub(super) fn on(
    platforms: &[HeaderSpec<'_>],
    init: &[HeaderSpec<'_>],
    directives: &[HeaderSpec<'_>],
) -> Vec<u8> {
    let page = HeaderSpec::page(RESET_PAGE, NATIVE, &HALTS);
    let headers = platforms.iter().chain(init).copied();
    file_of(Version::V2_X64, headers.chain([page]).chain(directives.iter().copied()))
}

/// A native guest whose only page is one of zeroes: nothing in the file
/// depends on where something else lies.
pub(super) fn without_data(directives: &[HeaderSpec<'_>]) -> Vec<u8> {
    let page = HeaderSpec::zero_page(RESET_PAGE, NATIVE);
    file_of(Version::V2_X64, [native(), page].into_iter().chain(directives.iter().copied()))
}

/// The program, its descriptor table and its stack.
fn push_program(file: &mut FileBuilder, mask: u32) {
    let mut page = HALTS;
    let table = start::FLAT_GDT.as_bytes();
    let at = (GDT - CODE) as usize;
    page[at..at + table.len()].copy_from_slice(table);
    push(file, HeaderSpec::page(CODE, mask, &page));
    push(file, HeaderSpec::zero_page(STACK, mask));
}

/// Context of a guest in protected mode without paging.
pub(super) fn protected_context() -> IgvmNativeVpContextX64 {
    start::protected32(CODE as u32, STACK_TOP as u32, GDT as u32)
}

/// A guest in protected mode, with these headers before its pages and behind
/// its context.
pub(super) fn protected_with(
    init: &[HeaderSpec<'_>],
    directives: &[HeaderSpec<'_>],
    edit: fn(&mut IgvmNativeVpContextX64),
) -> Vec<u8> {
    let mut file = FileBuilder::new(Version::V2_X64);
    file.allow_any_order();
    push(&mut file, native());
    for header in init {
        push(&mut file, *header);
    }
    push_program(&mut file, NATIVE);
    let mut context = protected_context();
    edit(&mut context);
    push(&mut file, HeaderSpec::native_context(NATIVE, &context));
    for header in directives {
        push(&mut file, *header);
    }
    file.finish()
}

/// A guest in protected mode with a changed context.
pub(super) fn protected(edit: fn(&mut IgvmNativeVpContextX64)) -> Vec<u8> {
    protected_with(&[], &[], edit)
}

/// Context of a guest in real mode.
pub(super) fn real_context() -> IgvmNativeVpContextX64 {
    start::real16((CODE >> 4) as u16, 0, 0x800)
}

/// A guest in real mode with a changed context.
pub(super) fn real(edit: fn(&mut IgvmNativeVpContextX64)) -> Vec<u8> {
    let mut context = real_context();
    edit(&mut context);
    file_of(
        Version::V2_X64,
        [
            native(),
            HeaderSpec::page(CODE, NATIVE, &HALTS),
            HeaderSpec::native_context(NATIVE, &context),
        ],
    )
}

/// A guest in 64-bit mode with a changed context; `attributes` are more bits
/// for the one entry that maps the first GiB.
pub(super) fn long_mapped(attributes: u64, edit: fn(&mut IgvmNativeVpContextX64)) -> Vec<u8> {
    let mut file = FileBuilder::new(Version::V2_X64);
    push(&mut file, native());
    push_long_tables(&mut file, NATIVE, attributes);
    let mut context = start::long64(CODE, STACK_TOP, GDT as u32, PML4);
    edit(&mut context);
    push(&mut file, HeaderSpec::native_context(NATIVE, &context));
    file.finish()
}

fn push_long_tables(file: &mut FileBuilder, mask: u32, attributes: u64) {
    let pdpt = PML4 + PAGE_4K;
    push_table(file, mask, PML4, [start::table_entry(pdpt)]);
    push_table(file, mask, pdpt, [start::page_entry_2m(0) | attributes]);
    push_program(file, mask);
}

/// A guest in 64-bit mode with a changed context.
pub(super) fn long(edit: fn(&mut IgvmNativeVpContextX64)) -> Vec<u8> {
    long_mapped(0, edit)
}

/// An SNP guest in protected mode with changed registers.
pub(super) fn save_area(edit: fn(&mut RegisterFile)) -> Vec<u8> {
    let mut registers = context::registers_of(&protected_context());
    edit(&mut registers);
    let vmsa = context::vmsa(&registers, SEV_FEATURE_SNP);
    snp(VMSA, Context::Vmsa(&vmsa))
}

/// An SNP guest with this context.
pub(super) fn snp(gpa: u64, context: Context<'_>) -> Vec<u8> {
    let mut file = FileBuilder::new(Version::V2_X64);
    push(&mut file, HeaderSpec::platform(Platform::SEV_SNP, NATIVE));
    push_program(&mut file, NATIVE);
    push(&mut file, HeaderSpec::VpContext { gpa, mask: NATIVE, vp_index: 0, context });
    file.finish()
}

/// A VSM guest in protected mode with changed registers.
pub(super) fn vsm(edit: fn(&mut Vec<VbsVpContextRegister>)) -> Vec<u8> {
    vsm_for(0, edit)
}

/// The same, its context being for this processor.
pub(super) fn vsm_for(vp_index: u16, edit: fn(&mut Vec<VbsVpContextRegister>)) -> Vec<u8> {
    let mut registers = context::vbs_registers(&context::registers_of(&protected_context()));
    edit(&mut registers);
    let mut file = FileBuilder::new(Version::V2_X64);
    push(&mut file, HeaderSpec::platform(Platform::VSM_ISOLATION, NATIVE));
    push_program(&mut file, NATIVE);
    let context = Context::Vbs(&registers);
    push(&mut file, HeaderSpec::VpContext { gpa: 0, mask: NATIVE, vp_index, context });
    file.finish()
}

/// A register of a VSM context, for VTL 0.
pub(super) fn hyper_v(name: u32, value: u64) -> VbsVpContextRegister {
    VbsVpContextRegister {
        vtl: 0,
        register_name: name.into(),
        mbz: [0; 11],
        register_value: u128::from(value).to_le_bytes(),
    }
}

/// Overwrites bytes of a file.
pub(super) fn put(file: &mut [u8], at: usize, bytes: &[u8]) {
    file[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Overwrites a number of the fixed header.
pub(super) fn set(file: &mut [u8], at: usize, value: usize) {
    put(file, at, &u32::try_from(value).expect("a sample is small").to_le_bytes());
}

/// Offsets of the fixed header's fields.
pub(super) const SECTION_OFFSET: usize = 8;
pub(super) const SECTION_SIZE: usize = 12;
pub(super) const TOTAL_SIZE: usize = 16;
pub(super) const CHECKSUM: usize = 20;

/// Makes the checksum right again after a change.
pub(super) fn repaired(mut file: Vec<u8>) -> Vec<u8> {
    let checksum = IgvmFile::parse(&file).expect("a fixed header").compute_checksum();
    if let Some(checksum) = checksum {
        put(&mut file, CHECKSUM, &checksum.to_le_bytes());
    }
    file
}

/// Makes total size and checksum right again after a change of length.
pub(super) fn resized(mut file: Vec<u8>) -> Vec<u8> {
    let len = file.len();
    set(&mut file, TOTAL_SIZE, len);
    repaired(file)
}

/// Where the first context of a file has its data.
pub(super) fn context_data(file: &[u8]) -> usize {
    let parsed = IgvmFile::parse(file).expect("a fixed header");
    let span = parsed
        .headers()
        .filter(|header| {
            header.typ() == igvm_core::defs::IgvmVariableHeaderType::IGVM_VHT_VP_CONTEXT
        })
        .find_map(|header| parsed.data_range(&header, file))
        .expect("a context with data");
    usize::try_from(span.start).expect("a sample is small")
}
