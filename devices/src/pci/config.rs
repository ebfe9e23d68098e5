//! A function's configuration space (PCI Local Bus Specification 3.0,
//! chapter 6): bytes, and which bits of them can be written.

/// Bytes that a conventional function has.
pub(super) const LEN: usize = 0x100;

pub(super) const COMMAND: usize = 0x04;
const STATUS: usize = 0x06;
const HEADER_TYPE: usize = 0x0e;
const CAPABILITIES: usize = 0x34;
const INTERRUPT_LINE: usize = 0x3c;
const INTERRUPT_PIN: usize = 0x3d;
/// Where capabilities begin, one behind the other.
const FIRST_CAPABILITY: usize = 0x40;

/// Command: answers at its I/O base addresses.
pub(crate) const IO_SPACE: u16 = 1 << 0;
/// Command: answers at its memory base addresses.
pub(crate) const MEMORY_SPACE: u16 = 1 << 1;
/// Command: may read and write memory, and send messages.
pub(crate) const BUS_MASTER: u16 = 1 << 2;
const SERR: u16 = 1 << 8;
/// Command: does not assert its interrupt pin.
pub(crate) const INTERRUPT_DISABLE: u16 = 1 << 10;

/// Status: an interrupt is asked for, whether or not the pin may say so.
const INTERRUPT_STATUS: u8 = 1 << 3;
/// Status: there is a list of capabilities.
const CAPABILITY_LIST: u8 = 1 << 4;

/// What identifies a function.
pub(crate) struct Identity {
    pub(crate) vendor: u16,
    pub(crate) device: u16,
    pub(crate) revision: u8,
    /// Base class and subclass.
    pub(crate) class: u16,
}

/// The subsystem of every function, vendor and device: the one by which
/// firmware made for virtual machines knows them.
const SUBSYSTEM: (u16, u16) = (0x1af4, 0x1100);

/// A configuration space with a header of type 0, for a device with a single
/// function.
pub(crate) struct Config {
    bytes: [u8; LEN],
    writable: [u8; LEN],
    next_capability: usize,
    last_link: usize,
}

impl Config {
    /// A space in which nothing but the interrupt line and these bits of the
    /// command register can be written.
    pub(crate) fn new(identity: &Identity, command: u16) -> Self {
        let mut config = Self {
            bytes: [0; LEN],
            writable: [0; LEN],
            next_capability: FIRST_CAPABILITY,
            last_link: CAPABILITIES,
        };
        config.set(0x00, &identity.vendor.to_le_bytes());
        config.set(0x02, &identity.device.to_le_bytes());
        config.set(0x08, &[identity.revision]);
        config.set(0x0a, &identity.class.to_le_bytes());
        config.set(HEADER_TYPE, &[0]);
        config.set(0x2c, &SUBSYSTEM.0.to_le_bytes());
        config.set(0x2e, &SUBSYSTEM.1.to_le_bytes());
        // SERR# goes nowhere here, but firmware sets it and may look.
        config.allow(COMMAND, &(command | SERR).to_le_bytes());
        config.allow(INTERRUPT_LINE, &[0xff]);
        config
    }

    /// Sets bytes, whether or not the guest can write them.
    pub(super) fn set(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Makes bits writable, and no other bits of these bytes.
    pub(super) fn allow(&mut self, at: usize, bits: &[u8]) {
        self.writable[at..at + bits.len()].copy_from_slice(bits);
    }

    /// The interrupt pin: 1 is INTA#.
    pub(crate) fn set_interrupt_pin(&mut self, pin: u8) {
        self.set(INTERRUPT_PIN, &[pin]);
    }

    pub(super) fn interrupt_pin(&self) -> u8 {
        self.bytes[INTERRUPT_PIN]
    }

    pub(crate) fn set_interrupt_status(&mut self, asserted: bool) {
        let others = self.bytes[STATUS] & !INTERRUPT_STATUS;
        self.bytes[STATUS] = others | if asserted { INTERRUPT_STATUS } else { 0 };
    }

    /// Adds a capability, whose `body` follows the id and the link to the next
    /// one, with the bits of `writable` in it; says where it is.
    pub(crate) fn add_capability(&mut self, id: u8, body: &[u8], writable: &[u8]) -> usize {
        let at = self.next_capability;
        self.bytes[STATUS] |= CAPABILITY_LIST;
        self.bytes[self.last_link] = at as u8;
        self.last_link = at + 1;
        self.set(at, &[id, 0]);
        self.set(at + 2, body);
        self.allow(at + 2, writable);
        self.next_capability = (at + 2 + body.len()).next_multiple_of(4);
        at
    }

    pub(crate) fn u8(&self, at: usize) -> u8 {
        self.bytes[at]
    }

    pub(crate) fn u16(&self, at: usize) -> u16 {
        u16::from_le_bytes([self.bytes[at], self.bytes[at + 1]])
    }

    pub(crate) fn u32(&self, at: usize) -> u32 {
        u32::from(self.u16(at)) | u32::from(self.u16(at + 2)) << 16
    }

    /// Whether all these bits of the command register are set.
    pub(crate) fn command(&self, bits: u16) -> bool {
        self.u16(COMMAND) & bits == bits
    }

    /// Reads; what lies behind the end is all ones, by which software sees that
    /// there is no extended space.
    pub(crate) fn read(&self, at: usize, data: &mut [u8]) {
        for (at, byte) in (at..).zip(data) {
            *byte = self.bytes.get(at).copied().unwrap_or(0xff);
        }
    }

    /// Writes what can be written.
    pub(crate) fn write(&mut self, at: usize, data: &[u8]) {
        let registers = self.bytes.iter_mut().zip(&self.writable).skip(at);
        for ((register, writable), byte) in registers.zip(data) {
            *register = *register & !writable | byte & writable;
        }
    }
}
