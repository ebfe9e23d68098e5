//! The registers as GDB has them: one table for names, sizes, order and access.

use std::sync::LazyLock;

use igvm_core::x86::{Register, RegisterFile, RegisterValue};
use kvm_bindings::kvm_fpu;

/// Everything there is to read of a processor.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    pub(super) file: RegisterFile,
    pub(super) fpu: kvm_fpu,
}

/// A part of a segment register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The whole of a register that has no parts.
    Value,
    Selector,
    Base,
    Limit,
    Attributes,
}

/// Where a register of GDB's comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// One of the register file's, or a part of it.
    File(Register, Part),
    /// x87 stack register.
    St(usize),
    /// x87 control, status, tag and pointer registers, by GDB's order.
    Fpu(usize),
    /// SSE register.
    Xmm(usize),
}

/// The feature of the target description that a register belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Feature {
    Core,
    Sse,
    Segments,
    /// What GDB knows nothing of.
    System,
}

/// One register of GDB's. Its number is its place in [`TABLE`].
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) feature: Feature,
    /// Its type in the target description.
    pub(super) typ: &'static str,
    pub(super) bytes: usize,
    pub(super) source: Source,
}

/// The names GDB has for the x87 registers behind the stack.
const FPU: [&str; 8] = ["fctrl", "fstat", "ftag", "fiseg", "fioff", "foseg", "fooff", "fop"];

/// Every register, in the order of the features that GDB knows, then ours.
pub(super) static TABLE: LazyLock<Vec<Entry>> = LazyLock::new(table);

fn table() -> Vec<Entry> {
    use Feature::{Core, Segments, Sse, System};
    use Register as R;
    let mut table = Vec::new();
    let mut put = |name: &str, feature, typ, bytes, source| {
        table.push(Entry { name: name.to_owned(), feature, typ, bytes, source });
    };
    let value = |register| Source::File(register, Part::Value);
    for register in [
        R::Rax,
        R::Rbx,
        R::Rcx,
        R::Rdx,
        R::Rsi,
        R::Rdi,
        R::Rbp,
        R::Rsp,
        R::R8,
        R::R9,
        R::R10,
        R::R11,
        R::R12,
        R::R13,
        R::R14,
        R::R15,
    ] {
        let typ = if matches!(register, R::Rbp | R::Rsp) { "data_ptr" } else { "int64" };
        put(register.name(), Core, typ, 8, value(register));
    }
    put("rip", Core, "code_ptr", 8, value(R::Rip));
    put("eflags", Core, "rflags", 4, value(R::Rflags));
    for segment in [R::Cs, R::Ss, R::Ds, R::Es, R::Fs, R::Gs] {
        put(segment.name(), Core, "int32", 4, Source::File(segment, Part::Selector));
    }
    (0..8).for_each(|at| put(&format!("st{at}"), Core, "i387_ext", 10, Source::St(at)));
    (0..8).for_each(|at| put(FPU[at], Core, "int", 4, Source::Fpu(at)));
    (0..16).for_each(|at| put(&format!("xmm{at}"), Sse, "vec128", 16, Source::Xmm(at)));
    put("mxcsr", Sse, "mxcsr", 4, value(R::Mxcsr));
    for segment in [R::Fs, R::Gs] {
        let name = format!("{segment}_base");
        put(&name, Segments, "uint64", 8, Source::File(segment, Part::Base));
    }
    for (register, typ) in [
        (R::Cr0, "cr0"),
        (R::Cr2, "data_ptr"),
        (R::Cr3, "uint64"),
        (R::Cr4, "cr4"),
        (R::Cr8, "uint64"),
        (R::Efer, "efer"),
        (R::Xcr0, "xcr0"),
        (R::Dr0, "uint64"),
        (R::Dr1, "uint64"),
        (R::Dr2, "uint64"),
        (R::Dr3, "uint64"),
        (R::Dr6, "dr6"),
        (R::Dr7, "dr7"),
        (R::Pat, "uint64"),
        (R::ApicBase, "apic_base"),
    ] {
        put(register.name(), System, typ, 8, value(register));
    }
    for segment in [R::Cs, R::Ss, R::Ds, R::Es, R::Fs, R::Gs, R::Ldtr, R::Tr] {
        if matches!(segment, R::Ldtr | R::Tr) {
            put(segment.name(), System, "uint16", 2, Source::File(segment, Part::Selector));
        }
        if !matches!(segment, R::Fs | R::Gs) {
            let name = format!("{segment}_base");
            put(&name, System, "uint64", 8, Source::File(segment, Part::Base));
        }
        let name = format!("{segment}_limit");
        put(&name, System, "uint32", 4, Source::File(segment, Part::Limit));
        let name = format!("{segment}_attributes");
        put(&name, System, "uint16", 2, Source::File(segment, Part::Attributes));
    }
    for table in [R::Gdtr, R::Idtr] {
        put(&format!("{table}_base"), System, "uint64", 8, Source::File(table, Part::Base));
        put(&format!("{table}_limit"), System, "uint16", 2, Source::File(table, Part::Limit));
    }
    table
}

impl Entry {
    /// The register's bytes, little endian.
    pub(super) fn read(&self, from: &Snapshot) -> Vec<u8> {
        let fpu = &from.fpu;
        let mut bytes = match self.source {
            Source::File(register, part) => {
                value(&from.file, register, part).to_le_bytes().to_vec()
            }
            Source::St(at) => fpu.fpr[at].to_vec(),
            Source::Xmm(at) => fpu.xmm[at].to_vec(),
            Source::Fpu(at) => fpu_register(fpu, at).to_le_bytes().to_vec(),
        };
        bytes.resize(self.bytes, 0);
        bytes
    }

    /// Sets the register in a register file; `false` for one that cannot be
    /// set.
    pub(super) fn write(&self, file: &mut RegisterFile, bytes: &[u8]) -> bool {
        let Source::File(register, part) = self.source else { return false };
        // What [`Processor::set_registers`](crate::kvm::Processor) sets.
        let settable = register <= Register::Efer
            || matches!(register, Register::ApicBase)
            || register >= Register::Cs;
        if !settable || bytes.len() != self.bytes {
            return false;
        }
        let number = bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
        let new = match (file.get(register), part) {
            (RegisterValue::Integer(_), _) => RegisterValue::Integer(number),
            (RegisterValue::Segment(mut segment), part) => {
                match part {
                    Part::Selector => segment.selector = number as u16,
                    Part::Base => segment.base = number,
                    Part::Limit => segment.limit = number as u32,
                    Part::Attributes => segment.attributes = number as u16,
                    Part::Value => return false,
                }
                RegisterValue::Segment(segment)
            }
            (RegisterValue::Table(mut table), part) => {
                match part {
                    Part::Base => table.base = number,
                    Part::Limit => table.limit = number as u16,
                    _ => return false,
                }
                RegisterValue::Table(table)
            }
        };
        file.set(register, new);
        true
    }
}

fn value(file: &RegisterFile, register: Register, part: Part) -> u64 {
    match (file.get(register), part) {
        (RegisterValue::Integer(value), _) => value,
        (RegisterValue::Segment(segment), Part::Selector | Part::Value) => segment.selector.into(),
        (RegisterValue::Segment(segment), Part::Base) => segment.base,
        (RegisterValue::Segment(segment), Part::Limit) => segment.limit.into(),
        (RegisterValue::Segment(segment), Part::Attributes) => segment.attributes.into(),
        (RegisterValue::Table(table), Part::Base) => table.base,
        (RegisterValue::Table(table), _) => table.limit.into(),
    }
}

fn fpu_register(fpu: &kvm_fpu, at: usize) -> u32 {
    match at {
        0 => fpu.fcw.into(),
        1 => fpu.fsw.into(),
        // Two bits for each register, of which KVM keeps whether it is empty.
        2 => (0..8).fold(0, |tags, at| {
            let empty = fpu.ftwx >> at & 1 == 0;
            tags | if empty { 3 << (2 * at) } else { 0 }
        }),
        4 => fpu.last_ip as u32,
        6 => fpu.last_dp as u32,
        7 => fpu.last_opcode.into(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_read_again() {
        let mut snapshot = Snapshot { file: RegisterFile::reset(true), fpu: kvm_fpu::default() };
        for entry in TABLE.iter() {
            assert_eq!(entry.read(&snapshot).len(), entry.bytes, "{}", entry.name);
            let new = vec![0x5a; entry.bytes];
            if entry.write(&mut snapshot.file, &new) {
                let read = entry.read(&snapshot);
                // The upper half of a selector is nothing.
                assert_eq!(read[..entry.bytes.min(2)], new[..entry.bytes.min(2)], "{}", entry.name);
            }
        }
    }

    #[test]
    fn every_register_has_one_name() {
        let mut names: Vec<_> = TABLE.iter().map(|entry| &entry.name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), TABLE.len());
        for register in Register::ALL {
            let there =
                |entry: &&Entry| matches!(entry.source, Source::File(it, _) if it == register);
            assert!(
                TABLE.iter().any(|entry| there(&entry)) || register == Register::Fcw,
                "{register}"
            );
        }
    }
}
