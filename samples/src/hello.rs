//! One line from each processor mode a file can start in.

use igvm_core::write::{HeaderSpec, start};

use crate::Sample;
use crate::guest;
use crate::layout::{self, CODE, GDT, NATIVE, PAGE_4K, PML4, STACK_TOP, push};

const REAL_RESET_LINE: &str = "Hello from real mode at the reset vector!\n";
const REAL16_LINE: &str = "Hello from real mode with a context!\n";
const PROTECTED32_LINE: &str = "Hello from 32-bit protected mode!\n";
const LONG64_LINE: &str = "Hello from 64-bit mode with 2 MiB pages!\n";
const LONG64_4K_LINE: &str = "Hello from 64-bit mode with 4 KiB pages!\n";
const COMPAT32_LINE: &str = "Hello from compatibility mode!\n";

pub(crate) const REAL_RESET: Sample = Sample {
    name: "hello-real-reset",
    title: "A file without a context starts like a PC: at the reset vector, 16 bytes below 4 GiB, \
            in real mode.",
    prints: REAL_RESET_LINE,
    committed: true,
    build: real_reset,
};

pub(crate) const REAL16: Sample = Sample {
    name: "hello-real16",
    title: "A native context can start a processor in real mode at any segment.",
    prints: REAL16_LINE,
    committed: true,
    build: real16,
};

pub(crate) const PROTECTED32: Sample = Sample {
    name: "hello-protected32",
    title: "A context with CR0.PE and flat 32-bit segments: protected mode without paging, no \
            mode switch in the guest.",
    prints: PROTECTED32_LINE,
    committed: true,
    build: protected32,
};

pub(crate) const LONG64: Sample = Sample {
    name: "hello-long64",
    title: "A context for 64-bit mode needs page tables in the file: here three, down to 2 MiB \
            pages.",
    prints: LONG64_LINE,
    committed: true,
    build: long64,
};

pub(crate) const LONG64_4K: Sample = Sample {
    name: "hello-long64-4k",
    title: "The same with page tables of four levels, down to 4 KiB pages.",
    prints: LONG64_4K_LINE,
    committed: true,
    build: long64_4k,
};

pub(crate) const COMPAT32: Sample = Sample {
    name: "hello-compat32",
    title: "EFER.LMA with a 32-bit code segment is compatibility mode: 32-bit code under the page \
            tables of long mode.",
    prints: COMPAT32_LINE,
    committed: true,
    build: compat32,
};

/// The page that ends at 4 GiB, with a program for its first bytes and a jump
/// there at the reset vector.
pub(crate) fn reset_page(line: &str) -> Vec<u8> {
    // Offsets in the reset CS, whose base is 0xffff0000.
    const PAGE: u16 = 0xf000;
    const RESET: u16 = 0xfff0;
    let jump = guest::assemble(16, RESET.into(), |asm| asm.jmp(u64::from(PAGE)));
    let mut page = guest::hello16(PAGE, line);
    page.resize(usize::from(RESET - PAGE), 0);
    page.extend_from_slice(&jump);
    page
}

/// Where that page lies.
pub(crate) const RESET_PAGE: u64 = (1 << 32) - PAGE_4K;

fn real_reset() -> Vec<u8> {
    let mut file = layout::native_file();
    push(&mut file, HeaderSpec::page(RESET_PAGE, NATIVE, &reset_page(REAL_RESET_LINE)));
    file.finish()
}

fn real16() -> Vec<u8> {
    // One data segment serves DS and SS alike: program in its first page, stack
    // in its second.
    const SEGMENT: u16 = (CODE >> 4) as u16;
    let mut file = layout::native_file();
    push(&mut file, HeaderSpec::page(CODE, NATIVE, &guest::hello16(0, REAL16_LINE)));
    push(&mut file, HeaderSpec::zero_page(CODE + PAGE_4K, NATIVE));
    let context = start::real16(SEGMENT, 0, 2 * PAGE_4K as u16);
    push(&mut file, HeaderSpec::native_context(NATIVE, &context));
    file.finish()
}

fn protected32() -> Vec<u8> {
    let mut file = layout::native_file();
    layout::push_gdt_and_stack(&mut file, NATIVE);
    let code = guest::hello32(CODE as u32, PROTECTED32_LINE);
    push(&mut file, HeaderSpec::page(CODE, NATIVE, &code));
    let context = start::protected32(CODE as u32, STACK_TOP as u32, GDT as u32);
    push(&mut file, HeaderSpec::native_context(NATIVE, &context));
    file.finish()
}

fn long64() -> Vec<u8> {
    let mut file = layout::native_file();
    let context = layout::push_long64(&mut file, NATIVE);
    push(&mut file, HeaderSpec::page(CODE, NATIVE, &guest::hello64(LONG64_LINE)));
    push(&mut file, HeaderSpec::native_context(NATIVE, &context));
    file.finish()
}

fn long64_4k() -> Vec<u8> {
    let mut file = layout::native_file();
    layout::push_identity_4k(&mut file, NATIVE);
    layout::push_gdt_and_stack(&mut file, NATIVE);
    push(&mut file, HeaderSpec::page(CODE, NATIVE, &guest::hello64(LONG64_4K_LINE)));
    push(&mut file, HeaderSpec::native_context(NATIVE, &layout::long64_context()));
    file.finish()
}

fn compat32() -> Vec<u8> {
    let mut file = layout::native_file();
    layout::push_identity_2m(&mut file, NATIVE, 1);
    layout::push_gdt_and_stack(&mut file, NATIVE);
    let code = guest::hello32(CODE as u32, COMPAT32_LINE);
    push(&mut file, HeaderSpec::page(CODE, NATIVE, &code));
    let context = start::compat32(CODE as u32, STACK_TOP as u32, GDT as u32, PML4);
    push(&mut file, HeaderSpec::native_context(NATIVE, &context));
    file.finish()
}
