//! MSI-X (PCI Local Bus Specification 3.0, section 6.8.2): a table of messages,
//! one for each vector, and the bits of those that wait because they are masked.

use super::bar::{Bar, Space};
use super::config::{BUS_MASTER, Config};
use crate::PciInterrupts;

const CAPABILITY_ID: u8 = 0x11;

/// Message control: no vector may send.
const FUNCTION_MASK: u16 = 1 << 14;
/// Message control: messages instead of the interrupt pin.
const ENABLE: u16 = 1 << 15;

/// Bytes of a vector's entry: address, data, vector control.
const ENTRY: usize = 16;
/// Vector control: the vector may not send.
const MASKED: u32 = 1;
/// Where the pending bits are in the memory that the table begins.
const PENDING: usize = 0x800;
/// Bytes of that memory: a page that drivers may map alone.
const SIZE: u32 = 0x1000;

/// The table for `N` vectors (64 at most) and its pending bits.
pub(crate) struct Msix<const N: usize> {
    /// Where the capability is.
    capability: usize,
    table: [[u8; ENTRY]; N],
    pending: u64,
}

impl<const N: usize> Msix<N> {
    /// The memory that holds table and pending bits, by base address register
    /// `index`.
    pub(crate) const fn bar(index: u8) -> Bar {
        Bar { index, space: Space::Memory, size: SIZE }
    }

    /// Adds the capability, with everything masked, in the memory of `bar`.
    pub(crate) fn new(config: &mut Config, bar: &Bar) -> Self {
        bar.install(config);
        let indicator = u32::from(bar.index);
        let mut body = [0; 10];
        body[..2].copy_from_slice(&(N as u16 - 1).to_le_bytes());
        body[2..6].copy_from_slice(&indicator.to_le_bytes());
        body[6..].copy_from_slice(&(PENDING as u32 | indicator).to_le_bytes());
        let writable = (ENABLE | FUNCTION_MASK).to_le_bytes();
        let capability = config.add_capability(CAPABILITY_ID, &body, &writable);
        let mut entry = [0; ENTRY];
        entry[12..].copy_from_slice(&MASKED.to_le_bytes());
        Self { capability, table: [entry; N], pending: 0 }
    }

    fn control(&self, config: &Config) -> u16 {
        config.u16(self.capability + 2)
    }

    /// Whether messages replace the interrupt pin.
    pub(crate) fn enabled(&self, config: &Config) -> bool {
        self.control(config) & ENABLE != 0
    }

    /// Reads the table or the pending bits.
    pub(crate) fn read(&self, offset: u32, data: &mut [u8]) {
        let table = self.table.as_flattened();
        let pending = self.pending.to_le_bytes();
        for (at, byte) in (offset as usize..).zip(data) {
            let pending = at.checked_sub(PENDING).and_then(|at| pending.get(at));
            *byte = table.get(at).or(pending).copied().unwrap_or(0);
        }
    }

    /// Writes the table. Call [`deliver`](Self::deliver) then.
    pub(crate) fn write(&mut self, offset: u32, data: &[u8]) {
        let table = self.table.as_flattened_mut();
        for (at, &byte) in (offset as usize..).zip(data) {
            let writable = match at % ENTRY {
                // Messages go to whole double words.
                0 => 0xfc,
                12 => MASKED as u8,
                13..16 => 0,
                _ => 0xff,
            };
            if let Some(register) = table.get_mut(at) {
                *register = byte & writable;
            }
        }
    }

    /// Sends a vector's message, now or when it is no longer masked.
    pub(crate) fn send(&mut self, vector: u16, config: &Config, interrupts: &dyn PciInterrupts) {
        if usize::from(vector) < N {
            self.pending |= 1 << vector;
            self.deliver(config, interrupts);
        }
    }

    /// Forgets the messages that wait: the function they are from is reset.
    pub(crate) fn forget(&mut self) {
        self.pending = 0;
    }

    /// Sends what waits and may be sent.
    pub(crate) fn deliver(&mut self, config: &Config, interrupts: &dyn PciInterrupts) {
        let control = self.control(config);
        if control & ENABLE == 0 || control & FUNCTION_MASK != 0 || !config.command(BUS_MASTER) {
            return;
        }
        for (vector, entry) in self.table.iter().enumerate() {
            let (words, _) = entry.as_chunks();
            let [low, high, data, control] = [0, 1, 2, 3].map(|at| u32::from_le_bytes(words[at]));
            if self.pending & 1 << vector != 0 && control & MASKED == 0 {
                self.pending &= !(1 << vector);
                interrupts.message(u64::from(high) << 32 | u64::from(low), data);
            }
        }
    }
}
