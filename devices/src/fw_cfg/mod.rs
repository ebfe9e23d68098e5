//! fw_cfg: how firmware made for virtual machines learns about its machine
//! (QEMU, `docs/specs/fw_cfg.rst`). The selector at port 0x510, the data at
//! 0x511, read byte by byte; and from 0x514 on a DMA interface that moves a
//! whole item at once. Everything about DMA and the file directory is big
//! endian, the items' numbers are little endian.
//!
//! No item can be written.

mod items;
mod smbios;

use crate::acpi::Chipset;
use crate::{Description, Memory, NoMemory};
use items::Items;

/// Selects an item, by a word write.
pub(crate) const SELECTOR: u16 = 0x510;
/// Reads the selected item's next byte.
pub(crate) const DATA: u16 = 0x511;
/// Upper half of the address of a DMA command, by a double word write.
pub(crate) const DMA: u16 = 0x514;
/// Its lower half. Writing it starts the command.
pub(crate) const DMA_START: u16 = 0x518;
/// The port behind the last.
pub(crate) const END: u16 = 0x51c;

/// What the DMA address reads as: the interface is there.
const DMA_SIGNATURE: [u8; 8] = *b"QEMU CFG";

/// The bits of a command.
mod control {
    pub(super) const ERROR: u32 = 1 << 0;
    pub(super) const READ: u32 = 1 << 1;
    pub(super) const SKIP: u32 = 1 << 2;
    /// Selects the item in bits 31:16 first.
    pub(super) const SELECT: u32 = 1 << 3;
    pub(super) const WRITE: u32 = 1 << 4;
}

/// Zeroes that a DMA read gets behind the end of an item, at most. The
/// interface knows no end; without one a guest would have the host fill 4 GiB
/// with one access. Firmware asks for what the directory says, or for a number
/// of an item that may not be there.
const ZEROES_MAX: u32 = 0x1_0000;

/// A DMA command in guest memory.
struct Command {
    control: u32,
    len: u32,
    gpa: u64,
}

impl Command {
    fn read(memory: &mut dyn Memory, at: u64) -> Result<Self, NoMemory> {
        let mut bytes = [0; 16];
        memory.read(at, &mut bytes)?;
        let number = |from: usize, to: usize| {
            bytes[from..to].iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
        };
        Ok(Self { control: number(0, 4) as u32, len: number(4, 8) as u32, gpa: number(8, 16) })
    }
}

/// The items and where the guest stands in one of them.
pub(crate) struct FwCfg {
    items: Items,
    selected: u16,
    offset: usize,
    /// Upper half of the DMA address.
    dma: u32,
}

impl FwCfg {
    /// `disk` says whether there is one to start from.
    pub(crate) fn new(machine: &Description, disk: bool) -> Self {
        Self { items: Items::new(machine, disk), selected: items::SIGNATURE, offset: 0, dma: 0 }
    }

    /// Selects an item. `chipset` is the chipset as firmware has set it up by
    /// now: the ACPI tables tell it, once, when the guest first asks for them.
    pub(crate) fn select(&mut self, selector: u16, chipset: impl FnOnce() -> Chipset) {
        self.items.about_to_be_read(selector, chipset);
        self.selected = selector;
        self.offset = 0;
    }

    /// What of the selected item is not read yet.
    fn rest(&self) -> &[u8] {
        self.items.content(self.selected).get(self.offset..).unwrap_or_default()
    }

    /// The next byte of the selected item; zero behind its end and where there
    /// is no such item.
    pub(crate) fn next(&mut self) -> u8 {
        let byte = self.rest().first().copied();
        self.offset += usize::from(byte.is_some());
        byte.unwrap_or(0)
    }

    /// The byte of the DMA address at a port.
    pub(crate) fn read_dma(&self, port: u16) -> u8 {
        DMA_SIGNATURE[usize::from(port - DMA)]
    }

    /// Upper half of the address of the next command.
    pub(crate) fn set_dma(&mut self, half: [u8; 4]) {
        self.dma = u32::from_be_bytes(half);
    }

    /// Lower half: carries the command out. Its control field is zero then, or
    /// the error bit. Where there is no memory for the command nobody can be
    /// told.
    pub(crate) fn start_dma(
        &mut self,
        memory: &mut dyn Memory,
        half: [u8; 4],
        chipset: impl FnOnce() -> Chipset,
    ) {
        let at =
            u64::from(std::mem::take(&mut self.dma)) << 32 | u64::from(u32::from_be_bytes(half));
        let Ok(command) = Command::read(memory, at) else { return };
        let done = self.run(memory, &command, chipset);
        let status = if done.is_ok() { 0 } else { control::ERROR };
        let _nobody = memory.write(at, &status.to_be_bytes());
    }

    fn run(
        &mut self,
        memory: &mut dyn Memory,
        command: &Command,
        chipset: impl FnOnce() -> Chipset,
    ) -> Result<(), Refused> {
        let is = |bit: u32| command.control & bit != 0;
        if is(control::SELECT) {
            self.select((command.control >> 16) as u16, chipset);
        }
        let rest = self.rest();
        let taken = rest.len().min(command.len as usize);
        if is(control::READ) {
            let zeroes = command.len - taken as u32;
            if zeroes > ZEROES_MAX {
                return Err(Refused);
            }
            memory.write(command.gpa, &rest[..taken])?;
            clear(memory, command.gpa.checked_add(taken as u64).ok_or(Refused)?, zeroes)?;
        } else if is(control::WRITE) {
            return Err(Refused);
        } else if !is(control::SKIP) {
            return Ok(());
        }
        self.offset += taken;
        Ok(())
    }
}

/// A command that is not carried out, or not to its end.
struct Refused;

impl From<NoMemory> for Refused {
    fn from(_: NoMemory) -> Self {
        Self
    }
}

/// Writes zeroes, a page at a time.
fn clear(memory: &mut dyn Memory, gpa: u64, len: u32) -> Result<(), Refused> {
    const ZEROES: [u8; 4096] = [0; 4096];
    let end = gpa.checked_add(len.into()).ok_or(Refused)?;
    let mut at = gpa;
    while at < end {
        let part = (end - at).min(ZEROES.len() as u64);
        memory.write(at, &ZEROES[..part as usize])?;
        at += part;
    }
    Ok(())
}
