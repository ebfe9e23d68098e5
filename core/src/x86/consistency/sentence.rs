//! The sentence of each problem: lower case, the numbers in it, no full stop.

use core::fmt;

use super::Problem;
use crate::x86::bits::{self, NamedBit};

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.register_sentence(f).unwrap_or_else(|| self.segment_sentence(f))
    }
}

impl Problem {
    /// About registers that are not segments; `None` for the others.
    fn register_sentence(&self, f: &mut fmt::Formatter<'_>) -> Option<fmt::Result> {
        Some(match *self {
            Self::ReservedBits { register, value, bits } => {
                write!(f, "{register} is {value:#x}; bits {bits:#x} of it must be 0")
            }
            Self::IgnoredCr0Bits { cr0, bits } => {
                write!(f, "cr0 is {cr0:#x}; bits {bits:#x} of it have no meaning and are dropped")
            }
            Self::AmdEferBits { efer, bits } => write!(
                f,
                "efer is {efer:#x}; Intel processors refuse {}, which AMD defines",
                Names(bits::efer::BITS, bits)
            ),
            Self::PagingWithoutProtection { cr0 } => {
                write!(f, "cr0 is {cr0:#x}: PG needs PE, which is clear")
            }
            Self::NotWriteThroughWithCaching { cr0 } => {
                write!(f, "cr0 is {cr0:#x}: NW needs CD, which is clear")
            }
            Self::LmaMismatch { efer, cr0 } => write!(
                f,
                "efer is {efer:#x} and cr0 {cr0:#x}: LMA must be set exactly where LME and PG are"
            ),
            Self::LongModeWithoutPae { cr4 } => {
                write!(f, "cr4 is {cr4:#x}: long mode needs PAE, which is clear")
            }
            Self::PcideOutsideLongMode { cr4 } => {
                write!(f, "cr4 is {cr4:#x}: PCIDE needs long mode, which is not active")
            }
            Self::CetWithoutWriteProtect { cr0, cr4 } => {
                write!(f, "cr4 is {cr4:#x} and cr0 {cr0:#x}: CET needs WP, which is clear")
            }
            Self::RflagsZero {} => {
                f.write_str("rflags is 0; bit 1 is always 1 and has to be set when it is loaded")
            }
            Self::RflagsFixedBitClear { rflags } => {
                write!(f, "rflags is {rflags:#x}: bit 1 must be 1")
            }
            Self::Virtual8086 { rflags } => {
                write!(f, "rflags is {rflags:#x}: with VM set it starts in virtual-8086 mode")
            }
            Self::Virtual8086Impossible { rflags, mode } => {
                write!(f, "rflags is {rflags:#x}: VM must be clear in {mode}")
            }
            Self::Xcr0WithoutX87 { xcr0 } => write!(f, "xcr0 is {xcr0:#x}: bit 0 must be 1"),
            Self::Xcr0Incomplete { xcr0, given, missing } => write!(
                f,
                "xcr0 is {xcr0:#x}: {} must be set along with {}",
                Names(bits::xcr0::BITS, missing),
                Names(bits::xcr0::BITS, given)
            ),
            Self::FixedDebugBits { register, value, read } => write!(
                f,
                "{register} is {value:#x}; some of its bits are fixed, and it reads as {read:#x}"
            ),
            Self::PatType { pat, index, memory_type } => write!(
                f,
                "pat is {pat:#018x}: its entry {index} has memory type {memory_type}, which does \
                 not exist"
            ),
            Self::X2apicDisabled { apic_base } => {
                write!(f, "apic_base is {apic_base:#x}: EXTD needs EN, which is clear")
            }
            Self::NotCanonical { register, value, width } => write!(
                f,
                "{register} has the address {value:#x}, which is not canonical: linear addresses \
                 have {width} bits here"
            ),
            Self::Cr3Above32Bits { cr3 } => {
                write!(f, "cr3 is {cr3:#x}; outside long mode only its lower 32 bits count")
            }
            Self::RipAbove32Bits { rip, mode } => {
                write!(f, "rip is {rip:#x}, which is above 4 GiB, in {mode}")
            }
            Self::RipBeyondLimit { rip, limit } => {
                write!(f, "rip is {rip:#x}, beyond the limit of cs, {limit:#x}")
            }
            Self::NoGdt { gdtr, register, selector } => write!(
                f,
                "gdtr has base {:#x} and limit {:#x}, yet {register} holds selector {selector:#x}: \
                 loading any selector will fault",
                gdtr.base, gdtr.limit
            ),
            _ => return None,
        })
    }

    /// About segment registers.
    fn segment_sentence(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Virtual8086Segment { register, segment } => write!(
                f,
                "{register} has selector {:#x}, base {:#x}, limit {:#x} and attributes {:#x}; in \
                 virtual-8086 mode the base is sixteen times the selector, the limit 0xffff, the \
                 attributes 0xf3",
                segment.selector, segment.base, segment.limit, segment.attributes
            ),
            Self::CodeNotPresent { attributes } => {
                write!(f, "cs has attributes {attributes:#x}: it is not present")
            }
            Self::CodeWrongType { attributes } => {
                write!(f, "cs has attributes {attributes:#x}, which are no code segment's")
            }
            Self::CodeIsData { attributes } => write!(
                f,
                "cs has attributes {attributes:#x}, those of a data segment; outside real mode \
                 not every processor runs that"
            ),
            Self::CodeLongOutsideLongMode { attributes } => write!(
                f,
                "cs has attributes {attributes:#x}: L is set, and long mode is not active"
            ),
            Self::CodeLongAndBig { attributes } => {
                write!(
                    f,
                    "cs has attributes {attributes:#x}: in long mode L and D exclude each other"
                )
            }
            Self::CodePrivilege { cs, ss } => write!(
                f,
                "cs has attributes {cs:#x} and ss {ss:#x}: their privilege levels do not match"
            ),
            Self::StackNotWritable { attributes } => {
                write!(f, "ss has attributes {attributes:#x}, which are not writable data's")
            }
            Self::StackPrivilege { attributes } => {
                write!(f, "ss has attributes {attributes:#x}; its privilege level must be 0 here")
            }
            Self::StackCodeRpl { cs, ss } => write!(
                f,
                "ss has selector {ss:#x} and cs {cs:#x}: their privilege levels, bits 1:0, differ"
            ),
            Self::StackRpl { selector, attributes } => write!(
                f,
                "ss has selector {selector:#x} and attributes {attributes:#x}: their privilege \
                 levels differ"
            ),
            Self::DataPrivilege { register, selector, attributes } => write!(
                f,
                "{register} has selector {selector:#x} and attributes {attributes:#x}: the \
                 descriptor's privilege level is below the selector's"
            ),
            Self::SystemSegment { register, attributes } => write!(
                f,
                "{register} has attributes {attributes:#x}, a system segment's; code or data is \
                 needed"
            ),
            Self::NotReadable { register, attributes } => {
                write!(f, "{register} has attributes {attributes:#x}: code that cannot be read")
            }
            Self::NotAccessed { register, attributes } => write!(
                f,
                "{register} has attributes {attributes:#x}: the accessed bit is clear, which \
                 Intel's VM entry refuses unless the hypervisor sets it"
            ),
            Self::LongDataSegment { register, attributes } => write!(
                f,
                "{register} has attributes {attributes:#x}: L has no meaning on a data segment"
            ),
            Self::ReservedAttributes { register, attributes } => {
                write!(f, "{register} has attributes {attributes:#x}; bits 11:8 must be 0")
            }
            Self::LimitGranularity { register, limit, attributes } => write!(
                f,
                "{register} has limit {limit:#x} and G {}, which cannot express it",
                attributes >> 15
            ),
            Self::BaseAbove32Bits { register, base } => {
                write!(f, "{register} has base {base:#x}; it must be below 4 GiB")
            }
            Self::TaskRegister { attributes, mode } => write!(
                f,
                "tr has attributes {attributes:#x}, which are not those of a busy task-state \
                 segment in {mode}"
            ),
            Self::LocalTable { attributes } => write!(
                f,
                "ldtr has attributes {attributes:#x}, which are not a local descriptor table's"
            ),
            Self::LocalSelector { register, selector } => {
                write!(f, "{register} has selector {selector:#x}; bit 2 of it must be 0")
            }
            Self::RealModeBase { register, selector, base } => write!(
                f,
                "{register} has selector {selector:#x} and base {base:#x}; loading the selector \
                 in real mode will give base {:#x}",
                u32::from(selector) << 4
            ),
            Self::SelectorBeyondGdt { register, selector, limit } => write!(
                f,
                "{register} has selector {selector:#x}, beyond the limit of the gdt, {limit:#x}: \
                 loading it again will fault"
            ),
            _ => Ok(()),
        }
    }
}

/// Bits by name: `AVX`, `opmask and AVX`.
struct Names(&'static [NamedBit], u64);

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (count, name) in bits::set_names(self.0, self.1).enumerate() {
            if count > 0 {
                f.write_str(" and ")?;
            }
            f.write_str(name)?;
        }
        Ok(())
    }
}
