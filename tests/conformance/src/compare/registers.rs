//! Contexts: the oracle's structures against core's register file.

use igvm::registers::{SegmentRegister, TableRegister, X86Register};
use igvm::snp_defs::{SevSelector, SevVmsa};
use igvm_core::defs::IgvmNativeVpContextX64;
use igvm_core::load::Processor;
use igvm_core::x86::{RegisterFile, Segment, TableRegister as Table};

/// Bit 1 of RFLAGS is set in every processor.
const RFLAGS_ALWAYS_SET: u64 = 2;

fn segment(selector: u16, attributes: u16, limit: u32, base: u64) -> Segment {
    Segment { selector, attributes, limit, base }
}

/// The register file that a native context stands for.
pub(super) fn native(context: &IgvmNativeVpContextX64, processor: &Processor) -> RegisterFile {
    let c = context;
    let data = segment(c.data_selector, c.data_attributes, c.data_limit, u64::from(c.data_base));
    RegisterFile {
        rax: c.rax,
        rcx: c.rcx,
        rdx: c.rdx,
        rbx: c.rbx,
        rsp: c.rsp,
        rbp: c.rbp,
        rsi: c.rsi,
        rdi: c.rdi,
        r8: c.r8,
        r9: c.r9,
        r10: c.r10,
        r11: c.r11,
        r12: c.r12,
        r13: c.r13,
        r14: c.r14,
        r15: c.r15,
        rip: c.rip,
        rflags: c.rflags | RFLAGS_ALWAYS_SET,
        cr0: c.cr0,
        cr3: c.cr3,
        cr4: c.cr4,
        efer: c.efer,
        cs: segment(c.code_selector, c.code_attributes, c.code_limit, c.code_base.into()),
        ds: data,
        es: data,
        ss: data,
        fs: data,
        gs: Segment { base: c.gs_base, ..data },
        gdtr: Table { base: c.gdtr_base, limit: c.gdtr_limit },
        idtr: Table { base: c.idtr_base, limit: c.idtr_limit },
        ..RegisterFile::reset(processor.vp_index == 0)
    }
}

/// The register file that a save area stands for.
pub(super) fn vmsa(v: &SevVmsa, processor: &Processor) -> RegisterFile {
    // Attribute bits 15:12 are packed into 11:8.
    let unpacked = |attributes: u16| attributes & 0xff | (attributes & 0xf00) << 4;
    let s = |s: &SevSelector| segment(s.selector, unpacked(s.attrib), s.limit, s.base);
    let table = |s: &SevSelector| Table { base: s.base, limit: s.limit as u16 };
    RegisterFile {
        rax: v.rax,
        rcx: v.rcx,
        rdx: v.rdx,
        rbx: v.rbx,
        rsp: v.rsp,
        rbp: v.rbp,
        rsi: v.rsi,
        rdi: v.rdi,
        r8: v.r8,
        r9: v.r9,
        r10: v.r10,
        r11: v.r11,
        r12: v.r12,
        r13: v.r13,
        r14: v.r14,
        r15: v.r15,
        rip: v.rip,
        rflags: v.rflags | RFLAGS_ALWAYS_SET,
        cr0: v.cr0,
        cr2: v.cr2,
        cr3: v.cr3,
        cr4: v.cr4,
        efer: v.efer,
        xcr0: v.xcr0,
        dr0: v.dr0,
        dr1: v.dr1,
        dr2: v.dr2,
        dr3: v.dr3,
        dr6: v.dr6,
        dr7: v.dr7,
        mxcsr: v.mxcsr,
        fcw: v.x87_fcw,
        pat: v.pat,
        cs: s(&v.cs),
        ds: s(&v.ds),
        es: s(&v.es),
        ss: s(&v.ss),
        fs: s(&v.fs),
        gs: s(&v.gs),
        ldtr: s(&v.ldtr),
        tr: s(&v.tr),
        gdtr: table(&v.gdtr),
        idtr: table(&v.idtr),
        ..RegisterFile::reset(processor.vp_index == 0)
    }
}

/// The register file that a list of Hyper-V registers stands for.
pub(super) fn vbs(registers: &[X86Register], processor: &Processor) -> RegisterFile {
    use X86Register as X;
    let s = |r: SegmentRegister| segment(r.selector, r.attributes, r.limit, r.base);
    let t = |r: TableRegister| Table { base: r.base, limit: r.limit };
    let mut file = RegisterFile::reset(processor.vp_index == 0);
    for register in registers {
        match *register {
            X::Gdtr(r) => file.gdtr = t(r),
            X::Idtr(r) => file.idtr = t(r),
            X::Ds(r) => file.ds = s(r),
            X::Es(r) => file.es = s(r),
            X::Fs(r) => file.fs = s(r),
            X::Gs(r) => file.gs = s(r),
            X::Ss(r) => file.ss = s(r),
            X::Cs(r) => file.cs = s(r),
            X::Tr(r) => file.tr = s(r),
            X::Cr0(v) => file.cr0 = v,
            X::Cr3(v) => file.cr3 = v,
            X::Cr4(v) => file.cr4 = v,
            X::Efer(v) => file.efer = v,
            X::Pat(v) => file.pat = v,
            X::Rbp(v) => file.rbp = v,
            X::Rip(v) => file.rip = v,
            X::Rsi(v) => file.rsi = v,
            X::Rsp(v) => file.rsp = v,
            X::R8(v) => file.r8 = v,
            X::R9(v) => file.r9 = v,
            X::R10(v) => file.r10 = v,
            X::R11(v) => file.r11 = v,
            X::R12(v) => file.r12 = v,
            X::Rflags(v) => file.rflags = v,
            // The memory type ranges are not part of a register file.
            _ => {}
        }
    }
    file.rflags |= RFLAGS_ALWAYS_SET;
    file
}

/// Whether the oracle reads only the low eight bytes of a Hyper-V register:
/// all but segments and tables.
pub(super) fn low_half_only(name: u32) -> bool {
    !matches!(name, 0x0006_0000..=0x0007_ffff)
}
