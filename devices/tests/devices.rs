//! The devices without a hypervisor.

mod common;

use common::{MIB, Pc};
use igvm_core::span::Span;
use igvm_devices::Ending;
use proptest::prelude::*;

/// Half of the ports are those where something is.
fn port() -> impl Strategy<Value = u16> {
    const KNOWN: [u16; 27] = [
        0x5f, 0x60, 0x64, 0x70, 0x71, 0x92, 0x3f8, 0x3f9, 0x3fa, 0x3fb, 0x3fc, 0x3fd, 0x402, 0x501,
        0x50f, 0x510, 0x511, 0xcf8, 0xcf9, 0xcfc, 0xcff, 0xafff, 0xb000, 0xb004, 0xb008, 0xb03f,
        0xffff,
    ];
    prop_oneof![prop::sample::select(&KNOWN[..]), any::<u16>()]
}

proptest! {
    /// Any access of any size gets an answer.
    #[test]
    fn no_access_panics(
        accesses in prop::collection::vec(
            (port(), prop_oneof![Just(None), prop::collection::vec(any::<u8>(), 0..9).prop_map(Some)], 0_usize..9),
            0..200,
        ),
        ram in prop::collection::vec((any::<u64>(), any::<u64>()), 0..4),
    ) {
        let ram: Vec<_> = ram.into_iter().map(|(start, len)| Span::new(start, len)).collect();
        let mut pc = Pc::new(&ram, u64::MAX / 4);
        for (port, write, len) in accesses {
            match write {
                Some(data) => {
                    pc.write(port, &data);
                }
                None => pc.read(port, &mut vec![0; len]),
            }
        }
    }
}

/// The layout of a PC: 16 MiB boundary, 4 GiB boundary, and their units.
#[test]
fn cmos_tells_the_memory() {
    let mut cases = vec![];
    for (ram, above_16m, above_4g) in [
        (vec![Span::new(0, 64 * MIB)], 48 * 16, 0),
        (vec![Span::new(0, 3072 * MIB), Span::new(4096 * MIB, 5 * MIB)], 3056 * 16, 5 * 16),
        (vec![Span::new(0, 8 * MIB)], 0, 0),
    ] {
        let mut pc = Pc::new(&ram, 0);
        let number = |pc: &mut Pc, registers: &[u8]| {
            registers.iter().rev().fold(0, |value, at| value << 8 | u64::from(pc.cmos(*at)))
        };
        assert_eq!(number(&mut pc, &[0x15, 0x16]), 640);
        assert_eq!(number(&mut pc, &[0x34, 0x35]), above_16m);
        assert_eq!(number(&mut pc, &[0x5b, 0x5c, 0x5d]), above_4g);
        assert_eq!(pc.cmos(0x5f), 1);
        cases.push(number(&mut pc, &[0x30, 0x31]));
    }
    assert_eq!(cases, [63 * 1024, 0xffff, 7 * 1024]);
}

#[test]
fn the_clock_speaks_decimal_and_binary() {
    // 2026-11-22 23:45:56 UTC, a Sunday.
    let mut pc = Pc::new(&[], 1_795_391_156);
    let read = |pc: &mut Pc| [0x32, 0x09, 0x08, 0x07, 0x06, 0x04, 0x02, 0x00].map(|at| pc.cmos(at));
    assert_eq!(read(&mut pc), [0x20, 0x26, 0x11, 0x22, 0x01, 0x23, 0x45, 0x56]);
    pc.write(0x70, &[0x0b]);
    pc.write(0x71, &[0x06]);
    assert_eq!(read(&mut pc), [20, 26, 11, 22, 1, 23, 45, 56]);
    // Twelve hours: eleven in the evening.
    pc.write(0x70, &[0x0b]);
    pc.write(0x71, &[0x04]);
    assert_eq!(pc.cmos(0x04), 0x80 | 11);
}

#[test]
fn the_pci_bus_has_three_functions() {
    let mut pc = Pc::small();
    let mut found = vec![];
    for function in 0..=0xff {
        let id = pc.config(function, 0);
        if id != 0xffff_ffff {
            found.push((function, id));
        }
    }
    assert_eq!(found, [(0, 0x1237_8086), (8, 0x7000_8086), (11, 0x7113_8086)]);
    // Not enabled, or another bus.
    for address in [0_u32, 1 << 31 | 1 << 16] {
        pc.write(0xcf8, &address.to_le_bytes());
        assert_eq!(pc.byte(0xcfc), 0xff);
    }
    // PAM remembers, the identity does not change.
    pc.config(0, 0x58);
    pc.write(0xcfd, &[0x30]);
    assert_eq!(pc.config(0, 0x58), 0x3000);
    pc.config(0, 0);
    pc.write(0xcfc, &[0; 4]);
    assert_eq!(pc.config(0, 0), 0x1237_8086);
}

#[test]
fn power_management_moves_and_switches_off() {
    let mut pc = Pc::new(&[], 1);
    let timer = |pc: &mut Pc, base: u16| {
        let mut data = [0; 4];
        pc.read(base + 8, &mut data);
        u32::from_le_bytes(data)
    };
    assert_eq!(timer(&mut pc, 0xb000), 3_579_545);
    // PMBA to 0x600, then PMREGMISC off.
    pc.config(11, 0x40);
    pc.write(0xcfc, &[0x01, 0x06]);
    assert_eq!(timer(&mut pc, 0xb000), u32::MAX);
    assert_eq!(timer(&mut pc, 0x600), 3_579_545);
    assert_eq!(pc.write(0x604, &[0, 0x24]), None, "sleep type 1 is not soft off");
    assert_eq!(pc.write(0x605, &[0x20]), Some(Ending::Shutdown), "a byte does as well");
    pc.config(11, 0x80);
    pc.write(0xcfc, &[0]);
    assert_eq!(timer(&mut pc, 0x600), u32::MAX);
}

#[test]
fn fw_cfg_tells_the_machine() {
    let mut pc = Pc::small();
    assert_eq!(pc.fw_cfg(0, 6), b"QEMU\0\0");
    assert_eq!(pc.fw_cfg(1, 4), [1, 0, 0, 0]);
    assert_eq!(pc.fw_cfg(5, 2), [2, 0]);
    assert_eq!(pc.fw_cfg(0x7777, 2), [0, 0]);
    // The directory: one file, big endian.
    let directory = pc.fw_cfg(0x19, 68);
    assert_eq!(directory[..12], [0, 0, 0, 1, 0, 0, 0, 40, 0, 0x20, 0, 0]);
    assert_eq!(&directory[12..22], b"etc/e820\0\0");
    let map = pc.fw_cfg(0x20, 40);
    assert_eq!(map[..20], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 1, 0, 0, 0]);
    assert_eq!(map[36..], [2, 0, 0, 0]);
}

#[test]
fn the_guest_ends_the_run() {
    let cases: [(u16, &[u8], Option<Ending>); 9] = [
        (0x501, &[0x10], Some(Ending::Exit { value: 0x10 })),
        (0x501, &[0x34, 0x12], Some(Ending::Exit { value: 0x1234 })),
        (0x64, &[0xfe], Some(Ending::Reset { port: 0x64 })),
        (0x64, &[0xd1], None),
        (0x92, &[0x03], Some(Ending::Reset { port: 0x92 })),
        (0x92, &[0x02], None),
        (0xcf9, &[0x06], Some(Ending::Reset { port: 0xcf9 })),
        (0xcf9, &[0x02], None),
        (0xb004, &[0x00, 0x20], Some(Ending::Shutdown)),
    ];
    for (port, data, ending) in cases {
        assert_eq!(Pc::small().write(port, data), ending, "{port:#x}");
    }
}
