//! The bits of the control, flag and model-specific registers by name.
//!
//! One module a register: a mask per bit, [`NamedBit`]s in ascending order for
//! display, and `RESERVED`, the bits neither manual defines. Where one vendor
//! alone defines a bit, it counts as defined and the meaning says whose it is.

use super::Register;

/// Bit number, name and meaning of one bit.
pub type NamedBit = (u32, &'static str, &'static str);

/// One table for masks and names, so that they cannot differ.
macro_rules! register_bits {
    ($(
        $(#[$doc:meta])*
        $module:ident { $($bit:literal $constant:ident $name:literal $meaning:literal;)* }
    )*) => {$(
        $(#[$doc])*
        pub mod $module {
            use super::NamedBit;

            $(#[doc = concat!("Bit ", $bit, ", `", $name, "`: ", $meaning, ".")]
            pub const $constant: u64 = 1 << $bit;)*

            /// Every defined bit, in ascending order.
            pub const BITS: &[NamedBit] = &[$(($bit, $name, $meaning),)*];

            /// The mask of all of [`BITS`].
            pub const DEFINED: u64 = 0 $(| $constant)*;
        }
    )*};
}

register_bits! {
    /// CR0 (SDM volume 3, "Control Registers"; APM volume 2, "CR0 Register").
    cr0 {
        0 PE "PE" "protected mode";
        1 MP "MP" "WAIT heeds TS";
        2 EM "EM" "no x87 unit: its instructions fault";
        3 TS "TS" "task switched: the next x87 or SSE instruction faults";
        4 ET "ET" "x87 present, always 1";
        5 NE "NE" "x87 errors are reported by exception 16";
        16 WP "WP" "the supervisor heeds read-only pages";
        18 AM "AM" "RFLAGS.AC checks alignment";
        29 NW "NW" "not write-through";
        30 CD "CD" "caching disabled";
        31 PG "PG" "paging";
    }

    /// CR3, apart from the address of the top table (SDM volume 3, "Control
    /// Registers"). With CR4.PCIDE bits 11:0 are the PCID instead.
    cr3 {
        3 PWT "PWT" "the top table is cached write-through";
        4 PCD "PCD" "the top table is not cached";
        61 LAM_U57 "LAM_U57" "user addresses carry metadata in bits 62:57 (Intel)";
        62 LAM_U48 "LAM_U48" "user addresses carry metadata in bits 62:48 (Intel)";
    }

    /// CR4 (SDM volume 3, "Control Registers"; APM volume 2, "CR4 Register").
    cr4 {
        0 VME "VME" "virtual-8086 mode extensions";
        1 PVI "PVI" "protected-mode virtual interrupts";
        2 TSD "TSD" "RDTSC is privileged";
        3 DE "DE" "I/O breakpoints, no DR4 and DR5";
        4 PSE "PSE" "4 MiB pages in 32-bit paging";
        5 PAE "PAE" "64-bit page table entries";
        6 MCE "MCE" "machine-check exception";
        7 PGE "PGE" "global pages";
        8 PCE "PCE" "RDPMC for user code";
        9 OSFXSR "OSFXSR" "SSE, FXSAVE and FXRSTOR";
        10 OSXMMEXCPT "OSXMMEXCPT" "SSE errors are reported by exception 19";
        11 UMIP "UMIP" "SGDT, SIDT, SLDT, SMSW and STR are privileged";
        12 LA57 "LA57" "5-level paging in long mode";
        13 VMXE "VMXE" "VMX (Intel)";
        14 SMXE "SMXE" "SMX (Intel)";
        16 FSGSBASE "FSGSBASE" "RDFSBASE and its kin";
        17 PCIDE "PCIDE" "process-context identifiers in CR3";
        18 OSXSAVE "OSXSAVE" "XSAVE and XCR0";
        19 KL "KL" "Key Locker (Intel)";
        20 SMEP "SMEP" "the supervisor does not execute user pages";
        21 SMAP "SMAP" "the supervisor does not touch user pages";
        22 PKE "PKE" "protection keys for user pages";
        23 CET "CET" "control-flow enforcement";
        24 PKS "PKS" "protection keys for supervisor pages (Intel)";
        25 UINTR "UINTR" "user interrupts (Intel)";
        27 LASS "LASS" "linear address-space separation (Intel)";
        28 LAM_SUP "LAM_SUP" "supervisor addresses carry metadata (Intel)";
        32 FRED "FRED" "flexible return and event delivery";
    }

    /// IA32_EFER, MSR 0xc0000080 (SDM volume 3, "Extended Feature Enable
    /// Register"; APM volume 2, "Extended Feature Enable Register").
    efer {
        0 SCE "SCE" "SYSCALL and SYSRET";
        8 LME "LME" "long mode enabled: active once paging is on";
        10 LMA "LMA" "long mode active: LME and CR0.PG";
        11 NXE "NXE" "no-execute pages";
        12 SVME "SVME" "SVM (AMD)";
        13 LMSLE "LMSLE" "segment limits in 64-bit mode (AMD)";
        14 FFXSR "FFXSR" "fast FXSAVE and FXRSTOR (AMD)";
        15 TCE "TCE" "translation cache extension (AMD)";
        17 MCOMMIT "MCOMMIT" "MCOMMIT instruction (AMD)";
        18 INTWB "INTWB" "interruptible WBINVD and WBNOINVD (AMD)";
        20 UAIE "UAIE" "upper address ignore (AMD)";
        21 AIBRSE "AIBRSE" "automatic IBRS (AMD)";
    }

    /// RFLAGS (SDM volume 1, "EFLAGS Register").
    rflags {
        0 CF "CF" "carry";
        1 FIXED "1" "always 1";
        2 PF "PF" "parity";
        4 AF "AF" "auxiliary carry";
        6 ZF "ZF" "zero";
        7 SF "SF" "sign";
        8 TF "TF" "single step";
        9 IF "IF" "interrupts enabled";
        10 DF "DF" "string instructions count down";
        11 OF "OF" "overflow";
        12 IOPL_LOW "IOPL[0]" "I/O privilege level, low bit";
        13 IOPL_HIGH "IOPL[1]" "I/O privilege level, high bit";
        14 NT "NT" "nested task";
        16 RF "RF" "resume: no instruction breakpoint";
        17 VM "VM" "virtual-8086 mode";
        18 AC "AC" "alignment check, access control";
        19 VIF "VIF" "virtual interrupt flag";
        20 VIP "VIP" "virtual interrupt pending";
        21 ID "ID" "CPUID is there if this can be changed";
    }

    /// XCR0 (SDM volume 1, "Enabling the XSAVE Feature Set"; APM volume 2,
    /// "XFEATURE_ENABLED_MASK Register").
    xcr0 {
        0 X87 "x87" "x87 state, always 1";
        1 SSE "SSE" "XMM registers";
        2 AVX "AVX" "upper halves of the YMM registers";
        3 BNDREGS "BNDREGS" "MPX bound registers (Intel)";
        4 BNDCSR "BNDCSR" "MPX configuration (Intel)";
        5 OPMASK "opmask" "AVX-512 mask registers";
        6 ZMM_HI256 "ZMM_Hi256" "upper halves of ZMM0 to ZMM15";
        7 HI16_ZMM "Hi16_ZMM" "ZMM16 to ZMM31";
        9 PKRU "PKRU" "protection keys";
        17 TILECFG "TILECFG" "AMX configuration (Intel)";
        18 TILEDATA "TILEDATA" "AMX tiles (Intel)";
        19 APX "APX" "R16 to R31 (Intel)";
        62 LWP "LWP" "lightweight profiling (AMD)";
    }

    /// DR6, the debug status (SDM volume 3, "Debug Status Register").
    dr6 {
        0 B0 "B0" "breakpoint 0 was met";
        1 B1 "B1" "breakpoint 1 was met";
        2 B2 "B2" "breakpoint 2 was met";
        3 B3 "B3" "breakpoint 3 was met";
        11 BLD "BLD" "0 after a bus lock";
        13 BD "BD" "debug register access";
        14 BS "BS" "single step";
        15 BT "BT" "task switch";
        16 RTM "RTM" "0 inside a transactional region (Intel)";
    }

    /// DR7, the debug control (SDM volume 3, "Debug Control Register").
    dr7 {
        0 L0 "L0" "breakpoint 0, this task";
        1 G0 "G0" "breakpoint 0, every task";
        2 L1 "L1" "breakpoint 1, this task";
        3 G1 "G1" "breakpoint 1, every task";
        4 L2 "L2" "breakpoint 2, this task";
        5 G2 "G2" "breakpoint 2, every task";
        6 L3 "L3" "breakpoint 3, this task";
        7 G3 "G3" "breakpoint 3, every task";
        8 LE "LE" "exact data breakpoints, this task";
        9 GE "GE" "exact data breakpoints, every task";
        10 FIXED "1" "always 1";
        11 RTM "RTM" "breakpoints in transactional regions (Intel)";
        13 GD "GD" "debug register accesses are trapped";
        16 RW0_LOW "R/W0[0]" "what breakpoint 0 waits for, low bit";
        17 RW0_HIGH "R/W0[1]" "what breakpoint 0 waits for, high bit";
        18 LEN0_LOW "LEN0[0]" "length of breakpoint 0, low bit";
        19 LEN0_HIGH "LEN0[1]" "length of breakpoint 0, high bit";
        20 RW1_LOW "R/W1[0]" "what breakpoint 1 waits for, low bit";
        21 RW1_HIGH "R/W1[1]" "what breakpoint 1 waits for, high bit";
        22 LEN1_LOW "LEN1[0]" "length of breakpoint 1, low bit";
        23 LEN1_HIGH "LEN1[1]" "length of breakpoint 1, high bit";
        24 RW2_LOW "R/W2[0]" "what breakpoint 2 waits for, low bit";
        25 RW2_HIGH "R/W2[1]" "what breakpoint 2 waits for, high bit";
        26 LEN2_LOW "LEN2[0]" "length of breakpoint 2, low bit";
        27 LEN2_HIGH "LEN2[1]" "length of breakpoint 2, high bit";
        28 RW3_LOW "R/W3[0]" "what breakpoint 3 waits for, low bit";
        29 RW3_HIGH "R/W3[1]" "what breakpoint 3 waits for, high bit";
        30 LEN3_LOW "LEN3[0]" "length of breakpoint 3, low bit";
        31 LEN3_HIGH "LEN3[1]" "length of breakpoint 3, high bit";
    }

    /// MXCSR (SDM volume 1, "MXCSR Control and Status Register").
    mxcsr {
        0 IE "IE" "invalid operation met";
        1 DE "DE" "denormal met";
        2 ZE "ZE" "division by zero met";
        3 OE "OE" "overflow met";
        4 UE "UE" "underflow met";
        5 PE "PE" "inexact result met";
        6 DAZ "DAZ" "denormals are zeros";
        7 IM "IM" "invalid operation masked";
        8 DM "DM" "denormal masked";
        9 ZM "ZM" "division by zero masked";
        10 OM "OM" "overflow masked";
        11 UM "UM" "underflow masked";
        12 PM "PM" "inexact result masked";
        13 RC_LOW "RC[0]" "rounding, low bit";
        14 RC_HIGH "RC[1]" "rounding, high bit";
        15 FTZ "FTZ" "underflow gives zero";
        17 MM "MM" "misaligned operands allowed (AMD)";
    }

    /// IA32_APIC_BASE, MSR 0x1b, apart from the address in bits 51:12 (SDM
    /// volume 3, "Local APIC Status and Location").
    apic_base {
        8 BSP "BSP" "bootstrap processor";
        10 EXTD "EXTD" "x2APIC mode";
        11 EN "EN" "local APIC enabled";
    }

    /// An entry of any paging structure with 64-bit entries, apart from its
    /// address; 32-bit entries are the same without XD (SDM volume 3,
    /// "Paging").
    page_entry {
        0 P "P" "present";
        1 RW "R/W" "writable";
        2 US "U/S" "for user code";
        3 PWT "PWT" "write-through";
        4 PCD "PCD" "not cached";
        5 A "A" "accessed";
        6 D "D" "dirty, where it maps a page";
        7 PS "PS" "maps a page; PAT in a PTE";
        8 G "G" "global, where it maps a page";
        63 XD "XD" "not executable, with EFER.NXE";
    }
}

/// Bits 51:12: where entries, CR3 and IA32_APIC_BASE have an address. No
/// processor has more than 52 physical address bits.
pub const ADDRESS_51_12: u64 = 0x000f_ffff_ffff_f000;

/// Bits 11:0, 51:12 and the two LAM bits of CR3; the rest is reserved.
const CR3_DEFINED: u64 = ADDRESS_51_12 | 0xfff | cr3::LAM_U48 | cr3::LAM_U57;

/// The named bits of a register, in ascending order; empty for one that has
/// none.
pub const fn names(register: Register) -> &'static [NamedBit] {
    match register {
        Register::Cr0 => cr0::BITS,
        Register::Cr3 => cr3::BITS,
        Register::Cr4 => cr4::BITS,
        Register::Efer => efer::BITS,
        Register::Rflags => rflags::BITS,
        Register::Xcr0 => xcr0::BITS,
        Register::Dr6 => dr6::BITS,
        Register::Dr7 => dr7::BITS,
        Register::Mxcsr => mxcsr::BITS,
        Register::ApicBase => apic_base::BITS,
        _ => &[],
    }
}

/// The bits of a register that neither manual defines; 0 for one that is all
/// value. A processor refuses most of them and ignores some, see
/// [`problems`](super::problems).
pub const fn reserved(register: Register) -> u64 {
    match register {
        Register::Cr0 => !cr0::DEFINED,
        Register::Cr3 => !CR3_DEFINED,
        Register::Cr4 => !cr4::DEFINED,
        // The task priority, bits 3:0.
        Register::Cr8 => !0xf,
        Register::Efer => !efer::DEFINED,
        Register::Rflags => !rflags::DEFINED,
        Register::Xcr0 => !xcr0::DEFINED,
        Register::Dr6 => !dr6::DEFINED,
        Register::Dr7 => !dr7::DEFINED,
        Register::Mxcsr => !mxcsr::DEFINED,
        Register::ApicBase => !(apic_base::DEFINED | ADDRESS_51_12),
        _ => 0,
    }
}

/// The names of the bits that are set in `value`, in ascending order.
pub fn set_names(bits: &'static [NamedBit], value: u64) -> impl Iterator<Item = &'static str> {
    bits.iter()
        .filter(move |(bit, ..)| value.checked_shr(*bit).is_some_and(|rest| rest & 1 != 0))
        .map(|(_, name, _)| *name)
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    #[test]
    fn tables_are_in_order_and_apart_from_what_is_reserved() {
        for register in Register::ALL {
            let table = names(register);
            assert!(table.is_sorted_by(|a, b| a.0 < b.0), "{register}");
            for (bit, name, meaning) in table {
                assert_eq!(reserved(register) >> bit & 1, 0, "{register}.{name}");
                assert!(!meaning.ends_with('.'), "{register}.{name}");
            }
        }
        let set: Vec<_> = set_names(cr0::BITS, 0x8000_0011).collect();
        assert_eq!(set, ["PE", "ET", "PG"]);
    }
}
