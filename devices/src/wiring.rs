//! What the devices are connected to: time, interrupts, memory. The host's side
//! implements these traits; tests implement them too.

use std::fmt;
use std::io::Write;
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
    /// The time.
    pub clock: Box<dyn Clock>,
}
