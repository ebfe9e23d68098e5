//! Registers: ours to KVM's and back. Pure; nothing here calls KVM.

use igvm_core::x86::{RegisterFile, Segment, TableRegister};
use kvm_bindings::{
    kvm_debugregs, kvm_dtable, kvm_fpu, kvm_regs, kvm_segment, kvm_sregs, kvm_xcr, kvm_xcrs,
    kvm_xsave,
};

/// Bit 1 of RFLAGS, always set.
const RFLAGS_FIXED: u64 = 1 << 1;
/// CR0.ET, always set since the 486.
const CR0_ET: u64 = 1 << 4;
/// The bits of DR6 that every processor lets software set: B0 to B3, BD, BS,
/// BT. The rest is fixed, or depends on the processor (RTM, BLD).
const DR6_SETTABLE: u64 = 0xe00f;
/// The settable bits of DR7.
const DR7_SETTABLE: u64 = 0xffff_2bff;

/// One processor's state in KVM's structures. IA32_EFER and IA32_APIC_BASE
/// travel in the special registers.
#[derive(Clone, Debug)]
pub struct State {
    /// KVM_SET_REGS: general registers, RIP, RFLAGS.
    pub regs: kvm_regs,
    /// KVM_SET_SREGS: segments, tables, control registers, EFER, APIC base.
    pub sregs: kvm_sregs,
    /// KVM_SET_DEBUGREGS.
    pub debug: kvm_debugregs,
    /// KVM_SET_XCRS: XCR0.
    pub xcrs: kvm_xcrs,
    /// KVM_SET_FPU: the x87 control word and MXCSR, everything else as after
    /// reset. Hosts with XSAVE need [`State::xsave`] as well.
    pub fpu: kvm_fpu,
    /// KVM_SET_MSRS: IA32_PAT.
    pub pat: u64,
}

/// IA32_PAT.
pub(super) const MSR_PAT: u32 = 0x277;

impl From<&RegisterFile> for State {
    fn from(file: &RegisterFile) -> Self {
        Self {
            regs: general(file),
            sregs: special(file),
            debug: kvm_debugregs {
                db: [file.dr0, file.dr1, file.dr2, file.dr3],
                dr6: file.dr6,
                dr7: file.dr7,
                ..Default::default()
            },
            xcrs: extended_control(file.xcr0),
            fpu: kvm_fpu {
                fcw: file.fcw,
                // Eight registers of +0.0, none empty.
                ftwx: 0xff,
                mxcsr: file.mxcsr,
                ..Default::default()
            },
            pat: file.pat,
        }
    }
}

impl State {
    /// The image that XRSTOR will load: the floating-point state, and all other
    /// components as after reset. `with_pkru` names PKRU as well, for
    /// processors that have it: KVM_SET_XSAVE leaves PKRU alone if it is not
    /// named, where it initializes every other component.
    ///
    /// KVM_SET_FPU alone writes the registers but not their bits in XSTATE_BV,
    /// so that a processor with XSAVE starts with FCW 0x37f all the same.
    pub fn xsave(&self, with_pkru: bool) -> kvm_xsave {
        const X87_AND_SSE: u32 = 0b11;
        const PKRU: u32 = 1 << 9;
        // The legacy area is that of FXSAVE (SDM volume 1, "Layout of the
        // 64-bit Mode FXSAVE Map"): FCW, FSW, abridged FTW; MXCSR at 24. The
        // registers are zero. XSTATE_BV is at 512; XCOMP_BV, at 520, is 0 in
        // the standard format.
        let mut area = kvm_xsave::default();
        area.region[0] = u32::from(self.fpu.fcw) | u32::from(self.fpu.fsw) << 16;
        area.region[1] = u32::from(self.fpu.ftwx);
        area.region[6] = self.fpu.mxcsr;
        area.region[128] = X87_AND_SSE | if with_pkru { PKRU } else { 0 };
        area
    }

    /// Takes the control word and MXCSR from what XSAVE would store.
    pub fn take_from_xsave(&mut self, area: &kvm_xsave) {
        self.fpu.fcw = area.region[0] as u16;
        self.fpu.mxcsr = area.region[6];
    }
}

impl From<&State> for RegisterFile {
    fn from(state: &State) -> Self {
        let State { regs, sregs, debug, xcrs, fpu, pat } = state;
        let known = &xcrs.xcrs[..xcrs.xcrs.len().min(xcrs.nr_xcrs as usize)];
        Self {
            rax: regs.rax,
            rcx: regs.rcx,
            rdx: regs.rdx,
            rbx: regs.rbx,
            rsp: regs.rsp,
            rbp: regs.rbp,
            rsi: regs.rsi,
            rdi: regs.rdi,
            r8: regs.r8,
            r9: regs.r9,
            r10: regs.r10,
            r11: regs.r11,
            r12: regs.r12,
            r13: regs.r13,
            r14: regs.r14,
            r15: regs.r15,
            rip: regs.rip,
            rflags: regs.rflags,
            cr0: sregs.cr0,
            cr2: sregs.cr2,
            cr3: sregs.cr3,
            cr4: sregs.cr4,
            cr8: sregs.cr8,
            efer: sregs.efer,
            // A processor without XSAVE has no XCR0, which is then as if 1.
            xcr0: known.iter().find(|entry| entry.xcr == 0).map_or(1, |entry| entry.value),
            dr0: debug.db[0],
            dr1: debug.db[1],
            dr2: debug.db[2],
            dr3: debug.db[3],
            dr6: debug.dr6,
            dr7: debug.dr7,
            mxcsr: fpu.mxcsr,
            fcw: fpu.fcw,
            pat: *pat,
            apic_base: sregs.apic_base,
            cs: from_segment(&sregs.cs),
            ds: from_segment(&sregs.ds),
            es: from_segment(&sregs.es),
            ss: from_segment(&sregs.ss),
            fs: from_segment(&sregs.fs),
            gs: from_segment(&sregs.gs),
            ldtr: from_segment(&sregs.ldt),
            tr: from_segment(&sregs.tr),
            gdtr: TableRegister { base: sregs.gdt.base, limit: sregs.gdt.limit },
            idtr: TableRegister { base: sregs.idt.base, limit: sregs.idt.limit },
        }
    }
}

fn general(file: &RegisterFile) -> kvm_regs {
    kvm_regs {
        rax: file.rax,
        rbx: file.rbx,
        rcx: file.rcx,
        rdx: file.rdx,
        rsi: file.rsi,
        rdi: file.rdi,
        rsp: file.rsp,
        rbp: file.rbp,
        r8: file.r8,
        r9: file.r9,
        r10: file.r10,
        r11: file.r11,
        r12: file.r12,
        r13: file.r13,
        r14: file.r14,
        r15: file.r15,
        rip: file.rip,
        // Real files say 0; VM entry would fail.
        rflags: file.rflags | RFLAGS_FIXED,
    }
}

fn special(file: &RegisterFile) -> kvm_sregs {
    kvm_sregs {
        cs: to_segment(&file.cs),
        ds: to_segment(&file.ds),
        es: to_segment(&file.es),
        fs: to_segment(&file.fs),
        gs: to_segment(&file.gs),
        ss: to_segment(&file.ss),
        tr: to_segment(&file.tr),
        ldt: to_segment(&file.ldtr),
        gdt: to_table(&file.gdtr),
        idt: to_table(&file.idtr),
        cr0: file.cr0,
        cr2: file.cr2,
        cr3: file.cr3,
        cr4: file.cr4,
        cr8: file.cr8,
        efer: file.efer,
        apic_base: file.apic_base,
        // No interrupt is pending.
        interrupt_bitmap: [0; 4],
    }
}

fn extended_control(xcr0: u64) -> kvm_xcrs {
    let mut xcrs = kvm_xcrs { nr_xcrs: 1, ..Default::default() };
    xcrs.xcrs[0] = kvm_xcr { xcr: 0, value: xcr0, ..Default::default() };
    xcrs
}

/// A segment that is not present cannot be used, which VMX wants to be told.
fn to_segment(segment: &Segment) -> kvm_segment {
    kvm_segment {
        base: segment.base,
        limit: segment.limit,
        selector: segment.selector,
        type_: segment.typ(),
        present: segment.present().into(),
        dpl: segment.dpl(),
        db: segment.default_big().into(),
        s: segment.code_or_data().into(),
        l: segment.long().into(),
        g: segment.granularity().into(),
        avl: segment.avl().into(),
        unusable: (!segment.present()).into(),
        padding: 0,
    }
}

fn from_segment(segment: &kvm_segment) -> Segment {
    let bit = |value: u8, at: u16| u16::from(value & 1) << at;
    Segment {
        selector: segment.selector,
        attributes: u16::from(segment.type_ & 0xf)
            | bit(segment.s, 4)
            | u16::from(segment.dpl & 3) << 5
            | bit(segment.present & !segment.unusable, 7)
            | bit(segment.avl, 12)
            | bit(segment.l, 13)
            | bit(segment.db, 14)
            | bit(segment.g, 15),
        limit: segment.limit,
        base: segment.base,
    }
}

const fn to_table(table: &TableRegister) -> kvm_dtable {
    kvm_dtable { base: table.base, limit: table.limit, padding: [0; 3] }
}

/// What a processor makes of a register file when it is loaded and read back,
/// and nothing has run: bits that are fixed in hardware, and the details of
/// segments that cannot be used.
///
/// Anything else that differs is a state that this host cannot run (found by
/// reading back: KVM_SET_SREGS may say yes and drop CR0.PG).
pub fn as_kvm_keeps(file: &RegisterFile, read: &RegisterFile) -> RegisterFile {
    let mut kept = *file;
    kept.rflags |= RFLAGS_FIXED;
    let fixed = |asked: u64, read: u64, settable: u64| asked & settable | read & !settable;
    kept.cr0 = fixed(kept.cr0, read.cr0, !CR0_ET);
    kept.dr6 = fixed(kept.dr6, read.dr6, DR6_SETTABLE);
    kept.dr7 = fixed(kept.dr7, read.dr7, DR7_SETTABLE);
    let RegisterFile { cs, ds, es, ss, fs, gs, ldtr, tr, .. } = &mut kept;
    let segments = [cs, ds, es, ss, fs, gs, ldtr, tr];
    let seen = [&read.cs, &read.ds, &read.es, &read.ss, &read.fs, &read.gs, &read.ldtr, &read.tr];
    for (kept, seen) in segments.into_iter().zip(seen) {
        kept.attributes &= !Segment::RESERVED_ATTRIBUTES;
        if !kept.present() && !seen.present() {
            // Not usable before and after: VMX and SVM keep different parts.
            *kept = *seen;
        } else if kept.code_or_data() {
            // Loading a descriptor marks it accessed; VM entry insists on it.
            kept.attributes |= seen.attributes & 1;
        }
    }
    kept
}
