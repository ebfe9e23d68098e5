//! The virtual machine: memory, interrupt controllers, processors.

use std::sync::{Arc, Mutex};

use igvm_core::span::Span;
use igvm_core::x86::RegisterFile;
use kvm_bindings::{
    KVM_CAP_DISABLE_QUIRKS2, KVM_MP_STATE_RUNNABLE, KVM_PIT_SPEAKER_DUMMY,
    KVM_X86_QUIRK_FIX_HYPERCALL_INSN, kvm_enable_cap, kvm_mp_state, kvm_pit_config,
    kvm_userspace_memory_region,
};
use kvm_ioctls::{VcpuFd, VmFd};
use vm_memory::{GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion};
use vmm_sys_util::eventfd::EventFd;

use super::control::{Control, lock};
use super::reset::{self, Chips, PowerUp};
use super::{Debug, Host, HostError, Processor, Recent, cpuid, interrupt, vcpu};
use crate::guest::{BootError, Image};
use igvm_devices::InterruptLine;

/// Three pages that KVM on Intel needs for itself, clear of a firmware of up to
/// 16 MiB below 4 GiB.
const TSS: u64 = 0xfeff_d000;
/// One page below them, for the same purpose.
const IDENTITY_MAP: u64 = 0xfeff_c000;
/// Both: no memory can be here, and nothing else should be put here.
pub const RESERVED_BY_KVM: Span = Span::between(IDENTITY_MAP, TSS + 0x3000);

const PAGE: u64 = 0x1000;

/// A machine before its first instruction, or after its last.
pub struct Machine {
    // Dropped in this order: nothing may run when the memory goes.
    pub(super) processors: Vec<VcpuFd>,
    pub(super) fd: Arc<VmFd>,
    pub(super) memory: GuestMemoryMmap,
    pub(super) host: Host,
    chips: Chips,
    power_up: Vec<PowerUp>,
    pub(super) recent: Arc<Mutex<Recent>>,
    /// How the processors are watched from the next run on.
    pub debug: Debug,
    /// Whether KVM has been told to watch them.
    pub(super) debugged: bool,
    /// Runs of more than one processor.
    pub(super) runs: usize,
}

impl Machine {
    /// Builds the machine of an image with this many processors, APIC ids from
    /// 0 on, loads memory and registers, and reads the registers back.
    ///
    /// # Errors
    /// Fails where the image's memory or registers cannot be, or the host is
    /// short of something.
    pub fn new(host: Host, image: &dyn Image, processors: u32) -> Result<Self, BootError> {
        let most = host.kvm.get_max_vcpus().min(255);
        if processors == 0 || processors as usize > most {
            return Err(BootError::Image(format!(
                "{processors} processors: this host's KVM runs 1 to {most}"
            )));
        }
        let memory = map_memory(&image.memory(), host.kvm.get_nr_memslots())?;
        let fd = host.kvm.create_vm().map_err(|errno| HostError::Create(errno.into()))?;
        configure(&fd)?;
        provide(&fd, &memory)?;
        image.fill(&memory)?;
        let supported =
            cpuid::supported(&host.kvm).map_err(BootError::kvm("say what CPUID it supports"))?;
        let msrs = reset::saved_msrs(&host.kvm)?;
        let chips = Chips::keep(&fd)?;
        let mut machine = Self {
            processors: Vec::new(),
            fd: Arc::new(fd),
            memory,
            host,
            chips,
            power_up: Vec::new(),
            recent: Arc::default(),
            debug: Debug::default(),
            debugged: false,
            runs: 0,
        };
        for vp_index in 0..processors {
            let cpuid = cpuid::for_processor(&supported, vp_index, processors);
            let processor = machine
                .fd
                .create_vcpu(vp_index.into())
                .map_err(BootError::kvm("create a processor"))?;
            let cpuid = cpuid.ok_or_else(|| {
                BootError::kvm("hold so many CPUID leaves")(kvm_ioctls::Error::new(libc::E2BIG))
            })?;
            processor.set_cpuid2(&cpuid).map_err(BootError::kvm("set CPUID"))?;
            machine.power_up.push(PowerUp::keep(&processor, &msrs)?);
            start(&processor, image.registers(vp_index), vp_index)?;
            machine.processors.push(processor);
        }
        if let Some((processor, power_up)) = machine.processors.last().zip(machine.power_up.last())
        {
            power_up.make_known(processor)?;
        }
        Ok(machine)
    }

    /// Resets the machine as a PC's reset line does, and loads the image again:
    /// memory that the image names is written, other memory keeps what it has;
    /// processors start or wait as at first. The devices are not in here.
    ///
    /// # Errors
    /// Fails where the image can no longer be read, or KVM refuses something.
    pub fn reset(&mut self, image: &dyn Image, control: &Control) -> Result<(), BootError> {
        image.refill(&self.memory)?;
        self.chips.restore(&self.fd)?;
        for ((vp_index, processor), power_up) in (0..).zip(&self.processors).zip(&self.power_up) {
            power_up.restore_msrs(processor);
            start(processor, image.registers(vp_index), vp_index)?;
            power_up.restore(processor)?;
            run_or_wait(processor, image.registers(vp_index).is_some() || vp_index == 0)?;
        }
        control.forget_processors();
        *lock(&self.recent) = Recent::default();
        Ok(())
    }

    /// How many processors there are.
    pub fn processors(&self) -> u32 {
        self.processors.len() as u32
    }

    /// A processor, while the machine stands still.
    pub fn processor(&self, vp_index: u32) -> Option<Processor<'_>> {
        let fd = self.processors.get(vp_index as usize)?;
        Some(Processor { fd, memory: &self.memory, vp_index })
    }

    /// Whether this host's KVM is known to interpret the guest's kernel.
    pub fn interprets(&self) -> bool {
        self.host.interprets() == Some(true)
    }

    /// The last exits of all processors.
    pub fn recent(&self) -> Recent {
        lock(&self.recent).clone()
    }

    /// The guest's memory.
    pub fn memory(&self) -> &GuestMemoryMmap {
        &self.memory
    }

    /// An interrupt line of the in-kernel controllers.
    ///
    /// # Errors
    /// Fails where the host has no more eventfds.
    pub fn interrupt_line(&self, line: u32) -> Result<Box<dyn InterruptLine>, BootError> {
        let event = EventFd::new(libc::EFD_NONBLOCK | libc::EFD_CLOEXEC)
            .map_err(|source| BootError::Kvm { what: "open an interrupt line", source })?;
        self.fd
            .register_irqfd(&event, line)
            .map_err(BootError::kvm("connect an interrupt line"))?;
        Ok(Box::new(EventLine(event)))
    }
}

struct EventLine(EventFd);

impl InterruptLine for EventLine {
    fn raise(&self) {
        // Fails only where 2^64 - 1 interrupts wait already.
        let _full = self.0.write(1);
    }
}

/// Maps memory for the spans. Nothing of it exists before it is touched.
fn map_memory(spans: &[Span], slots: usize) -> Result<GuestMemoryMmap, BootError> {
    let image = |sentence: String| Err(BootError::Image(sentence));
    if spans.len() > slots {
        return image(format!(
            "the machine's memory has {} separate ranges, this host's KVM takes {slots}",
            spans.len()
        ));
    }
    let mut ranges = Vec::with_capacity(spans.len());
    for span in spans {
        if !span.start.is_multiple_of(PAGE) || !span.len.is_multiple_of(PAGE) {
            return image(format!("the memory at {span} is not made of whole pages"));
        }
        if span.checked_end().is_none() {
            return image(format!("the memory at {span} passes the end of addresses"));
        }
        if span.overlaps(RESERVED_BY_KVM) {
            return image(format!(
                "the memory at {span} covers {RESERVED_BY_KVM}, which KVM needs for itself"
            ));
        }
        match usize::try_from(span.len) {
            Ok(0) => return image(format!("the memory at {span} is empty")),
            Ok(len) => ranges.push((GuestAddress(span.start), len)),
            Err(_) => return image(format!("the memory at {span} is larger than this host's")),
        }
    }
    GuestMemoryMmap::from_ranges(&ranges).or_else(|error| {
        let total = spans.iter().fold(0, |sum: u64, span| sum.saturating_add(span.len));
        image(format!("the host cannot map {total:#x} bytes of guest memory: {error}"))
    })
}

/// What must be set before there are processors.
fn configure(fd: &VmFd) -> Result<(), BootError> {
    fd.set_identity_map_address(IDENTITY_MAP).map_err(BootError::kvm("place its identity map"))?;
    fd.set_tss_address(TSS as usize).map_err(BootError::kvm("place its task-state segment"))?;
    fd.create_irq_chip().map_err(BootError::kvm("create interrupt controllers"))?;
    interrupt::connect_lines(fd)?;
    let pit = kvm_pit_config { flags: KVM_PIT_SPEAKER_DUMMY, ..Default::default() };
    fd.create_pit2(pit).map_err(BootError::kvm("create an interval timer"))?;
    // By default KVM rewrites a VMCALL in the guest's code as the host's own
    // instruction. The guest's code is the guest's; and a KVM that interprets
    // it meets the same instruction again for ever.
    let offered = fd.check_extension_raw(KVM_CAP_DISABLE_QUIRKS2.into());
    if offered > 0 && offered as u32 & KVM_X86_QUIRK_FIX_HYPERCALL_INSN != 0 {
        let mut capability = kvm_enable_cap { cap: KVM_CAP_DISABLE_QUIRKS2, ..Default::default() };
        capability.args[0] = KVM_X86_QUIRK_FIX_HYPERCALL_INSN.into();
        fd.enable_cap(&capability).map_err(BootError::kvm("leave VMCALL alone"))?;
    }
    Ok(())
}

/// Gives the virtual machine its memory, a slot for each range.
pub(super) fn provide(fd: &VmFd, memory: &GuestMemoryMmap) -> Result<(), BootError> {
    for (slot, region) in (0..).zip(memory.iter()) {
        let host = memory
            .get_host_address(region.start_addr())
            .map_err(|error| BootError::Image(error.to_string()))?;
        let region = kvm_userspace_memory_region {
            slot,
            flags: 0,
            guest_phys_addr: region.start_addr().0,
            memory_size: region.len(),
            userspace_addr: host as u64,
        };
        // SAFETY: the range is one mapping of this process, and no Rust object.
        // Its owner drops it after the virtual machine; were it to go earlier,
        // KVM would report a fault and touch nothing.
        unsafe { fd.set_user_memory_region(region) }.map_err(BootError::kvm("take memory"))?;
    }
    Ok(())
}

/// Loads a processor. Without registers it is as after reset: the first starts
/// so, any other waits for INIT and SIPI.
fn start(
    processor: &VcpuFd,
    registers: Option<RegisterFile>,
    vp_index: u32,
) -> Result<(), BootError> {
    let first = vp_index == 0;
    vcpu::load(processor, &registers.unwrap_or(RegisterFile::reset(first)), vp_index)?;
    run_or_wait(processor, registers.is_some() || first)
}

/// A new processor waits, unless it is the first.
fn run_or_wait(processor: &VcpuFd, runs: bool) -> Result<(), BootError> {
    let runnable = kvm_mp_state { mp_state: KVM_MP_STATE_RUNNABLE };
    match runs {
        true => processor.set_mp_state(runnable).map_err(BootError::kvm("let a processor run")),
        false => Ok(()),
    }
}
