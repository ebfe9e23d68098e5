//! A guest that is made of bytes: every few of them are an access to the PCI bus
//! or to memory. Most of what it does makes some sense, so that a driver's way
//! into the device is not found by luck alone.

use super::driver::{
    ALL, AVAILABLE, BELL_PORT, Driver, FREE, FUNCTION, MSIX, STRUCTURES, TABLE, USED,
};
use super::{Pc, RamDisk};

/// The numbers that a guest takes from its bytes; zeroes at the end.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn next(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn number(&mut self, bytes: usize) -> u64 {
        (0..bytes).fold(0, |number, _| number << 8 | u64::from(self.next()))
    }

    /// The bytes of an access: usually 1, 2, 4 or 8.
    fn access(&mut self) -> Vec<u8> {
        let len = [1, 2, 4, 4, 8, 2, 4, 3, 0, 7, 16, 2, 4, 4, 1, 2][usize::from(self.next() % 16)];
        (0..len).map(|_| self.next()).collect()
    }
}

/// Does what the bytes say; gives what was read.
pub fn play(pc: &mut Pc, input: &[u8]) -> Vec<u8> {
    let mut bytes = Bytes(input);
    let mut answers = vec![];
    while !bytes.0.is_empty() {
        let action = bytes.next();
        match action % 12 {
            // Anything, anywhere.
            0 => {
                let (port, mut data) = (bytes.number(2) as u16, bytes.access());
                // The exit port and the reset ports are no part of this.
                pc.read(port, &mut data);
                answers.extend(&data);
                pc.write(port, &data);
            }
            1 => {
                let (gpa, mut data) = (bytes.number(8), bytes.access());
                pc.read_memory(gpa, &mut data);
                answers.extend(&data);
                pc.write_memory(gpa, &data);
            }
            2 => {
                let (register, value) = (bytes.next(), bytes.number(4) as u32);
                let function = [0, FUNCTION, FUNCTION, 0xf8][usize::from(action >> 6)];
                answers.extend(pc.config(function, register & 0xfc).to_le_bytes());
                pc.set_config(function, register & 0xfc, value);
            }
            3 => {
                pc.config(FUNCTION, bytes.next());
                let port = 0xcfc + u16::from(action >> 6);
                pc.write(port, &bytes.access());
                let mut data = bytes.access();
                pc.read(port, &mut data);
                answers.extend(&data);
            }
            // The structures, the table of messages.
            4 => pc.write_memory(STRUCTURES + bytes.number(1) % 64, &bytes.access()),
            5 => {
                let (at, mut data) = (STRUCTURES + bytes.number(2) % 0x4000, bytes.access());
                pc.read_memory(at, &mut data);
                answers.extend(&data);
            }
            6 => pc.write_memory(u64::from(MSIX) + bytes.number(1) % 40, &bytes.access()),
            7 => pc.write_memory(STRUCTURES + 0x3000, &[0, 0]),
            8 => {
                pc.write(BELL_PORT, &[0, 0]);
            }
            // Memory: anywhere; a descriptor; a request's header.
            9 => {
                let (at, data) = (bytes.number(2) as usize, bytes.access());
                let room = pc.ram.0.iter_mut().skip(at);
                room.zip(data).for_each(|(byte, value)| *byte = value);
            }
            10 => {
                let index = u64::from(action >> 4);
                let mut descriptor = [0; 16];
                let gpa = FREE + bytes.number(1) * 64;
                descriptor[..8].copy_from_slice(&gpa.to_le_bytes());
                descriptor[8..10].copy_from_slice(&(bytes.number(2) as u16 & 0x1fff).to_le_bytes());
                descriptor[12] = bytes.next() & 7;
                descriptor[14] = bytes.next() & 0x1f;
                poke(pc, TABLE + 16 * index, &descriptor);
                poke(pc, gpa, &[bytes.next() & 0xf, 0, 0, 0, 0, 0, 0, 0, bytes.next() & 0x1f]);
            }
            _ => {
                let at = AVAILABLE + 4 + bytes.number(1) % 32;
                poke(pc, at, &[bytes.next() & 0x1f]);
                poke(pc, AVAILABLE + 2, &[bytes.next()]);
            }
        }
    }
    answers.extend(&pc.ram.0[USED as usize..FREE as usize]);
    answers
}

fn poke(pc: &mut Pc, gpa: u64, bytes: &[u8]) {
    pc.ram.0[gpa as usize..][..bytes.len()].copy_from_slice(bytes);
}

/// What the bytes do to a device that has been used and reset must be what they
/// do to one that never was: as firmware finds it, and with a driver.
pub fn check(input: &[u8]) {
    let part = |nth: usize| &input[input.len() * nth / 3..input.len() * (nth + 1) / 3];
    let disk = RamDisk::new(16);
    let mut used = Driver::started(disk.clone()).pc;
    play(&mut used, part(0));
    used.devices.reset();
    assert_eq!(used.controllers.arrived().high, 0, "a reset lets go of every line");
    used.controllers.take_messages();

    let new_disk = RamDisk::new(0);
    new_disk.content.lock().unwrap().clone_from(&disk.content.lock().unwrap());
    let mut new = Pc::with_disk(new_disk.clone());
    new.ram.0.clone_from(&used.ram.0);
    assert_eq!(play(&mut used, part(1)), play(&mut new, part(1)));

    used.devices.reset();
    used.controllers.take_messages();
    let ram = new.ram;
    new = Pc { ram, ..Pc::with_disk(new_disk.clone()) };
    let [mut used, mut new] = [used, new].map(|pc| {
        let mut driver = Driver::attach(pc);
        driver.start(ALL);
        driver.pc
    });
    assert_eq!(play(&mut used, part(2)), play(&mut new, part(2)));
    assert_eq!(used.ram.0, new.ram.0);
    assert_eq!(used.controllers.arrived(), new.controllers.arrived());
    assert_eq!(*disk.content.lock().unwrap(), *new_disk.content.lock().unwrap());
}
