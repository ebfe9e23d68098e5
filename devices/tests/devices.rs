//! The devices without a hypervisor.

mod common;

use common::{MIB, Pc};
use igvm_core::span::Span;
use igvm_devices::Ending;
use proptest::prelude::*;

/// Half of the ports are those where something is.
fn port() -> impl Strategy<Value = u16> {
    const KNOWN: [u16; 35] = [
        0x5f, 0x60, 0x64, 0x70, 0x71, 0x92, 0xb2, 0xb3, 0x3f8, 0x3f9, 0x3fa, 0x3fb, 0x3fc, 0x3fd,
        0x402, 0x501, 0x50f, 0x510, 0x511, 0x514, 0x517, 0x518, 0x51b, 0x5ff, 0x600, 0x604, 0x608,
        0x630, 0x67f, 0xcf8, 0xcf9, 0xcfc, 0xcff, 0xfff8, 0xffff,
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
        (0x604, &[0x00, 0x20], Some(Ending::Shutdown)),
    ];
    for (port, data, ending) in cases {
        assert_eq!(Pc::small().write(port, data), ending, "{port:#x}");
    }
}

/// Every port, byte by byte, and the fw_cfg items.
fn everything(pc: &mut Pc) -> Vec<u8> {
    let mut seen: Vec<u8> = (0..=0xffff).map(|port| pc.byte(port)).collect();
    for register in 0..0x80 {
        seen.push(pc.cmos(register));
    }
    for function in [0, 0x1f << 3] {
        for register in (0..=0xff).step_by(4) {
            seen.extend(pc.config(function, register).to_le_bytes());
        }
    }
    for command in [0x20, 0xd0, 0xc0] {
        pc.write(0x64, &[command]);
        seen.push(pc.byte(0x60));
    }
    for name in ["etc/acpi/tables", "etc/table-loader", "etc/e820"] {
        seen.extend(pc.fw_cfg_file(name));
    }
    seen
}

proptest! {
    /// After a reset nobody can tell that there was a machine before.
    #[test]
    fn reset_forgets_everything(
        writes in prop::collection::vec(
            (port(), prop::collection::vec(any::<u8>(), 1..5)),
            0..200,
        ),
        typed in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let mut pc = Pc::small();
        for (port, data) in writes {
            pc.write(port, &data);
        }
        pc.devices.serial_input(&typed);
        pc.devices.reset();
        prop_assert!(everything(&mut pc) == everything(&mut Pc::small()));
    }
}

#[test]
fn text_is_typed_at_com1() {
    let mut pc = Pc::small();
    assert_eq!(pc.devices.serial_input(b"hello"), 5);
    assert_eq!(pc.byte(0x3fd) & 1, 1, "data is ready");
    let text: Vec<u8> = (0..5).map(|_| pc.byte(0x3f8)).collect();
    assert_eq!(text, b"hello");
    assert_eq!((pc.byte(0x3fd) & 1, pc.byte(0x3f8)), (0, 0));
    // With interrupts on, one is raised.
    pc.write(0x3f9, &[1]);
    let before = pc.line.raised();
    assert_eq!(pc.devices.serial_input(b"x"), 1);
    assert_eq!(pc.line.raised(), before + 1);
    // As much as there is room for.
    assert_eq!(pc.devices.serial_input(&[b'y'; 100]), 63);
    assert_eq!(pc.devices.serial_input(b"z"), 0);
    pc.byte(0x3f8);
    assert_eq!(pc.devices.serial_input(b"zz"), 1);
    // Looped back: the line is not listened to.
    pc.devices.reset();
    pc.write(0x3fc, &[0x10]);
    assert_eq!(pc.devices.serial_input(b"x"), 0);
    pc.write(0x3f8, b"L");
    assert_eq!((pc.byte(0x3f8), pc.serial.text()), (b'L', String::new()));
}
