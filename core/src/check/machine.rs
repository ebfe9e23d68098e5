//! Rules of the machine that loading makes: where its processors start, and
//! what they find there.

use igvm_defs::{IgvmArchitecture, IgvmPlatformType as Platform};

use super::context::is_meant_for;
use super::finding::Finding;
use super::platform::Platforms;
use super::processor::ProcessorFault;
use super::rule::{Severity, rules};
use crate::data::FileData;
use crate::file::{HeaderRef, IgvmFile};
use crate::load::{GuestMemory, Host, Machine, Processor, Space, Start};
use crate::span::Span;
use crate::wire::Value;
use crate::x86::paging::{Fault, PhysicalMemory, Unreadable, walk};
use crate::x86::{Mode, PagingMode, Register, RegisterFile, TableRegister};

rules! {
    /// What can be wrong with the machine.
    enum MachineFault;

    EntryUnmapped { linear: u64, fault: Fault }
        Error "entry.unmapped"
        "The first instruction is mapped."
        "SDM volume 3, \"Paging\""
        => "the first instruction, at linear address {linear:#x}, is not mapped: {fault}";
    EntryNotExecutable { linear: u64, physical: u64 }
        Error "entry.not-executable"
        "The first instruction is in a page that may be executed."
        "SDM volume 3, \"Determination of Access Rights\""
        => "the first instruction, at linear address {linear:#x}, is in a no-execute page \
            (physical {physical:#x})";
    EntryOutside { linear: u64, physical: u64 }
        Error "entry.outside-memory"
        "The first instruction is in memory."
        "IGVM specification: the guest starts from its context"
        => "the first instruction, at linear address {linear:#x}, is at physical {physical:#x}, \
            where the guest has no memory";
    EntryNotWritten { linear: u64, physical: u64 }
        Warning "entry.not-written"
        "The first instruction is in memory that the file writes."
        "IGVM specification: the guest starts from its context"
        => "the first instruction, at linear address {linear:#x}, is at physical {physical:#x}, \
            which no header writes: the processor executes zeroes";
    ResetNothing { physical: u64 }
        Error "reset.nothing-loaded"
        "A guest without a context has something at the reset vector."
        "SDM volume 3, \"First Instruction Executed\""
        => "without a context the processor starts at {physical:#x}, where no header writes";
    ResetNoContext
        Note "reset.no-context"
        "A native guest has a context; without one it starts in real mode at the reset vector."
        "igvm_defs: IGVM_VHS_VP_CONTEXT"
        => "the file has no context for this processor: it starts in real mode at 0xfffffff0";
    RootNotWritten { cr3: u64, root: u64 }
        Error "paging.root-not-written"
        "The top page table is in memory that the file writes."
        "SDM volume 3, \"Paging\""
        => "cr3 is {cr3:#x}: no header writes the page table at {root:#x}, so nothing is mapped";
    StackUnmapped { linear: u64, fault: Fault }
        Warning "stack.unmapped"
        "The stack is mapped."
        "SDM volume 3, \"Paging\""
        => "the byte below the stack pointer, at linear address {linear:#x}, is not mapped: {fault}";
    StackOutside { linear: u64, physical: u64 }
        Warning "stack.outside-memory"
        "The stack is in memory."
        "IGVM specification: the guest starts from its context"
        => "the byte below the stack pointer, at linear address {linear:#x}, is at physical \
            {physical:#x}, where the guest has no memory";
    TableUnmapped { register: Register, linear: u64, fault: Fault }
        Warning "table.unmapped"
        "Descriptor tables are mapped."
        "SDM volume 3, \"Paging\""
        => "the table of {register}, at linear address {linear:#x}, is not mapped: {fault}";
    TableOutside { register: Register, linear: u64, physical: u64 }
        Warning "table.outside-memory"
        "Descriptor tables are in memory."
        "SDM volume 3, \"Memory-Management Registers\""
        => "the table of {register}, at linear address {linear:#x}, is at physical {physical:#x}, \
            where the guest has no memory";
    GsBase { gs: u64, data: u64 }
        Note "qemu.gs-base"
        "QEMU 10.2.2 loads GS with the base of the data segment."
        "QEMU 10.2.2: target/i386/igvm.c"
        => "gs_base is {gs:#x}, but QEMU 10.2.2 loads GS with the base of the data segment, \
            {data:#x}";
}

/// Checks what a load has made. `data` and `host` are the ones it was loaded
/// with.
pub fn machine<D: FileData + ?Sized>(
    file: &IgvmFile<'_>,
    data: &D,
    host: &Host<'_>,
    machine: &Machine<'_>,
    sink: &mut dyn FnMut(Finding),
) {
    if file.fixed().architecture() != IgvmArchitecture::X64 || machine.platform() == Platform::CCA {
        return;
    }
    let memory = Memory { machine, host, bytes: machine.memory(data, host) };
    let platforms = Platforms::of(file);
    let is_meant = |at: HeaderRef| match file.header(at).map(|header| header.value()) {
        Some(Value::VpContext(context)) => {
            is_meant_for(file, &platforms, &context, machine.platform())
        }
        _ => false,
    };
    for processor in machine.processors() {
        if processor.context.is_some_and(|header| !is_meant(header)) {
            continue;
        }
        let place = |finding: Finding| {
            let finding = finding.platform(machine.platform()).processor(processor.vp_index);
            match processor.context {
                Some(header) => finding.at(header),
                None => finding,
            }
        };
        check(&memory, processor, &mut |finding| sink(place(finding)));
    }
}

fn check<D: FileData + ?Sized>(
    memory: &Memory<'_, D>,
    processor: &Processor,
    sink: &mut dyn FnMut(Finding),
) {
    if processor.start != Start::Runs {
        return;
    }
    let platform = memory.machine.platform();
    let registers = &processor.registers;
    if processor.context.is_none() {
        if platform == Platform::NATIVE {
            sink(Finding::new(MachineFault::ResetNoContext));
        }
        let physical = registers.cs.base.wrapping_add(registers.rip);
        // A VSM guest without a context is its loader's affair.
        if platform != Platform::VSM_ISOLATION && !memory.is_written(physical) {
            let fault = MachineFault::ResetNothing { physical };
            sink(Finding::new(fault).guest(Span::new(physical, 16)));
        }
        return;
    }
    let mut refused = false;
    crate::x86::problems(registers, &mut |problem| {
        let finding = Finding::new(ProcessorFault(problem));
        refused |= finding.rule.severity == Severity::Error;
        sink(finding);
    });
    let (gs, data) = (registers.gs.base, registers.ds.base);
    if gs != data && matches!(platform, Platform::NATIVE | Platform::SEV) {
        sink(Finding::new(MachineFault::GsBase { gs, data }));
    }
    // Where a processor refuses the registers, nothing follows from them.
    if refused {
        return;
    }
    if let Some(root) = root(registers)
        && !memory.is_written(root)
    {
        let fault = MachineFault::RootNotWritten { cr3: registers.cr3, root };
        return sink(Finding::new(fault).guest(Span::new(root, 8)));
    }
    entry(memory, registers, sink);
    stack(memory, registers, sink);
    for register in [Register::Gdtr, Register::Idtr] {
        table(memory, registers, register, sink);
    }
}

fn entry<D: FileData + ?Sized>(
    memory: &Memory<'_, D>,
    registers: &RegisterFile,
    sink: &mut dyn FnMut(Finding),
) {
    let linear = linear(registers, registers.cs.base, registers.rip);
    let found = match walk(registers, memory, linear).result {
        Ok(found) => found,
        Err(fault) => return sink(Finding::new(MachineFault::EntryUnmapped { linear, fault })),
    };
    let physical = found.physical;
    let fault = if !found.rights.executable {
        MachineFault::EntryNotExecutable { linear, physical }
    } else if !memory.is_memory(physical) {
        MachineFault::EntryOutside { linear, physical }
    } else if !memory.is_written(physical) {
        MachineFault::EntryNotWritten { linear, physical }
    } else {
        return;
    };
    sink(Finding::new(fault).guest(Span::new(physical, 1)));
}

fn stack<D: FileData + ?Sized>(
    memory: &Memory<'_, D>,
    registers: &RegisterFile,
    sink: &mut dyn FnMut(Finding),
) {
    let wide = Mode::of(registers) == Mode::Long64;
    let pointer = match (wide, registers.ss.default_big()) {
        (true, _) => registers.rsp,
        (false, true) => registers.rsp & 0xffff_ffff,
        (false, false) => registers.rsp & 0xffff,
    };
    // Zero says that the guest sets up its own. A stack may end where memory
    // does: the byte below is the first that a push writes.
    let Some(below) = pointer.checked_sub(1) else { return };
    let linear = linear(registers, registers.ss.base, below);
    match walk(registers, memory, linear).result {
        Err(fault) => sink(Finding::new(MachineFault::StackUnmapped { linear, fault })),
        Ok(found) if !memory.is_memory(found.physical) => {
            let physical = found.physical;
            let fault = MachineFault::StackOutside { linear, physical };
            sink(Finding::new(fault).guest(Span::new(physical, 1)));
        }
        Ok(_) => {}
    }
}

/// First and last byte of a descriptor table.
fn table<D: FileData + ?Sized>(
    memory: &Memory<'_, D>,
    registers: &RegisterFile,
    register: Register,
    sink: &mut dyn FnMut(Finding),
) {
    let TableRegister { base, limit } = match register {
        Register::Gdtr => registers.gdtr,
        _ => registers.idtr,
    };
    // A limit of 0 says that there is none.
    if limit == 0 {
        return;
    }
    for linear in [base, base.wrapping_add(limit.into())] {
        let fault = match walk(registers, memory, linear).result {
            Err(fault) => MachineFault::TableUnmapped { register, linear, fault },
            Ok(found) if !memory.is_memory(found.physical) => {
                MachineFault::TableOutside { register, linear, physical: found.physical }
            }
            Ok(_) => continue,
        };
        // One is enough to say.
        return sink(Finding::new(fault));
    }
}

/// The linear address of an offset: 64-bit mode knows no base, the other modes
/// wrap at 4 GiB.
fn linear(registers: &RegisterFile, base: u64, offset: u64) -> u64 {
    match Mode::of(registers) {
        Mode::Long64 => offset,
        _ => base.wrapping_add(offset) & 0xffff_ffff,
    }
}

/// Where the top page table is; `None` without paging.
fn root(registers: &RegisterFile) -> Option<u64> {
    use crate::x86::bits::ADDRESS_51_12;
    match PagingMode::of(registers) {
        PagingMode::None => None,
        PagingMode::Bits32 => Some(registers.cr3 & 0xffff_f000),
        PagingMode::Pae => Some(registers.cr3 & 0xffff_ffe0),
        PagingMode::Level4 | PagingMode::Level5 => Some(registers.cr3 & ADDRESS_51_12),
    }
}

/// Guest memory that knows where there is none.
struct Memory<'a, D: ?Sized> {
    machine: &'a Machine<'a>,
    host: &'a Host<'a>,
    bytes: GuestMemory<'a, D>,
}

impl<D: FileData + ?Sized> Memory<'_, D> {
    fn is_memory(&self, gpa: u64) -> bool {
        self.machine.is_memory(gpa, self.host)
    }

    fn is_written(&self, gpa: u64) -> bool {
        self.machine.image().extent_at(Space::Guest, gpa).is_some()
    }
}

impl<D: FileData + ?Sized> PhysicalMemory for Memory<'_, D> {
    fn read(&self, gpa: u64, buf: &mut [u8]) -> Result<(), Unreadable> {
        if !self.is_memory(gpa) {
            return Err(Unreadable);
        }
        self.bytes.read(gpa, buf).map_err(|_| Unreadable)
    }
}
