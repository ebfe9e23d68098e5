//! A guest that looks at its machine, and the file that it comes in.

use iced_x86::IcedError;
use iced_x86::code_asm::{
    CodeAssembler, byte_ptr, dword_ptr, eax, ebx, ecx, edi, edx, ptr, qword_ptr, rax, rbx, rcx,
    rdi, rdx, rsi,
};
use igvm_core::defs::{IGVM_VHS_PARAMETER_INSERT, IgvmPlatformType};
use igvm_core::wire::ParameterKind;
use igvm_core::write::{Context, Data, FileBuilder, HeaderSpec, Version, start};

type Assembled = Result<(), IcedError>;

/// Where a SIPI to page 6 starts a processor.
const SIPI: u64 = 0x6000;
const GDT: u64 = 0x7000;
const GDT_POINTER: u64 = 0x7100;
const IDT_POINTER: u64 = 0x7110;
const IDT: u64 = 0x8000;
const HANDLER: u64 = 0x9000;
/// The 32-bit code of the other processors.
const OTHERS: u64 = 0xa000;
const MAIN: u64 = 0xb000;
/// The root of the page tables; the others follow it.
const TABLES: u64 = 0x1_0000;
const AREAS: u64 = 0x2_0000;
const AREA_LEN: u64 = 0x1000;

/// What the guest has found.
pub(crate) const RESULTS: u64 = 0x4_0000;
pub(crate) const RESULTS_LEN: usize = 0x3000;
/// Not zero once the memory has been looked at.
pub(crate) const PAST_MEMORY: u64 = RESULTS + 24;
/// How many processors have a record, and how many have finished theirs.
const CLAIMED: u64 = RESULTS;
pub(crate) const ARRIVED: u64 = RESULTS + 4;
/// How many had before anybody sent a SIPI.
pub(crate) const BEFORE_SIPI: u64 = RESULTS + 8;
/// Ticks of the interval timer.
pub(crate) const TICKS: u64 = RESULTS + 12;
/// The I/O APIC's version register.
pub(crate) const IO_APIC_VERSION: u64 = RESULTS + 16;
/// CPUID 0x80000008, EAX.
pub(crate) const ADDRESS_SIZES: u64 = RESULTS + 20;
/// A record of [`RECORD_LEN`] bytes for each processor.
pub(crate) const RECORDS: u64 = RESULTS + 0x100;
pub(crate) const RECORD_LEN: u64 = 32;
/// Pairs of an address and what was read there, up to an address of
/// [`NO_PROBE`]: in RAM, behind RAM, in device memory.
pub(crate) const RAM_PROBES: u64 = RESULTS + 0x1000;
pub(crate) const END_PROBES: u64 = RESULTS + 0x1800;
pub(crate) const MMIO_PROBES: u64 = RESULTS + 0x2000;
pub(crate) const NO_PROBE: u64 = u64::MAX;
/// What is in RAM: its own address, and these bits changed.
pub(crate) const PATTERN: u64 = 0x5a5a_a5a5_c3c3_3c3c;

pub(crate) const LOCAL_APIC: u32 = 0xfee0_0000;
pub(crate) const IO_APIC: u32 = 0xfec0_0000;
/// The pin of the I/O APIC at which the guest expects the interval timer.
pub(crate) const TIMER_PIN: u32 = 2;
const TIMER_VECTOR: u32 = 0x40;

/// Where the guest finds a parameter.
pub(crate) fn area(kind: ParameterKind) -> u64 {
    AREAS + u64::from(area_index(kind)) * AREA_LEN
}

fn area_index(kind: ParameterKind) -> u32 {
    ParameterKind::ALL.iter().position(|this| *this == kind).unwrap() as u32
}

/// The whole area's length.
pub(crate) const fn area_len() -> usize {
    AREA_LEN as usize
}

fn assemble(bitness: u32, at: u64, code: impl FnOnce(&mut CodeAssembler) -> Assembled) -> Vec<u8> {
    let mut asm = CodeAssembler::new(bitness).unwrap();
    code(&mut asm).unwrap();
    asm.assemble(at).unwrap()
}

/// Fills a record of this processor: the same in 32-bit and 64-bit code.
fn note_yourself(asm: &mut CodeAssembler) -> Assembled {
    asm.mov(eax, 1)?;
    asm.mov(edi, CLAIMED as u32)?;
    asm.lock().xadd(dword_ptr(edi), eax)?;
    asm.imul_3(eax, eax, RECORD_LEN as i32)?;
    asm.lea(edi, ptr(eax + RECORDS as i32))?;
    // The initial APIC id, and how many ids the package has.
    asm.mov(eax, 1)?;
    asm.cpuid()?;
    asm.mov(dword_ptr(edi), ebx)?;
    // Extended topology: the id, and the processors of the package.
    asm.mov(eax, 0xb)?;
    asm.mov(ecx, 1)?;
    asm.cpuid()?;
    asm.mov(dword_ptr(edi + 4), edx)?;
    asm.mov(dword_ptr(edi + 8), ebx)?;
    // IA32_APIC_BASE, and the local APIC's own id.
    asm.mov(ecx, 0x1b)?;
    asm.rdmsr()?;
    asm.mov(dword_ptr(edi + 12), eax)?;
    asm.mov(ebx, LOCAL_APIC + 0x20)?;
    asm.mov(eax, dword_ptr(ebx))?;
    asm.mov(dword_ptr(edi + 16), eax)?;
    asm.mov(edi, ARRIVED as u32)?;
    asm.lock().inc(dword_ptr(edi))
}

/// From real mode at [`SIPI`] to [`OTHERS`].
fn from_sipi() -> Vec<u8> {
    assemble(16, 0, |asm| {
        asm.cli()?;
        asm.xor(eax, eax)?;
        asm.mov(iced_x86::code_asm::ds, eax)?;
        // lgdt [GDT_POINTER], with a 32-bit base
        let [low, high] = (GDT_POINTER as u16).to_le_bytes();
        asm.db(&[0x66, 0x0f, 0x01, 0x16, low, high])?;
        asm.mov(eax, iced_x86::code_asm::cr0)?;
        asm.or(eax, 1)?;
        asm.mov(iced_x86::code_asm::cr0, eax)?;
        // jmp CODE32:OTHERS
        let far = [&[0x66, 0xea], &(OTHERS as u32).to_le_bytes()[..], &[start::CODE32 as u8, 0]];
        asm.db(&far.concat())
    })
}

fn others() -> Vec<u8> {
    assemble(32, OTHERS, |asm| {
        asm.mov(eax, u32::from(start::DATA))?;
        asm.mov(iced_x86::code_asm::ds, eax)?;
        note_yourself(asm)?;
        let mut halt = asm.create_label();
        asm.set_label(&mut halt)?;
        asm.cli()?;
        asm.hlt()?;
        asm.jmp(halt)
    })
}

fn handler() -> Vec<u8> {
    assemble(64, HANDLER, |asm| {
        asm.push(rax)?;
        asm.inc(dword_ptr(TICKS))?;
        // End of interrupt.
        asm.mov(eax, LOCAL_APIC + 0xb0)?;
        asm.mov(dword_ptr(eax), 0)?;
        asm.pop(rax)?;
        asm.iretq()
    })
}

/// How the other processors are called.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// All of them by INIT and SIPI.
    All,
    /// The second has a context of its own; only the third is called, once the
    /// second has arrived.
    Third,
}

fn store(asm: &mut CodeAssembler, at: u32, value: u32) -> Assembled {
    asm.mov(eax, at)?;
    asm.mov(dword_ptr(eax), value as i32)
}

/// Waits until as many have arrived as memory or a number says.
fn wait_for(
    asm: &mut CodeAssembler,
    count: impl FnOnce(&mut CodeAssembler) -> Assembled,
) -> Assembled {
    count(asm)?;
    let mut wait = asm.create_label();
    asm.set_label(&mut wait)?;
    asm.pause()?;
    asm.cmp(dword_ptr(ARRIVED), ecx)?;
    asm.jb(wait)?;
    // And for whoever might come besides.
    let mut more = asm.create_label();
    asm.mov(ecx, 20_000)?;
    asm.set_label(&mut more)?;
    asm.dec(ecx)?;
    asm.jne(more)
}

fn call_others(asm: &mut CodeAssembler, call: Call) -> Assembled {
    let command = LOCAL_APIC + 0x300;
    let vp_count = area(ParameterKind::VpCount);
    let init_sipi = |asm: &mut CodeAssembler, shorthand: u32| {
        store(asm, command, shorthand | 0x4500)?;
        store(asm, command, shorthand | 0x4600 | (SIPI >> 12) as u32)
    };
    if call == Call::Third {
        wait_for(asm, |asm| asm.mov(ecx, 2))?;
    }
    asm.mov(eax, dword_ptr(ARRIVED))?;
    asm.mov(dword_ptr(BEFORE_SIPI), eax)?;
    match call {
        Call::All => init_sipi(asm, 0xc_0000)?,
        Call::Third => {
            store(asm, command + 0x10, 2 << 24)?;
            init_sipi(asm, 0)?;
        }
    }
    wait_for(asm, |asm| asm.mov(ecx, dword_ptr(vp_count)))
}

/// Writes down what a word of memory reads as: its address in RBX.
fn probe(asm: &mut CodeAssembler) -> Assembled {
    asm.mov(rdx, qword_ptr(rbx))?;
    asm.mov(qword_ptr(rdi), rbx)?;
    asm.mov(qword_ptr(rdi + 8), rdx)?;
    asm.add(rdi, 16)
}

fn mark(asm: &mut CodeAssembler) -> Assembled {
    asm.mov(rax, PATTERN)?;
    asm.xor(rax, rbx)?;
    asm.mov(qword_ptr(rbx), rax)
}

/// Goes through ranges that start with a page number and a number of pages:
/// `then` with the first address in RBX and the end in RCX. Ends at a range
/// without pages, or after `most`.
fn each_range(
    asm: &mut CodeAssembler,
    from: u64,
    stride: i32,
    most: i32,
    then: impl FnOnce(&mut CodeAssembler) -> Assembled,
) -> Assembled {
    let (mut again, mut over) = (asm.create_label(), asm.create_label());
    asm.mov(rsi, from)?;
    asm.set_label(&mut again)?;
    asm.mov(rcx, qword_ptr(rsi + 8))?;
    asm.test(rcx, rcx)?;
    asm.je(over)?;
    asm.mov(rbx, qword_ptr(rsi))?;
    asm.add(rcx, rbx)?;
    asm.shl(rbx, 12)?;
    asm.shl(rcx, 12)?;
    then(asm)?;
    asm.add(rsi, stride)?;
    asm.cmp(rsi, from as i32 + stride * most)?;
    asm.jb(again)?;
    asm.set_label(&mut over)
}

/// First and last word.
fn both_ends(asm: &mut CodeAssembler, each: fn(&mut CodeAssembler) -> Assembled) -> Assembled {
    each(asm)?;
    asm.lea(rbx, ptr(rcx - 8))?;
    each(asm)
}

fn look_at_memory(asm: &mut CodeAssembler) -> Assembled {
    let map = area(ParameterKind::MemoryMap);
    let ranges = |asm: &mut CodeAssembler, then: fn(&mut CodeAssembler) -> Assembled| {
        each_range(asm, map, 24, (AREA_LEN / 24) as i32, then)
    };
    let finish = |asm: &mut CodeAssembler| {
        asm.mov(rax, NO_PROBE)?;
        asm.mov(qword_ptr(rdi), rax)
    };
    // All are written before any is read: no two may be the same memory.
    ranges(asm, |asm| both_ends(asm, mark))?;
    asm.mov(rdi, RAM_PROBES)?;
    ranges(asm, |asm| both_ends(asm, probe))?;
    finish(asm)?;
    asm.mov(rdi, END_PROBES)?;
    ranges(asm, |asm| {
        asm.mov(rbx, rcx)?;
        mark(asm)?;
        probe(asm)
    })?;
    finish(asm)?;
    asm.mov(rdi, MMIO_PROBES)?;
    each_range(asm, area(ParameterKind::MmioRanges), 16, 2, |asm| {
        both_ends(asm, |asm| {
            mark(asm)?;
            probe(asm)
        })
    })?;
    finish(asm)
}

/// Lets the interval timer tick through the I/O APIC, and nothing else.
fn look_at_interrupts(asm: &mut CodeAssembler) -> Assembled {
    store(asm, IO_APIC, 1)?;
    asm.mov(ebx, IO_APIC + 0x10)?;
    asm.mov(eax, dword_ptr(ebx))?;
    asm.mov(dword_ptr(IO_APIC_VERSION), eax)?;
    for port in [0x21, 0xa1] {
        asm.mov(eax, 0xff)?;
        asm.out(port, iced_x86::code_asm::al)?;
    }
    // The local APIC is switched on, the pin leads to processor 0.
    store(asm, LOCAL_APIC + 0xf0, 0x1ff)?;
    for (register, value) in [(0x11 + 2 * TIMER_PIN, 0), (0x10 + 2 * TIMER_PIN, TIMER_VECTOR)] {
        store(asm, IO_APIC, register)?;
        store(asm, IO_APIC + 0x10, value)?;
    }
    // Channel 0, rate generator, 100 times a second.
    for (port, value) in [(0x43, 0x34), (0x40, 0x9c), (0x40, 0x2e)] {
        asm.mov(eax, value)?;
        asm.out(port, iced_x86::code_asm::al)?;
    }
    let mut wait = asm.create_label();
    asm.lidt(ptr(IDT_POINTER))?;
    asm.set_label(&mut wait)?;
    asm.sti()?;
    asm.hlt()?;
    asm.cmp(dword_ptr(TICKS), 2)?;
    asm.jb(wait)?;
    asm.cli()
}

fn main_program(call: Call) -> Vec<u8> {
    assemble(64, MAIN, |asm| {
        note_yourself(asm)?;
        call_others(asm, call)?;
        asm.mov(eax, 0x8000_0008_u32)?;
        asm.cpuid()?;
        asm.mov(dword_ptr(ADDRESS_SIZES), eax)?;
        look_at_memory(asm)?;
        // So that the test sees how far it came, should the timer be silent.
        asm.mov(byte_ptr(PAST_MEMORY), 1)?;
        look_at_interrupts(asm)?;
        asm.mov(edx, 0x501)?;
        asm.mov(eax, 0x10)?;
        asm.out(iced_x86::code_asm::dx, iced_x86::code_asm::al)
    })
}

/// Page tables for the first 6 GiB, and both ends of the 64 GiB below 512 GiB:
/// by pages of 2 MiB, which every processor has.
fn page_tables() -> Vec<[u64; 512]> {
    const GIB: u64 = 1 << 30;
    let table = |nth: u64| start::table_entry(TABLES + nth * 0x1000);
    let directory = |from: u64| {
        start::page_table((0..512).map(|nth| start::page_entry_2m(from + nth * (2 << 20))))
    };
    let mut gigabytes = start::page_table((4..10).map(table));
    gigabytes[448] = table(2);
    gigabytes[511] = table(3);
    let mut tables =
        vec![start::page_table([table(1)]), gigabytes, directory(448 * GIB), directory(511 * GIB)];
    tables.extend((0..6).map(|nth| directory(nth * GIB)));
    tables
}

/// The file of the guest, in which the processors after the first wait for a
/// SIPI, or the second has a context.
pub(crate) fn file(call: Call) -> Vec<u8> {
    let mut file = FileBuilder::new(Version::V2_X64);
    let mut push = |header: HeaderSpec<'_>| file.push(header).unwrap();
    let bytes =
        |words: &[u64]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>();
    push(HeaderSpec::platform(IgvmPlatformType::NATIVE, 1));

    let mut gdt = bytes(&start::FLAT_GDT);
    let pointer = |limit: u16, base: u64| [&limit.to_le_bytes()[..], &base.to_le_bytes()].concat();
    gdt.resize((GDT_POINTER - GDT) as usize, 0);
    gdt.extend(pointer(31, GDT));
    gdt.resize((IDT_POINTER - GDT) as usize, 0);
    gdt.extend(pointer(0xfff, IDT));
    // An interrupt gate.
    let mut idt = vec![0; TIMER_VECTOR as usize * 2];
    idt.extend([HANDLER | u64::from(start::CODE64) << 16 | 0x8e00 << 32, 0]);
    let pieces = [
        (SIPI, from_sipi()),
        (GDT, gdt),
        (IDT, bytes(&idt)),
        (HANDLER, handler()),
        (OTHERS, others()),
        (MAIN, main_program(call)),
    ];
    let tables = page_tables();
    let tables = (0..).zip(&tables).map(|(nth, table)| (TABLES + nth * 0x1000, bytes(table)));
    for (gpa, piece) in pieces.into_iter().chain(tables) {
        push(HeaderSpec::page(gpa, 1, &piece));
    }
    for kind in ParameterKind::ALL {
        let index = area_index(kind);
        let initial = Data::Zero;
        push(HeaderSpec::ParameterArea { index, number_of_bytes: AREA_LEN, initial });
        push(HeaderSpec::parameter(kind, index, 0));
        push(HeaderSpec::ParameterInsert(IGVM_VHS_PARAMETER_INSERT {
            gpa: area(kind),
            compatibility_mask: 1,
            parameter_area_index: index,
        }));
    }
    let contexts = [
        Some(start::long64(MAIN, 0x5000, GDT as u32, TABLES)),
        (call == Call::Third).then(|| start::protected32(OTHERS as u32, 0x4000, GDT as u32)),
    ];
    for (vp_index, context) in (0..).zip(contexts.iter().flatten()) {
        let context = Context::Native(context);
        push(HeaderSpec::VpContext { gpa: 0, mask: 1, vp_index, context });
    }
    file.finish()
}
