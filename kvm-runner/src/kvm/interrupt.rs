//! Interrupts of PCI functions, by KVM's interrupt controllers.

use std::sync::Arc;

use igvm_devices::PciInterrupts;
use kvm_bindings::kvm_msi;
use kvm_ioctls::VmFd;

use super::Machine;

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
