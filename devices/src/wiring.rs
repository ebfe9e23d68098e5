//! What the devices are connected to: time, interrupts, memory. The host's side
//! implements these traits; tests implement them too.

use std::fmt;
use std::io::{self, Write};
use std::time::Duration;

/// What the devices know of time.
pub trait Clock: Send {
    /// Time since the machine started; never runs backwards.
    fn uptime(&self) -> Duration;

    /// Time since 1970-01-01 00:00 UTC.
    fn utc(&self) -> Duration;
}

/// An edge-triggered interrupt line into the guest.
pub trait InterruptLine: Send + Sync {
    /// Raises the line and lowers it again.
    fn raise(&self);
}

/// Where the interrupts of PCI functions arrive. Several may share an input: its
/// level is then that of any.
pub trait PciInterrupts: Send {
    /// Sets the level of a level-triggered input of the interrupt controllers,
    /// by its global number: 0 to 15 are the ISA interrupts, 16 to 23 inputs of
    /// the I/O APIC alone.
    fn set_level(&self, gsi: u32, high: bool);

    /// A message: a write of `data` to an address that is an interrupt
    /// controller's.
    fn message(&self, address: u64, data: u32);
}

/// What a disk's sectors are kept in.
pub trait Disk: Send {
    /// Bytes it holds. This does not change; a part of a sector at the end is
    /// not used.
    fn size(&self) -> u64;

    /// Whether [`write_at`](Self::write_at) fails always.
    fn read_only(&self) -> bool;

    /// Reads at an offset; offset and length are within the size.
    ///
    /// # Errors
    /// Fails where not all bytes can be read; `bytes` is then anything.
    fn read_at(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()>;

    /// Writes at an offset; offset and length are within the size.
    ///
    /// # Errors
    /// Fails where not all bytes can be written; some may have been.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Returns when everything written would survive a loss of power.
    ///
    /// # Errors
    /// Fails where that cannot be.
    fn flush(&mut self) -> io::Result<()>;
}

/// The guest's physical memory, as a device that reads and writes by itself
/// (DMA) sees it: RAM and nothing else.
pub trait Memory {
    /// Reads `bytes.len()` bytes at a guest physical address.
    ///
    /// # Errors
    /// Fails where a part of the range has no memory; `bytes` is then anything.
    fn read(&mut self, gpa: u64, bytes: &mut [u8]) -> Result<(), NoMemory>;

    /// Writes `bytes` at a guest physical address.
    ///
    /// # Errors
    /// Fails where a part of the range has no memory; what comes before that
    /// may have been written.
    fn write(&mut self, gpa: u64, bytes: &[u8]) -> Result<(), NoMemory>;
}

/// There is no memory at a guest physical address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoMemory {
    /// Where the range starts that was asked for.
    pub gpa: u64,
}

impl fmt::Display for NoMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no memory at guest physical {:#x}", self.gpa)
    }
}

impl std::error::Error for NoMemory {}

/// Where the devices are connected to: the host's side of each.
pub struct Wiring {
    /// What the guest writes to COM1.
    pub serial: Box<dyn Write + Send>,
    /// What the guest writes to the debug port.
    pub debug: Box<dyn Write + Send>,
    /// COM1's interrupt line, [`COM1_IRQ`](crate::COM1_IRQ).
    pub serial_line: Box<dyn InterruptLine>,
    /// The interrupts of PCI functions.
    pub pci_interrupts: Box<dyn PciInterrupts>,
    /// The disk, if there is one: a virtio block device at 00:03.0.
    pub disk: Option<Box<dyn Disk>>,
    /// The time.
    pub clock: Box<dyn Clock>,
}
