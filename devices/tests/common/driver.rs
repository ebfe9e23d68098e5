//! A driver for the virtio block device, which finds everything as the
//! specification says and takes its numbers from Linux's headers.

use virtio_bindings::bindings::virtio_blk::{VIRTIO_BLK_F_FLUSH, VIRTIO_BLK_F_RO};
use virtio_bindings::bindings::virtio_config::{
    VIRTIO_CONFIG_S_ACKNOWLEDGE, VIRTIO_CONFIG_S_DRIVER, VIRTIO_CONFIG_S_DRIVER_OK,
    VIRTIO_CONFIG_S_FEATURES_OK, VIRTIO_F_VERSION_1,
};
use virtio_bindings::bindings::virtio_ring::{
    VIRTIO_RING_F_INDIRECT_DESC, VRING_DESC_F_INDIRECT, VRING_DESC_F_NEXT, VRING_DESC_F_WRITE,
};

use super::{Pc, RamDisk};

/// 00:03.0, as CONFIG_ADDRESS has it.
pub const FUNCTION: u8 = 3 << 3;

/// Where the driver assigns addresses.
pub const STRUCTURES: u64 = 0xe000_0000;
pub const MSIX: u32 = 0xe010_0000;
pub const BELL_PORT: u16 = 0xc000;

/// The queue in memory.
pub const TABLE: u64 = 0x1000;
pub const AVAILABLE: u64 = 0x2000;
pub const USED: u64 = 0x3000;
pub const SIZE: u16 = 16;
/// Free for requests, up to the end of the 64 KiB.
pub const FREE: u64 = 0x4000;

pub const NEXT: u16 = VRING_DESC_F_NEXT as u16;
pub const WRITE: u16 = VRING_DESC_F_WRITE as u16;
pub const INDIRECT: u16 = VRING_DESC_F_INDIRECT as u16;

pub const READY: u8 = (VIRTIO_CONFIG_S_ACKNOWLEDGE
    | VIRTIO_CONFIG_S_DRIVER
    | VIRTIO_CONFIG_S_FEATURES_OK
    | VIRTIO_CONFIG_S_DRIVER_OK) as u8;

/// Offsets in the common configuration (virtio 1.2, section 4.1.4.3).
pub mod common {
    pub const DEVICE_FEATURE_SELECT: u64 = 0;
    pub const DEVICE_FEATURE: u64 = 4;
    pub const DRIVER_FEATURE_SELECT: u64 = 8;
    pub const DRIVER_FEATURE: u64 = 12;
    pub const CONFIG_MSIX_VECTOR: u64 = 16;
    pub const NUM_QUEUES: u64 = 18;
    pub const DEVICE_STATUS: u64 = 20;
    pub const QUEUE_SELECT: u64 = 22;
    pub const QUEUE_SIZE: u64 = 24;
    pub const QUEUE_MSIX_VECTOR: u64 = 26;
    pub const QUEUE_ENABLE: u64 = 28;
    pub const QUEUE_DESC: u64 = 32;
    pub const QUEUE_DRIVER: u64 = 40;
    pub const QUEUE_DEVICE: u64 = 48;
    pub const QUEUE_RESET: u64 = 58;
}

/// A descriptor.
#[derive(Debug, Clone, Copy)]
pub struct Descriptor {
    pub gpa: u64,
    pub len: u32,
    pub flags: u16,
    pub next: u16,
}

impl Descriptor {
    pub fn bytes(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.gpa.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.len.to_le_bytes());
        bytes[12..14].copy_from_slice(&self.flags.to_le_bytes());
        bytes[14..].copy_from_slice(&self.next.to_le_bytes());
        bytes
    }
}

/// A PC with a disk, and where the driver has found its parts.
pub struct Driver {
    pub pc: Pc,
    pub common: u64,
    pub notify: u64,
    pub isr: u64,
    pub device: u64,
    /// Where the capability of the window is.
    pub window: u8,
    /// Where the MSI-X capability is.
    pub msix: u8,
    available: u16,
    used: u16,
}

impl Driver {
    /// Finds the device, assigns addresses and lets it answer.
    pub fn probe(disk: RamDisk) -> Self {
        Self::attach(Pc::with_disk(disk))
    }

    /// The same, in a PC that is as after power-up.
    pub fn attach(mut pc: Pc) -> Self {
        assert_eq!(pc.config(FUNCTION, 0), 0x1042_1af4);
        pc.set_config(FUNCTION, 0x10, STRUCTURES as u32);
        pc.set_config(FUNCTION, 0x18, MSIX);
        pc.set_config(FUNCTION, 0x1c, BELL_PORT.into());
        pc.set_config(FUNCTION, 0x04, 0b111);
        let mut driver = Self {
            pc,
            common: 0,
            notify: 0,
            isr: 0,
            device: 0,
            window: 0,
            msix: 0,
            available: 0,
            used: 0,
        };
        driver.walk_capabilities();
        driver
    }

    fn walk_capabilities(&mut self) {
        assert!(self.pc.config(FUNCTION, 4) & 1 << 20 != 0, "there is a list");
        let mut at = self.pc.config(FUNCTION, 0x34) as u8;
        while at != 0 {
            let [id, next, _, kind] = self.pc.config(FUNCTION, at).to_le_bytes();
            let bar = self.pc.config(FUNCTION, at + 4) as u8;
            let offset = u64::from(self.pc.config(FUNCTION, at + 8));
            match (id, kind, bar) {
                (0x11, ..) => self.msix = at,
                (0x09, 1, 0) => self.common = STRUCTURES + offset,
                (0x09, 2, 0) => self.notify = STRUCTURES + offset,
                (0x09, 3, 0) => self.isr = STRUCTURES + offset,
                (0x09, 4, 0) => self.device = STRUCTURES + offset,
                (0x09, 5, _) => self.window = at,
                (0x09, 2, 3) => assert_eq!(offset, 0),
                other => panic!("a capability that nobody knows: {other:?}"),
            }
            at = next;
        }
    }

    pub fn read(&mut self, gpa: u64, len: usize) -> u64 {
        let mut bytes = [0; 8];
        self.pc.read_memory(gpa, &mut bytes[..len]);
        u64::from_le_bytes(bytes)
    }

    pub fn common(&mut self, field: u64, len: usize) -> u64 {
        self.read(self.common + field, len)
    }

    pub fn set_common(&mut self, field: u64, len: usize, value: u64) {
        self.pc.write_memory(self.common + field, &value.to_le_bytes()[..len]);
    }

    pub fn status(&mut self) -> u8 {
        self.common(common::DEVICE_STATUS, 1) as u8
    }

    pub fn set_status(&mut self, status: u8) {
        self.set_common(common::DEVICE_STATUS, 1, status.into());
    }

    pub fn offered(&mut self) -> u64 {
        let mut word = |select: u64| {
            self.set_common(common::DEVICE_FEATURE_SELECT, 4, select);
            self.common(common::DEVICE_FEATURE, 4)
        };
        word(0) | word(1) << 32
    }

    pub fn want(&mut self, features: u64) {
        for (select, word) in [features & 0xffff_ffff, features >> 32].into_iter().enumerate() {
            self.set_common(common::DRIVER_FEATURE_SELECT, 4, select as u64);
            self.set_common(common::DRIVER_FEATURE, 4, word);
        }
    }

    /// Takes these features, sets up the queue and starts.
    pub fn start(&mut self, features: u64) {
        self.set_status(0);
        self.set_status(3);
        self.want(features);
        self.set_status(READY & !(VIRTIO_CONFIG_S_DRIVER_OK as u8));
        assert_eq!(self.status() & 8, 8, "the device takes {features:#x}");
        self.set_up_queue();
        self.set_status(READY);
        assert_eq!(self.status(), READY);
    }

    pub fn set_up_queue(&mut self) {
        self.pc.ram.0[TABLE as usize..FREE as usize].fill(0);
        (self.available, self.used) = (0, 0);
        self.set_common(common::QUEUE_SELECT, 2, 0);
        self.set_common(common::QUEUE_SIZE, 2, SIZE.into());
        self.set_common(common::QUEUE_DESC, 8, TABLE);
        self.set_common(common::QUEUE_DRIVER, 4, AVAILABLE);
        self.set_common(common::QUEUE_DRIVER + 4, 4, 0);
        self.set_common(common::QUEUE_DEVICE, 8, USED);
        self.set_common(common::QUEUE_ENABLE, 2, 1);
    }

    /// With every feature that changes how a queue is used.
    pub fn started(disk: RamDisk) -> Self {
        let mut driver = Self::probe(disk);
        driver.start(ALL);
        driver
    }

    pub fn poke(&mut self, gpa: u64, bytes: &[u8]) {
        self.pc.ram.0[gpa as usize..][..bytes.len()].copy_from_slice(bytes);
    }

    pub fn peek(&self, gpa: u64, len: usize) -> Vec<u8> {
        self.pc.ram.0[gpa as usize..][..len].to_vec()
    }

    /// Puts descriptors into the queue's table, from 0 on.
    pub fn describe(&mut self, descriptors: &[Descriptor]) {
        for (at, descriptor) in (TABLE..).step_by(16).zip(descriptors) {
            self.poke(at, &descriptor.bytes());
        }
    }

    /// Makes a chain available, without ringing.
    pub fn offer(&mut self, head: u16) {
        let entry = AVAILABLE + 4 + 2 * u64::from(self.available % SIZE);
        self.poke(entry, &head.to_le_bytes());
        self.available = self.available.wrapping_add(1);
        let index = self.available;
        self.poke(AVAILABLE + 2, &index.to_le_bytes());
    }

    pub fn ring(&mut self) {
        self.pc.write_memory(self.notify, &[0, 0]);
    }

    /// What the device has given back since the last time: heads and lengths.
    pub fn given_back(&mut self) -> Vec<(u32, u32)> {
        let index = u16::from_le_bytes(self.peek(USED + 2, 2).try_into().unwrap());
        let mut given = vec![];
        while self.used != index {
            let entry = self.peek(USED + 4 + 8 * u64::from(self.used % SIZE), 8);
            let word = |at: usize| u32::from_le_bytes(entry[at..at + 4].try_into().unwrap());
            given.push((word(0), word(4)));
            self.used = self.used.wrapping_add(1);
        }
        given
    }

    /// Does a request whose data is `out`, or `len` bytes to come; gives status,
    /// data and the length that the device says.
    pub fn request(&mut self, kind: u32, sector: u64, data: Data<'_>) -> (u8, Vec<u8>, u32) {
        const HEADER: u64 = FREE;
        const STATUS: u64 = FREE + 0x100;
        const DATA: u64 = FREE + 0x1000;
        let header = [&kind.to_le_bytes()[..], &[0; 4], &sector.to_le_bytes()].concat();
        self.poke(HEADER, &header);
        self.poke(STATUS, &[0xee]);
        let (len, flags) = match data {
            Data::Out(out) => {
                self.poke(DATA, out);
                (out.len(), NEXT)
            }
            Data::In(len) => (len, NEXT | WRITE),
        };
        self.describe(&[
            Descriptor { gpa: HEADER, len: 16, flags: NEXT, next: 1 },
            Descriptor { gpa: DATA, len: len as u32, flags, next: 2 },
            Descriptor { gpa: STATUS, len: 1, flags: WRITE, next: 0 },
        ]);
        self.offer(0);
        self.ring();
        let given = self.given_back();
        assert_eq!(given.len(), 1, "status {:#x}", self.status());
        assert_eq!(given[0].0, 0);
        (self.peek(STATUS, 1)[0], self.peek(DATA, len), given[0].1)
    }
}

/// Data of a request.
pub enum Data<'a> {
    Out(&'a [u8]),
    In(usize),
}

pub const VERSION_1: u64 = 1 << VIRTIO_F_VERSION_1;
pub const FLUSH: u64 = 1 << VIRTIO_BLK_F_FLUSH;
pub const READ_ONLY: u64 = 1 << VIRTIO_BLK_F_RO;
pub const INDIRECT_DESC: u64 = 1 << VIRTIO_RING_F_INDIRECT_DESC;
pub const RING_RESET: u64 = 1 << 40;
pub const ALL: u64 = VERSION_1 | FLUSH | INDIRECT_DESC | RING_RESET;
