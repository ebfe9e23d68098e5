//! KVM_RUN and why it came back.

use kvm_bindings::{
    KVM_EXIT_IO_OUT, KVM_INTERNAL_ERROR_EMULATION,
    KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES, kvm_run,
};
use kvm_ioctls::{VcpuExit, VcpuFd};

use super::debug::Event;

/// What the processor wants, or why it cannot go on.
pub(super) enum Exit<'a> {
    /// IN or INS: one or more reads of `size` bytes, into `data`.
    PortRead { port: u16, size: usize, data: &'a mut [u8] },
    /// OUT or OUTS: one or more writes of `size` bytes.
    PortWrite { port: u16, size: usize, data: &'a [u8] },
    /// A read of physical memory that no slot has.
    MemoryRead { gpa: u64, data: &'a mut [u8] },
    /// A write to such memory.
    MemoryWrite { gpa: u64, data: &'a [u8] },
    /// Nothing for us: run on.
    Again,
    /// KVM_EXIT_DEBUG: a step is done or a breakpoint met.
    Debug(Event),
    /// HLT without an interrupt controller to end it.
    Halted,
    /// KVM_EXIT_SHUTDOWN: a fault in the double-fault handler.
    TripleFault,
    /// KVM's interpreter met an instruction it cannot do; the bytes at RIP
    /// where KVM had them.
    Emulation { code: Vec<u8> },
    /// Another internal error of KVM.
    Internal { suberror: u32 },
    /// The processor refused the state, for its own reason number.
    FailEntry { reason: u64 },
    /// An exit reason that nobody asked KVM for.
    Unexpected { reason: u32 },
    /// KVM_RUN itself failed.
    Failed { errno: i32 },
}

impl Exit<'_> {
    /// Whether the guest waits for somebody to answer an access.
    pub(super) const fn is_access(&self) -> bool {
        matches!(
            self,
            Self::PortRead { .. }
                | Self::PortWrite { .. }
                | Self::MemoryRead { .. }
                | Self::MemoryWrite { .. }
        )
    }
}

/// Runs the processor until it needs something.
pub(super) fn run(processor: &mut VcpuFd) -> Exit<'_> {
    match processor.run() {
        Ok(VcpuExit::IoIn(..) | VcpuExit::IoOut(..)) => return port_access(processor),
        Ok(VcpuExit::InternalError) => return internal_error(processor.get_kvm_run()),
        Ok(VcpuExit::Debug(debug)) => return Exit::Debug(Event::of(&debug)),
        Ok(VcpuExit::Hlt) => return Exit::Halted,
        Ok(VcpuExit::Shutdown) => return Exit::TripleFault,
        Ok(VcpuExit::FailEntry(reason, _)) => return Exit::FailEntry { reason },
        Ok(VcpuExit::Intr | VcpuExit::IrqWindowOpen) => return Exit::Again,
        Ok(VcpuExit::MmioRead(..) | VcpuExit::MmioWrite(..)) => {}
        Ok(VcpuExit::MemoryFault { .. }) => return Exit::Failed { errno: libc::EFAULT },
        Ok(_) => return Exit::Unexpected { reason: processor.get_kvm_run().exit_reason },
        Err(errno) => {
            return match errno.errno() {
                // A signal; or a processor that still waits for its SIPI.
                libc::EINTR | libc::EAGAIN => Exit::Again,
                errno => Exit::Failed { errno },
            };
        }
    }
    memory_access(processor.get_kvm_run())
}

fn memory_access(run: &mut kvm_run) -> Exit<'_> {
    // SAFETY: the exit reason was KVM_EXIT_MMIO, whose member this is; every
    // bit pattern of it is valid.
    let mmio = unsafe { &mut run.__bindgen_anon_1.mmio };
    let len = mmio.data.len().min(mmio.len as usize);
    let (gpa, data) = (mmio.phys_addr, &mut mmio.data[..len]);
    match mmio.is_write {
        0 => Exit::MemoryRead { gpa, data },
        _ => Exit::MemoryWrite { gpa, data },
    }
}

/// `kvm-ioctls` tells the bytes of a port access but not how many accesses
/// they are, which INS and OUTS make a difference.
fn port_access(processor: &mut VcpuFd) -> Exit<'_> {
    let run: *mut kvm_run = processor.get_kvm_run();
    // SAFETY: the exit reason was KVM_EXIT_IO, whose member this is; every bit
    // pattern of it is valid.
    let io = unsafe { (*run).__bindgen_anon_1.io };
    let size = usize::from(io.size).max(1);
    let len = size * io.count as usize;
    // SAFETY: KVM puts the data into the page that follows, `data_offset` from
    // the start of the mapping, of which `run` is the start. Nobody else looks
    // at it while the processor, borrowed by the result, does not run.
    let data = unsafe {
        std::slice::from_raw_parts_mut(run.cast::<u8>().add(io.data_offset as usize), len)
    };
    if u32::from(io.direction) == KVM_EXIT_IO_OUT {
        Exit::PortWrite { port: io.port, size, data }
    } else {
        Exit::PortRead { port: io.port, size, data }
    }
}

fn internal_error(run: &kvm_run) -> Exit<'static> {
    // SAFETY: the exit reason was KVM_EXIT_INTERNAL_ERROR, whose members begin
    // alike; every bit pattern of them is valid.
    let failure = unsafe { run.__bindgen_anon_1.emulation_failure };
    if failure.suberror != KVM_INTERNAL_ERROR_EMULATION {
        return Exit::Internal { suberror: failure.suberror };
    }
    // `ndata` counts the words that follow it: flags, then size and bytes.
    let has_bytes = failure.ndata >= 3
        && failure.flags & u64::from(KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES) != 0;
    // SAFETY: as above.
    let code = unsafe { failure.__bindgen_anon_1.__bindgen_anon_1 };
    let len = if has_bytes { usize::from(code.insn_size).min(code.insn_bytes.len()) } else { 0 };
    Exit::Emulation { code: code.insn_bytes[..len].to_vec() }
}

/// Completes an access that KVM has handed out and that the next KVM_RUN would
/// complete, without running anything: registers are then those of a whole
/// number of instructions.
pub(super) fn settle(processor: &mut VcpuFd) {
    processor.set_kvm_immediate_exit(1);
    // EINTR is what is expected; anything else changes nothing here.
    let _interrupted = processor.run();
    processor.set_kvm_immediate_exit(0);
}
