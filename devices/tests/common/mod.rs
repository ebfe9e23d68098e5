//! A PC without processors: what a test plays is the guest.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

pub mod driver;
pub mod play;

use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use igvm_core::span::Span;
use igvm_devices::{
    Clock, Description, Devices, Disk, Ending, InterruptLine, Memory, NoMemory, PciInterrupts,
    Wiring,
};

pub const MIB: u64 = 1 << 20;

/// The smallest table: an SSDT without content.
const TABLE: &[u8; 36] = b"SSDT\x24\0\0\0\x02\x32IGVMPGPLAYGRND\x01\0\0\0RVAT\0\0\0\x01";

/// A clock that stands still.
struct Still(Duration);

impl Clock for Still {
    fn uptime(&self) -> Duration {
        self.0
    }

    fn utc(&self) -> Duration {
        self.0
    }
}

/// Counts how often a line was raised.
#[derive(Clone, Default)]
pub struct Line(Arc<AtomicUsize>);

impl Line {
    pub fn raised(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl InterruptLine for Line {
    fn raise(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// What has arrived at the interrupt controllers.
#[derive(Clone, Default, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// The inputs that are high, one bit each.
    pub high: u32,
    /// Address and data of messages.
    pub messages: Vec<(u64, u32)>,
}

/// Interrupt controllers, to be looked at.
#[derive(Clone, Default)]
pub struct Controllers(Arc<Mutex<Arrived>>);

impl Controllers {
    pub fn arrived(&self) -> Arrived {
        self.0.lock().unwrap().clone()
    }

    pub fn take_messages(&self) -> Vec<(u64, u32)> {
        std::mem::take(&mut self.0.lock().unwrap().messages)
    }
}

impl PciInterrupts for Controllers {
    fn set_level(&self, gsi: u32, high: bool) {
        assert!(gsi < 24, "there is no input {gsi}");
        let before = &mut self.0.lock().unwrap().high;
        assert_eq!(*before & 1 << gsi == 0, high, "only changes are told");
        *before ^= 1 << gsi;
    }

    fn message(&self, address: u64, data: u32) {
        self.0.lock().unwrap().messages.push((address, data));
    }
}

/// A disk in memory, to be looked at. Every access is checked as the trait
/// promises it.
#[derive(Clone)]
pub struct RamDisk {
    pub content: Arc<Mutex<Vec<u8>>>,
    pub flushes: Arc<Mutex<u32>>,
    pub read_only: bool,
    /// Reads and writes of this sector fail.
    pub bad_sector: Option<u64>,
}

impl RamDisk {
    /// Sectors filled with their own number.
    pub fn new(sectors: u8) -> Self {
        let content = (0..sectors).flat_map(|sector| [sector; 512]).collect();
        Self {
            content: Arc::new(Mutex::new(content)),
            flushes: Arc::default(),
            read_only: false,
            bad_sector: None,
        }
    }

    fn check(&self, offset: u64, len: usize) -> io::Result<std::ops::Range<usize>> {
        let range = offset as usize..offset as usize + len;
        assert!(range.end <= self.content.lock().unwrap().len(), "{range:?} is not on the disk");
        match self.bad_sector {
            Some(bad) if offset < (bad + 1) * 512 && bad * 512 < range.end as u64 => {
                Err(io::ErrorKind::Other.into())
            }
            _ => Ok(range),
        }
    }
}

impl Disk for RamDisk {
    fn size(&self) -> u64 {
        self.content.lock().unwrap().len() as u64
    }

    fn read_only(&self) -> bool {
        self.read_only
    }

    fn read_at(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let range = self.check(offset, bytes.len())?;
        bytes.copy_from_slice(&self.content.lock().unwrap()[range]);
        Ok(())
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        assert!(!self.read_only, "a write to a read-only disk");
        let range = self.check(offset, bytes.len())?;
        self.content.lock().unwrap()[range].copy_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        *self.flushes.lock().unwrap() += 1;
        Ok(())
    }
}

/// Text that was written, to be looked at.
#[derive(Clone, Default)]
pub struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Memory from 0 on.
#[derive(Default)]
pub struct Ram(pub Vec<u8>);

impl Ram {
    fn range(&mut self, gpa: u64, len: usize) -> Result<&mut [u8], NoMemory> {
        let start = usize::try_from(gpa).map_err(|_| NoMemory { gpa })?;
        let end = start.checked_add(len).ok_or(NoMemory { gpa })?;
        self.0.get_mut(start..end).ok_or(NoMemory { gpa })
    }
}

impl Memory for Ram {
    fn read(&mut self, gpa: u64, bytes: &mut [u8]) -> Result<(), NoMemory> {
        bytes.copy_from_slice(self.range(gpa, bytes.len())?);
        Ok(())
    }

    fn write(&mut self, gpa: u64, bytes: &[u8]) -> Result<(), NoMemory> {
        self.range(gpa, bytes.len())?.copy_from_slice(bytes);
        Ok(())
    }
}

/// The devices with a little memory.
pub struct Pc {
    pub devices: Devices,
    pub ram: Ram,
    pub serial: Buffer,
    pub debug: Buffer,
    pub line: Line,
    pub controllers: Controllers,
}

impl Pc {
    /// With 64 MiB, at the beginning of 1970.
    pub fn small() -> Self {
        Self::new(&[Span::new(0, 64 * MIB)], 0)
    }

    /// Two processors and this RAM, `now` seconds after 1970 began. Of the RAM
    /// the first 64 KiB can be read and written.
    pub fn new(ram: &[Span], now: u64) -> Self {
        Self::of(&Self::description(ram), now, None)
    }

    /// With 64 KiB and a disk.
    pub fn with_disk(disk: RamDisk) -> Self {
        let machine = Self::description(&[Span::new(0, 0x1_0000)]);
        Self::of(&machine, 0, Some(Box::new(disk)))
    }

    pub fn description(ram: &[Span]) -> Description {
        Description {
            ram: ram.to_vec(),
            reserved: vec![Span::new(0xfeff_c000, 0x4000)],
            processors: 2,
            windows: vec![Span::between(0x8000_0000, 0xfec0_0000)],
            acpi_tables: vec![TABLE.to_vec()],
        }
    }

    pub fn of(machine: &Description, now: u64, disk: Option<Box<dyn Disk>>) -> Self {
        let controllers = Controllers::default();
        let (serial, debug, line) = (Buffer::default(), Buffer::default(), Line::default());
        let wiring = Wiring {
            serial: Box::new(serial.clone()),
            debug: Box::new(debug.clone()),
            serial_line: Box::new(line.clone()),
            pci_interrupts: Box::new(controllers.clone()),
            disk,
            clock: Box::new(Still(Duration::from_secs(now))),
        };
        let devices = Devices::new(machine, wiring);
        Self { devices, ram: Ram(vec![0; 0x1_0000]), serial, debug, line, controllers }
    }

    pub fn read(&mut self, port: u16, data: &mut [u8]) {
        self.devices.read(&mut self.ram, port, data);
    }

    pub fn write(&mut self, port: u16, data: &[u8]) -> Option<Ending> {
        self.devices.write(&mut self.ram, port, data)
    }

    pub fn read_memory(&mut self, gpa: u64, data: &mut [u8]) {
        self.devices.read_memory(&mut self.ram, gpa, data);
    }

    pub fn write_memory(&mut self, gpa: u64, data: &[u8]) {
        assert_eq!(self.devices.write_memory(&mut self.ram, gpa, data), None);
    }

    pub fn byte(&mut self, port: u16) -> u8 {
        let mut data = [0];
        self.read(port, &mut data);
        data[0]
    }

    pub fn cmos(&mut self, register: u8) -> u8 {
        self.write(0x70, &[register]);
        self.byte(0x71)
    }

    /// A double word of bus 0's configuration space, by mechanism 1.
    pub fn config(&mut self, function: u8, register: u8) -> u32 {
        let address = 1 << 31 | u32::from(function) << 8 | u32::from(register);
        self.write(0xcf8, &address.to_le_bytes());
        let mut data = [0; 4];
        self.read(0xcfc, &mut data);
        u32::from_le_bytes(data)
    }

    /// A DMA command of fw_cfg, which is put at 0x100. The control field after
    /// it.
    pub fn fw_cfg_dma(&mut self, control: u32, len: u32, gpa: u64) -> u32 {
        const AT: u32 = 0x100;
        let command = [&control.to_be_bytes()[..], &len.to_be_bytes(), &gpa.to_be_bytes()].concat();
        self.ram.0[AT as usize..][..16].copy_from_slice(&command);
        self.write(0x518, &AT.to_be_bytes());
        u32::from_be_bytes(self.ram.0[AT as usize..][..4].try_into().unwrap())
    }

    /// A file of fw_cfg, found in the directory and read by DMA to 0x1000.
    pub fn fw_cfg_file(&mut self, name: &str) -> Vec<u8> {
        let count = u32::from_be_bytes(self.fw_cfg(0x19, 4).try_into().unwrap());
        let directory = self.fw_cfg(0x19, 4 + 64 * count as usize);
        let entry = directory[4..]
            .chunks(64)
            .find(|entry| entry[8..].split(|byte| *byte == 0).next() == Some(name.as_bytes()));
        let entry = entry.unwrap_or_else(|| panic!("no file {name}"));
        let len = u32::from_be_bytes(entry[..4].try_into().unwrap());
        let select = u32::from(u16::from_be_bytes([entry[4], entry[5]]));
        assert_eq!(self.fw_cfg_dma(select << 16 | 0x0a, len, 0x1000), 0);
        self.ram.0[0x1000..][..len as usize].to_vec()
    }

    /// Writes a double word of bus 0's configuration space, by mechanism 1.
    pub fn set_config(&mut self, function: u8, register: u8, value: u32) {
        self.config(function, register);
        self.write(0xcfc, &value.to_le_bytes());
    }

    /// The first bytes of a fw_cfg item.
    pub fn fw_cfg(&mut self, selector: u16, len: usize) -> Vec<u8> {
        self.write(0x510, &selector.to_le_bytes());
        (0..len).map(|_| self.byte(0x511)).collect()
    }
}
