//! The chipset's ports that reset a PC: 0x92 and 0xcf9 (ICH9 datasheet, section
//! 13.7).

use crate::Ending;

/// System control port A.
pub(crate) const SYSTEM_CONTROL_A: u16 = 0x92;
/// Reset control register of the chipset.
pub(crate) const RESET_CONTROL: u16 = 0xcf9;

/// Port 0x92: resets when bit 0 is written. It reads as 0, so every write of 1 is
/// a rise.
const FAST_RESET: u8 = 0x01;
/// Port 0x92: address line 20 is on. KVM cannot switch it off, so the bit only
/// remembers.
const A20: u8 = 0x02;

/// Port 0xcf9: resets when bit 2 is written.
const RESET_CPU: u8 = 0x04;
/// Port 0xcf9: a hard reset, not a soft one. Both end the run.
const SYSTEM_RESET: u8 = 0x02;

/// Port 0x92 and port 0xcf9.
pub(crate) struct ResetPorts {
    system_control: u8,
    reset_control: u8,
}

impl ResetPorts {
    pub(crate) const fn new() -> Self {
        Self { system_control: A20, reset_control: 0 }
    }

    pub(crate) fn read(&self, port: u16) -> u8 {
        match port {
            SYSTEM_CONTROL_A => self.system_control,
            RESET_CONTROL => self.reset_control,
            _ => 0xff,
        }
    }

    pub(crate) fn write(&mut self, port: u16, value: u8) -> Option<Ending> {
        let reset = match port {
            SYSTEM_CONTROL_A => {
                self.system_control = value & !FAST_RESET;
                value & FAST_RESET != 0
            }
            RESET_CONTROL => {
                self.reset_control = value & SYSTEM_RESET;
                value & RESET_CPU != 0
            }
            _ => false,
        };
        reset.then_some(Ending::Reset { port })
    }
}
