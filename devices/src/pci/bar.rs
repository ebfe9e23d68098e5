//! Base address registers (PCI Local Bus Specification 3.0, section 6.2.5).
//!
//! A register's low bits say what it is and its address bits below the size
//! cannot be written: so sizing, which writes all ones and reads back, needs
//! nothing of its own.

use super::config::{Config, IO_SPACE, MEMORY_SPACE};

const FIRST: usize = 0x10;

/// What a base address register addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Space {
    /// I/O ports.
    Io,
    /// Memory below 4 GiB.
    Memory,
}

/// One base address register of a function.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bar {
    /// Which of the six.
    pub(crate) index: u8,
    pub(crate) space: Space,
    /// A power of two.
    pub(crate) size: u32,
}

impl Bar {
    const fn register(&self) -> usize {
        FIRST + 4 * self.index as usize
    }

    /// Makes the register, without an address.
    pub(crate) fn install(&self, config: &mut Config) {
        let kind = match self.space {
            Space::Io => 0b01,
            Space::Memory => 0b000,
        };
        config.set(self.register(), &[kind]);
        config.allow(self.register(), &(!(self.size - 1)).to_le_bytes());
    }

    /// The offset of an address, if the function answers there.
    pub(super) fn offset(&self, config: &Config, address: Address) -> Option<u32> {
        let low = u64::from(config.u32(self.register()) & !(self.size - 1));
        let (base, at) = match (self.space, address) {
            (Space::Io, Address::Port(port)) if config.command(IO_SPACE) => (low, port.into()),
            (Space::Memory, Address::Memory(gpa)) if config.command(MEMORY_SPACE) => (low, gpa),
            _ => return None,
        };
        // Nobody has assigned an address yet.
        if base == 0 {
            return None;
        }
        u32::try_from(at.checked_sub(base)?).ok().filter(|offset| *offset < self.size)
    }
}

/// Where an access goes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Address {
    Port(u16),
    Memory(u64),
}
