//! Where interrupts arrive: the lines of KVM's interrupt controllers, and the
//! messages of PCI functions.

use std::sync::Arc;

use igvm_devices::PciInterrupts;
use kvm_bindings::{
    KVM_IRQ_ROUTING_IRQCHIP, KVM_IRQCHIP_IOAPIC, KVM_IRQCHIP_PIC_MASTER, KVM_IRQCHIP_PIC_SLAVE,
    KvmIrqRouting, kvm_irq_routing_entry, kvm_irq_routing_entry__bindgen_ty_1,
    kvm_irq_routing_irqchip, kvm_msi,
};
use kvm_ioctls::VmFd;

use super::Machine;
use crate::guest::BootError;

/// Pins of the I/O APIC.
const IO_APIC_PINS: u32 = 24;

/// Interrupts of each of the two 8259s.
const PIC_PINS: u32 = 8;

/// Connects the interrupt lines as a PC has them. KVM's own choice leads line 0,
/// the interval timer, to pin 0 of the I/O APIC; on a PC it is pin 2, as the MADT
/// says, and line 2 only joins the two 8259s.
pub(super) fn connect_lines(fd: &VmFd) -> Result<(), BootError> {
    let entry = |gsi, irqchip, pin| kvm_irq_routing_entry {
        gsi,
        type_: KVM_IRQ_ROUTING_IRQCHIP,
        u: kvm_irq_routing_entry__bindgen_ty_1 {
            irqchip: kvm_irq_routing_irqchip { irqchip, pin },
        },
        ..Default::default()
    };
    let mut entries = Vec::new();
    for line in (0..IO_APIC_PINS).filter(|line| *line != 2) {
        match line / PIC_PINS {
            0 => entries.push(entry(line, KVM_IRQCHIP_PIC_MASTER, line)),
            1 => entries.push(entry(line, KVM_IRQCHIP_PIC_SLAVE, line - PIC_PINS)),
            _ => {}
        }
        entries.push(entry(line, KVM_IRQCHIP_IOAPIC, if line == 0 { 2 } else { line }));
    }
    let failed = BootError::kvm("connect the interrupt lines");
    let routing = KvmIrqRouting::from_entries(&entries)
        .map_err(|_| failed(kvm_ioctls::Error::new(libc::E2BIG)))?;
    fd.set_gsi_routing(&routing).map_err(failed)
}

struct Controllers(Arc<VmFd>);

impl PciInterrupts for Controllers {
    fn set_level(&self, gsi: u32, high: bool) {
        // Fails only for a number that no controller has; the devices have
        // those of a PC.
        let _none = self.0.set_irq_line(gsi, high);
    }

    fn message(&self, address: u64, data: u32) {
        // What goes elsewhere is a write to memory, not an interrupt (SDM volume
        // 3, "Message Address Register Format"); no driver wants that.
        const MESSAGES: u64 = 0xfee0_0000;
        if address & 0xffff_ffff_fff0_0000 != MESSAGES {
            return;
        }
        let message = kvm_msi {
            address_lo: address as u32,
            address_hi: (address >> 32) as u32,
            data,
            ..Default::default()
        };
        // Fails where no processor listens at what the guest wrote: then the
        // message is lost, as on a real bus.
        let _lost = self.0.signal_msi(message);
    }
}

impl Machine {
    /// Where the interrupts of PCI functions arrive: the in-kernel controllers.
    pub fn pci_interrupts(&self) -> Box<dyn PciInterrupts> {
        Box::new(Controllers(Arc::clone(&self.fd)))
    }
}
