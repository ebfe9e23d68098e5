//! A guest that the loader may move.

use igvm_core::defs::{
    IGVM_VHF_RELOCATABLE_REGION_APPLY_GDTR, IGVM_VHF_RELOCATABLE_REGION_APPLY_PC,
    IGVM_VHS_PAGE_TABLE_RELOCATION, IGVM_VHS_RELOCATABLE_REGION,
};
use igvm_core::write::{HeaderSpec, start};
use zerocopy::IntoBytes;

use crate::Sample;
use crate::guest;
use crate::layout::{self, NATIVE, PAGE_2M, PAGE_4K, STACK, STACK_TOP, push};

const LINE: &str = "Hello from wherever I was put!\n";

pub(crate) const SAMPLE: Sample = Sample {
    name: "relocatable",
    title: "Program and GDT may be loaded elsewhere: the loader then adjusts RIP, GDTR and the \
            page tables, for which spare tables are set aside.",
    prints: LINE,
    committed: true,
    build,
};

/// The region that moves: as large as the one page that maps it.
const REGION: u64 = 0x20_0000;
const REGION_GDT: u64 = REGION;
const REGION_CODE: u64 = REGION + PAGE_4K;
/// Where it may end at most: from 1 GiB on, the page tables need another
/// directory.
const REGION_LIMIT: u64 = 0x8000_0000;

/// The page tables: three in use, thirteen spare ones.
const TABLES: u64 = 0x10_0000;
const TABLES_USED: u64 = 3 * PAGE_4K;
const TABLES_SIZE: u64 = 16 * PAGE_4K;

fn build() -> Vec<u8> {
    let mut file = layout::native_file();
    push(
        &mut file,
        HeaderSpec::RelocatableRegion(IGVM_VHS_RELOCATABLE_REGION {
            compatibility_mask: NATIVE,
            vp_index: 0,
            vtl: 0,
            flags: IGVM_VHF_RELOCATABLE_REGION_APPLY_PC | IGVM_VHF_RELOCATABLE_REGION_APPLY_GDTR,
            relocation_alignment: PAGE_2M,
            relocation_region_gpa: REGION,
            relocation_region_size: PAGE_2M,
            minimum_relocation_gpa: REGION,
            maximum_relocation_gpa: REGION_LIMIT,
        }),
    );
    push(
        &mut file,
        HeaderSpec::PageTableRelocationRegion(IGVM_VHS_PAGE_TABLE_RELOCATION {
            compatibility_mask: NATIVE,
            vp_index: 0,
            vtl: 0,
            reserved: 0,
            gpa: TABLES,
            size: TABLES_SIZE,
            used_size: TABLES_USED,
        }),
    );
    let [pml4, pdpt, pd] = [TABLES, TABLES + PAGE_4K, TABLES + 2 * PAGE_4K];
    layout::push_table(&mut file, NATIVE, pml4, [start::table_entry(pdpt)]);
    layout::push_table(&mut file, NATIVE, pdpt, [start::table_entry(pd)]);
    let pages = [0, REGION].map(start::page_entry_2m);
    layout::push_table(&mut file, NATIVE, pd, pages);

    push(&mut file, HeaderSpec::page(REGION_GDT, NATIVE, start::FLAT_GDT.as_bytes()));
    push(&mut file, HeaderSpec::page(REGION_CODE, NATIVE, &guest::hello64(LINE)));
    // RSP is not among the registers that a loader adjusts: the stack stays.
    push(&mut file, HeaderSpec::zero_page(STACK, NATIVE));
    let context = start::long64(REGION_CODE, STACK_TOP, REGION_GDT as u32, pml4);
    push(&mut file, HeaderSpec::native_context(NATIVE, &context));
    file.finish()
}
