//! COM1: a 16550A at I/O ports 0x3f8 to 0x3ff, on IRQ 4.

use std::convert::Infallible;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use vm_superio::serial::NoEvents;
use vm_superio::{Serial, Trigger};

use crate::InterruptLine;

/// First I/O port of COM1.
pub const COM1: u16 = 0x3f8;

/// The interrupt line of COM1.
pub const COM1_IRQ: u32 = 4;

/// The line as `vm-superio` wants it. Shared, since a reset makes the port anew.
#[derive(Clone)]
struct Line(Arc<dyn InterruptLine>);

impl Trigger for Line {
    type E = Infallible;

    fn trigger(&self) -> Result<(), Infallible> {
        self.0.raise();
        Ok(())
    }
}

/// The writer, shared for the same reason.
#[derive(Clone)]
struct Output(Arc<Mutex<dyn Write + Send>>);

impl Write for Output {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(text)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).flush()
    }
}

/// The port, with the guest's output going to a writer.
pub(crate) struct Com1 {
    line: Line,
    output: Output,
    uart: Serial<Line, NoEvents, Output>,
}

impl Com1 {
    pub(crate) fn new(line: Box<dyn InterruptLine>, output: impl Write + Send + 'static) -> Self {
        let (line, output) = (Line(line.into()), Output(Arc::new(Mutex::new(output))));
        Self { uart: Serial::new(line.clone(), output.clone()), line, output }
    }

    pub(crate) fn reset(&mut self) {
        self.uart = Serial::new(self.line.clone(), self.output.clone());
    }

    /// Takes text that somebody types: as much as the receive buffer has room
    /// for, and nothing while the guest has looped the port back to itself.
    pub(crate) fn input(&mut self, text: &[u8]) -> usize {
        // A full buffer would be an error; raising the line cannot fail.
        let room = text.len().min(self.uart.fifo_capacity());
        self.uart.enqueue_raw_bytes(&text[..room]).unwrap_or(0)
    }

    /// Reads the register at `offset` from [`COM1`].
    pub(crate) fn read(&mut self, offset: u8) -> u8 {
        self.uart.read(offset)
    }

    /// Writes the register at `offset` from [`COM1`].
    pub(crate) fn write(&mut self, offset: u8, value: u8) {
        self.clear_received(offset, value);
        // The guest cannot be told that its text did not arrive; the writer
        // remembers why (see `Console::failure`).
        let _lost = self.uart.write(offset, value);
    }

    /// FCR bit 1 clears the receive FIFO, which the crate's port has not.
    fn clear_received(&mut self, offset: u8, value: u8) {
        const FCR: u8 = 2;
        const CLEAR: u8 = 1 << 1;
        const RECEIVED: u8 = 0;
        const LCR: u8 = 3;
        const DLAB: u8 = 1 << 7;
        const LSR: u8 = 5;
        const DATA_READY: u8 = 1;
        // With DLAB the data register is the divisor's.
        if offset != FCR || value & CLEAR == 0 || self.uart.read(LCR) & DLAB != 0 {
            return;
        }
        while self.uart.read(LSR) & DATA_READY != 0 {
            self.uart.read(RECEIVED);
        }
    }
}
