//! One processor: loading its registers, reading them, seeing through its
//! paging.

use std::fmt;

use igvm_core::x86::{Register, RegisterFile};
use kvm_bindings::{
    KVM_MP_STATE_HALTED, KVM_MP_STATE_INIT_RECEIVED, KVM_MP_STATE_UNINITIALIZED, Msrs, kvm_fpu,
    kvm_msr_entry,
};
use kvm_ioctls::VcpuFd;
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

use super::regs::{self, State};
use crate::guest::BootError;

/// EFER.LMA: the processor is in IA-32e mode.
const EFER_LMA: u64 = 1 << 10;

/// Loads every register. CPUID must be set before: it says which bits exist.
///
/// # Errors
/// Fails where KVM refuses a part, or keeps something else than it was given.
pub(super) fn load(
    processor: &VcpuFd,
    registers: &RegisterFile,
    vp_index: u32,
) -> Result<(), BootError> {
    let refused = |what| {
        move |errno: kvm_ioctls::Error| BootError::Refused { vp_index, what, source: errno.into() }
    };
    let state = State::from(registers);
    processor.set_sregs(&state.sregs).map_err(refused("the special registers"))?;
    processor.set_regs(&state.regs).map_err(refused("the general registers"))?;
    processor.set_debug_regs(&state.debug).map_err(refused("the debug registers"))?;
    processor.set_fpu(&state.fpu).map_err(refused("the floating-point state"))?;
    // Without XSAVE there is neither an XCR0 nor an XSAVE image.
    if processor.get_xsave().is_ok() {
        // SAFETY: the kernel reads more than a `kvm_xsave` only after this
        // process asked for larger features by arch_prctl, which it does not.
        let set = |with_pkru| unsafe { processor.set_xsave(&state.xsave(with_pkru)) };
        // KVM refuses the whole where it has no PKRU.
        let set = set(true).or_else(|_| set(false));
        set.map_err(refused("the floating-point state"))?;
        processor.set_xcrs(&state.xcrs).map_err(refused("XCR0"))?;
    }
    let pat = kvm_msr_entry { index: regs::MSR_PAT, data: state.pat, ..Default::default() };
    let msrs = Msrs::from_entries(&[pat]).map_err(|_| too_many_msrs())?;
    if processor.set_msrs(&msrs).map_err(refused("IA32_PAT"))? != 1 {
        return Err(refused("IA32_PAT")(kvm_ioctls::Error::new(libc::EINVAL)));
    }
    verify(processor, registers, vp_index)
}

/// Reads the registers back and compares.
fn verify(processor: &VcpuFd, asked: &RegisterFile, vp_index: u32) -> Result<(), BootError> {
    let got = read(processor)?;
    let kept = regs::as_kvm_keeps(asked, &got);
    match Register::ALL.into_iter().find(|register| kept.get(*register) != got.get(*register)) {
        None => Ok(()),
        Some(register) => Err(BootError::Changed {
            vp_index,
            register,
            asked: kept.get(register),
            got: got.get(register),
        }),
    }
}

/// Reads every register.
pub(super) fn read(processor: &VcpuFd) -> Result<RegisterFile, BootError> {
    let failed = BootError::kvm("read a processor's registers");
    let pat = kvm_msr_entry { index: regs::MSR_PAT, ..Default::default() };
    let mut msrs = Msrs::from_entries(&[pat]).map_err(|_| too_many_msrs())?;
    processor.get_msrs(&mut msrs).map_err(&failed)?;
    let mut state = State {
        regs: processor.get_regs().map_err(&failed)?,
        sregs: processor.get_sregs().map_err(&failed)?,
        debug: processor.get_debug_regs().map_err(&failed)?,
        xcrs: processor.get_xcrs().unwrap_or_default(),
        fpu: processor.get_fpu().map_err(&failed)?,
        pat: msrs.as_slice().first().map_or(0, |entry| entry.data),
    };
    if let Ok(area) = processor.get_xsave() {
        state.take_from_xsave(&area);
    }
    Ok(RegisterFile::from(&state))
}

fn too_many_msrs() -> BootError {
    BootError::kvm("take one register")(kvm_ioctls::Error::new(libc::ENOMEM))
}

/// What a processor does between two runs (KVM_GET_MP_STATE).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// It goes on.
    Runs,
    /// It has halted, and waits for an interrupt.
    Halted,
    /// It waits to be started by INIT and SIPI.
    WaitsForSipi,
}

impl Activity {
    /// In a word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Runs => "runs",
            Self::Halted => "halted",
            Self::WaitsForSipi => "waits-for-sipi",
        }
    }
}

impl fmt::Display for Activity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Runs => "runs",
            Self::Halted => "halted",
            Self::WaitsForSipi => "waits for a start-up interrupt",
        })
    }
}

/// Where a linear address leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Translation {
    /// To memory of the machine, at this guest physical address.
    Memory(u64),
    /// To a physical address where the machine has no memory.
    NoMemory(u64),
    /// The page tables lead nowhere.
    Unmapped,
}

/// A processor that stands still.
#[derive(Clone, Copy)]
pub struct Processor<'a> {
    pub(super) fd: &'a VcpuFd,
    pub(super) memory: &'a GuestMemoryMmap,
    pub(super) vp_index: u32,
}

impl Processor<'_> {
    /// Its number.
    pub const fn vp_index(&self) -> u32 {
        self.vp_index
    }

    /// Its registers.
    ///
    /// # Errors
    /// Fails where KVM does.
    pub fn registers(&self) -> Result<RegisterFile, BootError> {
        read(self.fd)
    }

    /// Its general, segment, table and control registers; the others are as
    /// after reset. That takes a fraction of the time of [`Self::registers`].
    ///
    /// # Errors
    /// Fails where KVM does.
    pub fn main_registers(&self) -> Result<RegisterFile, BootError> {
        let failed = BootError::kvm("read a processor's registers");
        let state = State {
            regs: self.fd.get_regs().map_err(&failed)?,
            sregs: self.fd.get_sregs().map_err(&failed)?,
            ..State::from(&RegisterFile::reset(false))
        };
        Ok(RegisterFile::from(&state))
    }

    /// What it does.
    pub fn activity(&self) -> Activity {
        match self.fd.get_mp_state().map(|state| state.mp_state) {
            Ok(KVM_MP_STATE_HALTED) => Activity::Halted,
            Ok(KVM_MP_STATE_UNINITIALIZED | KVM_MP_STATE_INIT_RECEIVED) => Activity::WaitsForSipi,
            _ => Activity::Runs,
        }
    }

    /// Its x87 and SSE registers.
    ///
    /// # Errors
    /// Fails where KVM does.
    pub fn floating_point(&self) -> Result<kvm_fpu, BootError> {
        self.fd.get_fpu().map_err(BootError::kvm("read a processor's x87 and SSE registers"))
    }

    /// Sets general, segment, table and control registers, as a debugger does.
    /// The others stay, and so does an interrupt that is on its way.
    ///
    /// # Errors
    /// Fails where KVM refuses a value.
    pub fn set_registers(&self, registers: &RegisterFile) -> Result<(), BootError> {
        let refused = |what| {
            let vp_index = self.vp_index;
            move |errno: kvm_ioctls::Error| BootError::Refused {
                vp_index,
                what,
                source: errno.into(),
            }
        };
        let mut state = State::from(registers);
        let now = self.fd.get_sregs().map_err(refused("the special registers"))?;
        state.sregs.interrupt_bitmap = now.interrupt_bitmap;
        self.fd.set_sregs(&state.sregs).map_err(refused("the special registers"))?;
        self.fd.set_regs(&state.regs).map_err(refused("the general registers"))
    }

    /// In which unit it decodes at CS: 16, 32 or 64 bits. Unlike
    /// [`Mode::bitness`](igvm_core::x86::Mode::bitness) this follows CS.D in
    /// real mode, too: a processor that has just left protected mode goes on as
    /// its segment says.
    pub fn bitness(registers: &RegisterFile) -> u32 {
        if registers.efer & EFER_LMA != 0 && registers.cs.long() {
            64
        } else if registers.cs.default_big() {
            32
        } else {
            16
        }
    }

    /// The linear address of the next instruction.
    pub fn linear_rip(registers: &RegisterFile) -> u64 {
        if Self::bitness(registers) == 64 {
            registers.rip
        } else {
            registers.cs.base.wrapping_add(registers.rip) & 0xffff_ffff
        }
    }

    /// Where a linear address leads, by the present paging.
    pub fn translate(&self, linear: u64) -> Translation {
        match self.fd.translate_gva(linear) {
            Ok(found) if found.valid != 0 => {
                if self.memory.address_in_range(GuestAddress(found.physical_address)) {
                    Translation::Memory(found.physical_address)
                } else {
                    Translation::NoMemory(found.physical_address)
                }
            }
            _ => Translation::Unmapped,
        }
    }

    /// Reads memory by linear address, as far as it is mapped and there; says
    /// how many bytes that were.
    pub fn read_linear(&self, linear: u64, bytes: &mut [u8]) -> usize {
        self.each_page(linear, bytes.len(), |done, gpa, len| {
            self.memory.read_slice(&mut bytes[done..done + len], gpa).is_ok()
        })
    }

    /// Writes memory by linear address, as far as it is mapped and there; says
    /// how many bytes that were.
    pub fn write_linear(&self, linear: u64, bytes: &[u8]) -> usize {
        self.each_page(linear, bytes.len(), |done, gpa, len| {
            self.memory.write_slice(&bytes[done..done + len], gpa).is_ok()
        })
    }

    /// Goes over a linear range by pages; `access` gets the bytes that are
    /// done, where the next are, and how many.
    fn each_page(
        &self,
        linear: u64,
        len: usize,
        mut access: impl FnMut(usize, GuestAddress, usize) -> bool,
    ) -> usize {
        const PAGE: u64 = 0x1000;
        let mut done = 0;
        while done < len {
            let at = linear.wrapping_add(done as u64);
            let piece = ((PAGE - at % PAGE) as usize).min(len - done);
            match self.translate(at) {
                Translation::Memory(gpa) if access(done, GuestAddress(gpa), piece) => done += piece,
                _ => break,
            }
        }
        done
    }

    /// Up to 15 bytes of code at a linear address: as many as can be read.
    pub fn code_at(&self, linear: u64) -> Vec<u8> {
        const LONGEST_INSTRUCTION: usize = 15;
        let mut code = vec![0; LONGEST_INSTRUCTION];
        let read = self.read_linear(linear, &mut code);
        code.truncate(read);
        code
    }
}
