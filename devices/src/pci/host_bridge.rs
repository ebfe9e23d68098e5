//! 00:00.0, the host bridge: the memory controller hub of the Intel 3 Series
//! (datasheet 316966, section 5.1, "DRAM controller registers").

use igvm_core::span::Span;

use super::config::{Config, Identity};

/// PAM0 to PAM6: who answers at 0xc0000 to 0xfffff, memory or firmware.
const PAM: usize = 0x90;
/// SMRAM control.
const SMRAM: usize = 0x9d;
/// Extended SMRAM control.
const ESMRAMC: usize = 0x9e;
/// Where configuration space is in memory.
const PCIEXBAR: usize = 0x60;

/// PCIEXBAR: on.
const PCIEXBAR_ENABLE: u32 = 1;
/// PCIEXBAR: 256, 128 or 64 buses.
const PCIEXBAR_LENGTH: u32 = 0b110;
/// PCIEXBAR: address bits 27 and 26, which count where there are fewer buses.
const PCIEXBAR_LOW: u32 = 3 << 26;

/// The host bridge.
pub(crate) struct HostBridge(pub(super) Config);

impl HostBridge {
    pub(crate) fn new() -> Self {
        let identity = Identity { vendor: 0x8086, device: 0x29c0, revision: 2, class: 0x0600 };
        let mut config = Config::new(&identity, 0);
        // It has always been a bus master with memory behind it.
        config.set(0x04, &[0x06]);
        // All of 0xc0000 to 0xfffff is memory here, readable and writable,
        // whatever PAM says: the registers only remember. The hypervisor could
        // take memory away from the guest and give it back, but nothing would
        // be there instead: no device has a ROM, an IGVM file puts firmware into
        // memory, and firmware that copies itself "to the memory below" copies
        // bytes to where they are.
        config.allow(PAM, &[0x30, 0x33, 0x33, 0x33, 0x33, 0x33, 0x33]);
        // SMRAM at 0xa0000, not open; the compatible segment is the only one.
        // There is no system management mode: these only remember, too.
        config.set(SMRAM, &[0x02]);
        config.allow(SMRAM, &[0x78]);
        config.set(ESMRAMC, &[0x38]);
        config.allow(ESMRAMC, &[0xc7]);
        config.allow(PCIEXBAR, &(0xf000_0000 | PCIEXBAR_LOW | 0b111).to_le_bytes());
        config.allow(PCIEXBAR + 4, &[0x0f]);
        Self(config)
    }

    /// Where configuration space is in memory, a MiB for each bus.
    pub(super) fn ecam(&self) -> Option<Span> {
        let low = self.0.u32(PCIEXBAR);
        let (size, unused) = match (low & PCIEXBAR_LENGTH) >> 1 {
            0 => (256 << 20, PCIEXBAR_LOW),
            1 => (128 << 20, PCIEXBAR_LOW & (1 << 26)),
            2 => (64 << 20, 0),
            _ => return None,
        };
        if low & PCIEXBAR_ENABLE == 0 {
            return None;
        }
        let low = low & !unused & !(PCIEXBAR_ENABLE | PCIEXBAR_LENGTH);
        let base = u64::from(self.0.u32(PCIEXBAR + 4)) << 32 | u64::from(low);
        Some(Span::new(base, size))
    }

    /// The offset of an address in memory-mapped configuration space, if it
    /// lies there.
    pub(super) fn ecam_offset(&self, gpa: u64) -> Option<u32> {
        let ecam = self.ecam().filter(|ecam| ecam.contains(gpa))?;
        u32::try_from(gpa - ecam.start).ok()
    }
}
