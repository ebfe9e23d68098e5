//! A boot ROM that does nothing but bring a processor into a given 64-bit
//! state: the registers of a context, as far as instructions can set them.

use iced_x86::IcedError;
use iced_x86::code_asm::registers::*;
use iced_x86::code_asm::{CodeAssembler, ptr};
use igvm_core::x86::{RegisterFile, Segment};

/// Where the ROM is: it ends at 4 GiB.
const BASE: u64 = 0xffff_0000;
const LEN: usize = 0x1_0000;

// Offsets in the ROM.
const PML4: usize = 0;
const PDPT: usize = 0x1000;
const GDT: usize = 0x2000;
const GDTR: usize = 0x2040;
const CONTEXT_GDTR: usize = 0x2050;
const CONTEXT_IDTR: usize = 0x2060;
const ENTRY: usize = 0x2070;
const RFLAGS: usize = 0x2080;
const CODE16: usize = 0x3000;
const CODE32: usize = 0x3100;
const CODE64: usize = 0x3200;
const RESET_VECTOR: usize = 0xfff0;

// Selectors of the ROM's own descriptors.
const ROM_CODE32: u16 = 0x08;
const ROM_DATA: i32 = 0x10;
const ROM_CODE64: u16 = 0x18;

const EFER: i32 = 0xc000_0080_u32 as i32;
const EFER_LMA: u64 = 1 << 10;

fn address(offset: usize) -> u64 {
    BASE + offset as u64
}

/// The ROM for a processor that has the descriptor tables of `registers` in
/// memory and maps this ROM where it is.
pub(crate) fn rom(registers: &RegisterFile) -> Vec<u8> {
    let mut rom = vec![0; LEN];
    let mut put = |at: usize, bytes: &[u8]| rom[at..at + bytes.len()].copy_from_slice(bytes);
    // Accessed and dirty already: nobody can write them here.
    put(PML4, &(address(PDPT) | 0x23).to_le_bytes());
    for gigabyte in 0..4 {
        let entry = (gigabyte as u64) << 30 | 0xe3;
        put(PDPT + 8 * gigabyte, &entry.to_le_bytes());
    }
    let gdt = [0, 0x00cf_9b00_0000_ffff_u64, 0x00cf_9300_0000_ffff, 0x00af_9b00_0000_ffff];
    for (at, descriptor) in (GDT..).step_by(8).zip(gdt) {
        put(at, &descriptor.to_le_bytes());
    }
    put(GDTR, &table(31, address(GDT)));
    put(CONTEXT_GDTR, &table(registers.gdtr.limit, registers.gdtr.base));
    put(CONTEXT_IDTR, &table(registers.idtr.limit, registers.idtr.base));
    let entry = u32::try_from(registers.rip).expect("a far jump takes an entry below 4 GiB");
    put(ENTRY, &entry.to_le_bytes());
    put(ENTRY + 4, &registers.cs.selector.to_le_bytes());
    put(RFLAGS, &registers.rflags.to_le_bytes());
    put(CODE16, &real_mode());
    put(CODE32, &assemble(32, CODE32, protected_mode));
    let mut code = assemble(64, CODE64, |asm| long_mode(asm, registers));
    code.extend(jump(CODE64 + code.len()));
    put(CODE64, &code);
    // jmp CODE16, relative to the end of the jump
    let distance = (CODE16 as u16).wrapping_sub(RESET_VECTOR as u16 + 3);
    put(RESET_VECTOR, &[0xe9]);
    put(RESET_VECTOR + 1, &distance.to_le_bytes());
    rom
}

/// What LGDT and LIDT read.
fn table(limit: u16, base: u64) -> [u8; 10] {
    let mut bytes = [0; 10];
    bytes[..2].copy_from_slice(&limit.to_le_bytes());
    bytes[2..].copy_from_slice(&base.to_le_bytes());
    bytes
}

fn assemble(
    bitness: u32,
    offset: usize,
    code: impl FnOnce(&mut CodeAssembler) -> Result<(), IcedError>,
) -> Vec<u8> {
    let mut asm = CodeAssembler::new(bitness).unwrap();
    code(&mut asm).unwrap();
    asm.assemble(address(offset)).unwrap()
}

/// Into protected mode. By hand: forms that the assembler has no names for.
fn real_mode() -> Vec<u8> {
    let [gdtr_low, gdtr_high] = (GDTR as u16).to_le_bytes();
    let mut code = vec![
        0xfa, // cli
        0x66, 0x2e, 0x0f, 0x01, 0x16, gdtr_low, gdtr_high, // lgdt cs:[GDTR], 32-bit base
        0x0f, 0x20, 0xc0, // mov eax, cr0
        0x0c, 0x01, // or al, 1
        0x0f, 0x22, 0xc0, // mov cr0, eax
        0x66, 0xea, // jmp ROM_CODE32:CODE32
    ];
    code.extend((address(CODE32) as u32).to_le_bytes());
    code.extend(ROM_CODE32.to_le_bytes());
    code
}

/// Into 64-bit mode with the ROM's tables.
fn protected_mode(asm: &mut CodeAssembler) -> Result<(), IcedError> {
    asm.mov(eax, ROM_DATA)?;
    asm.mov(ds, eax)?;
    asm.mov(ss, eax)?;
    asm.mov(eax, 0x20)?;
    asm.mov(cr4, eax)?;
    asm.mov(eax, address(PML4) as i32)?;
    asm.mov(cr3, eax)?;
    asm.mov(ecx, EFER)?;
    asm.mov(eax, 0x100)?;
    asm.xor(edx, edx)?;
    asm.wrmsr()?;
    asm.mov(eax, 0x8000_0011_u32 as i32)?;
    asm.mov(cr0, eax)?;
    let mut far = vec![0xea];
    far.extend((address(CODE64) as u32).to_le_bytes());
    far.extend(ROM_CODE64.to_le_bytes());
    asm.db(&far)
}

/// Control registers, tables, segments, integers, flags, and away.
fn long_mode(asm: &mut CodeAssembler, registers: &RegisterFile) -> Result<(), IcedError> {
    asm.mov(rax, registers.cr4)?;
    asm.mov(cr4, rax)?;
    asm.mov(rax, registers.cr3)?;
    asm.mov(cr3, rax)?;
    asm.mov(ecx, EFER)?;
    asm.mov(eax, (registers.efer & !EFER_LMA) as i32)?;
    asm.mov(edx, (registers.efer >> 32) as i32)?;
    asm.wrmsr()?;
    asm.mov(rax, registers.cr0)?;
    asm.mov(cr0, rax)?;
    asm.mov(rax, address(CONTEXT_GDTR))?;
    asm.lgdt(ptr(rax))?;
    asm.mov(rax, address(CONTEXT_IDTR))?;
    asm.lidt(ptr(rax))?;
    let file = registers;
    for (segment, value) in
        [(ds, file.ds), (es, file.es), (ss, file.ss), (fs, file.fs), (gs, file.gs)]
    {
        asm.mov(eax, i32::from(value.selector))?;
        asm.mov(segment, eax)?;
    }
    asm.mov(rsp, address(RFLAGS))?;
    asm.popfq()?;
    asm.mov(rsp, file.rsp)?;
    for (register, value) in [
        (rax, file.rax),
        (rcx, file.rcx),
        (rdx, file.rdx),
        (rbx, file.rbx),
        (rbp, file.rbp),
        (rsi, file.rsi),
        (rdi, file.rdi),
        (r8, file.r8),
        (r9, file.r9),
        (r10, file.r10),
        (r11, file.r11),
        (r12, file.r12),
        (r13, file.r13),
        (r14, file.r14),
        (r15, file.r15),
    ] {
        asm.mov(register, value)?;
    }
    Ok(())
}

/// `jmp far [ENTRY]` at an offset of the ROM: no register is free to name it.
fn jump(offset: usize) -> Vec<u8> {
    let mut code = vec![0xff, 0x2d];
    code.extend((ENTRY as i32 - (offset as i32 + 6)).to_le_bytes());
    code
}

/// What a descriptor makes of a segment register: attributes, limit and base.
pub(crate) fn descriptor(selector: u16, raw: u64) -> Segment {
    let limit = (raw & 0xffff) as u32 | (raw >> 32 & 0xf_0000) as u32;
    let granular = raw >> 55 & 1 == 1;
    Segment {
        selector,
        attributes: (raw >> 40) as u16 & 0xf0ff,
        limit: if granular { limit << 12 | 0xfff } else { limit },
        base: (raw >> 16 & 0xff_ffff) | (raw >> 32 & 0xff00_0000),
    }
}
