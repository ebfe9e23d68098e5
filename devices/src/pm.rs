//! The ACPI power-management block of the PIIX4: events, control and timer.

use std::time::Duration;

use crate::{Clock, Ending};

/// I/O ports the block takes.
pub(crate) const LEN: u16 = 0x40;

/// PM1 status and enable, two words. No event is ever raised.
const EVENTS: std::ops::Range<usize> = 0..4;
/// PM1 control, one word.
const CONTROL: std::ops::Range<usize> = 4..6;
/// The timer, 24 bits in a double word.
const TIMER: std::ops::Range<usize> = 8..12;

/// Ticks of the timer per second (ACPI: "Power Management Timer").
const TIMER_HZ: u128 = 3_579_545;

/// PM1 control: ACPI mode. Always on: nobody here would do what an SMI asks.
const SCI_ENABLE: u16 = 1;
/// PM1 control: enter the sleep state in the type field. Reads as zero.
const SLEEP_ENABLE: u16 = 1 << 13;
/// PM1 control: the sleep type, three bits from bit 10. On the PIIX4 type 0 is
/// soft off (S5).
const SLEEP_TYPE: u16 = 7 << 10;

/// The registers of the block.
pub(crate) struct PowerManagement {
    enable: u16,
    control: u16,
}

impl PowerManagement {
    pub(crate) const fn new() -> Self {
        Self { enable: 0, control: SCI_ENABLE }
    }

    /// Reads `data.len()` bytes at `offset` of the block.
    pub(crate) fn read(&self, offset: u16, data: &mut [u8], clock: &dyn Clock) {
        let mut block = [0; LEN as usize];
        block[EVENTS][2..].copy_from_slice(&self.enable.to_le_bytes());
        block[CONTROL].copy_from_slice(&self.control.to_le_bytes());
        block[TIMER].copy_from_slice(&timer(clock.uptime()).to_le_bytes());
        for (at, byte) in data.iter_mut().enumerate() {
            *byte = block.get(usize::from(offset) + at).copied().unwrap_or(0xff);
        }
    }

    /// Writes `data` at `offset` of the block.
    pub(crate) fn write(&mut self, offset: u16, data: &[u8]) -> Option<Ending> {
        let mut control = self.control.to_le_bytes();
        let mut enable = self.enable.to_le_bytes();
        for (at, &byte) in (usize::from(offset)..).zip(data) {
            match at {
                2..4 => enable[at - 2] = byte,
                4..6 => control[at - 4] = byte,
                _ => {}
            }
        }
        self.enable = u16::from_le_bytes(enable);
        let control = u16::from_le_bytes(control);
        self.control = control & !SLEEP_ENABLE | SCI_ENABLE;
        // The sleep states proper (types 1 to 7) are not there to be entered.
        (control & (SLEEP_ENABLE | SLEEP_TYPE) == SLEEP_ENABLE).then_some(Ending::Shutdown)
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
