//! Native contexts that a processor accepts as they stand, one per mode, with
//! the descriptor table and the page tables they need.
//!
//! Selectors and hidden parts agree with [`FLAT_GDT`], so that code which
//! reloads a segment register finds what it had. Accessed bits are set and
//! RFLAGS has its bit 1, as the VM-entry checks ask for (SDM volume 3, "Checks
//! on Guest Segment Registers"). The IDT is empty outside real mode: an
//! exception shuts the processor down instead of running into nowhere.

use igvm_defs::IgvmNativeVpContextX64;
use zerocopy::FromZeros;

use crate::x86::bits::{cr0, cr4, efer, page_entry, rflags};

/// The descriptors behind the selectors below: null, flat 32-bit code, flat
/// data, 64-bit code; all present, of ring 0 and accessed.
pub const FLAT_GDT: [u64; 4] =
    [0, 0x00cf_9b00_0000_ffff, 0x00cf_9300_0000_ffff, 0x00af_9b00_0000_ffff];

/// Selector of the flat 32-bit code segment of [`FLAT_GDT`].
pub const CODE32: u16 = 0x08;
/// Selector of the flat data segment of [`FLAT_GDT`].
pub const DATA: u16 = 0x10;
/// Selector of the 64-bit code segment of [`FLAT_GDT`].
pub const CODE64: u16 = 0x18;

/// Page-table entry: present and writable.
const TABLE_ENTRY: u64 = page_entry::P | page_entry::RW;
/// Page-directory entry: present, writable, a 2 MiB page.
const PAGE_ENTRY_2M: u64 = TABLE_ENTRY | page_entry::PS;

/// Real mode. CS, DS, ES, FS, GS and SS start at `segment * 16`.
pub fn real16(segment: u16, ip: u16, sp: u16) -> IgvmNativeVpContextX64 {
    let base = u32::from(segment) << 4;
    IgvmNativeVpContextX64 {
        rip: ip.into(),
        rsp: sp.into(),
        rflags: rflags::FIXED,
        // The interrupt vectors, where reset leaves them.
        idtr_limit: 0x3ff,
        code_selector: segment,
        code_attributes: 0x009b,
        code_base: base,
        code_limit: 0xffff,
        data_selector: segment,
        data_attributes: 0x0093,
        data_base: base,
        data_limit: 0xffff,
        gs_base: base.into(),
        cr0: cr0::ET,
        ..IgvmNativeVpContextX64::new_zeroed()
    }
}

/// Protected mode with flat 32-bit segments and without paging. [`FLAT_GDT`]
/// must stand at `gdt`.
pub fn protected32(rip: u32, rsp: u32, gdt: u32) -> IgvmNativeVpContextX64 {
    IgvmNativeVpContextX64 {
        rip: rip.into(),
        rsp: rsp.into(),
        rflags: rflags::FIXED,
        gdtr_base: gdt.into(),
        gdtr_limit: (size_of_val(&FLAT_GDT) as u16).saturating_sub(1),
        code_selector: CODE32,
        code_attributes: 0xc09b,
        code_limit: u32::MAX,
        data_selector: DATA,
        data_attributes: 0xc093,
        data_limit: u32::MAX,
        cr0: cr0::PE | cr0::ET | cr0::NE,
        ..IgvmNativeVpContextX64::new_zeroed()
    }
}

/// Compatibility mode: the 32-bit segments of [`protected32`] under the paging
/// of long mode. The root of the page tables stands at `cr3`.
pub fn compat32(rip: u32, rsp: u32, gdt: u32, cr3: u64) -> IgvmNativeVpContextX64 {
    let flat = protected32(rip, rsp, gdt);
    IgvmNativeVpContextX64 {
        cr0: flat.cr0 | cr0::PG,
        cr3,
        cr4: cr4::PAE,
        efer: efer::LME | efer::LMA,
        ..flat
    }
}

/// 64-bit mode. [`FLAT_GDT`] must stand at `gdt`, the root of the page tables
/// at `cr3`.
pub fn long64(rip: u64, rsp: u64, gdt: u32, cr3: u64) -> IgvmNativeVpContextX64 {
    IgvmNativeVpContextX64 {
        rip,
        rsp,
        code_selector: CODE64,
        code_attributes: 0xa09b,
        ..compat32(0, 0, gdt, cr3)
    }
}

/// A page table (of any level) that starts with these entries.
pub fn page_table(entries: impl IntoIterator<Item = u64>) -> [u64; 512] {
    let mut table = [0; 512];
    for (slot, entry) in table.iter_mut().zip(entries) {
        *slot = entry;
    }
    table
}

/// The entry for a lower table, present and writable.
pub const fn table_entry(table: u64) -> u64 {
    table | TABLE_ENTRY
}

/// A last-level entry for the 4 KiB page at `gpa`, present and writable.
pub const fn page_entry_4k(gpa: u64) -> u64 {
    gpa | TABLE_ENTRY
}

/// A page-directory entry for the 2 MiB page at `gpa`, present and writable.
pub const fn page_entry_2m(gpa: u64) -> u64 {
    gpa | PAGE_ENTRY_2M
}
