//! COM1: a 16550A at I/O ports 0x3f8 to 0x3ff, on IRQ 4.

use std::convert::Infallible;
use std::io::Write;

use vm_superio::{Serial, Trigger};

use super::InterruptLine;

/// First I/O port of COM1.
pub const COM1: u16 = 0x3f8;

/// The interrupt line of COM1.
pub const COM1_IRQ: u32 = 4;

/// The line as `vm-superio` wants it.
struct Line(Box<dyn InterruptLine>);

impl Trigger for Line {
    type E = Infallible;

    fn trigger(&self) -> Result<(), Infallible> {
        self.0.raise();
        Ok(())
    }
}

/// The port, with the guest's output going to a writer.
pub(super) struct Com1 {
    uart: Serial<Line, vm_superio::serial::NoEvents, Box<dyn Write + Send>>,
}

impl Com1 {
    pub(super) fn new(line: Box<dyn InterruptLine>, output: Box<dyn Write + Send>) -> Self {
        Self { uart: Serial::new(Line(line), output) }
    }

    /// Reads the register at `offset` from [`COM1`].
    pub(super) fn read(&mut self, offset: u8) -> u8 {
        self.uart.read(offset)
    }

    /// Writes the register at `offset` from [`COM1`].
    pub(super) fn write(&mut self, offset: u8, value: u8) {
        // The guest cannot be told that its text did not arrive; the writer
        // remembers why (see `Console::failure`).
        let _lost = self.uart.write(offset, value);
    }
}
