//! The machine around the processors: a small PC.
//!
//! | ports | device |
//! |---|---|
//! | 0x60, 0x64 | keyboard controller without a keyboard |
//! | 0x70, 0x71 | real-time clock and its memory |
//! | 0x92 | A20 and fast reset |
//! | 0xb2, 0xb3 | APM |
//! | 0x3f8 to 0x3ff | COM1 |
//! | 0x402 | debug text |
//! | 0x501 | exit port |
//! | 0x510, 0x511, 0x514 to 0x51b | fw_cfg |
//! | 0xcf8, 0xcf9, 0xcfc to 0xcff | PCI configuration, reset control |
//! | 0x600 to 0x67f, movable | ACPI power management |
//!
//! PCI configuration space is in memory, too, once the host bridge has been told
//! where. On the bus: the host bridge 00:00.0, the LPC bridge 00:1f.0, and with a
//! disk a virtio block device at 00:03.0.
//!
//! Nothing here knows of KVM or holds a file: text goes to writers, time comes
//! from a [`Clock`], interrupts go to an [`InterruptLine`], memory is lent by
//! whoever makes an access. Interrupt controllers and the interval timer are not
//! here: KVM has its own.
//!
//! A guest may do anything: every access of any size at any port is answered.
//! What nobody claims reads as all ones and swallows writes, as on an ISA bus;
//! so does physical memory that is not there.

pub mod acpi;
mod cmos;
mod fw_cfg;
mod keyboard;
mod pci;
mod pm;
mod reset;
mod serial;
pub mod virtio;
mod wiring;

use std::io::Write;

use igvm_core::span::Span;

pub use serial::{COM1, COM1_IRQ};
pub use wiring::{Clock, Disk, InterruptLine, Memory, NoMemory, PciInterrupts, Wiring};

/// Debug text goes out here; reading it answers [`DEBUG_PORT_PRESENT`].
pub const DEBUG_PORT: u16 = 0x402;
/// Says that somebody listens at [`DEBUG_PORT`].
pub const DEBUG_PORT_PRESENT: u8 = 0xe9;
/// A write here ends the run.
pub const EXIT_PORT: u16 = 0x501;

/// Why a device asks for the end of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// A write to the exit port.
    Exit {
        /// What was written. A real `isa-debug-exit` makes `value << 1 | 1` of
        /// it for its process's exit status.
        value: u32,
    },
    /// ACPI soft off (S5).
    Shutdown,
    /// A reset of the machine.
    Reset {
        /// The port that asked: 0x64, 0x92 or 0xcf9.
        port: u16,
    },
}

/// What the devices say of the machine: to firmware by CMOS and fw_cfg.
#[derive(Debug, Clone)]
pub struct Description {
    /// Usable memory, sorted by address.
    pub ram: Vec<Span>,
    /// Addresses where nothing else may be put.
    pub reserved: Vec<Span>,
    /// Number of processors.
    pub processors: u32,
    /// Addresses for the memory of PCI devices.
    pub windows: Vec<Span>,
    /// The ACPI tables of processors and memory: MADT and what else there is,
    /// each whole. Those of the chipset are made here.
    pub acpi_tables: Vec<Vec<u8>>,
}

impl Description {
    const FOUR_GIB: u64 = 1 << 32;

    /// Where memory that starts below 4 GiB ends; at most 4 GiB.
    pub(crate) fn ram_end_below_4g(&self) -> u64 {
        let below = self.ram.iter().filter(|span| span.start < Self::FOUR_GIB);
        below.map(|span| span.end()).max().unwrap_or(0).min(Self::FOUR_GIB)
    }

    /// Where memory ends, at least 4 GiB.
    pub(crate) fn ram_end_above_4g(&self) -> u64 {
        let ends = self.ram.iter().map(|span| span.end());
        ends.max().unwrap_or(0).max(Self::FOUR_GIB)
    }
}

/// Every device, by port.
pub struct Devices {
    machine: Description,
    clock: Box<dyn Clock>,
    com1: serial::Com1,
    debug: Box<dyn Write + Send>,
    cmos: cmos::Cmos,
    keyboard: keyboard::Keyboard,
    reset: reset::ResetPorts,
    fw_cfg: fw_cfg::FwCfg,
    pci: pci::Pci,
    pm: pm::PowerManagement,
}

impl Devices {
    /// The devices of the described machine, as after power-up.
    pub fn new(machine: &Description, wiring: Wiring) -> Self {
        let pci = pci::Pci::new(wiring.pci_interrupts, wiring.disk);
        Self {
            machine: machine.clone(),
            clock: wiring.clock,
            com1: serial::Com1::new(wiring.serial_line, wiring.serial),
            debug: wiring.debug,
            cmos: cmos::Cmos::new(machine),
            keyboard: keyboard::Keyboard::new(),
            reset: reset::ResetPorts::new(),
            fw_cfg: fw_cfg::FwCfg::new(machine, pci.has_disk()),
            pci,
            pm: pm::PowerManagement::new(),
        }
    }

    /// The offset of `port` in the power-management block, if it lies there.
    fn pm_offset(&self, port: u16) -> Option<u16> {
        port.checked_sub(self.pci.pm_base()?).filter(|offset| *offset < pm::LEN)
    }

    /// Puts every device back to power-up, as a reset of the machine does.
    /// Connections stay.
    pub fn reset(&mut self) {
        self.com1.reset();
        self.cmos = cmos::Cmos::new(&self.machine);
        self.keyboard = keyboard::Keyboard::new();
        self.reset = reset::ResetPorts::new();
        self.fw_cfg = fw_cfg::FwCfg::new(&self.machine, self.pci.has_disk());
        self.pci.reset();
        self.pm = pm::PowerManagement::new();
    }

    /// Text for the guest, typed at COM1. Says how many bytes the port has room
    /// for now; the rest must be offered again.
    pub fn serial_input(&mut self, text: &[u8]) -> usize {
        self.com1.input(text)
    }

    /// One read of `data.len()` bytes at `port`.
    pub fn read(&mut self, memory: &mut dyn Memory, port: u16, data: &mut [u8]) {
        if let Some(offset) = self.pm_offset(port) {
            return self.pm.read(offset, data, &*self.clock);
        }
        if self.pci.read_port(memory, port, data) {
            return;
        }
        for (at, byte) in data.iter_mut().enumerate() {
            *byte = self.read_byte(port.wrapping_add(at as u16));
        }
    }

    fn read_byte(&mut self, port: u16) -> u8 {
        match port {
            COM1..=0x3ff => self.com1.read((port - COM1) as u8),
            DEBUG_PORT => DEBUG_PORT_PRESENT,
            pm::APM..pm::APM_END => self.pm.read_apm(port),
            cmos::INDEX | cmos::DATA => self.cmos.read(port, &*self.clock),
            keyboard::DATA | keyboard::COMMAND => self.keyboard.read(port),
            reset::SYSTEM_CONTROL_A | reset::RESET_CONTROL => self.reset.read(port),
            fw_cfg::DATA => self.fw_cfg.next(),
            fw_cfg::DMA..fw_cfg::END => self.fw_cfg.read_dma(port),
            _ => 0xff,
        }
    }

    /// One write of `data` to `port`.
    pub fn write(&mut self, memory: &mut dyn Memory, port: u16, data: &[u8]) -> Option<Ending> {
        if let Some(offset) = self.pm_offset(port) {
            return self.pm.write(offset, data);
        }
        match (port, data) {
            (EXIT_PORT, _) => {
                let low = data.iter().take(4).rev();
                return Some(Ending::Exit { value: low.fold(0, |v, b| v << 8 | u32::from(*b)) });
            }
            (fw_cfg::SELECTOR..fw_cfg::END, _) => {
                self.write_fw_cfg(memory, port, data);
                return None;
            }
            _ => {}
        }
        if self.pci.write_port(memory, port, data) {
            return None;
        }
        let mut ending = None;
        for (at, byte) in data.iter().enumerate() {
            ending = ending.or(self.write_byte(port.wrapping_add(at as u16), *byte));
        }
        ending
    }

    /// Selects an item or gives half of a DMA address. Only whole numbers count.
    fn write_fw_cfg(&mut self, memory: &mut dyn Memory, port: u16, data: &[u8]) {
        let (pci, windows) = (&self.pci, &self.machine.windows);
        let chipset = || acpi::Chipset {
            pm_base: pci.pm_base().unwrap_or(pm::POWER_UP_BASE),
            ecam: pci.ecam(),
            windows: windows.clone(),
        };
        match (port, data) {
            (fw_cfg::SELECTOR, &[low, high]) => {
                self.fw_cfg.select(u16::from_le_bytes([low, high]), chipset);
            }
            (fw_cfg::DMA, &[a, b, c, d]) => self.fw_cfg.set_dma([a, b, c, d]),
            (fw_cfg::DMA_START, &[a, b, c, d]) => {
                self.fw_cfg.start_dma(memory, [a, b, c, d], chipset);
            }
            _ => {}
        }
    }

    fn write_byte(&mut self, port: u16, value: u8) -> Option<Ending> {
        match port {
            COM1..=0x3ff => self.com1.write((port - COM1) as u8, value),
            DEBUG_PORT => {
                // The writer remembers why text was lost (`Console::failure`).
                let _lost = self.debug.write_all(&[value]).and_then(|()| self.debug.flush());
            }
            pm::APM..pm::APM_END => self.pm.write_apm(port, value),
            cmos::INDEX | cmos::DATA => self.cmos.write(port, value),
            keyboard::DATA | keyboard::COMMAND => return self.keyboard.write(port, value),
            _ => return self.reset.write(port, value),
        }
        None
    }

    /// A read of physical addresses where there is no memory.
    pub fn read_memory(&mut self, memory: &mut dyn Memory, gpa: u64, data: &mut [u8]) {
        if !self.pci.read_memory(memory, gpa, data) {
            data.fill(0xff);
        }
    }

    /// A write to physical addresses where there is no memory.
    pub fn write_memory(
        &mut self,
        memory: &mut dyn Memory,
        gpa: u64,
        data: &[u8],
    ) -> Option<Ending> {
        self.pci.write_memory(memory, gpa, data);
        None
    }
}
