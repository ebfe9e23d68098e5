//! The programs that the samples run.
//!
//! Each prints on COM1 by polling, ends through the exit port and, should that
//! not be there, halts. Only plain integer instructions: the guests must run
//! where ring 0 is emulated, too.

use iced_x86::IcedError;
use iced_x86::code_asm::{CodeAssembler, CodeLabel, registers::*};
use iced_x86::code_asm::{byte_ptr, ptr};

/// Data register of COM1.
pub const COM1: u16 = 0x3f8;
/// Line status register of COM1.
pub const COM1_LSR: u16 = COM1 + 5;
/// LSR bit 5: the transmitter takes another byte.
pub const LSR_THR_EMPTY: u8 = 1 << 5;
/// The port of QEMU's `isa-debug-exit` device, as wired here.
pub const EXIT_PORT: u16 = 0x501;
/// What a guest that reached its end writes to [`EXIT_PORT`].
pub const EXIT_SUCCESS: u8 = 0x10;

/// Assembles code for a 16-, 32- or 64-bit segment that starts at `origin`.
pub(crate) fn assemble(
    bitness: u32,
    origin: u64,
    code: impl FnOnce(&mut CodeAssembler) -> Result<(), IcedError>,
) -> Vec<u8> {
    let assemble = || {
        let mut asm = CodeAssembler::new(bitness)?;
        code(&mut asm)?;
        asm.assemble(origin)
    };
    assemble().expect("the samples' programs are constant and assemble")
}

/// Prints AL. Changes AX and DX.
fn put_al(asm: &mut CodeAssembler) -> Result<(), IcedError> {
    let mut wait = asm.create_label();
    asm.mov(ah, al)?;
    asm.mov(dx, i32::from(COM1_LSR))?;
    asm.set_label(&mut wait)?;
    asm.in_(al, dx)?;
    asm.test(al, i32::from(LSR_THR_EMPTY))?;
    asm.je(wait)?;
    asm.mov(al, ah)?;
    asm.mov(dx, i32::from(COM1))?;
    asm.out(dx, al)
}

/// Ends the run: exit port, then a halt that nothing interrupts.
fn exit(asm: &mut CodeAssembler) -> Result<(), IcedError> {
    asm.mov(dx, i32::from(EXIT_PORT))?;
    asm.mov(al, i32::from(EXIT_SUCCESS))?;
    asm.out(dx, al)?;
    halt(asm)
}

fn halt(asm: &mut CodeAssembler) -> Result<(), IcedError> {
    let mut again = asm.create_label();
    asm.cli()?;
    asm.set_label(&mut again)?;
    asm.hlt()?;
    asm.jmp(again)
}

/// Halts at once; the same bytes in every mode.
pub(crate) fn halting() -> Vec<u8> {
    assemble(32, 0, halt)
}

/// Prints a line and ends; 16-bit code at offset `origin` of CS. Reads the
/// text through CS, so that no other segment matters.
pub(crate) fn hello16(origin: u16, line: &str) -> Vec<u8> {
    with_text(origin.into(), line, |text| {
        assemble(16, origin.into(), |asm| {
            let (mut next, mut done) = (asm.create_label(), asm.create_label());
            asm.mov(si, text as i32)?;
            asm.set_label(&mut next)?;
            asm.mov(al, byte_ptr(si).cs())?;
            asm.test(al, al)?;
            asm.je(done)?;
            asm.inc(si)?;
            put_al(asm)?;
            asm.jmp(next)?;
            asm.set_label(&mut done)?;
            exit(asm)
        })
    })
}

/// Prints a line and ends; 32-bit code at `origin` of flat segments.
pub(crate) fn hello32(origin: u32, line: &str) -> Vec<u8> {
    with_text(origin.into(), line, |text| {
        assemble(32, origin.into(), |asm| {
            let (mut next, mut done) = (asm.create_label(), asm.create_label());
            asm.mov(esi, text as u32)?;
            asm.set_label(&mut next)?;
            asm.mov(al, byte_ptr(esi))?;
            asm.test(al, al)?;
            asm.je(done)?;
            asm.inc(esi)?;
            put_al(asm)?;
            asm.jmp(next)?;
            asm.set_label(&mut done)?;
            exit(asm)
        })
    })
}

/// Prints a line and ends; 64-bit code that runs wherever it stands.
pub(crate) fn hello64(line: &str) -> Vec<u8> {
    let mut program = Program64::new();
    program.print(line);
    program.finish(0)
}

/// Prints the NUL-terminated text at a linear address and ends; 64-bit code.
pub(crate) fn print_from64(address: u64) -> Vec<u8> {
    let mut program = Program64::new();
    program.print_at(address);
    program.finish(0)
}

/// Code with the text right behind it: assembled once to learn its length,
/// which does not depend on the address.
fn with_text(origin: u64, line: &str, code: impl Fn(u64) -> Vec<u8>) -> Vec<u8> {
    let text = origin + code(origin).len() as u64;
    let mut bytes = code(text);
    assert_eq!(origin + bytes.len() as u64, text, "the text stands right behind the code");
    bytes.extend_from_slice(line.as_bytes());
    bytes.push(0);
    bytes
}

/// A 64-bit program put together from print-outs. Position independent, but
/// for the absolute addresses that it is told to read.
pub(crate) struct Program64 {
    asm: CodeAssembler,
    texts: Vec<(CodeLabel, String)>,
}

impl Program64 {
    pub(crate) fn new() -> Self {
        let asm = CodeAssembler::new(64).expect("64 is a bitness");
        Self { asm, texts: Vec::new() }
    }

    /// Prints a text that comes with the program.
    pub(crate) fn print(&mut self, text: &str) {
        let label = self.asm.create_label();
        self.texts.push((label, text.to_owned()));
        self.emit(|asm| {
            asm.lea(rsi, ptr(label))?;
            print_rsi(asm)
        });
    }

    /// Prints the NUL-terminated text at an address.
    pub(crate) fn print_at(&mut self, address: u64) {
        self.emit(|asm| {
            asm.mov(rsi, address)?;
            print_rsi(asm)
        });
    }

    /// Prints the u32 at an address in decimal. Needs a stack.
    pub(crate) fn print_u32_at(&mut self, address: u64) {
        self.emit(|asm| {
            let (mut divide, mut put) = (asm.create_label(), asm.create_label());
            asm.mov(rsi, address)?;
            asm.mov(eax, ptr(rsi))?;
            asm.mov(ebx, 10)?;
            asm.xor(ecx, ecx)?;
            asm.set_label(&mut divide)?;
            asm.xor(edx, edx)?;
            asm.div(ebx)?;
            asm.push(rdx)?;
            asm.inc(ecx)?;
            asm.test(eax, eax)?;
            asm.jne(divide)?;
            asm.set_label(&mut put)?;
            asm.pop(rax)?;
            asm.add(al, i32::from(b'0'))?;
            put_al(asm)?;
            asm.dec(ecx)?;
            asm.jne(put)
        });
    }

    /// Prints the byte at an address as two hexadecimal digits.
    pub(crate) fn print_byte_at(&mut self, address: u64) {
        self.emit(|asm| {
            asm.mov(rsi, address)?;
            for shift in [4, 0] {
                let mut digit = asm.create_label();
                asm.mov(al, byte_ptr(rsi))?;
                asm.shr(al, shift)?;
                asm.and(al, 0xf)?;
                asm.add(al, i32::from(b'0'))?;
                asm.cmp(al, i32::from(b'9'))?;
                asm.jbe(digit)?;
                asm.add(al, i32::from(b'a' - b'9' - 1))?;
                asm.set_label(&mut digit)?;
                put_al(asm)?;
            }
            Ok(())
        });
    }

    /// Ends the program and assembles it for `origin`.
    pub(crate) fn finish(mut self, origin: u64) -> Vec<u8> {
        self.emit(exit);
        for (mut label, text) in std::mem::take(&mut self.texts) {
            self.emit(|asm| {
                asm.set_label(&mut label)?;
                asm.db(text.as_bytes())?;
                asm.db(&[0])
            });
        }
        self.asm.assemble(origin).expect("the samples' programs are constant and assemble")
    }

    fn emit(&mut self, code: impl FnOnce(&mut CodeAssembler) -> Result<(), IcedError>) {
        code(&mut self.asm).expect("the samples' programs are constant and assemble");
    }
}

/// Prints the NUL-terminated text at RSI.
fn print_rsi(asm: &mut CodeAssembler) -> Result<(), IcedError> {
    let (mut next, mut done) = (asm.create_label(), asm.create_label());
    asm.set_label(&mut next)?;
    asm.mov(al, byte_ptr(rsi))?;
    asm.test(al, al)?;
    asm.je(done)?;
    asm.inc(rsi)?;
    put_al(asm)?;
    asm.jmp(next)?;
    asm.set_label(&mut done)?;
    // A label may not be the last thing set before the next one.
    asm.nop()
}
