//! Layouts of processor contexts: which register stands where.
//!
//! One table per format drives both the value and its origin in the file.

use crate::x86::Register;

/// How a register value is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Little-endian integer of 8 bytes.
    U64,
    /// Little-endian integer of 4 bytes.
    U32,
    /// Little-endian integer of 2 bytes.
    U16,
    /// `selector u16, attributes u16, base u32, limit u32` of the native
    /// context.
    NativeSegment,
    /// The native data segment with the base of GS, which stands elsewhere.
    NativeGs,
    /// `limit u16` before `base u64`, of the native context's GDTR.
    NativeGdtr,
    /// `base u64, limit u16` of the native context's IDTR.
    NativeIdtr,
    /// `selector u16, attrib u16, limit u32, base u64` of a VMSA.
    VmsaSegment,
    /// The same, of GDTR or IDTR.
    VmsaTable,
    /// Hyper-V `base u64, limit u32, selector u16, attributes u16`.
    HvSegment,
    /// Hyper-V `pad u16[3], limit u16, base u64`.
    HvTable,
}

impl Form {
    /// Bytes it takes.
    pub(crate) const fn len(self) -> usize {
        match self {
            Self::U16 => 2,
            Self::U32 => 4,
            Self::U64 => 8,
            Self::NativeGdtr | Self::NativeIdtr => 10,
            Self::NativeSegment => 12,
            Self::VmsaSegment | Self::VmsaTable | Self::HvSegment | Self::HvTable => 16,
            // From the data selector to the end of gs_base, which follows it.
            Self::NativeGs => 20,
        }
    }
}

/// A register in a context of fixed layout.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    pub(crate) register: Register,
    pub(crate) offset: usize,
    pub(crate) form: Form,
}

const fn field(register: Register, offset: usize, form: Form) -> Field {
    Field { register, offset, form }
}

/// `IgvmNativeVpContextX64`, for NATIVE and SEV.
pub(crate) const NATIVE: &[Field] = &[
    field(Register::Rax, 0, Form::U64),
    field(Register::Rcx, 8, Form::U64),
    field(Register::Rdx, 16, Form::U64),
    field(Register::Rbx, 24, Form::U64),
    field(Register::Rsp, 32, Form::U64),
    field(Register::Rbp, 40, Form::U64),
    field(Register::Rsi, 48, Form::U64),
    field(Register::Rdi, 56, Form::U64),
    field(Register::R8, 64, Form::U64),
    field(Register::R9, 72, Form::U64),
    field(Register::R10, 80, Form::U64),
    field(Register::R11, 88, Form::U64),
    field(Register::R12, 96, Form::U64),
    field(Register::R13, 104, Form::U64),
    field(Register::R14, 112, Form::U64),
    field(Register::R15, 120, Form::U64),
    field(Register::Rip, 128, Form::U64),
    field(Register::Rflags, 136, Form::U64),
    field(Register::Idtr, 144, Form::NativeIdtr),
    field(Register::Gdtr, 158, Form::NativeGdtr),
    field(Register::Cs, 168, Form::NativeSegment),
    field(Register::Ds, 180, Form::NativeSegment),
    field(Register::Es, 180, Form::NativeSegment),
    field(Register::Ss, 180, Form::NativeSegment),
    field(Register::Fs, 180, Form::NativeSegment),
    field(Register::Gs, 180, Form::NativeGs),
    field(Register::Cr0, 200, Form::U64),
    field(Register::Cr3, 208, Form::U64),
    field(Register::Cr4, 216, Form::U64),
    field(Register::Efer, 224, Form::U64),
];

/// The save area of SEV-ES and SEV-SNP (APM volume 2, "VMCB State Save Area
/// Used for SEV-ES").
pub(crate) const VMSA: &[Field] = &[
    field(Register::Es, 0x0, Form::VmsaSegment),
    field(Register::Cs, 0x10, Form::VmsaSegment),
    field(Register::Ss, 0x20, Form::VmsaSegment),
    field(Register::Ds, 0x30, Form::VmsaSegment),
    field(Register::Fs, 0x40, Form::VmsaSegment),
    field(Register::Gs, 0x50, Form::VmsaSegment),
    field(Register::Gdtr, 0x60, Form::VmsaTable),
    field(Register::Ldtr, 0x70, Form::VmsaSegment),
    field(Register::Idtr, 0x80, Form::VmsaTable),
    field(Register::Tr, 0x90, Form::VmsaSegment),
    field(Register::Efer, 0xd0, Form::U64),
    field(Register::Cr4, 0x148, Form::U64),
    field(Register::Cr3, 0x150, Form::U64),
    field(Register::Cr0, 0x158, Form::U64),
    field(Register::Dr7, 0x160, Form::U64),
    field(Register::Dr6, 0x168, Form::U64),
    field(Register::Rflags, 0x170, Form::U64),
    field(Register::Rip, 0x178, Form::U64),
    field(Register::Dr0, 0x180, Form::U64),
    field(Register::Dr1, 0x188, Form::U64),
    field(Register::Dr2, 0x190, Form::U64),
    field(Register::Dr3, 0x198, Form::U64),
    field(Register::Rsp, 0x1d8, Form::U64),
    field(Register::Rax, 0x1f8, Form::U64),
    field(Register::Cr2, 0x240, Form::U64),
    field(Register::Pat, 0x268, Form::U64),
    field(Register::Rcx, 0x308, Form::U64),
    field(Register::Rdx, 0x310, Form::U64),
    field(Register::Rbx, 0x318, Form::U64),
    field(Register::Rbp, 0x328, Form::U64),
    field(Register::Rsi, 0x330, Form::U64),
    field(Register::Rdi, 0x338, Form::U64),
    field(Register::R8, 0x340, Form::U64),
    field(Register::R9, 0x348, Form::U64),
    field(Register::R10, 0x350, Form::U64),
    field(Register::R11, 0x358, Form::U64),
    field(Register::R12, 0x360, Form::U64),
    field(Register::R13, 0x368, Form::U64),
    field(Register::R14, 0x370, Form::U64),
    field(Register::R15, 0x378, Form::U64),
    field(Register::Xcr0, 0x3e8, Form::U64),
    field(Register::Mxcsr, 0x408, Form::U32),
    field(Register::Fcw, 0x410, Form::U16),
];

/// The register that a Hyper-V register name stands for (Hypervisor Top Level
/// Functional Specification, `HV_REGISTER_NAME`), and how its 16 bytes are
/// read. `None` for names that the register file does not hold.
pub(crate) const fn hyper_v(name: u32) -> Option<(Register, Form)> {
    match name {
        0x00020000 => Some((Register::Rax, Form::U64)),
        0x00020001 => Some((Register::Rcx, Form::U64)),
        0x00020002 => Some((Register::Rdx, Form::U64)),
        0x00020003 => Some((Register::Rbx, Form::U64)),
        0x00020004 => Some((Register::Rsp, Form::U64)),
        0x00020005 => Some((Register::Rbp, Form::U64)),
        0x00020006 => Some((Register::Rsi, Form::U64)),
        0x00020007 => Some((Register::Rdi, Form::U64)),
        0x00020008 => Some((Register::R8, Form::U64)),
        0x00020009 => Some((Register::R9, Form::U64)),
        0x0002000a => Some((Register::R10, Form::U64)),
        0x0002000b => Some((Register::R11, Form::U64)),
        0x0002000c => Some((Register::R12, Form::U64)),
        0x0002000d => Some((Register::R13, Form::U64)),
        0x0002000e => Some((Register::R14, Form::U64)),
        0x0002000f => Some((Register::R15, Form::U64)),
        0x00020010 => Some((Register::Rip, Form::U64)),
        0x00020011 => Some((Register::Rflags, Form::U64)),
        0x00040000 => Some((Register::Cr0, Form::U64)),
        0x00040001 => Some((Register::Cr2, Form::U64)),
        0x00040002 => Some((Register::Cr3, Form::U64)),
        0x00040003 => Some((Register::Cr4, Form::U64)),
        0x00040004 => Some((Register::Cr8, Form::U64)),
        0x00040005 => Some((Register::Xcr0, Form::U64)),
        0x00050000 => Some((Register::Dr0, Form::U64)),
        0x00050001 => Some((Register::Dr1, Form::U64)),
        0x00050002 => Some((Register::Dr2, Form::U64)),
        0x00050003 => Some((Register::Dr3, Form::U64)),
        0x00050004 => Some((Register::Dr6, Form::U64)),
        0x00050005 => Some((Register::Dr7, Form::U64)),
        0x00060000 => Some((Register::Es, Form::HvSegment)),
        0x00060001 => Some((Register::Cs, Form::HvSegment)),
        0x00060002 => Some((Register::Ss, Form::HvSegment)),
        0x00060003 => Some((Register::Ds, Form::HvSegment)),
        0x00060004 => Some((Register::Fs, Form::HvSegment)),
        0x00060005 => Some((Register::Gs, Form::HvSegment)),
        0x00060006 => Some((Register::Ldtr, Form::HvSegment)),
        0x00060007 => Some((Register::Tr, Form::HvSegment)),
        0x00070000 => Some((Register::Idtr, Form::HvTable)),
        0x00070001 => Some((Register::Gdtr, Form::HvTable)),
        0x00080001 => Some((Register::Efer, Form::U64)),
        0x00080003 => Some((Register::ApicBase, Form::U64)),
        0x00080004 => Some((Register::Pat, Form::U64)),
        _ => None,
    }
}
