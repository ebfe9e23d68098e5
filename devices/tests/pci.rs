//! The PCI bus: configuration space both ways, base addresses, the bridges.

mod common;

use common::driver::{BELL_PORT, Driver, FUNCTION, MSIX, STRUCTURES};
use common::{Pc, RamDisk};

const LPC: u8 = 0x1f << 3;
const ECAM: u64 = 0xb000_0000;

fn functions(pc: &mut Pc) -> Vec<(u8, u32)> {
    let ids = (0..=0xff).map(|function| (function, pc.config(function, 0)));
    ids.filter(|(_, id)| *id != 0xffff_ffff).collect()
}

/// Switches configuration space in memory on, for 2^(28 - `length`) bytes.
fn map_ecam(pc: &mut Pc, base: u64, length: u32) {
    pc.set_config(0, 0x60, 0);
    pc.set_config(0, 0x64, (base >> 32) as u32);
    pc.set_config(0, 0x60, base as u32 | length << 1 | 1);
}

fn double_word(pc: &mut Pc, gpa: u64) -> u32 {
    let mut bytes = [0; 4];
    pc.read_memory(gpa, &mut bytes);
    u32::from_le_bytes(bytes)
}

#[test]
fn the_bus_has_two_functions_and_a_disk_is_a_third() {
    let bridges = [(0, 0x29c0_8086), (LPC, 0x2918_8086)];
    assert_eq!(functions(&mut Pc::small()), bridges);
    let mut pc = Pc::with_disk(RamDisk::new(4));
    assert_eq!(functions(&mut pc), [bridges[0], (FUNCTION, 0x1042_1af4), bridges[1]]);
    // Not enabled, or another bus.
    for address in [0_u32, 1 << 31 | 1 << 16] {
        pc.write(0xcf8, &address.to_le_bytes());
        assert_eq!(pc.byte(0xcfc), 0xff);
    }
    // By the subsystem firmware knows a virtual machine; each has one function.
    for (function, _) in functions(&mut pc) {
        assert_eq!(pc.config(function, 0x2c), 0x1100_1af4);
        assert_eq!(pc.config(function, 0x0c) >> 16 & 0xff, 0);
    }
}

#[test]
fn bytes_words_and_double_words_are_the_same_registers() {
    let mut pc = Pc::small();
    // PAM1 to PAM4, by byte, by word, read back as a double word.
    pc.config(0, 0x90);
    pc.write(0xcfd, &[0xff]);
    pc.write(0xcfe, &[0x11, 0x22]);
    assert_eq!(pc.config(0, 0x90), 0x2211_3300);
    let mut word = [0; 2];
    pc.read(0xcfd, &mut word);
    assert_eq!(word, [0x33, 0x11]);
    // What belongs to no register: across the end of CONFIG_DATA.
    let mut across = [0; 4];
    pc.read(0xcfe, &mut across);
    assert_eq!(across, [0x11, 0x22, 0xff, 0xff]);
    // The identity does not change.
    pc.set_config(0, 0, 0);
    assert_eq!(pc.config(0, 0), 0x29c0_8086);
    // CONFIG_ADDRESS keeps what it has bits for; a byte of it is another port.
    pc.write(0xcf8, &[0xff; 4]);
    let mut address = [0; 4];
    pc.read(0xcf8, &mut address);
    assert_eq!(u32::from_le_bytes(address), 0x80ff_fffc);
}

#[test]
fn configuration_space_is_in_memory_where_pciexbar_says() {
    let mut pc = Pc::with_disk(RamDisk::new(4));
    assert_eq!(double_word(&mut pc, ECAM), u32::MAX, "not before it is switched on");
    map_ecam(&mut pc, ECAM, 0);
    for function in [0, FUNCTION, LPC, 8] {
        for register in (0..0x100).step_by(4) {
            let by_ports = pc.config(function, register as u8);
            let at = ECAM + (u64::from(function) << 12) + register;
            assert_eq!(double_word(&mut pc, at), by_ports, "{function:#x} {register:#x}");
        }
    }
    // There is no extended space and no other bus.
    assert_eq!(double_word(&mut pc, ECAM + 0x100), u32::MAX);
    assert_eq!(double_word(&mut pc, ECAM + (1 << 20)), u32::MAX);
    pc.write_memory(ECAM + 0x91, &[0x30]);
    assert_eq!(pc.config(0, 0x90), 0x3000);
    // Fewer buses: the address has more bits, above 4 GiB, too.
    let identity = 0x29c0_8086;
    for (length, base, mapped) in
        [(1, 0x2_a800_0000, true), (2, 0x2_ac00_0000, true), (3, 0xb000_0000, false)]
    {
        map_ecam(&mut pc, base, length);
        assert_eq!(double_word(&mut pc, base) == identity, mapped, "{base:#x}");
    }
    map_ecam(&mut pc, 0xbc00_0000, 0);
    assert_eq!(double_word(&mut pc, ECAM), identity, "256 MiB are aligned to 256 MiB");
}

#[test]
fn base_addresses_are_sized_assigned_and_switched() {
    let mut pc = Pc::with_disk(RamDisk::new(4));
    // Sizing, with the functions answering: as Linux does it.
    pc.set_config(FUNCTION, 4, 0b111);
    let sizes = [0x10_u8, 0x14, 0x18, 0x1c, 0x20, 0x24, 0x30].map(|register| {
        pc.set_config(FUNCTION, register, u32::MAX);
        let size = pc.config(FUNCTION, register);
        pc.set_config(FUNCTION, register, 0);
        size
    });
    assert_eq!(sizes, [0xffff_c000, 0, 0xffff_f000, 0xffff_fffd, 0, 0, 0]);

    let mut pc = Driver::probe(RamDisk::new(4)).pc;
    let answers = |pc: &mut Pc| {
        let mut bytes = [0xaa; 2];
        pc.read(BELL_PORT, &mut bytes);
        [
            // The number of queues; the MSI-X vector control, masked.
            double_word(pc, STRUCTURES + 16) == 0x0001_ffff,
            double_word(pc, u64::from(MSIX) + 12) == 1,
            bytes == [0; 2],
        ]
    };
    assert_eq!(answers(&mut pc), [true; 3]);
    pc.set_config(FUNCTION, 4, 0b110);
    assert_eq!(answers(&mut pc), [true, true, false]);
    pc.set_config(FUNCTION, 4, 0b101);
    assert_eq!(answers(&mut pc), [false, false, true]);
    pc.set_config(FUNCTION, 4, 0b111);
    for (register, others) in [(0x10, [false, true, true]), (0x18, [false, false, true])] {
        pc.set_config(FUNCTION, register, 0);
        assert_eq!(answers(&mut pc), others);
    }
    // At the end of its addresses nothing wraps.
    pc.set_config(FUNCTION, 0x10, u32::MAX);
    assert_eq!(double_word(&mut pc, 0xffff_c000 + 16), 0x0001_ffff);
    assert_eq!(double_word(&mut pc, 16), u32::MAX);
    assert_eq!(double_word(&mut pc, (1 << 32) + 16), u32::MAX);
    let mut bytes = [0xaa; 8];
    pc.read_memory(u64::MAX, &mut bytes);
}

#[test]
fn the_host_bridge_remembers_what_it_does_not_do() {
    let mut pc = Pc::small();
    pc.set_config(0, 0x90, u32::MAX);
    pc.set_config(0, 0x94, u32::MAX);
    assert_eq!(pc.config(0, 0x90), 0x3333_3330);
    assert_eq!(pc.config(0, 0x94), 0x0033_3333);
    // SMRAM and ESMRAMC.
    assert_eq!(pc.config(0, 0x9c), 0x0038_0200);
    pc.set_config(0, 0x9c, u32::MAX);
    assert_eq!(pc.config(0, 0x9c), 0x00ff_7a00);
    pc.devices.reset();
    assert_eq!(pc.config(0, 0x90), 0);
    assert_eq!(pc.config(0, 0x9c), 0x0038_0200);
}

#[test]
fn the_lpc_bridge_moves_the_power_management_block() {
    let mut pc = Pc::new(&[], 1);
    let timer = |pc: &mut Pc, base: u16| {
        let mut data = [0; 4];
        pc.read(base + 8, &mut data);
        u32::from_le_bytes(data)
    };
    assert_eq!(pc.config(LPC, 0x40), 0x601);
    assert_eq!(timer(&mut pc, 0x600), 3_579_545);
    pc.set_config(LPC, 0x40, 0xffff_b0ff);
    assert_eq!(pc.config(LPC, 0x40), 0xb081);
    assert_eq!(timer(&mut pc, 0xb080), 3_579_545);
    assert_eq!(timer(&mut pc, 0x600), u32::MAX);
    // ACPI_CNTL off.
    pc.set_config(LPC, 0x44, 0);
    assert_eq!(timer(&mut pc, 0xb080), u32::MAX);
    pc.devices.reset();
    assert_eq!(timer(&mut pc, 0x600), 3_579_545);
}
