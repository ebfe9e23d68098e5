//! The power-management block and the APM ports of the ICH9.

mod common;

use common::Pc;
use igvm_devices::Ending;

const BASE: u16 = 0x600;

fn number(pc: &mut Pc, port: u16, len: usize) -> u32 {
    let mut data = [0; 4];
    pc.read(port, &mut data[..len]);
    u32::from_le_bytes(data)
}

#[test]
fn the_timer_can_be_read_in_any_way() {
    let mut pc = Pc::new(&[], 1);
    assert_eq!(number(&mut pc, BASE + 8, 4), 3_579_545);
    assert_eq!(number(&mut pc, BASE + 8, 2), 3_579_545 & 0xffff);
    assert_eq!(number(&mut pc, BASE + 10, 1), 3_579_545 >> 16);
}

#[test]
fn sleep_types_switch_off_or_do_nothing() {
    for sleep_type in 0..8_u8 {
        let ending = matches!(sleep_type, 0 | 7).then_some(Ending::Shutdown);
        let control = 0x20 | sleep_type << 2;
        assert_eq!(Pc::small().write(BASE + 4, &[0, control]), ending, "type {sleep_type}");
        assert_eq!(Pc::small().write(BASE + 5, &[control]), ending, "type {sleep_type}, by byte");
        assert_eq!(Pc::small().write(BASE + 4, &[0, control & !0x20]), None, "not enabled");
    }
}

#[test]
fn some_bits_are_fixed_and_some_are_kept() {
    let mut pc = Pc::small();
    let registers = [
        // Status and enable, control, GPE0 status and enable, SMI_EN and SMI_STS.
        (BASE, 0, 0xffff_0000),
        (BASE + 4, 1, 0xdfff),
        (BASE + 0x20, 0, 0),
        (BASE + 0x28, 0, 0xffff_ffff),
        (BASE + 0x30, 0x20, 0xffff_ffff),
        (BASE + 0x34, 0, 0),
    ];
    for (port, at_power_up, with_ones) in registers {
        assert_eq!(number(&mut pc, port, 4), at_power_up, "{port:#x}");
        pc.write(port, &[0xff; 4]);
        assert_eq!(number(&mut pc, port, 4), with_ones, "{port:#x}");
        pc.write(port, &[0; 4]);
        assert_eq!(number(&mut pc, port, 4), at_power_up, "{port:#x}");
    }
}

/// Firmware that waits for an SMI handler to clear the status would wait for
/// ever; it looks at SMI_EN first.
#[test]
fn apm_ports_only_remember() {
    let mut pc = Pc::small();
    assert_eq!(pc.write(0xb2, &[0x02, 0x34]), None);
    assert_eq!((pc.byte(0xb2), pc.byte(0xb3)), (2, 0x34));
}
