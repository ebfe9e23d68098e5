//! Power management of the ICH9 (datasheet, sections 13.8.3 and 13.7): events,
//! control, timer, the switches of system management mode, and the two APM
//! ports.
//!
//! Nothing raises an event: there is no button and nothing that wakes. There is
//! no system management mode either, so what asks for an SMI asks nobody.

use std::time::Duration;

use crate::{Clock, Ending};

/// Where the block is before anybody moves it. On the real chip firmware has to
/// put it there and switch it on (PMBASE, ACPI_CNTL); a file that starts an
/// operating system brings no firmware, so here it is there from the start, at
/// the address where SeaBIOS and OVMF put it too.
pub(crate) const POWER_UP_BASE: u16 = 0x600;
/// I/O ports the block takes.
pub(crate) const LEN: u16 = 0x80;
/// PM1 status and enable, a word each.
pub(crate) const PM1_EVENTS: u16 = 0x00;
/// PM1 control, a word in a double word.
pub(crate) const PM1_CONTROL: u16 = 0x04;
/// The timer, 24 bits in a double word.
pub(crate) const PM_TIMER: u16 = 0x08;
/// General purpose events: 8 bytes of status, 8 of enable.
pub(crate) const GPE0: u16 = 0x20;
/// Bytes of status and enable together.
pub(crate) const GPE0_LEN: u8 = 16;
/// SMI_EN, a double word; SMI_STS is the next.
const SMI_ENABLE: u16 = 0x30;

/// APM_CNT, which asks for an SMI; APM_STS, which keeps what is written, is the
/// next port.
pub(crate) const APM: u16 = 0xb2;
/// The port behind both.
pub(crate) const APM_END: u16 = APM + 2;

/// The interrupt of the block (SCI).
pub(crate) const SCI: u16 = 9;

/// The sleep type that firmware and the tables here use for soft off (S5). It is
/// a virtual machine's convention: the chip's own is [`ICH9_SOFT_OFF`], and 0
/// would be "working".
pub(crate) const SOFT_OFF: u32 = 0;
/// The chip's sleep type of S5.
const ICH9_SOFT_OFF: u32 = 7;

/// Ticks of the timer per second (ACPI: "Power Management Timer").
const TIMER_HZ: u128 = 3_579_545;

/// PM1 control: ACPI mode. Always on: nobody here would do what an SMI asks.
const SCI_ENABLE: u16 = 1;
/// PM1 control: enter the sleep state in the type field. Reads as zero.
const SLEEP_ENABLE: u16 = 1 << 13;
/// PM1 control: where the three bits of the sleep type are.
const SLEEP_TYPE_SHIFT: u16 = 10;

/// SMI_EN: writes to [`APM`] raise an SMI. Always set: firmware takes that as
/// "system management mode is set up" and leaves it alone, which is right where
/// there is none.
const APMC_ENABLE: u8 = 1 << 5;

/// The registers that keep what is written; all others read as zero.
const KEEPS: [std::ops::Range<u16>; 4] = [
    // PM1 enable.
    PM1_EVENTS + 2..PM1_EVENTS + 4,
    PM1_CONTROL..PM1_CONTROL + 2,
    // GPE0 enable.
    GPE0 + 8..GPE0 + 16,
    SMI_ENABLE..SMI_ENABLE + 4,
];

/// The registers of the block, and the APM ports.
pub(crate) struct PowerManagement {
    block: [u8; LEN as usize],
    apm: [u8; 2],
}

impl PowerManagement {
    pub(crate) fn new() -> Self {
        let mut new = Self { block: [0; LEN as usize], apm: [0; 2] };
        new.fix();
        new
    }

    /// Sets the bits that are never clear.
    fn fix(&mut self) {
        let control = self.control() & !SLEEP_ENABLE | SCI_ENABLE;
        let at = usize::from(PM1_CONTROL);
        self.block[at..at + 2].copy_from_slice(&control.to_le_bytes());
        self.block[usize::from(SMI_ENABLE)] |= APMC_ENABLE;
    }

    fn control(&self) -> u16 {
        let at = usize::from(PM1_CONTROL);
        u16::from_le_bytes([self.block[at], self.block[at + 1]])
    }

    /// Reads `data.len()` bytes at `offset` of the block.
    pub(crate) fn read(&self, offset: u16, data: &mut [u8], clock: &dyn Clock) {
        let timer = timer(clock.uptime()).to_le_bytes();
        for (at, byte) in (usize::from(offset)..).zip(data) {
            *byte = match at.checked_sub(PM_TIMER.into()).and_then(|at| timer.get(at)) {
                Some(byte) => *byte,
                None => self.block.get(at).copied().unwrap_or(0xff),
            };
        }
    }

    /// Writes `data` at `offset` of the block.
    pub(crate) fn write(&mut self, offset: u16, data: &[u8]) -> Option<Ending> {
        for (at, &byte) in (offset..).zip(data) {
            if KEEPS.iter().any(|register| register.contains(&at)) {
                self.block[usize::from(at)] = byte;
            }
        }
        let control = self.control();
        self.fix();
        // The sleep states between "working" and "off" are not there to be
        // entered.
        let sleep_type = u32::from(control >> SLEEP_TYPE_SHIFT & 7);
        let off = control & SLEEP_ENABLE != 0 && [SOFT_OFF, ICH9_SOFT_OFF].contains(&sleep_type);
        off.then_some(Ending::Shutdown)
    }

    pub(crate) fn read_apm(&self, port: u16) -> u8 {
        self.apm[usize::from(port - APM)]
    }

    pub(crate) fn write_apm(&mut self, port: u16, value: u8) {
        self.apm[usize::from(port - APM)] = value;
    }
}

fn timer(uptime: Duration) -> u32 {
    let ticks = uptime.as_nanos() * TIMER_HZ / 1_000_000_000;
    (ticks & 0xff_ffff) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timer_counts_and_wraps() {
        assert_eq!(timer(Duration::from_secs(1)), 3_579_545);
        assert_eq!(timer(Duration::from_secs(5)), 5 * 3_579_545 - 0x100_0000);
    }
}
