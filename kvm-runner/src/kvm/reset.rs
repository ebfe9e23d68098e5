//! A true reset: what KVM keeps of a machine besides memory and registers goes
//! back to what it was before the first instruction.
//!
//! KVM has no call for that. Its state after creation is the state after
//! power-up, so that is kept and set again: model-specific registers, local
//! APIC, pending events, interrupt controllers, interval timer.

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

/// The model-specific registers that KVM would save to move a machine to
/// another host.
pub(super) fn saved_msrs(kvm: &Kvm) -> Result<Vec<u32>, BootError> {
    let list = kvm.get_msr_index_list().map_err(BootError::kvm("list its registers"))?;
    Ok(list.as_slice().to_vec())
}

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
        processor.set_lapic(&self.lapic).map_err(BootError::kvm("make a processor known"))
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
        processor.set_lapic(&self.lapic).map_err(&failed)?;
        processor.set_mp_state(self.mp_state).map_err(&failed)
    }
}

/// Reads what can be read: the list names registers that this processor, by
/// its CPUID, has not.
fn read_msrs(processor: &VcpuFd, indices: &[u32]) -> Vec<kvm_msr_entry> {
    let mut read = Vec::with_capacity(indices.len());
    let mut rest = indices;
    while !rest.is_empty() {
        let entries: Vec<_> = rest
            .iter()
            .map(|index| kvm_msr_entry { index: *index, ..Default::default() })
            .collect();
        let Ok(mut msrs) = Msrs::from_entries(&entries) else { break };
        // KVM stops at the first that it has not.
        let done = processor.get_msrs(&mut msrs).unwrap_or(0).min(rest.len());
        read.extend_from_slice(&msrs.as_slice()[..done]);
        rest = rest.get(done + 1..).unwrap_or_default();
    }
    read
}

/// Writes what can be written: some only tell.
fn write_msrs(processor: &VcpuFd, entries: &[kvm_msr_entry]) {
    let mut rest = entries;
    while !rest.is_empty() {
        let Ok(msrs) = Msrs::from_entries(rest) else { break };
        let done = processor.set_msrs(&msrs).unwrap_or(0).min(rest.len());
        rest = rest.get(done + 1..).unwrap_or_default();
    }
}
