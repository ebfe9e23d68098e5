//! Control, flag, debug and model-specific registers, and the addresses in
//! them.

use super::{Problem, State};
use crate::x86::bits::{self, apic_base, cr0, cr4, efer, rflags, xcr0};
use crate::x86::mode::{is_canonical, long_mode_active};
use crate::x86::{Mode, PagingMode, Register, RegisterFile, RegisterValue};

/// The EFER bits that only AMD's manual defines.
const EFER_AMD: u64 = efer::SVME
    | efer::LMSLE
    | efer::FFXSR
    | efer::TCE
    | efer::MCOMMIT
    | efer::INTWB
    | efer::UAIE
    | efer::AIBRSE;

/// Bits of DR6 that read as 1 and as 0 whatever is written, among the lower 32.
const DR6_ONES: u64 = 0xfffe_07f0;
const DR6_ZEROS: u64 = 1 << 12;
/// The same of DR7.
const DR7_ONES: u64 = 1 << 10;
const DR7_ZEROS: u64 = 0xd000;

const UPPER_HALF: u64 = 0xffff_ffff_0000_0000;

pub(super) fn check(state: &State<'_>, report: &mut dyn FnMut(Problem)) {
    reserved_bits(state.registers, report);
    modes(state, report);
    flags(state, report);
    extended_state(state.registers.xcr0, report);
    debug(state.registers, report);
    model_specific(state.registers, report);
    addresses(state, report);
    instruction_pointer(state, report);
}

/// Bits that must be 0. Which they are is in [`bits`]; DR6, DR7 and CR0 ignore
/// the ones in their lower half.
fn reserved_bits(r: &RegisterFile, report: &mut dyn FnMut(Problem)) {
    for register in Register::ALL {
        let RegisterValue::Integer(value) = r.get(register) else { continue };
        let refused = match register {
            Register::Cr0 | Register::Dr6 | Register::Dr7 => UPPER_HALF,
            _ => u64::MAX,
        };
        let bits = value & bits::reserved(register);
        if bits & refused != 0 {
            report(Problem::ReservedBits { register, value, bits: bits & refused });
        }
    }
    let ignored = r.cr0 & bits::reserved(Register::Cr0) & !UPPER_HALF;
    if ignored != 0 {
        report(Problem::IgnoredCr0Bits { cr0: r.cr0, bits: ignored });
    }
    let amd = r.efer & EFER_AMD;
    if amd != 0 {
        report(Problem::AmdEferBits { efer: r.efer, bits: amd });
    }
}

/// Bits of different registers that have to agree.
fn modes(state: &State<'_>, report: &mut dyn FnMut(Problem)) {
    let r = state.registers;
    let (cr0, cr4, efer) = (r.cr0, r.cr4, r.efer);
    if cr0 & cr0::PG != 0 && !state.protection() {
        report(Problem::PagingWithoutProtection { cr0 });
    }
    if cr0 & cr0::NW != 0 && cr0 & cr0::CD == 0 {
        report(Problem::NotWriteThroughWithCaching { cr0 });
    }
    if (efer & efer::LMA != 0) != long_mode_active(r) {
        report(Problem::LmaMismatch { efer, cr0 });
    }
    if long_mode_active(r) && cr4 & cr4::PAE == 0 {
        report(Problem::LongModeWithoutPae { cr4 });
    }
    if cr4 & cr4::PCIDE != 0 && !long_mode_active(r) {
        report(Problem::PcideOutsideLongMode { cr4 });
    }
    if cr4 & cr4::CET != 0 && cr0 & cr0::WP == 0 {
        report(Problem::CetWithoutWriteProtect { cr0, cr4 });
    }
}

fn flags(state: &State<'_>, report: &mut dyn FnMut(Problem)) {
    let rflags = state.registers.rflags;
    if rflags == 0 {
        report(Problem::RflagsZero {});
    } else if rflags & rflags::FIXED == 0 {
        report(Problem::RflagsFixedBitClear { rflags });
    }
    if rflags & rflags::VM == 0 {
        return;
    }
    if state.virtual_8086() {
        report(Problem::Virtual8086 { rflags });
    } else {
        report(Problem::Virtual8086Impossible { rflags, mode: state.mode });
    }
}

/// The rules of XSETBV about bits that come together.
fn extended_state(value: u64, report: &mut dyn FnMut(Problem)) {
    const AVX512: u64 = xcr0::OPMASK | xcr0::ZMM_HI256 | xcr0::HI16_ZMM;
    const MPX: u64 = xcr0::BNDREGS | xcr0::BNDCSR;
    const AMX: u64 = xcr0::TILECFG | xcr0::TILEDATA;
    // Where one of the first is set, all of the second have to be.
    const RULES: [(u64, u64); 4] =
        [(xcr0::AVX, xcr0::SSE), (AVX512, AVX512 | xcr0::AVX), (MPX, MPX), (AMX, AMX)];
    if value & xcr0::X87 == 0 {
        report(Problem::Xcr0WithoutX87 { xcr0: value });
    }
    for (given, needed) in RULES {
        let missing = needed & !value;
        if value & given != 0 && missing != 0 {
            report(Problem::Xcr0Incomplete { xcr0: value, given: value & given, missing });
        }
    }
}

fn debug(r: &RegisterFile, report: &mut dyn FnMut(Problem)) {
    let registers =
        [(Register::Dr6, r.dr6, DR6_ONES, DR6_ZEROS), (Register::Dr7, r.dr7, DR7_ONES, DR7_ZEROS)];
    for (register, value, ones, zeros) in registers {
        let read = (value | ones) & !zeros;
        if read != value {
            report(Problem::FixedDebugBits { register, value, read });
        }
    }
}

fn model_specific(r: &RegisterFile, report: &mut dyn FnMut(Problem)) {
    for (index, memory_type) in r.pat.to_le_bytes().into_iter().enumerate() {
        // UC, WC, WT, WP, WB and UC-.
        if !matches!(memory_type, 0 | 1 | 4..=7) {
            report(Problem::PatType { pat: r.pat, index, memory_type });
        }
    }
    if r.apic_base & apic_base::EXTD != 0 && r.apic_base & apic_base::EN == 0 {
        report(Problem::X2apicDisabled { apic_base: r.apic_base });
    }
}

/// Bases that hold all 64 bits, and CR3 where it holds 32.
fn addresses(state: &State<'_>, report: &mut dyn FnMut(Problem)) {
    let r = state.registers;
    let width = state.linear_bits();
    let mut canonical = |register, value| {
        if !is_canonical(value, width) {
            report(Problem::NotCanonical { register, value, width });
        }
    };
    canonical(Register::Gdtr, r.gdtr.base);
    canonical(Register::Idtr, r.idtr.base);
    canonical(Register::Fs, r.fs.base);
    canonical(Register::Gs, r.gs.base);
    canonical(Register::Tr, r.tr.base);
    if r.ldtr.present() {
        canonical(Register::Ldtr, r.ldtr.base);
    }
    if state.mode == Mode::Long64 {
        canonical(Register::Rip, r.rip);
    }
    let cr3_is_short = matches!(PagingMode::of(r), PagingMode::Bits32 | PagingMode::Pae);
    let above = r.cr3 & UPPER_HALF & !bits::reserved(Register::Cr3);
    if cr3_is_short && above != 0 {
        report(Problem::Cr3Above32Bits { cr3: r.cr3 });
    }
}

fn instruction_pointer(state: &State<'_>, report: &mut dyn FnMut(Problem)) {
    let (rip, limit) = (state.registers.rip, state.registers.cs.limit);
    if state.mode == Mode::Long64 {
        return;
    }
    if rip & UPPER_HALF != 0 {
        report(Problem::RipAbove32Bits { rip, mode: state.mode });
    } else if rip > limit.into() {
        report(Problem::RipBeyondLimit { rip, limit });
    }
}
