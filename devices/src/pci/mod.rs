//! PCI bus 0 of a q35: the host bridge, the LPC bridge and, where there is a
//! disk, a virtio block device. Configuration space is reached by configuration
//! mechanism 1 (PCI Local Bus Specification 3.0, section 3.2.2.3.2) and where
//! the host bridge has it in memory (PCI Express Base Specification, section
//! 7.2.2). There are no other buses.

mod bar;
mod config;
mod host_bridge;
mod lpc;
mod msix;

use igvm_core::span::Span;

use crate::virtio::VirtioBlock;
use crate::{Disk, Memory, PciInterrupts};

use bar::Address;
pub(crate) use bar::{Bar, Space};
pub(crate) use config::{Config, Identity};
pub(crate) use lpc::io_apic_input;
pub(crate) use msix::Msix;

/// CONFIG_ADDRESS, a double word.
pub(crate) const ADDRESS: u16 = 0xcf8;
/// First port of CONFIG_DATA.
const CONFIG_DATA: u16 = 0xcfc;
const CONFIG_DATA_LAST: u16 = 0xcff;

/// CONFIG_ADDRESS: accesses to CONFIG_DATA go to configuration space.
const ENABLE: u32 = 1 << 31;

/// The device number of the disk.
pub(crate) const DISK_DEVICE: u8 = 3;

/// Bits of the command register that functions use; see
/// [`Config::command`].
pub(crate) mod command {
    pub(crate) use super::config::{BUS_MASTER, INTERRUPT_DISABLE, IO_SPACE, MEMORY_SPACE};
}

/// What a function may do while somebody accesses it.
pub(crate) struct Bus<'a> {
    pub(crate) memory: &'a mut dyn Memory,
    pub(crate) interrupts: &'a dyn PciInterrupts,
}

/// A function on the bus.
pub(crate) trait Function {
    fn config(&self) -> &Config;

    fn config_mut(&mut self) -> &mut Config;

    fn read_config(&mut self, _bus: &mut Bus<'_>, at: usize, data: &mut [u8]) {
        self.config().read(at, data);
    }

    fn write_config(&mut self, _bus: &mut Bus<'_>, at: usize, data: &[u8]) {
        self.config_mut().write(at, data);
    }

    /// Its base address registers.
    fn bars(&self) -> &'static [Bar] {
        &[]
    }

    /// Reads at an offset of what a base address register addresses; the
    /// offset is below its size, the end may not be.
    fn read_bar(&mut self, _bus: &mut Bus<'_>, _index: u8, _offset: u32, data: &mut [u8]) {
        data.fill(0xff);
    }

    fn write_bar(&mut self, _bus: &mut Bus<'_>, _index: u8, _offset: u32, _data: &[u8]) {}

    /// Whether it asserts its interrupt pin.
    fn asserts_pin(&self) -> bool {
        false
    }
}

impl Function for host_bridge::HostBridge {
    fn config(&self) -> &Config {
        &self.0
    }

    fn config_mut(&mut self) -> &mut Config {
        &mut self.0
    }
}

impl Function for lpc::Lpc {
    fn config(&self) -> &Config {
        &self.0
    }

    fn config_mut(&mut self) -> &mut Config {
        &mut self.0
    }
}

/// CONFIG_ADDRESS, the functions, and the wires from their pins.
pub(crate) struct Pci {
    address: u32,
    host_bridge: host_bridge::HostBridge,
    lpc: lpc::Lpc,
    disk: Option<VirtioBlock>,
    interrupts: Box<dyn PciInterrupts>,
    /// The inputs of the interrupt controllers that are high, one bit each.
    high: u32,
}

impl Pci {
    pub(crate) fn new(interrupts: Box<dyn PciInterrupts>, disk: Option<Box<dyn Disk>>) -> Self {
        Self {
            address: 0,
            host_bridge: host_bridge::HostBridge::new(),
            lpc: lpc::Lpc::new(),
            disk: disk.map(VirtioBlock::new),
            interrupts,
            high: 0,
        }
    }

    /// As after power-up, with the disk as it is.
    pub(crate) fn reset(&mut self) {
        self.address = 0;
        self.host_bridge = host_bridge::HostBridge::new();
        self.lpc = lpc::Lpc::new();
        self.disk = self.disk.take().map(VirtioBlock::reset);
        self.drive_inputs();
    }

    /// Where configuration space is in memory.
    pub(crate) fn ecam(&self) -> Option<Span> {
        self.host_bridge.ecam()
    }

    /// Whether there is a disk.
    pub(crate) const fn has_disk(&self) -> bool {
        self.disk.is_some()
    }

    /// First I/O port of the power-management block, where it is on.
    pub(crate) fn pm_base(&self) -> Option<u16> {
        self.lpc.pm_base()
    }

    /// Reads at a port, if it is one of the bus.
    pub(crate) fn read_port(
        &mut self,
        memory: &mut dyn Memory,
        port: u16,
        data: &mut [u8],
    ) -> bool {
        match port {
            ADDRESS if data.len() == 4 => data.copy_from_slice(&self.address.to_le_bytes()),
            CONFIG_DATA..=CONFIG_DATA_LAST => {
                let (inside, behind) = data.split_at_mut(data.len().min(inside(port)));
                behind.fill(0xff);
                let (number, at) = self.selected(port);
                self.read_config(memory, number, at, inside);
            }
            _ => return self.read_bar(memory, Address::Port(port), data),
        }
        true
    }

    /// Writes to a port, if it is one of the bus.
    pub(crate) fn write_port(&mut self, memory: &mut dyn Memory, port: u16, data: &[u8]) -> bool {
        match (port, data) {
            (ADDRESS, &[a, b, c, d]) => {
                // Bits 30:24 and 1:0 are fixed at zero.
                self.address = u32::from_le_bytes([a, b, c, d]) & 0x80ff_fffc;
            }
            (CONFIG_DATA..=CONFIG_DATA_LAST, _) => {
                let (number, at) = self.selected(port);
                self.write_config(memory, number, at, &data[..data.len().min(inside(port))]);
            }
            _ => return self.write_bar(memory, Address::Port(port), data),
        }
        true
    }

    /// Reads where there is no memory, if something on the bus is there.
    pub(crate) fn read_memory(
        &mut self,
        memory: &mut dyn Memory,
        gpa: u64,
        data: &mut [u8],
    ) -> bool {
        let Some(offset) = self.host_bridge.ecam_offset(gpa) else {
            return self.read_bar(memory, Address::Memory(gpa), data);
        };
        let (number, at) = ecam(offset);
        self.read_config(memory, number, at, data);
        true
    }

    /// Writes where there is no memory, if something on the bus is there.
    pub(crate) fn write_memory(&mut self, memory: &mut dyn Memory, gpa: u64, data: &[u8]) -> bool {
        let Some(offset) = self.host_bridge.ecam_offset(gpa) else {
            return self.write_bar(memory, Address::Memory(gpa), data);
        };
        let (number, at) = ecam(offset);
        self.write_config(memory, number, at, data);
        true
    }

    /// The function on bus 0 and the register that a port of CONFIG_DATA
    /// reaches.
    fn selected(&self, port: u16) -> (Option<u8>, usize) {
        let [register, number, bus, _] = self.address.to_le_bytes();
        let on_bus_0 = self.address & ENABLE != 0 && bus == 0;
        (on_bus_0.then_some(number), usize::from(register) + usize::from(port - CONFIG_DATA))
    }

    /// A function by device and function number, with all it may touch.
    fn function<'a>(
        &'a mut self,
        memory: &'a mut dyn Memory,
        number: u8,
    ) -> Option<(&'a mut dyn Function, Bus<'a>)> {
        const DISK: u8 = DISK_DEVICE << 3;
        let function: &mut dyn Function = match number {
            0 => &mut self.host_bridge,
            DISK => self.disk.as_mut()?,
            lpc::Lpc::NUMBER => &mut self.lpc,
            _ => return None,
        };
        Some((function, Bus { memory, interrupts: &*self.interrupts }))
    }

    fn read_config(
        &mut self,
        memory: &mut dyn Memory,
        number: Option<u8>,
        at: usize,
        data: &mut [u8],
    ) {
        match number.and_then(|number| self.function(memory, number)) {
            Some((function, mut bus)) => function.read_config(&mut bus, at, data),
            None => data.fill(0xff),
        }
        self.drive_inputs();
    }

    fn write_config(
        &mut self,
        memory: &mut dyn Memory,
        number: Option<u8>,
        at: usize,
        data: &[u8],
    ) {
        if let Some((function, mut bus)) = number.and_then(|number| self.function(memory, number)) {
            function.write_config(&mut bus, at, data);
        }
        self.drive_inputs();
    }

    /// The base address register of the disk that an address belongs to, and
    /// the offset. The bridges have none.
    fn find(&self, address: Address) -> Option<(u8, u32)> {
        let disk = self.disk.as_ref()?;
        let offset = |bar: &Bar| Some((bar.index, bar.offset(disk.config(), address)?));
        disk.bars().iter().find_map(offset)
    }

    fn read_bar(&mut self, memory: &mut dyn Memory, address: Address, data: &mut [u8]) -> bool {
        let Some((index, offset)) = self.find(address) else { return false };
        if let Some((function, mut bus)) = self.function(memory, DISK_DEVICE << 3) {
            function.read_bar(&mut bus, index, offset, data);
        }
        self.drive_inputs();
        true
    }

    fn write_bar(&mut self, memory: &mut dyn Memory, address: Address, data: &[u8]) -> bool {
        let Some((index, offset)) = self.find(address) else { return false };
        if let Some((function, mut bus)) = self.function(memory, DISK_DEVICE << 3) {
            function.write_bar(&mut bus, index, offset, data);
        }
        self.drive_inputs();
        true
    }

    /// Makes the inputs of the interrupt controllers what the pins and the
    /// routes say.
    fn drive_inputs(&mut self) {
        let asserting = self.disk.as_ref().filter(|disk| disk.asserts_pin());
        let high =
            asserting.map_or(0, |disk| self.lpc.inputs(DISK_DEVICE, disk.config().interrupt_pin()));
        let changed = high ^ self.high;
        for gsi in (0..u32::BITS).filter(|gsi| changed & 1 << gsi != 0) {
            self.interrupts.set_level(gsi, high & 1 << gsi != 0);
        }
        self.high = high;
    }
}

/// How many bytes at a port of CONFIG_DATA belong to it.
fn inside(port: u16) -> usize {
    usize::from(CONFIG_DATA_LAST - port) + 1
}

/// The function on bus 0 and the register at an offset of memory-mapped
/// configuration space.
fn ecam(offset: u32) -> (Option<u8>, usize) {
    let number = u8::try_from(offset >> 12).ok();
    (number, (offset & 0xfff) as usize)
}
