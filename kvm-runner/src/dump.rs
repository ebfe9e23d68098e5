//! Memory and registers as an ELF core file, which gdb, readelf and the tools
//! for QEMU's dumps open.
//!
//! - A PT_LOAD segment for each range of memory, at its guest physical address,
//!   which is its virtual address, too: a debugger shows physical memory. Pages
//!   of zeroes are holes in the file.
//! - An NT_PRSTATUS note for each processor (System V ABI, AMD64 supplement;
//!   `struct elf_prstatus` of Linux): the general registers, as a thread
//!   numbered from 1.
//! - A note of the name QEMU for each processor, with segments, tables and
//!   control registers (`QEMUCPUState` of QEMU's `target/i386/arch_dump.c`,
//!   version 1).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use igvm_core::x86::{RegisterFile, Segment, TableRegister};
use vm_memory::{GuestMemoryBackend, GuestMemoryRegion, MemoryRegionAddress};

use crate::kvm::Machine;

const PAGE: usize = 0x1000;
const EHDR_LEN: u64 = 64;
const PHDR_LEN: u64 = 56;

const ET_CORE: u16 = 4;
const EM_X86_64: u16 = 62;
const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;
const NT_PRSTATUS: u32 = 1;
/// Readable, writable, executable.
const PF_RWX: u32 = 7;

/// Bytes, little endian.
#[derive(Default)]
struct Out(Vec<u8>);

impl Out {
    fn u16(&mut self, value: u16) {
        self.0.extend(value.to_le_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.0.extend(value.to_le_bytes());
    }

    fn u64s(&mut self, values: &[u64]) {
        values.iter().for_each(|value| self.0.extend(value.to_le_bytes()));
    }

    fn program_header(&mut self, typ: u32, offset: u64, address: u64, len: u64, align: u64) {
        self.u32(typ);
        self.u32(if typ == PT_LOAD { PF_RWX } else { 0 });
        self.u64s(&[offset, address, address, len, if typ == PT_LOAD { len } else { 0 }, align]);
    }

    /// A note whose name has four letters.
    fn note(&mut self, name: [u8; 4], typ: u32, content: &[u8]) {
        self.u32(5);
        self.u32(content.len() as u32);
        self.u32(typ);
        self.0.extend(name);
        // The zero that ends the name, and padding.
        self.u32(0);
        self.0.extend(content);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }
}

/// Writes the dump of a machine that stands still into an empty file.
///
/// # Errors
/// Fails where the file cannot take it.
pub fn write(machine: &Machine, file: &File) -> io::Result<()> {
    let memory = machine.memory();
    let mut notes = Out::default();
    for vp_index in 0..machine.processors() {
        let registers = machine.processor(vp_index).and_then(|it| it.registers().ok());
        if let Some(registers) = registers {
            notes.note(*b"CORE", NT_PRSTATUS, &prstatus(&registers, vp_index + 1));
            notes.note(*b"QEMU", 0, &cpu_state(&registers));
        }
    }
    let segments = memory.iter().count() as u64 + 1;
    let notes_at = EHDR_LEN + PHDR_LEN * segments;
    let notes_len = notes.0.len() as u64;
    let mut head = elf_header(segments)?;
    head.program_header(PT_NOTE, notes_at, 0, notes_len, 4);
    let mut offset = (notes_at + notes_len).next_multiple_of(PAGE as u64);
    let mut offsets = Vec::new();
    for region in memory.iter() {
        head.program_header(PT_LOAD, offset, region.start_addr().0, region.len(), PAGE as u64);
        offsets.push(offset);
        offset += region.len();
    }
    head.0.extend(notes.0);
    file.set_len(offset)?;
    file.write_all_at(&head.0, 0)?;
    memory.iter().zip(offsets).try_for_each(|(region, offset)| pages(region, file, offset))
}

/// Writes the pages of a range that are not zero.
fn pages(region: &impl GuestMemoryRegion, file: &File, offset: u64) -> io::Result<()> {
    let mut page = [0; PAGE];
    for at in (0..region.len()).step_by(PAGE) {
        let read = region.read_slice(&mut page, MemoryRegionAddress(at));
        read.map_err(|error| io::Error::other(error.to_string()))?;
        if page.iter().any(|byte| *byte != 0) {
            file.write_all_at(&page, offset + at)?;
        }
    }
    Ok(())
}

fn elf_header(segments: u64) -> io::Result<Out> {
    let mut out = Out::default();
    // 64 bits, little endian, version 1, System V.
    out.0.extend(*b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    out.u16(ET_CORE);
    out.u16(EM_X86_64);
    out.u32(1);
    // No entry point; program headers behind this one; no sections.
    out.u64s(&[0, EHDR_LEN, 0]);
    out.u32(0);
    out.u16(EHDR_LEN as u16);
    out.u16(PHDR_LEN as u16);
    // From 0xffff on the number would be elsewhere; no KVM has so many ranges.
    let count = u16::try_from(segments).ok().filter(|count| *count < 0xffff);
    out.u16(count.ok_or_else(|| io::Error::other("memory has too many ranges"))?);
    [0; 3].into_iter().for_each(|nothing| out.u16(nothing));
    Ok(out)
}

/// `struct elf_prstatus`.
fn prstatus(r: &RegisterFile, pid: u32) -> Vec<u8> {
    const PID_AT: usize = 32;
    const REGISTERS_AT: usize = 112;
    const LEN: usize = 336;
    let mut out = Out(vec![0; REGISTERS_AT]);
    out.0[PID_AT..PID_AT + 4].copy_from_slice(&pid.to_le_bytes());
    // `struct user_regs_struct`. No system call is going on: orig_rax is -1.
    out.u64s(&[r.r15, r.r14, r.r13, r.r12, r.rbp, r.rbx, r.r11, r.r10, r.r9, r.r8]);
    out.u64s(&[r.rax, r.rcx, r.rdx, r.rsi, r.rdi, u64::MAX, r.rip, r.cs.selector.into()]);
    out.u64s(&[r.rflags, r.rsp, r.ss.selector.into(), r.fs.base, r.gs.base]);
    out.u64s(&[&r.ds, &r.es, &r.fs, &r.gs].map(|segment| segment.selector.into()));
    out.0.resize(LEN, 0);
    out.0
}

/// `QEMUCPUState`, version 1.
fn cpu_state(r: &RegisterFile) -> Vec<u8> {
    const VERSION: u32 = 1;
    const LEN: u32 = 432;
    let mut out = Out::default();
    out.u32(VERSION);
    out.u32(LEN);
    out.u64s(&[r.rax, r.rbx, r.rcx, r.rdx, r.rsi, r.rdi, r.rsp, r.rbp]);
    out.u64s(&[r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15, r.rip, r.rflags]);
    let mut segment = |segment: &Segment| {
        out.u32(segment.selector.into());
        out.u32(segment.limit);
        // As in the second half of a descriptor.
        out.u32(u32::from(segment.attributes) << 8);
        out.u32(0);
        out.u64s(&[segment.base]);
    };
    [&r.cs, &r.ds, &r.es, &r.fs, &r.gs, &r.ss, &r.ldtr, &r.tr].into_iter().for_each(&mut segment);
    let table = |table: &TableRegister| Segment {
        base: table.base,
        limit: table.limit.into(),
        ..Segment::default()
    };
    [&r.gdtr, &r.idtr].into_iter().for_each(|it| segment(&table(it)));
    out.u64s(&[r.cr0, 0, r.cr2, r.cr3, r.cr4]);
    out.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_have_the_length_that_readers_expect() {
        let registers = RegisterFile::reset(true);
        assert_eq!(prstatus(&registers, 1).len(), 336);
        let state = cpu_state(&registers);
        assert_eq!(state[4..8], (state.len() as u32).to_le_bytes());
    }
}
