//! A guest that looks at what a reset should bring back, and changes it.

use iced_x86::IcedError;
use iced_x86::code_asm::{CodeAssembler, byte_ptr, dword_ptr, ptr, registers::*};

use super::UNNAMED;

/// Prints AL.
pub(super) fn put(asm: &mut CodeAssembler) -> Result<(), IcedError> {
    asm.mov(dx, 0x402)?;
    asm.out(dx, al)
}

/// Prints AL as two letters from A to P.
fn show(asm: &mut CodeAssembler) -> Result<(), IcedError> {
    asm.mov(ah, al)?;
    asm.shr(al, 4)?;
    asm.add(al, i32::from(b'A'))?;
    put(asm)?;
    asm.mov(al, ah)?;
    asm.and(al, 0xf)?;
    asm.add(al, i32::from(b'A'))?;
    put(asm)
}

/// As [`show`] prints it.
pub(super) fn shown(byte: u8) -> String {
    [byte >> 4, byte & 0xf].map(|nibble| char::from(b'A' + nibble)).into_iter().collect()
}

/// Ports of the interrupt controllers and the timer, and what is written there.
const PORTS: [(i32, u32); 5] =
    [(0x21, 0xa5), (0xa1, 0x5a), (0x43, 0x34), (0x40, 0x11), (0x40, 0x22)];
/// Model-specific registers, and what is written there: IA32_SYSENTER_CS, which
/// KVM lists; the default memory type, the first memory type range and the
/// address in the first machine-check bank, which it does not list.
const MSRS: [(u32, u32); 4] = [(0x174, 0x07), (0x2ff, 0xc06), (0x200, 0x06), (0x402, 0x33)];
/// The local APIC's spurious interrupt vector register. (KVM_SET_SREGS would
/// reset the task priority as well.)
const APIC_SVR: u32 = 0xfee0_00f0;

/// Where in the text of [`looks_then_changes`] what is, and what it would be
/// without a reset.
pub(super) fn changed(bitness: u32, vector: bool) -> Vec<(&'static str, u8)> {
    let mut all = vec![
        ("first interrupt controller", 0xa5),
        ("second interrupt controller", 0x5a),
        ("timer", 0x34),
        ("IA32_SYSENTER_CS", 0x07),
        ("IA32_MTRR_DEF_TYPE", 0x06),
        ("IA32_MTRR_PHYSBASE0", 0x06),
        ("IA32_MC0_ADDR", 0x33),
        ("DR0", 0x99),
    ];
    all.extend((bitness != 16).then_some(("local APIC", 0xaa)));
    all.extend(vector.then_some(("XMM0", 0xff)));
    all
}

/// Prints what a reset should bring back, and changes all of it.
pub(super) fn looks_then_changes(
    asm: &mut CodeAssembler,
    bitness: u32,
    vector: bool,
) -> Result<(), IcedError> {
    for port in [0x21, 0xa1] {
        asm.in_(al, port)?;
        show(asm)?;
    }
    // Read-back command: status of counter 0; neither output nor null count,
    // which depend on the time.
    asm.mov(al, 0xe2)?;
    asm.out(0x43, al)?;
    asm.in_(al, 0x40)?;
    asm.and(al, 0x3f)?;
    show(asm)?;
    for (port, value) in PORTS {
        asm.mov(al, value)?;
        asm.out(port, al)?;
    }
    for (index, value) in MSRS {
        asm.mov(ecx, index)?;
        asm.rdmsr()?;
        show(asm)?;
        asm.mov(eax, value)?;
        asm.xor(edx, edx)?;
        asm.wrmsr()?;
    }
    match bitness {
        64 => asm.mov(rax, dr0)?,
        _ => asm.mov(eax, dr0)?,
    }
    show(asm)?;
    asm.mov(eax, 0x99)?;
    match bitness {
        64 => asm.mov(dr0, rax)?,
        _ => asm.mov(dr0, eax)?,
    }
    if bitness != 16 {
        asm.mov(ebx, APIC_SVR)?;
        let register = if bitness == 64 { dword_ptr(rbx) } else { dword_ptr(ebx) };
        asm.mov(eax, register)?;
        show(asm)?;
        asm.mov(register, 0x1aa)?;
    }
    if vector {
        // CR4.OSFXSR: SSE.
        match bitness {
            64 => asm.mov(rax, cr4)?,
            _ => asm.mov(eax, cr4)?,
        }
        asm.or(eax, 0x200)?;
        match bitness {
            64 => asm.mov(cr4, rax)?,
            _ => asm.mov(cr4, eax)?,
        }
        asm.fxsave(ptr(UNNAMED))?;
        asm.mov(al, byte_ptr(UNNAMED + 160))?;
        show(asm)?;
        asm.pcmpeqb(xmm0, xmm0)?;
    }
    Ok(())
}
