//! Rules of the registers: one for each [`x86::Problem`](crate::x86::Problem).

use core::fmt;

use super::rule::{Rule, Severity};
use crate::x86::Problem;

/// A problem of a processor's registers, as a chapter of the rule book.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProcessorFault(pub(crate) Problem);

const CONTROL: &str = "SDM volume 3, \"Checks on Guest Control Registers, Debug Registers, and \
     MSRs\"; APM volume 2, \"Canonicalization and Consistency Checks\"";
const SEGMENTS: &str = "SDM volume 3, \"Checks on Guest Segment Registers\"";
const RIP: &str = "SDM volume 3, \"Checks on Guest RIP, RFLAGS, and SSP\"";

macro_rules! processor_rules {
    ($($variant:ident $severity:ident $id:literal $summary:literal $source:expr;)*) => {
        impl ProcessorFault {
            pub(crate) const RULES: &'static [&'static Rule] = &[$(
                &Rule {
                    id: $id,
                    severity: Severity::$severity,
                    summary: $summary,
                    source: $source,
                },
            )*];

            /// The rule that is broken.
            pub(crate) const fn rule(&self) -> &'static Rule {
                match self.0 {
                    $(Problem::$variant { .. } => &Rule {
                        id: $id,
                        severity: Severity::$severity,
                        summary: $summary,
                        source: $source,
                    },)*
                }
            }
        }
    };
}

processor_rules! {
    ReservedBits Error "context.reserved-bits"
        "Bits of a register that no manual defines are 0."
        CONTROL;
    IgnoredCr0Bits Note "context.cr0-ignored"
        "Only defined bits of CR0 are set; the processor drops others."
        "SDM volume 2, \"MOV - Move to/from Control Registers\"";
    AmdEferBits Note "context.efer-amd"
        "EFER has no bits that Intel's processors refuse."
        "APM volume 2, \"Extended Feature Enable Register (EFER)\"";
    PagingWithoutProtection Error "context.paging-without-protection"
        "CR0.PG is set only with CR0.PE."
        CONTROL;
    NotWriteThroughWithCaching Error "context.cache"
        "CR0.NW is set only with CR0.CD."
        "APM volume 2, \"Canonicalization and Consistency Checks\"";
    LmaMismatch Error "context.lma"
        "EFER.LMA is set exactly where EFER.LME and CR0.PG are."
        CONTROL;
    LongModeWithoutPae Error "context.pae"
        "Long mode has CR4.PAE set."
        CONTROL;
    PcideOutsideLongMode Error "context.pcide"
        "CR4.PCIDE is set in long mode only."
        CONTROL;
    CetWithoutWriteProtect Error "context.cet"
        "CR4.CET is set only with CR0.WP."
        CONTROL;
    RflagsZero Note "context.rflags-zero"
        "RFLAGS has bit 1 set; a context of zeroes leaves that to the loader."
        RIP;
    RflagsFixedBitClear Error "context.rflags"
        "RFLAGS has bit 1 set."
        RIP;
    Virtual8086 Warning "context.virtual-8086"
        "No guest starts in virtual-8086 mode."
        "SDM volume 3, \"Virtual-8086 Mode\"";
    Virtual8086Impossible Error "context.virtual-8086-mode"
        "RFLAGS.VM is set in protected mode only."
        RIP;
    Virtual8086Segment Error "context.virtual-8086-segment"
        "Segments of virtual-8086 mode are what that mode makes them."
        SEGMENTS;
    Xcr0WithoutX87 Error "context.xcr0"
        "XCR0 has bit 0 set."
        "SDM volume 2, \"XSETBV\"";
    Xcr0Incomplete Error "context.xcr0-incomplete"
        "XCR0 has the components set that others need."
        "SDM volume 2, \"XSETBV\"";
    FixedDebugBits Note "context.debug-bits"
        "Fixed bits of DR6 and DR7 have their value."
        "SDM volume 3, \"Debug Registers\"";
    PatType Error "context.pat"
        "Every entry of the PAT is a memory type."
        CONTROL;
    X2apicDisabled Error "context.apic-base"
        "x2APIC mode is set only with the local APIC enabled."
        "SDM volume 3, \"x2APIC State Transitions\"";
    NotCanonical Error "context.canonical"
        "Linear addresses in registers are canonical."
        SEGMENTS;
    Cr3Above32Bits Warning "context.cr3-above-4g"
        "CR3 is below 4 GiB outside long mode."
        "SDM volume 3, \"Paging Modes and Control Bits\"";
    RipAbove32Bits Error "context.rip-above-4g"
        "RIP is below 4 GiB outside 64-bit mode."
        RIP;
    RipBeyondLimit Warning "context.rip-limit"
        "RIP lies inside the limit of CS."
        "SDM volume 3, \"Limit Checking\"";
    CodeNotPresent Error "context.cs-not-present"
        "CS is present."
        SEGMENTS;
    CodeWrongType Error "context.cs-type"
        "CS is a code segment."
        SEGMENTS;
    CodeIsData Warning "context.cs-data"
        "CS is a data segment in real mode only."
        SEGMENTS;
    CodeLongOutsideLongMode Error "context.cs-long"
        "CS.L is set in long mode only."
        "SDM volume 3, \"Segment Descriptors\"; KVM_SET_SREGS fails";
    CodeLongAndBig Error "context.cs-long-and-big"
        "CS.D is clear where CS.L is set."
        SEGMENTS;
    CodePrivilege Error "context.cs-privilege"
        "The privilege level of CS goes with that of SS."
        SEGMENTS;
    StackNotWritable Error "context.ss-type"
        "SS is writable data."
        SEGMENTS;
    StackPrivilege Error "context.ss-privilege"
        "The privilege level of SS is 0 where that of CS is."
        SEGMENTS;
    StackCodeRpl Warning "context.ss-cs-rpl"
        "The selectors of CS and SS have the same privilege level."
        SEGMENTS;
    StackRpl Warning "context.ss-rpl"
        "The selector of SS has the privilege level of its descriptor."
        SEGMENTS;
    DataPrivilege Warning "context.data-privilege"
        "A data segment is not more privileged than its selector asks for."
        SEGMENTS;
    SystemSegment Error "context.system-segment"
        "Code and data segment registers hold code and data segments."
        SEGMENTS;
    NotReadable Error "context.not-readable"
        "A data segment register does not hold execute-only code."
        SEGMENTS;
    NotAccessed Warning "context.accessed"
        "The accessed bit of a loaded segment is set."
        SEGMENTS;
    LongDataSegment Note "context.data-long"
        "L is set on code segments only."
        "SDM volume 3, \"Segment Descriptors\"";
    ReservedAttributes Error "context.attributes"
        "Bits 11:8 of segment attributes are 0."
        "igvm_defs: IgvmNativeVpContextX64.code_attributes; SDM volume 3, \"Checks on Guest Segment Registers\"";
    LimitGranularity Error "context.limit"
        "A segment limit is one that its granularity bit can express."
        SEGMENTS;
    BaseAbove32Bits Error "context.base-above-4g"
        "The bases of CS, DS, ES and SS are below 4 GiB."
        SEGMENTS;
    TaskRegister Error "context.tr"
        "TR is a busy task-state segment."
        SEGMENTS;
    LocalTable Error "context.ldtr"
        "LDTR is a local descriptor table."
        SEGMENTS;
    LocalSelector Error "context.local-selector"
        "TR and LDTR are selected from the global table."
        SEGMENTS;
    RealModeBase Note "context.real-mode-base"
        "A segment base in real mode is sixteen times the selector."
        "SDM volume 3, \"Real-Address Mode\"";
    NoGdt Note "context.no-gdt"
        "A guest that uses selectors has a descriptor table."
        "SDM volume 3, \"Segment Selectors\"";
    SelectorBeyondGdt Note "context.selector"
        "Selectors lie inside the descriptor table."
        "SDM volume 3, \"Segment Selectors\"";
}

impl fmt::Display for ProcessorFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
