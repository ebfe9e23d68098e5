//! The problems: what each is, how grave, and by whose word.

use crate::x86::{Mode, Register, Segment, TableRegister};

/// How much a problem matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Gravity {
    /// Harmless: the processor ignores or repairs it, or it only matters later.
    Note,
    /// Possible, and surely not meant; or refused by some processors only.
    Suspicious,
    /// Entering a guest with it, or loading the register, fails.
    Refused,
}

/// One table for the variants, their ids and their gravity.
macro_rules! problems {
    ($($(#[$doc:meta])* $variant:ident { $($field:ident: $typ:ty),* } $id:literal $gravity:ident;)*) => {
        /// Something wrong with a register file, with the numbers that show it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[allow(missing_docs, reason = "the fields are named after the registers and their parts")]
        pub enum Problem {
            $($(#[$doc])* $variant { $($field: $typ),* },)*
        }

        impl Problem {
            /// The [`id`](Self::id) of every problem there is.
            pub const IDS: &[&str] = &[$($id),*];

            /// A name for the kind of problem that does not change.
            pub const fn id(&self) -> &'static str {
                match self {
                    $(Self::$variant { .. } => $id,)*
                }
            }

            /// How much it matters.
            pub const fn gravity(&self) -> Gravity {
                match self {
                    $(Self::$variant { .. } => Gravity::$gravity,)*
                }
            }
        }
    };
}

problems! {
    /// Bits that must be 0 are set.
    ReservedBits { register: Register, value: u64, bits: u64 } "reserved-bits" Refused;
    /// Bits of CR0 are set that a MOV to it drops.
    IgnoredCr0Bits { cr0: u64, bits: u64 } "ignored-cr0-bits" Note;
    /// Bits of EFER that Intel's processors refuse.
    AmdEferBits { efer: u64, bits: u64 } "amd-efer-bits" Note;
    /// CR0.PG without CR0.PE.
    PagingWithoutProtection { cr0: u64 } "paging-without-protection" Refused;
    /// CR0.NW without CR0.CD.
    NotWriteThroughWithCaching { cr0: u64 } "not-write-through-with-caching" Refused;
    /// EFER.LMA is not EFER.LME and CR0.PG.
    LmaMismatch { efer: u64, cr0: u64 } "lma-mismatch" Refused;
    /// Long mode is active without CR4.PAE.
    LongModeWithoutPae { cr4: u64 } "long-mode-without-pae" Refused;
    /// CR4.PCIDE while long mode is not active.
    PcideOutsideLongMode { cr4: u64 } "pcide-outside-long-mode" Refused;
    /// CR4.CET without CR0.WP.
    CetWithoutWriteProtect { cr0: u64, cr4: u64 } "cet-without-write-protect" Refused;
    /// RFLAGS is 0, bit 1 included.
    RflagsZero {} "rflags-zero" Note;
    /// Bit 1 of RFLAGS is clear, others are set.
    RflagsFixedBitClear { rflags: u64 } "rflags-fixed-bit-clear" Refused;
    /// The guest would start in virtual-8086 mode.
    Virtual8086 { rflags: u64 } "virtual-8086" Suspicious;
    /// RFLAGS.VM where there is no virtual-8086 mode.
    Virtual8086Impossible { rflags: u64, mode: Mode } "virtual-8086-impossible" Refused;
    /// A segment is not what virtual-8086 mode makes it.
    Virtual8086Segment { register: Register, segment: Segment } "virtual-8086-segment" Refused;
    /// XCR0 bit 0 is clear.
    Xcr0WithoutX87 { xcr0: u64 } "xcr0-without-x87" Refused;
    /// XCR0 has bits set that need others.
    Xcr0Incomplete { xcr0: u64, given: u64, missing: u64 } "xcr0-incomplete" Refused;
    /// Bits of DR6 or DR7 that cannot have this value: they read as `read`.
    FixedDebugBits { register: Register, value: u64, read: u64 } "fixed-debug-bits" Note;
    /// An entry of the PAT has a memory type that does not exist.
    PatType { pat: u64, index: usize, memory_type: u8 } "pat-type" Refused;
    /// x2APIC mode with the local APIC disabled.
    X2apicDisabled { apic_base: u64 } "x2apic-disabled" Refused;
    /// An address whose upper bits are not all alike.
    NotCanonical { register: Register, value: u64, width: u32 } "not-canonical" Refused;
    /// CR3 is above 4 GiB where the processor uses 32 bits of it.
    Cr3Above32Bits { cr3: u64 } "cr3-above-32-bits" Suspicious;
    /// RIP is above 4 GiB outside 64-bit mode.
    RipAbove32Bits { rip: u64, mode: Mode } "rip-above-32-bits" Refused;
    /// RIP is beyond the limit of CS.
    RipBeyondLimit { rip: u64, limit: u32 } "rip-beyond-limit" Suspicious;
    /// CS is not present.
    CodeNotPresent { attributes: u16 } "code-not-present" Refused;
    /// CS is neither a code segment nor a read/write data segment.
    CodeWrongType { attributes: u16 } "code-wrong-type" Refused;
    /// CS is a data segment outside real mode.
    CodeIsData { attributes: u16 } "code-is-data" Suspicious;
    /// CS.L outside long mode.
    CodeLongOutsideLongMode { attributes: u16 } "code-long-outside-long-mode" Refused;
    /// CS.L and CS.D in long mode.
    CodeLongAndBig { attributes: u16 } "code-long-and-big" Refused;
    /// The privilege level of CS does not go with that of SS.
    CodePrivilege { cs: u16, ss: u16 } "code-privilege" Refused;
    /// SS is not writable data.
    StackNotWritable { attributes: u16 } "stack-not-writable" Refused;
    /// The privilege level of SS has to be 0, as CS is, and is not.
    StackPrivilege { attributes: u16 } "stack-privilege" Refused;
    /// The selectors of CS and SS have different privilege levels.
    StackCodeRpl { cs: u16, ss: u16 } "stack-code-rpl" Suspicious;
    /// The selector of SS has another privilege level than its descriptor.
    StackRpl { selector: u16, attributes: u16 } "stack-rpl" Suspicious;
    /// A data segment's descriptor has a lower privilege level than its
    /// selector asks for.
    DataPrivilege { register: Register, selector: u16, attributes: u16 } "data-privilege" Suspicious;
    /// A system segment where code or data belongs.
    SystemSegment { register: Register, attributes: u16 } "system-segment" Refused;
    /// Execute-only code in a data segment register.
    NotReadable { register: Register, attributes: u16 } "not-readable" Refused;
    /// The accessed bit of a loaded segment is clear.
    NotAccessed { register: Register, attributes: u16 } "not-accessed" Suspicious;
    /// L is set on a data segment.
    LongDataSegment { register: Register, attributes: u16 } "long-data-segment" Note;
    /// Attribute bits 11:8 are set.
    ReservedAttributes { register: Register, attributes: u16 } "reserved-attributes" Refused;
    /// A limit that the granularity bit cannot express.
    LimitGranularity { register: Register, limit: u32, attributes: u16 } "limit-granularity" Refused;
    /// A base above 4 GiB in a register that holds 32 bits.
    BaseAbove32Bits { register: Register, base: u64 } "base-above-32-bits" Refused;
    /// TR is not a busy task-state segment.
    TaskRegister { attributes: u16, mode: Mode } "task-register" Refused;
    /// LDTR is not a local descriptor table.
    LocalTable { attributes: u16 } "local-table" Refused;
    /// TR or LDTR is selected from the local descriptor table.
    LocalSelector { register: Register, selector: u16 } "local-selector" Refused;
    /// A base in real mode that is not sixteen times the selector.
    RealModeBase { register: Register, selector: u16, base: u64 } "real-mode-base" Note;
    /// Selectors are used and there is no descriptor table.
    NoGdt { gdtr: TableRegister, register: Register, selector: u16 } "no-gdt" Note;
    /// A selector beyond the end of the descriptor table.
    SelectorBeyondGdt { register: Register, selector: u16, limit: u16 } "selector-beyond-gdt" Note;
}

const ENTRY_CONTROL: &str =
    "SDM volume 3, \"Checks on Guest Control Registers, Debug Registers, and MSRs\"";
const ENTRY_SEGMENTS: &str = "SDM volume 3, \"Checks on Guest Segment Registers\"";
const ENTRY_TABLES: &str = "SDM volume 3, \"Checks on Guest Descriptor-Table Registers\"";
const ENTRY_RIP: &str = "SDM volume 3, \"Checks on Guest RIP, RFLAGS, and SSP\"";
const VMRUN: &str = "APM volume 2, \"Canonicalization and Consistency Checks\"";
const BOTH_CONTROL: &str = "SDM volume 3, \"Checks on Guest Control Registers, Debug Registers, \
     and MSRs\"; APM volume 2, \"Canonicalization and Consistency Checks\"";
const XSETBV: &str = "SDM volume 2, \"XSETBV\"";

impl Problem {
    /// The register it is about; where two disagree, the one to look at first.
    pub const fn register(&self) -> Register {
        match self {
            Self::ReservedBits { register, .. }
            | Self::Virtual8086Segment { register, .. }
            | Self::FixedDebugBits { register, .. }
            | Self::NotCanonical { register, .. }
            | Self::DataPrivilege { register, .. }
            | Self::SystemSegment { register, .. }
            | Self::NotReadable { register, .. }
            | Self::NotAccessed { register, .. }
            | Self::LongDataSegment { register, .. }
            | Self::ReservedAttributes { register, .. }
            | Self::LimitGranularity { register, .. }
            | Self::BaseAbove32Bits { register, .. }
            | Self::LocalSelector { register, .. }
            | Self::RealModeBase { register, .. }
            | Self::SelectorBeyondGdt { register, .. } => *register,
            Self::IgnoredCr0Bits { .. }
            | Self::PagingWithoutProtection { .. }
            | Self::NotWriteThroughWithCaching { .. } => Register::Cr0,
            Self::LongModeWithoutPae { .. }
            | Self::PcideOutsideLongMode { .. }
            | Self::CetWithoutWriteProtect { .. } => Register::Cr4,
            Self::AmdEferBits { .. } | Self::LmaMismatch { .. } => Register::Efer,
            Self::RflagsZero {}
            | Self::RflagsFixedBitClear { .. }
            | Self::Virtual8086 { .. }
            | Self::Virtual8086Impossible { .. } => Register::Rflags,
            Self::Xcr0WithoutX87 { .. } | Self::Xcr0Incomplete { .. } => Register::Xcr0,
            Self::PatType { .. } => Register::Pat,
            Self::X2apicDisabled { .. } => Register::ApicBase,
            Self::Cr3Above32Bits { .. } => Register::Cr3,
            Self::RipAbove32Bits { .. } | Self::RipBeyondLimit { .. } => Register::Rip,
            Self::CodeNotPresent { .. }
            | Self::CodeWrongType { .. }
            | Self::CodeIsData { .. }
            | Self::CodeLongOutsideLongMode { .. }
            | Self::CodeLongAndBig { .. }
            | Self::CodePrivilege { .. } => Register::Cs,
            Self::StackNotWritable { .. }
            | Self::StackPrivilege { .. }
            | Self::StackCodeRpl { .. }
            | Self::StackRpl { .. } => Register::Ss,
            Self::TaskRegister { .. } => Register::Tr,
            Self::LocalTable { .. } => Register::Ldtr,
            Self::NoGdt { .. } => Register::Gdtr,
        }
    }

    /// Where it is written: manual and section.
    pub const fn source(&self) -> &'static str {
        match self {
            Self::ReservedBits { register, .. } => reserved_source(*register),
            Self::PagingWithoutProtection { .. }
            | Self::LmaMismatch { .. }
            | Self::LongModeWithoutPae { .. } => BOTH_CONTROL,
            Self::PcideOutsideLongMode { .. }
            | Self::CetWithoutWriteProtect { .. }
            | Self::PatType { .. } => ENTRY_CONTROL,
            Self::NotWriteThroughWithCaching { .. } => VMRUN,
            Self::IgnoredCr0Bits { .. } => "SDM volume 2, \"MOV - Move to/from Control Registers\"",
            Self::AmdEferBits { .. } => "APM volume 2, \"Extended Feature Enable Register (EFER)\"",
            Self::RflagsZero {} | Self::RflagsFixedBitClear { .. } => ENTRY_RIP,
            Self::Virtual8086 { .. } => "SDM volume 3, \"Virtual-8086 Mode\"",
            Self::Virtual8086Impossible { .. } | Self::RipAbove32Bits { .. } => ENTRY_RIP,
            Self::Xcr0WithoutX87 { .. } | Self::Xcr0Incomplete { .. } => XSETBV,
            Self::FixedDebugBits { .. } => "SDM volume 3, \"Debug Registers\"",
            Self::X2apicDisabled { .. } => "SDM volume 3, \"x2APIC State Transitions\"",
            Self::NotCanonical { register, .. } => match register {
                Register::Gdtr | Register::Idtr => ENTRY_TABLES,
                Register::Rip => ENTRY_RIP,
                _ => ENTRY_SEGMENTS,
            },
            Self::Cr3Above32Bits { .. } => "SDM volume 3, \"Paging Modes and Control Bits\"",
            Self::RipBeyondLimit { .. } => "SDM volume 3, \"Limit Checking\"",
            Self::CodeLongAndBig { .. } => {
                "SDM volume 3, \"Checks on Guest Segment Registers\"; APM volume 2, \
                 \"Canonicalization and Consistency Checks\""
            }
            Self::CodeLongOutsideLongMode { .. } => {
                "SDM volume 3, \"Segment Descriptors\" (L is reserved there); KVM_SET_SREGS fails"
            }
            Self::LongDataSegment { .. } => "SDM volume 3, \"Segment Descriptors\"",
            Self::RealModeBase { .. } => "SDM volume 3, \"Real-Address Mode\"",
            Self::NoGdt { .. } | Self::SelectorBeyondGdt { .. } => {
                "SDM volume 3, \"Segment Selectors\""
            }
            Self::CodeNotPresent { .. }
            | Self::CodeWrongType { .. }
            | Self::CodeIsData { .. }
            | Self::CodePrivilege { .. }
            | Self::StackNotWritable { .. }
            | Self::StackPrivilege { .. }
            | Self::StackCodeRpl { .. }
            | Self::StackRpl { .. }
            | Self::DataPrivilege { .. }
            | Self::SystemSegment { .. }
            | Self::NotReadable { .. }
            | Self::NotAccessed { .. }
            | Self::ReservedAttributes { .. }
            | Self::LimitGranularity { .. }
            | Self::BaseAbove32Bits { .. }
            | Self::TaskRegister { .. }
            | Self::LocalTable { .. }
            | Self::LocalSelector { .. }
            | Self::Virtual8086Segment { .. } => ENTRY_SEGMENTS,
        }
    }
}

const fn reserved_source(register: Register) -> &'static str {
    match register {
        Register::Rflags => ENTRY_RIP,
        Register::Xcr0 => XSETBV,
        Register::Cr8 => "SDM volume 3, \"Task Priority\"",
        Register::Mxcsr => "SDM volume 1, \"MXCSR Control and Status Register\"",
        Register::ApicBase => "SDM volume 3, \"Local APIC Status and Location\"",
        _ => BOTH_CONTROL,
    }
}
