//! A true reset: what KVM keeps of a machine besides memory and registers goes
//! back to what it was before the first instruction.
//!
//! KVM has no call for that. Its state after creation is the state after
//! power-up, so that is kept and set again: model-specific registers, local
//! APIC, pending events, interrupt controllers, interval timer.

use std::ops::RangeInclusive;

use kvm_bindings::{
    KVM_IRQCHIP_IOAPIC, KVM_IRQCHIP_PIC_MASTER, KVM_IRQCHIP_PIC_SLAVE, Msrs, kvm_irqchip,
    kvm_lapic_state, kvm_mp_state, kvm_msr_entry, kvm_pit_state2, kvm_vcpu_events,
};
use kvm_ioctls::{Kvm, VcpuFd, VmFd};

use crate::guest::BootError;

/// The interrupt controllers and the interval timer.
pub(super) struct Chips {
    controllers: [kvm_irqchip; 3],
    timer: kvm_pit_state2,
}

impl Chips {
    pub(super) fn keep(fd: &VmFd) -> Result<Self, BootError> {
        let mut controllers = [KVM_IRQCHIP_PIC_MASTER, KVM_IRQCHIP_PIC_SLAVE, KVM_IRQCHIP_IOAPIC]
            .map(|chip_id| kvm_irqchip { chip_id, ..Default::default() });
        for controller in &mut controllers {
            fd.get_irqchip(controller).map_err(BootError::kvm("tell an interrupt controller"))?;
        }
        let timer = fd.get_pit2().map_err(BootError::kvm("tell the interval timer"))?;
        Ok(Self { controllers, timer })
    }

    pub(super) fn restore(&self, fd: &VmFd) -> Result<(), BootError> {
        for controller in &self.controllers {
            fd.set_irqchip(controller).map_err(BootError::kvm("reset an interrupt controller"))?;
        }
        fd.set_pit2(&self.timer).map_err(BootError::kvm("reset the interval timer"))
    }
}

/// One processor's state besides its register file.
pub(super) struct PowerUp {
    msrs: Vec<kvm_msr_entry>,
    lapic: kvm_lapic_state,
    events: kvm_vcpu_events,
    mp_state: kvm_mp_state,
}

/// Memory type ranges (SDM volume 3, "Memory Type Range Registers"): variable,
/// fixed, default type. KVM keeps them, and does not list them.
const MTRRS: [RangeInclusive<u32>; 5] =
    [0x200..=0x20f, 0x250..=0x250, 0x258..=0x259, 0x268..=0x26f, 0x2ff..=0x2ff];
/// IA32_MCi_CTL, STATUS, ADDR and MISC of the 32 machine-check banks that KVM
/// has at most, which it does not list either.
const MACHINE_CHECK_BANKS: RangeInclusive<u32> = 0x400..=0x47f;

/// The model-specific registers that KVM would save to move a machine to
/// another host, and those that it keeps and does not list.
pub(super) fn saved_msrs(kvm: &Kvm) -> Result<Vec<u32>, BootError> {
    let list = kvm.get_msr_index_list().map_err(BootError::kvm("list its registers"))?;
    let unlisted = MTRRS.into_iter().flatten().chain(MACHINE_CHECK_BANKS);
    Ok(list.as_slice().iter().copied().chain(unlisted).collect())
}

/// KVM_GET_MSRS and KVM_SET_MSRS refuse 256 at once (MAX_IO_MSRS).
const MSRS_AT_ONCE: usize = 255;

impl PowerUp {
    pub(super) fn keep(processor: &VcpuFd, msrs: &[u32]) -> Result<Self, BootError> {
        let failed = BootError::kvm("read a new processor");
        Ok(Self {
            msrs: read_msrs(processor, msrs),
            lapic: processor.get_lapic().map_err(&failed)?,
            events: processor.get_vcpu_events().map_err(&failed)?,
            mp_state: processor.get_mp_state().map_err(&failed)?,
        })
    }

    /// Lets the others find this processor by its APIC id. KVM looks that up in
    /// a map that it makes when a local APIC changes, and a processor is not in
    /// the map that its own creation makes: without this the last of them would
    /// get no INIT that names it.
    pub(super) fn make_known(&self, processor: &VcpuFd) -> Result<(), BootError> {
        self.set_lapic(processor).map_err(BootError::kvm("make a processor known"))
    }

    /// The local APIC as after power-up, but for the task priority, which is in
    /// CR8 as well and has been set with the registers.
    fn set_lapic(&self, processor: &VcpuFd) -> Result<(), kvm_ioctls::Error> {
        /// Task-priority register; CR8 is its upper half (SDM volume 3, "Task
        /// Priority in IA-32e Mode").
        const TPR: usize = 0x80;
        let mut lapic = self.lapic;
        lapic.regs[TPR] = (processor.get_sregs()?.cr8 << 4) as _;
        processor.set_lapic(&lapic)
    }

    /// First the model-specific registers, since registers depend on them.
    pub(super) fn restore_msrs(&self, processor: &VcpuFd) {
        write_msrs(processor, &self.msrs);
    }

    /// After the registers, since KVM reads the local APIC's state by the mode
    /// that IA32_APIC_BASE says.
    pub(super) fn restore(&self, processor: &VcpuFd) -> Result<(), BootError> {
        let failed = BootError::kvm("reset a processor");
        processor.set_vcpu_events(&self.events).map_err(&failed)?;
        self.set_lapic(processor).map_err(&failed)?;
        processor.set_mp_state(self.mp_state).map_err(&failed)
    }
}

/// Reads what can be read: the list names registers that this processor, by
/// its CPUID, has not.
fn read_msrs(processor: &VcpuFd, indices: &[u32]) -> Vec<kvm_msr_entry> {
    let mut read = Vec::with_capacity(indices.len());
    let mut rest = indices;
    while !rest.is_empty() {
        let now = &rest[..rest.len().min(MSRS_AT_ONCE)];
        let entries: Vec<_> =
            now.iter().map(|index| kvm_msr_entry { index: *index, ..Default::default() }).collect();
        let Ok(mut msrs) = Msrs::from_entries(&entries) else { break };
        // KVM stops at the first that it has not.
        let done = processor.get_msrs(&mut msrs).unwrap_or(0).min(now.len());
        read.extend_from_slice(&msrs.as_slice()[..done]);
        rest = after(rest, done, now.len());
    }
    read
}

/// Writes what can be written: some only tell.
fn write_msrs(processor: &VcpuFd, entries: &[kvm_msr_entry]) {
    let mut rest = entries;
    while !rest.is_empty() {
        let now = &rest[..rest.len().min(MSRS_AT_ONCE)];
        let Ok(msrs) = Msrs::from_entries(now) else { break };
        let done = processor.set_msrs(&msrs).unwrap_or(0).min(now.len());
        rest = after(rest, done, now.len());
    }
}

/// What is left after `done` of `asked`: the one that KVM stopped at is not.
fn after<T>(rest: &[T], done: usize, asked: usize) -> &[T] {
    rest.get(if done < asked { done + 1 } else { done }..).unwrap_or_default()
}
