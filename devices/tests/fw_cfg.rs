//! fw_cfg, by ports and by DMA.

mod common;

use common::{MIB, Pc, RamDisk};
use igvm_core::span::Span;
use proptest::prelude::*;

const ERROR: u32 = 1;
const READ: u32 = 2;
const SKIP: u32 = 4;
const SELECT: u32 = 8;
const WRITE: u32 = 16;

#[test]
fn numbers_have_a_selector_of_their_own() {
    let mut pc = Pc::small();
    assert_eq!(pc.fw_cfg(0, 6), b"QEMU\0\0");
    assert_eq!(pc.fw_cfg(3, 8), (64 * MIB).to_le_bytes());
    assert_eq!((pc.fw_cfg(5, 2), pc.fw_cfg(0xf, 2)), (vec![2, 0], vec![2, 0]));
    assert_eq!(pc.fw_cfg(0x7777, 2), [0, 0]);
    // The selector is a word.
    pc.write(0x510, &[0]);
    assert_eq!(pc.byte(0x511), 0);
}

#[test]
fn dma_says_that_it_is_there() {
    let mut pc = Pc::small();
    assert_eq!(pc.fw_cfg(1, 4), [3, 0, 0, 0]);
    let mut address = [0; 8];
    pc.read(0x514, &mut address[..4]);
    pc.read(0x518, &mut address[4..]);
    assert_eq!(&address, b"QEMU CFG");
}

#[test]
fn dma_reads_skips_and_selects() {
    let mut pc = Pc::small();
    assert_eq!(pc.fw_cfg_dma(SELECT | READ, 6, 0x2000), 0);
    assert_eq!(&pc.ram.0[0x2000..0x2007], b"QEMU\0\0\0");
    // Skip within an item, go on by DMA, then by the port.
    assert_eq!(pc.fw_cfg_dma(SELECT | SKIP, 1, u64::MAX), 0);
    assert_eq!(pc.fw_cfg_dma(READ, 2, 0x2000), 0);
    assert_eq!(&pc.ram.0[0x2000..0x2003], b"EMM");
    assert_eq!(pc.byte(0x511), b'U');
    // Select alone starts again, nothing at all does nothing.
    assert_eq!(pc.fw_cfg_dma(SELECT, 99, u64::MAX), 0);
    assert_eq!(pc.fw_cfg_dma(0, 99, u64::MAX), 0);
    assert_eq!(pc.byte(0x511), b'Q');
    // An item that is not there is all zeroes.
    pc.ram.0[0x2000..0x2004].fill(0xaa);
    assert_eq!(pc.fw_cfg_dma(0x7777 << 16 | SELECT | READ, 2, 0x2000), 0);
    assert_eq!(pc.ram.0[0x2000..0x2004], [0, 0, 0xaa, 0xaa]);
}

#[test]
fn dma_refuses_what_is_too_much_or_has_no_memory() {
    let mut pc = Pc::small();
    let before = pc.ram.0[0x200..].to_vec();
    for (control, len, gpa) in [
        (SELECT | WRITE, 1, 0x2000),
        (SELECT | READ, 4, 0x1_0000),
        (SELECT | READ, 4, u64::MAX - 1),
        (SELECT | READ, 4, u64::MAX - 3),
        (SELECT | READ, u32::MAX, 0x2000),
        (SELECT | READ, 0x1_0005, 0x2000),
    ] {
        assert_eq!(pc.fw_cfg_dma(control, len, gpa), ERROR, "{control:#x} {len:#x} {gpa:#x}");
        assert!(pc.ram.0[0x200..] == before, "{control:#x} {len:#x} {gpa:#x}");
    }
    assert_eq!(pc.fw_cfg_dma(SELECT | SKIP, u32::MAX, 0), 0);
    assert_eq!(pc.byte(0x511), 0, "all of it was skipped");
}

/// A half of an address counts whole or not at all, and once.
#[test]
fn dma_addresses_have_two_halves() {
    let mut pc = Pc::small();
    pc.write(0x514, &[0, 0, 0, 1]);
    assert_eq!(pc.fw_cfg_dma(SELECT | READ, 4, 0x2000), SELECT | READ, "4 GiB is not memory");
    assert_eq!(pc.fw_cfg_dma(SELECT | READ, 4, 0x2000), 0, "the half is used up");
    pc.ram.0[0x100..0x104].copy_from_slice(&(SELECT | READ).to_be_bytes());
    for data in [&[0][..], &[0, 0], &[0, 0, 1, 0, 0]] {
        pc.write(0x518, data);
        assert_eq!(pc.ram.0[0x103], (SELECT | READ) as u8);
    }
}

#[test]
fn files_are_what_firmware_looks_for() {
    let mut pc = Pc::small();
    assert_eq!(pc.fw_cfg_file("etc/boot-fail-wait"), [0xff; 4]);
    // S0 and S5 can be entered.
    let states = pc.fw_cfg_file("etc/system-states");
    let entered: Vec<usize> = (0..6).filter(|state| states[*state] & 0x80 != 0).collect();
    assert_eq!((states.len(), entered), (6, vec![0, 5]));
    let map = pc.fw_cfg_file("etc/e820");
    assert_eq!(map.len(), 40);
    assert_eq!(map[..20], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 1, 0, 0, 0]);
    assert_eq!(map[36..], [2, 0, 0, 0]);
    assert_eq!(pc.fw_cfg_file("etc/acpi/rsdp").len(), 36);
    assert_eq!(pc.fw_cfg_file("etc/table-loader").len() % 128, 0);
}

#[test]
fn the_disk_is_what_to_start_from() {
    let mut pc = Pc::with_disk(RamDisk::new(4));
    assert_eq!(pc.fw_cfg_file("bootorder"), b"/pci@i0cf8/scsi@3/disk@0,0\0");
    pc.devices.reset();
    assert_eq!(pc.fw_cfg_file("bootorder"), b"/pci@i0cf8/scsi@3/disk@0,0\0");
}

proptest! {
    /// The ports and DMA tell the same, in pieces of any size.
    #[test]
    fn dma_and_ports_agree(item in 0_u16..0x28, pieces in prop::collection::vec(1_u32..600, 1..8)) {
        let mut pc = Pc::new(&[Span::new(0, 64 * MIB)], 0);
        let total = pieces.iter().sum::<u32>();
        let by_port = pc.fw_cfg(item, total as usize);
        let mut by_dma = vec![];
        pc.fw_cfg_dma(u32::from(item) << 16 | SELECT, 0, 0);
        for len in pieces {
            prop_assert_eq!(pc.fw_cfg_dma(READ, len, 0x8000), 0);
            by_dma.extend_from_slice(&pc.ram.0[0x8000..][..len as usize]);
        }
        prop_assert_eq!(by_dma, by_port);
    }

    /// DMA writes its target and the control field, nothing else.
    #[test]
    fn dma_stays_in_its_target(
        control in any::<u32>(),
        item in 0_u16..0x28,
        len in prop_oneof![0_u32..0x1_8000, any::<u32>()],
        gpa in prop_oneof![0x200_u64..0x1_0400, any::<u64>()],
    ) {
        let mut pc = Pc::small();
        pc.ram.0.fill(0xa5);
        let gpa = gpa.max(0x200);
        pc.fw_cfg_dma(control & 0xffff | u32::from(item) << 16, len, gpa);
        let target = Span::new(gpa, len.into());
        let changed = (0x200..0x1_0000).find(|at| pc.ram.0[*at] != 0xa5 && !target.contains(*at as u64));
        prop_assert_eq!(changed, None);
    }
}
