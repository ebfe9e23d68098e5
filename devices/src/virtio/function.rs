//! The PCI function of a virtio block device (virtio 1.2, section 4.1).

use super::block::{self, Block};
use super::queue::{Broken, Virtqueue};
use super::status::{INDIRECT_DESC, RING_RESET, Status, VERSION_1};
use crate::Disk;
use crate::pci::{Bar, Bus, Config, Function, Identity, Msix, Space, command};

/// One vector for changes of the configuration, one for the queue.
const VECTORS: usize = 2;
/// No vector.
const NO_VECTOR: u16 = 0xffff;

/// The structures that a driver maps, a page each.
///
/// Below 4 GiB, like all memory of functions here: firmware puts what may lie
/// above at the top of what its processor can address, and there the ACPI tables
/// tell of no window.
const STRUCTURES: Bar = Bar { index: 0, space: Space::Memory, size: 0x4000 };
const COMMON: u32 = 0x0000;
const ISR: u32 = 0x1000;
const DEVICE: u32 = 0x2000;
const NOTIFY: u32 = 0x3000;
const PAGE: u32 = 0x1000;
/// MSI-X table and pending bits.
const MSIX: Bar = Msix::<VECTORS>::bar(2);
/// The bell again, for drivers that prefer ports.
const BELL_PORT: Bar = Bar { index: 3, space: Space::Io, size: 4 };

/// Capability id: vendor specific.
const VENDOR: u8 = 0x09;
/// Structure types (section 4.1.4).
const COMMON_CFG: u8 = 1;
const NOTIFY_CFG: u8 = 2;
const ISR_CFG: u8 = 3;
const DEVICE_CFG: u8 = 4;
const PCI_CFG: u8 = 5;

/// ISR status: the queue; the configuration.
const ISR_QUEUE: u8 = 1;
const ISR_CONFIG: u8 = 2;

/// The common configuration structure (section 4.1.4.3): offsets.
mod common {
    pub(super) const DEVICE_FEATURE_SELECT: u32 = 0;
    pub(super) const DEVICE_FEATURE: u32 = 4;
    pub(super) const DRIVER_FEATURE_SELECT: u32 = 8;
    pub(super) const DRIVER_FEATURE: u32 = 12;
    pub(super) const CONFIG_MSIX_VECTOR: u32 = 16;
    pub(super) const NUM_QUEUES: u32 = 18;
    pub(super) const DEVICE_STATUS: u32 = 20;
    pub(super) const QUEUE_SELECT: u32 = 22;
    pub(super) const QUEUE_SIZE: u32 = 24;
    pub(super) const QUEUE_MSIX_VECTOR: u32 = 26;
    pub(super) const QUEUE_ENABLE: u32 = 28;
    pub(super) const QUEUE_DESC: u32 = 32;
    pub(super) const QUEUE_DRIVER: u32 = 40;
    pub(super) const QUEUE_DEVICE: u32 = 48;
    pub(super) const QUEUE_RESET: u32 = 58;
    pub(super) const LEN: usize = 60;
}

/// The function.
pub(crate) struct VirtioBlock {
    config: Config,
    msix: Msix<VECTORS>,
    /// Where the capability is by which the structures are reached from
    /// configuration space.
    window: usize,
    isr: u8,
    config_vector: u16,
    queue_vector: u16,
    queue_select: u16,
    status: Status,
    queue: Virtqueue,
    block: Block,
}

impl VirtioBlock {
    pub(crate) fn new(disk: Box<dyn Disk>) -> Self {
        Self::with(Block::new(disk))
    }

    /// As new, with the same disk.
    pub(crate) fn reset(self) -> Self {
        Self::with(self.block)
    }

    fn with(block: Block) -> Self {
        // 0x1040 and the device type, revision 1 or later: no interface from
        // before virtio 1 (section 4.1.2).
        let identity = Identity { vendor: 0x1af4, device: 0x1042, revision: 1, class: 0x0180 };
        let used = command::IO_SPACE
            | command::MEMORY_SPACE
            | command::BUS_MASTER
            | command::INTERRUPT_DISABLE;
        let mut config = Config::new(&identity, used);
        config.set_interrupt_pin(1);
        STRUCTURES.install(&mut config);
        BELL_PORT.install(&mut config);
        let structures =
            [(COMMON_CFG, COMMON), (NOTIFY_CFG, NOTIFY), (ISR_CFG, ISR), (DEVICE_CFG, DEVICE)];
        for (structure, offset) in structures {
            add_structure(&mut config, structure, &STRUCTURES, offset, PAGE);
        }
        add_structure(&mut config, NOTIFY_CFG, &BELL_PORT, 0, BELL_PORT.size);
        let window = add_window(&mut config);
        let msix = Msix::new(&mut config, &MSIX);
        Self {
            config,
            msix,
            window,
            isr: 0,
            config_vector: NO_VECTOR,
            queue_vector: NO_VECTOR,
            queue_select: 0,
            status: Status::new(offered(&block)),
            queue: Virtqueue::default(),
            block,
        }
    }

    /// What the driver does by writing 0 to the status. What belongs to PCI
    /// stays.
    fn reset_device(&mut self) {
        self.take_isr();
        self.msix.forget();
        self.config_vector = NO_VECTOR;
        self.queue_vector = NO_VECTOR;
        self.queue_select = 0;
        self.status = Status::new(offered(&self.block));
        self.queue = Virtqueue::default();
    }

    fn read_common(&self, offset: u32, data: &mut [u8]) {
        let mut bytes = [0; common::LEN];
        let mut put = |at: u32, value: &[u8]| {
            bytes[at as usize..at as usize + value.len()].copy_from_slice(value);
        };
        put(common::DEVICE_FEATURE_SELECT, &self.status.device_select().to_le_bytes());
        put(common::DEVICE_FEATURE, &self.status.offered().to_le_bytes());
        put(common::DRIVER_FEATURE_SELECT, &self.status.driver_select().to_le_bytes());
        put(common::DRIVER_FEATURE, &self.status.wanted().to_le_bytes());
        put(common::CONFIG_MSIX_VECTOR, &self.config_vector.to_le_bytes());
        put(common::NUM_QUEUES, &1_u16.to_le_bytes());
        put(common::DEVICE_STATUS, &[self.status.bits()]);
        put(common::QUEUE_SELECT, &self.queue_select.to_le_bytes());
        if self.queue_select == 0 {
            put(common::QUEUE_SIZE, &self.queue.size.to_le_bytes());
            put(common::QUEUE_MSIX_VECTOR, &self.queue_vector.to_le_bytes());
            put(common::QUEUE_ENABLE, &u16::from(self.queue.enabled).to_le_bytes());
            put(common::QUEUE_DESC, &self.queue.descriptors.to_le_bytes());
            put(common::QUEUE_DRIVER, &self.queue.available.to_le_bytes());
            put(common::QUEUE_DEVICE, &self.queue.used.to_le_bytes());
        }
        for (at, byte) in (offset as usize..).zip(data) {
            *byte = bytes.get(at).copied().unwrap_or(0);
        }
    }

    /// A write of the size of its field, or of half an address; drivers make no
    /// others (section 4.1.3.1).
    fn write_common(&mut self, offset: u32, data: &[u8]) {
        match *data {
            [value] if offset == common::DEVICE_STATUS => self.write_status(value),
            [a, b] => self.write_common_word(offset, u16::from_le_bytes([a, b])),
            [a, b, c, d] => self.write_common_double(offset, u32::from_le_bytes([a, b, c, d])),
            [a, b, c, d, e, f, g, h] if offset >= common::QUEUE_DESC => {
                self.write_common_double(offset, u32::from_le_bytes([a, b, c, d]));
                self.write_common_double(offset + 4, u32::from_le_bytes([e, f, g, h]));
            }
            _ => {}
        }
    }

    fn write_status(&mut self, value: u8) {
        if value == 0 {
            self.reset_device();
        } else if self.status.set(value) {
            self.queue.indirect = self.status.has(INDIRECT_DESC);
        }
    }

    fn write_common_word(&mut self, offset: u32, value: u16) {
        let vector = if usize::from(value) < VECTORS { value } else { NO_VECTOR };
        match offset {
            common::CONFIG_MSIX_VECTOR => self.config_vector = vector,
            common::QUEUE_SELECT => self.queue_select = value,
            _ if self.queue_select != 0 => {}
            common::QUEUE_MSIX_VECTOR => self.queue_vector = vector,
            common::QUEUE_SIZE if !self.queue.enabled && is_queue_size(value) => {
                self.queue.size = value;
            }
            common::QUEUE_ENABLE if value == 1 => self.queue.enabled = true,
            // Done at once: it reads as 0 (section 4.1.4.3.1).
            common::QUEUE_RESET if value == 1 && self.status.has(RING_RESET) => {
                let indirect = self.queue.indirect;
                self.queue = Virtqueue::default();
                self.queue.indirect = indirect;
                self.queue_vector = NO_VECTOR;
            }
            _ => {}
        }
    }

    fn write_common_double(&mut self, offset: u32, value: u32) {
        match offset {
            common::DEVICE_FEATURE_SELECT => self.status.select_device(value),
            common::DRIVER_FEATURE_SELECT => self.status.select_driver(value),
            common::DRIVER_FEATURE => self.status.want(value),
            common::QUEUE_DESC.. if self.queue_select == 0 && !self.queue.enabled => {
                let (field, half) = (offset & !7, offset & 7);
                let address = match field {
                    common::QUEUE_DESC => &mut self.queue.descriptors,
                    common::QUEUE_DRIVER => &mut self.queue.available,
                    common::QUEUE_DEVICE => &mut self.queue.used,
                    _ => return,
                };
                let shift = match half {
                    0 => 0,
                    4 => 32,
                    _ => return,
                };
                *address &= !(u64::from(u32::MAX) << shift);
                *address |= u64::from(value) << shift;
            }
            _ => {}
        }
    }

    /// The driver rings the bell: every chain that waits now is done. A driver
    /// that adds more meanwhile rings again.
    fn ring(&mut self, bus: &mut Bus<'_>) {
        let may = self.status.is_running()
            && self.queue.enabled
            && self.config.command(command::BUS_MASTER);
        if !may {
            return;
        }
        match self.serve(bus) {
            Ok(false) => {}
            Ok(true) => self.interrupt(bus, self.queue_vector, ISR_QUEUE),
            Err(_broken) => {
                self.status.need_reset();
                self.interrupt(bus, self.config_vector, ISR_CONFIG);
            }
        }
    }

    /// Does every request that waits; whether the driver wants to be told.
    fn serve(&mut self, bus: &mut Bus<'_>) -> Result<bool, Broken> {
        let waiting = self.queue.waiting(bus.memory)?;
        self.block.begin();
        for _ in 0..waiting {
            let chain = self.queue.take(bus.memory)?;
            let write_through = !self.status.has(block::FLUSH);
            let written = self.block.request(bus.memory, &chain, write_through)?;
            self.queue.give_back(bus.memory, chain.head, written)?;
        }
        Ok(waiting > 0 && self.queue.wants_interrupt(bus.memory)?)
    }

    fn interrupt(&mut self, bus: &mut Bus<'_>, vector: u16, reason: u8) {
        if self.msix.enabled(&self.config) {
            self.msix.send(vector, &self.config, bus.interrupts);
        } else {
            self.isr |= reason;
            self.config.set_interrupt_status(true);
        }
    }

    /// Reading says why the pin is asserted, and ends it.
    fn take_isr(&mut self) -> u8 {
        self.config.set_interrupt_status(false);
        std::mem::take(&mut self.isr)
    }

    /// What configuration space's window shows, if its registers make sense
    /// (section 4.1.4.9): the register's index, the offset, the length.
    fn window(&self) -> Option<(u8, u32, usize)> {
        let index = self.config.u8(self.window + 4);
        let offset = self.config.u32(self.window + 8);
        let len = self.config.u32(self.window + 12);
        let bar = self.bars().iter().find(|bar| bar.index == index)?;
        let fits = matches!(len, 1 | 2 | 4) && offset.is_multiple_of(len) && offset < bar.size;
        fits.then_some((index, offset, len as usize))
    }

    /// Whether an access to configuration space meets the window's data.
    fn meets_window(&self, at: usize, len: usize) -> bool {
        let data = self.window + WINDOW_DATA;
        at < data + 4 && data < at + len
    }
}

impl Function for VirtioBlock {
    fn config(&self) -> &Config {
        &self.config
    }

    fn config_mut(&mut self) -> &mut Config {
        &mut self.config
    }

    fn read_config(&mut self, bus: &mut Bus<'_>, at: usize, data: &mut [u8]) {
        if self.meets_window(at, data.len())
            && let Some((index, offset, len)) = self.window()
        {
            let mut shown = [0; 4];
            self.read_bar(bus, index, offset, &mut shown[..len]);
            self.config.write(self.window + WINDOW_DATA, &shown[..len]);
        }
        self.config.read(at, data);
    }

    fn write_config(&mut self, bus: &mut Bus<'_>, at: usize, data: &[u8]) {
        self.config.write(at, data);
        if self.meets_window(at, data.len())
            && let Some((index, offset, len)) = self.window()
        {
            let mut shown = [0; 4];
            self.config.read(self.window + WINDOW_DATA, &mut shown[..len]);
            self.write_bar(bus, index, offset, &shown[..len]);
        }
        // It may have unmasked messages.
        self.msix.deliver(&self.config, bus.interrupts);
    }

    fn bars(&self) -> &'static [Bar] {
        &[STRUCTURES, MSIX, BELL_PORT]
    }

    fn read_bar(&mut self, _bus: &mut Bus<'_>, index: u8, offset: u32, data: &mut [u8]) {
        data.fill(0);
        if index == MSIX.index {
            return self.msix.read(offset, data);
        }
        if index != STRUCTURES.index {
            return;
        }
        match offset & !(PAGE - 1) {
            COMMON => self.read_common(offset, data),
            ISR if offset == ISR && !data.is_empty() => data[0] = self.take_isr(),
            DEVICE => {
                let config = self.block.config();
                let rest = config.get((offset - DEVICE) as usize..).unwrap_or_default();
                data.iter_mut().zip(rest).for_each(|(byte, value)| *byte = *value);
            }
            _ => {}
        }
    }

    fn write_bar(&mut self, bus: &mut Bus<'_>, index: u8, offset: u32, data: &[u8]) {
        if index == MSIX.index {
            self.msix.write(offset, data);
            return self.msix.deliver(&self.config, bus.interrupts);
        }
        // The bell is rung with the number of the queue, of which there is one.
        let bell = if index == STRUCTURES.index { NOTIFY } else { 0 };
        if offset == bell {
            if let [0, 0] = data {
                self.ring(bus);
            }
        } else if index == STRUCTURES.index && offset < ISR {
            self.write_common(offset, data);
        }
    }

    fn asserts_pin(&self) -> bool {
        self.isr != 0
            && !self.msix.enabled(&self.config)
            && !self.config.command(command::INTERRUPT_DISABLE)
    }
}

fn is_queue_size(value: u16) -> bool {
    value.is_power_of_two() && value <= Virtqueue::SIZE_MAX
}

/// The features that the device offers.
fn offered(block: &Block) -> u64 {
    VERSION_1 | INDIRECT_DESC | RING_RESET | block.features()
}

/// Adds the capability that says where a structure is (`struct
/// virtio_pci_cap`).
fn add_structure(config: &mut Config, structure: u8, bar: &Bar, offset: u32, len: u32) {
    let mut body = [0; 18];
    // Of the notify structure: all bells are one (notify_off_multiplier 0).
    let size = if structure == NOTIFY_CFG { 18 } else { 14 };
    body[0] = size as u8 + 2;
    body[1] = structure;
    body[2] = bar.index;
    body[6..10].copy_from_slice(&offset.to_le_bytes());
    body[10..14].copy_from_slice(&len.to_le_bytes());
    config.add_capability(VENDOR, &body[..size], &[]);
}

/// Where the data is in the window's capability.
const WINDOW_DATA: usize = 16;

/// Adds the window: the same capability, whose register, offset and length the
/// driver writes, and data.
fn add_window(config: &mut Config) -> usize {
    let mut body = [0; 18];
    body[..2].copy_from_slice(&[20, PCI_CFG]);
    let mut writable = [0xff; 18];
    writable[..2].fill(0);
    writable[3..6].fill(0);
    config.add_capability(VENDOR, &body, &writable)
}
