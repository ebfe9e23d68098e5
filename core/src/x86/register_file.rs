//! Every register that a processor starts with.

use super::{Segment, TableRegister};

/// The registers of one processor before its first instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are named as in the manuals")]
pub struct RegisterFile {
    pub rax: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rbx: u64,
    pub rsp: u64,
    pub rbp: u64,
    pub rsi: u64,
    pub rdi: u64,
    pub r8: u64,
    pub r9: u64,
    pub r10: u64,
    pub r11: u64,
    pub r12: u64,
    pub r13: u64,
    pub r14: u64,
    pub r15: u64,
    pub rip: u64,
    pub rflags: u64,
    pub cr0: u64,
    pub cr2: u64,
    pub cr3: u64,
    pub cr4: u64,
    pub cr8: u64,
    /// IA32_EFER, MSR 0xc0000080.
    pub efer: u64,
    pub xcr0: u64,
    pub dr0: u64,
    pub dr1: u64,
    pub dr2: u64,
    pub dr3: u64,
    pub dr6: u64,
    pub dr7: u64,
    pub mxcsr: u32,
    /// The x87 control word.
    pub fcw: u16,
    /// IA32_PAT, MSR 0x277.
    pub pat: u64,
    /// IA32_APIC_BASE, MSR 0x1b.
    pub apic_base: u64,
    pub cs: Segment,
    pub ds: Segment,
    pub es: Segment,
    pub ss: Segment,
    pub fs: Segment,
    pub gs: Segment,
    pub ldtr: Segment,
    pub tr: Segment,
    pub gdtr: TableRegister,
    pub idtr: TableRegister,
}

impl RegisterFile {
    /// The state after power-up or RESET (SDM volume 3, "IA-32 and Intel 64
    /// Processor States Following Power-up, Reset, or INIT").
    ///
    /// EDX holds 0x600, the family field of the processor signature; which
    /// stepping it is, the file cannot know. `bootstrap` sets IA32_APIC_BASE.BSP.
    pub const fn reset(bootstrap: bool) -> Self {
        const DATA: Segment = Segment { selector: 0, attributes: 0x93, limit: 0xffff, base: 0 };
        const TABLE: TableRegister = TableRegister { base: 0, limit: 0xffff };
        Self {
            rax: 0,
            rcx: 0,
            rdx: 0x600,
            rbx: 0,
            rsp: 0,
            rbp: 0,
            rsi: 0,
            rdi: 0,
            r8: 0,
            r9: 0,
            r10: 0,
            r11: 0,
            r12: 0,
            r13: 0,
            r14: 0,
            r15: 0,
            rip: 0xfff0,
            rflags: 0x2,
            cr0: 0x6000_0010,
            cr2: 0,
            cr3: 0,
            cr4: 0,
            cr8: 0,
            efer: 0,
            xcr0: 1,
            dr0: 0,
            dr1: 0,
            dr2: 0,
            dr3: 0,
            dr6: 0xffff_0ff0,
            dr7: 0x400,
            mxcsr: 0x1f80,
            fcw: 0x40,
            pat: 0x0007_0406_0007_0406,
            apic_base: if bootstrap { 0xfee0_0900 } else { 0xfee0_0800 },
            cs: Segment { selector: 0xf000, attributes: 0x9b, limit: 0xffff, base: 0xffff_0000 },
            ds: DATA,
            es: DATA,
            ss: DATA,
            fs: DATA,
            gs: DATA,
            ldtr: Segment { selector: 0, attributes: 0x82, limit: 0xffff, base: 0 },
            tr: Segment { selector: 0, attributes: 0x8b, limit: 0xffff, base: 0 },
            gdtr: TABLE,
            idtr: TABLE,
        }
    }
}
