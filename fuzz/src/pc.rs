//! A PC without processors, played by an input.

use std::io;
use std::time::Duration;

use igvm_core::span::Span;
use igvm_devices::{
    Clock, Description, Devices, Disk, InterruptLine, Memory, NoMemory, PciInterrupts, Wiring,
};

/// Bytes that one access may have the devices move in memory, at most.
const MOVED_MAX: usize = 64 << 20;

struct Still;

impl Clock for Still {
    fn uptime(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn utc(&self) -> Duration {
        Duration::from_secs(1)
    }
}

struct Unconnected;

impl InterruptLine for Unconnected {
    fn raise(&self) {}
}

impl PciInterrupts for Unconnected {
    fn set_level(&self, gsi: u32, _high: bool) {
        assert!(gsi < 24);
    }

    fn message(&self, _address: u64, _data: u32) {}
}

/// A disk of a few sectors.
struct Sectors(Vec<u8>);

impl Disk for Sectors {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_only(&self) -> bool {
        false
    }

    fn read_at(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        bytes.copy_from_slice(&self.0[offset as usize..][..bytes.len()]);
        Ok(())
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0[offset as usize..][..bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Memory from 0 on, which counts what is moved.
struct Ram {
    bytes: Vec<u8>,
    moved: usize,
}

impl Ram {
    fn range(&mut self, gpa: u64, len: usize) -> Result<&mut [u8], NoMemory> {
        self.moved += len;
        assert!(self.moved <= MOVED_MAX, "one access moves more than {MOVED_MAX:#x} bytes");
        let start = usize::try_from(gpa).map_err(|_| NoMemory { gpa })?;
        let end = start.checked_add(len).ok_or(NoMemory { gpa })?;
        self.bytes.get_mut(start..end).ok_or(NoMemory { gpa })
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

/// The devices and a little memory.
pub struct Pc {
    devices: Devices,
    ram: Ram,
}

impl Default for Pc {
    fn default() -> Self {
        let machine = Description {
            ram: vec![Span::new(0, 0x1_0000)],
            reserved: vec![],
            processors: 2,
            windows: vec![Span::between(0x8000_0000, 0xfec0_0000), Span::new(1 << 40, 1 << 36)],
            acpi_tables: vec![],
        };
        let wiring = Wiring {
            serial: Box::new(io::sink()),
            debug: Box::new(io::sink()),
            serial_line: Box::new(Unconnected),
            pci_interrupts: Box::new(Unconnected),
            disk: Some(Box::new(Sectors(vec![0x5a; 0x8000]))),
            clock: Box::new(Still),
        };
        let ram = Ram { bytes: vec![0; 0x1_0000], moved: 0 };
        Self { devices: Devices::new(&machine, wiring), ram }
    }
}

impl Pc {
    /// Does one thing that a guest can do; what, the input says. `None` where it
    /// has ended.
    pub fn step(&mut self, input: &mut &[u8]) -> Option<()> {
        self.ram.moved = 0;
        let [what, len] = take(input)?;
        let len = usize::from(len % 9);
        let mut data = [0; 8];
        match what % 8 {
            0 => {
                let port = u16::from_le_bytes(take(input)?);
                self.devices.read(&mut self.ram, port, &mut data[..len]);
            }
            1 => {
                let (port, data) = (u16::from_le_bytes(take(input)?), take::<8>(input)?);
                self.devices.write(&mut self.ram, port, &data[..len]);
            }
            2 => {
                let gpa = u64::from_le_bytes(take(input)?);
                self.devices.read_memory(&mut self.ram, gpa, &mut data[..len]);
            }
            3 => {
                let (gpa, data) = (u64::from_le_bytes(take(input)?), take::<8>(input)?);
                self.devices.write_memory(&mut self.ram, gpa, &data[..len]);
            }
            4 => {
                let (at, data) = (u16::from_le_bytes(take(input)?), take::<8>(input)?);
                let at = usize::from(at).min(0xfff8);
                self.ram.bytes[at..at + len].copy_from_slice(&data[..len]);
            }
            // A DMA command of fw_cfg, whole.
            5 => {
                self.ram.bytes[0x100..0x110].copy_from_slice(&take::<16>(input)?);
                self.devices.write(&mut self.ram, 0x518, &[0, 0, 1, 0]);
            }
            6 => {
                self.devices.serial_input(&data[..len]);
            }
            _ => self.devices.reset(),
        }
        Some(())
    }

    /// What a guest sees after a reset at every port where something can be then.
    pub fn ports_after_reset(&mut self) -> Vec<u8> {
        self.devices.reset();
        let mut data = [0];
        (0..0x1000)
            .map(|port| {
                self.devices.read(&mut self.ram, port, &mut data);
                data[0]
            })
            .collect()
    }
}

/// The next bytes of the input.
fn take<const N: usize>(input: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = input.split_first_chunk()?;
    *input = rest;
    Some(*first)
}
