//! Registers that a processor refuses, or that are surely a mistake.

use igvm_core::defs::IgvmNativeVpContextX64;
use igvm_core::write::{HeaderSpec, start};
use zerocopy::IntoBytes;

use super::base::{hyper_v, long, protected, protected_with, real, save_area, vsm};
use super::{Broken, broken, broken_with};
use crate::layout::{CODE, NATIVE, PML4};

const CR0_WP: u64 = 1 << 16;
const CR0_NW: u64 = 1 << 29;
const CR0_PG: u64 = 1 << 31;
const CR4_PSE: u64 = 1 << 4;
const CR4_PAE: u64 = 1 << 5;
const CR4_PCIDE: u64 = 1 << 17;
const CR4_CET: u64 = 1 << 23;
const EFER_LMA: u64 = 1 << 10;
const RFLAGS_FIXED: u64 = 1 << 1;
const RFLAGS_VM: u64 = 1 << 17;

/// Hyper-V's IA32_APIC_BASE; the bit for x2APIC mode.
const HV_APIC_BASE: u32 = 0x0008_0003;
const APIC_EXTD: u64 = 1 << 10;

pub(super) const SAMPLES: &[Broken] = &[
    broken("context.reserved-bits", || protected(|c| c.cr4 |= 1 << 63)),
    broken("context.cr0-ignored", || protected(|c| c.cr0 |= 1 << 28)),
    broken("context.efer-amd", || protected(|c| c.efer |= 1 << 12)),
    broken("context.paging-without-protection", || real(|c| c.cr0 |= CR0_PG)),
    broken("context.cache", || protected(|c| c.cr0 |= CR0_NW)),
    broken("context.lma", || long(|c| c.efer &= !EFER_LMA)),
    broken("context.pae", || long(|c| c.cr4 &= !CR4_PAE)),
    broken("context.pcide", || protected(|c| c.cr4 |= CR4_PCIDE)),
    broken("context.cet", || {
        protected(|c| {
            c.cr0 &= !CR0_WP;
            c.cr4 |= CR4_CET;
        })
    }),
    broken("context.rflags-zero", || protected(|c| c.rflags = 0)),
    broken("context.rflags", || protected(|c| c.rflags = 1)),
    broken("context.virtual-8086", || protected(enter_virtual_8086)),
    broken("context.virtual-8086-mode", || long(|c| c.rflags = RFLAGS_FIXED | RFLAGS_VM)),
    broken("context.virtual-8086-segment", || {
        protected(|c| {
            enter_virtual_8086(c);
            c.data_limit = 0xfff;
        })
    }),
    broken("context.xcr0", || save_area(|r| r.xcr0 = 2)),
    broken("context.xcr0-incomplete", || save_area(|r| r.xcr0 = 5)),
    broken("context.debug-bits", || save_area(|r| r.dr7 = 0)),
    broken("context.pat", || save_area(|r| r.pat = 2)),
    broken("context.apic-base", || {
        vsm(|registers| registers.push(hyper_v(HV_APIC_BASE, 0xfee0_0000 | APIC_EXTD)))
    }),
    broken("context.canonical", || long(|c| c.gs_base = 1 << 60)),
    broken("context.cr3-above-4g", || {
        // A page directory whose first entry maps 4 MiB as they are.
        let directory = start::page_table([start::page_entry_2m(0)]);
        let directory = HeaderSpec::page(PML4, NATIVE, directory.as_bytes());
        protected_with(&[], &[directory], |c| {
            c.cr0 |= CR0_PG;
            c.cr4 |= CR4_PSE;
            c.cr3 = 1 << 32 | PML4;
        })
    }),
    broken("context.rip-above-4g", || protected(|c| c.rip |= 1 << 32)),
    broken("context.rip-limit", || {
        protected(|c| {
            c.code_limit = 0xfff;
            c.code_attributes = 0x409b;
        })
    }),
    broken("context.cs-not-present", || protected(|c| c.code_attributes &= !0x80)),
    broken("context.cs-type", || protected(|c| c.code_attributes = 0xc091)),
    broken("context.cs-data", || protected(|c| c.code_attributes = 0xc093)),
    broken("context.cs-long", || protected(|c| c.code_attributes = 0xa09b)),
    broken("context.cs-long-and-big", || long(|c| c.code_attributes = 0xe09b)),
    broken("context.cs-privilege", || protected(|c| c.code_attributes |= 0x60)),
    broken("context.ss-type", || protected(|c| c.data_attributes = 0xc091)),
    broken_with("context.ss-privilege", &["context.cs-privilege"], || {
        real(|c| c.data_attributes |= 0x60)
    }),
    broken("context.ss-cs-rpl", || protected(|c| c.code_selector |= 3)),
    broken("context.ss-rpl", || {
        protected(|c| {
            c.code_selector |= 3;
            c.data_selector |= 3;
        })
    }),
    broken("context.data-privilege", || save_area(|r| r.ds.selector |= 3)),
    broken("context.system-segment", || save_area(|r| r.ds.attributes = 0xc082)),
    broken("context.not-readable", || save_area(|r| r.ds.attributes = 0xc099)),
    broken("context.accessed", || protected(|c| c.data_attributes &= !1)),
    broken("context.data-long", || long(|c| c.data_attributes = 0xe093)),
    broken("context.attributes", || protected(|c| c.data_attributes |= 0x100)),
    broken("context.limit", || protected(|c| c.data_limit = 0x1234_5678)),
    broken("context.base-above-4g", || save_area(|r| r.ds.base = 1 << 32)),
    broken("context.tr", || save_area(|r| r.tr.attributes = 0x89)),
    broken("context.ldtr", || save_area(|r| r.ldtr.attributes = 0x8b)),
    broken("context.local-selector", || save_area(|r| r.tr.selector = 4)),
    broken("context.real-mode-base", || real(|c| c.data_selector = 0)),
    broken("context.no-gdt", || {
        protected(|c| {
            c.gdtr_base = 0;
            c.gdtr_limit = 0;
        })
    }),
    broken("context.selector", || protected(|c| c.gdtr_limit = 7)),
];

/// Virtual-8086 mode: every segment is 64 KiB at sixteen times its selector,
/// of the lowest privilege.
fn enter_virtual_8086(context: &mut IgvmNativeVpContextX64) {
    const ATTRIBUTES: u16 = 0xf3;
    let selector = (CODE >> 4) as u16;
    *context = IgvmNativeVpContextX64 {
        rip: 0,
        rsp: 0x800,
        rflags: RFLAGS_FIXED | RFLAGS_VM,
        code_selector: selector,
        code_attributes: ATTRIBUTES,
        code_base: CODE as u32,
        code_limit: 0xffff,
        data_selector: selector,
        data_attributes: ATTRIBUTES,
        data_base: CODE as u32,
        data_limit: 0xffff,
        gs_base: CODE,
        ..*context
    };
}
