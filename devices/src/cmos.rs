//! The real-time clock and its battery-backed memory, ports 0x70 and 0x71
//! (a Motorola MC146818 with the PC's use of its memory).

use std::time::Duration;

use crate::{Clock, Description};

/// Selects a register; bit 7 would mask non-maskable interrupts.
pub(crate) const INDEX: u16 = 0x70;
/// Reads or writes the selected register.
pub(crate) const DATA: u16 = 0x71;

const SECONDS: u8 = 0x00;
const MINUTES: u8 = 0x02;
const HOURS: u8 = 0x04;
const WEEKDAY: u8 = 0x06;
const DAY: u8 = 0x07;
const MONTH: u8 = 0x08;
const YEAR: u8 = 0x09;
const STATUS_A: u8 = 0x0a;
const STATUS_B: u8 = 0x0b;
const STATUS_C: u8 = 0x0c;
const STATUS_D: u8 = 0x0d;
/// Equipment: a floating-point unit, no drives, no display.
const EQUIPMENT: usize = 0x14;
/// Memory below 640 KiB, in KiB.
const BASE_MEMORY: usize = 0x15;
/// Memory above 1 MiB, in KiB: at most 0xffff.
const EXTENDED_MEMORY: [usize; 2] = [0x17, 0x30];
/// The year's first two digits.
pub(crate) const CENTURY: u8 = 0x32;
/// Memory above 16 MiB and below 4 GiB, in 64 KiB.
const MEMORY_ABOVE_16M: usize = 0x34;
/// Drives to start from: the first and the second in one byte. 2 is the hard
/// disk, 3 the optical drive.
const BOOT_ORDER: usize = 0x3d;
/// Memory above 4 GiB, in 64 KiB, three bytes.
const MEMORY_ABOVE_4G: usize = 0x5b;
/// Processors besides the first.
const MORE_PROCESSORS: usize = 0x5f;

/// Status B: binary numbers, not decimal digits in two nibbles.
const BINARY: u8 = 0x04;
/// Status B: hours 0 to 23, not 1 to 12 with bit 7 for the afternoon.
const HOURS_24: u8 = 0x02;
/// Status D: the memory is valid.
const VALID: u8 = 0x80;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// The clock chip. Its time is the host's; what the guest sets is dropped. It
/// raises no interrupts.
pub(crate) struct Cmos {
    index: u8,
    memory: [u8; 128],
}

impl Cmos {
    pub(crate) fn new(machine: &Description) -> Self {
        let mut cmos = Self { index: 0, memory: [0; 128] };
        let below_4g = machine.ram_end_below_4g();
        let above_4g = machine.ram_end_above_4g().saturating_sub(4 * GIB);
        cmos.memory[usize::from(STATUS_A)] = 0x26;
        cmos.memory[usize::from(STATUS_B)] = HOURS_24;
        cmos.memory[EQUIPMENT] = 0x02;
        cmos.put(BASE_MEMORY, (below_4g / KIB).min(640), 2);
        for at in EXTENDED_MEMORY {
            cmos.put(at, below_4g.saturating_sub(MIB) / KIB, 2);
        }
        cmos.put(MEMORY_ABOVE_16M, below_4g.saturating_sub(16 * MIB) / (64 * KIB), 2);
        cmos.put(BOOT_ORDER, 0x32, 1);
        cmos.put(MEMORY_ABOVE_4G, above_4g / (64 * KIB), 3);
        cmos.put(MORE_PROCESSORS, u64::from(machine.processors.saturating_sub(1)), 1);
        cmos
    }

    /// Stores the low `len` bytes of a number, or all ones if it has more.
    fn put(&mut self, at: usize, value: u64, len: usize) {
        let value = value.min((1 << (8 * len)) - 1);
        self.memory[at..at + len].copy_from_slice(&value.to_le_bytes()[..len]);
    }

    pub(crate) fn read(&self, port: u16, clock: &dyn Clock) -> u8 {
        if port != DATA {
            return 0xff;
        }
        let now = || Date::at(clock.utc());
        match self.index {
            SECONDS => self.number(now().second),
            MINUTES => self.number(now().minute),
            HOURS => self.hour(now().hour),
            WEEKDAY => self.number(now().weekday),
            DAY => self.number(now().day),
            MONTH => self.number(now().month),
            YEAR => self.number((now().year % 100) as u8),
            CENTURY => self.number((now().year / 100 % 100) as u8),
            STATUS_C => 0,
            STATUS_D => VALID,
            index => self.memory[usize::from(index)],
        }
    }

    pub(crate) fn write(&mut self, port: u16, value: u8) {
        if port == INDEX {
            self.index = value & 0x7f;
            return;
        }
        self.memory[usize::from(self.index)] = match self.index {
            // Bit 7, "update in progress", is the chip's: reads come at once.
            STATUS_A => value & 0x7f,
            // Bits 6:3 would turn on interrupts and the square wave.
            STATUS_B => value & 0x87,
            _ => value,
        };
    }

    fn number(&self, value: u8) -> u8 {
        if self.memory[usize::from(STATUS_B)] & BINARY != 0 {
            value
        } else {
            ((value / 10) << 4) | (value % 10)
        }
    }

    fn hour(&self, hour: u8) -> u8 {
        if self.memory[usize::from(STATUS_B)] & HOURS_24 != 0 {
            return self.number(hour);
        }
        let afternoon = if hour >= 12 { 0x80 } else { 0 };
        self.number(if hour.is_multiple_of(12) { 12 } else { hour % 12 }) | afternoon
    }
}

/// A moment of the Gregorian calendar, UTC.
#[derive(Debug, PartialEq, Eq)]
struct Date {
    year: u64,
    month: u8,
    day: u8,
    /// 1 is Sunday.
    weekday: u8,
    hour: u8,
    minute: u8,
    second: u8,
}

impl Date {
    fn at(since_1970: Duration) -> Self {
        let seconds = since_1970.as_secs();
        let days = seconds / 86_400;
        // Years from March on, so that the leap day comes last; 400 years
        // repeat, and the first of March of year 0 lies 719,468 days back.
        let shifted = days + 719_468;
        let era = shifted / 146_097;
        let day_of_era = shifted % 146_097;
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let month = (month_from_march + 2) % 12 + 1;
        Self {
            year: era * 400 + year_of_era + u64::from(month <= 2),
            month: month as u8,
            day: (day_of_year - (153 * month_from_march + 2) / 5 + 1) as u8,
            // 1970-01-01 was a Thursday.
            weekday: ((days + 4) % 7 + 1) as u8,
            hour: (seconds / 3_600 % 24) as u8,
            minute: (seconds / 60 % 60) as u8,
            second: (seconds % 60) as u8,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The C library knows the calendar too.
        #[cfg(unix)]
        #[test]
        fn dates_are_those_of_the_c_library(seconds in 0_i64..253_402_300_800) {
            // SAFETY: all zeroes is a valid `tm`.
            let mut tm: libc::tm = unsafe { std::mem::zeroed() };
            // SAFETY: both pointers are valid for the call.
            let done = unsafe { libc::gmtime_r(&seconds, &mut tm) };
            prop_assert!(!done.is_null());
            let expected = Date {
                year: (tm.tm_year + 1900) as u64,
                month: (tm.tm_mon + 1) as u8,
                day: tm.tm_mday as u8,
                weekday: (tm.tm_wday + 1) as u8,
                hour: tm.tm_hour as u8,
                minute: tm.tm_min as u8,
                second: tm.tm_sec as u8,
            };
            prop_assert_eq!(Date::at(Duration::from_secs(seconds as u64)), expected);
        }
    }
}
