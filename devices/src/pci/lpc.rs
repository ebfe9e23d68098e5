//! 00:1f.0, the bridge to everything that is not PCI: the LPC interface of the
//! Intel I/O Controller Hub 9 (datasheet 316972, chapter 13).

use super::config::{Config, Identity};
use crate::pm;

/// The power-management block's first I/O port.
const PMBASE: usize = 0x40;
/// Whether the block is there, and its interrupt.
const ACPI_CNTL: usize = 0x44;
/// ACPI_CNTL: the block is there.
const ACPI_ENABLE: u8 = 1 << 7;
/// PIRQA to PIRQD, and PIRQE to PIRQH: the ISA interrupt that each arrives at.
const PIRQ_ROUTES: [usize; 2] = [0x60, 0x68];
/// PIRQ routes: arrives at none.
const UNROUTED: u8 = 1 << 7;
/// Root complex base address.
const RCBA: usize = 0xf0;

/// The ISA interrupts that a route can name; the others are the chip's own.
const ISA_ROUTES: u16 = 0b1101_1110_1111_1000;

/// The first input of the I/O APIC that a PIRQ arrives at, PIRQA.
const PIRQ_GSI: u32 = 16;

/// The LPC bridge.
pub(crate) struct Lpc(pub(super) Config);

impl Lpc {
    /// Device and function number. The real chip has other functions beside it;
    /// here it is alone.
    pub(super) const NUMBER: u8 = 0x1f << 3;

    pub(crate) fn new() -> Self {
        let identity = Identity { vendor: 0x8086, device: 0x2918, revision: 2, class: 0x0601 };
        let mut config = Config::new(&identity, 0);
        config.set(0x04, &[0x07]);
        config.set(PMBASE, &(pm::POWER_UP_BASE | 1).to_le_bytes());
        config.allow(PMBASE, &[0x80, 0xff]);
        config.set(ACPI_CNTL, &[ACPI_ENABLE]);
        config.allow(ACPI_CNTL, &[0x87]);
        for routes in PIRQ_ROUTES {
            config.set(routes, &[UNROUTED; 4]);
            config.allow(routes, &[0x8f; 4]);
        }
        // The block behind it, with the routes from pins to PIRQs, cannot be
        // reached: the routes are the chip's defaults.
        config.allow(RCBA, &[0x01, 0xc0, 0xff, 0xff]);
        Self(config)
    }

    /// First I/O port of the power-management block, where it is on.
    pub(super) fn pm_base(&self) -> Option<u16> {
        let base = self.0.u16(PMBASE) & 0xff80;
        (self.0.u8(ACPI_CNTL) & ACPI_ENABLE != 0 && base != 0).then_some(base)
    }

    /// The inputs of the interrupt controllers, one bit each, at which a pin (1
    /// is INTA#) of a device arrives. Every PIRQ has an input of the I/O APIC to
    /// itself; where its route is on, it arrives at an ISA interrupt as well.
    pub(super) fn inputs(&self, device: u8, pin: u8) -> u32 {
        let pirq = pirq(device, pin);
        let route = self.0.u8(PIRQ_ROUTES[usize::from(pirq / 4)] + usize::from(pirq % 4));
        let isa = match route & UNROUTED {
            0 => 1 << (route & 0x0f) & ISA_ROUTES,
            _ => 0,
        };
        1 << io_apic_input(device, pin) | u32::from(isa)
    }
}

/// The input of the I/O APIC at which a pin (1 is INTA#) of a device on bus 0
/// arrives.
pub(crate) fn io_apic_input(device: u8, pin: u8) -> u32 {
    PIRQ_GSI + u32::from(pirq(device, pin))
}

/// The PIRQ (0 is PIRQA) at which a pin of a device on bus 0 arrives: devices 0
/// to 24 are spread over PIRQE to PIRQH, as boards with this chip have it and as
/// firmware expects; the chip's own begin at PIRQA.
fn pirq(device: u8, pin: u8) -> u8 {
    let pin = pin.wrapping_sub(1);
    match device {
        25..=29 | 31 => pin % 4,
        _ => 4 + pin.wrapping_add(device) % 4,
    }
}
