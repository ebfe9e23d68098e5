//! The keyboard controller, spoken to as firmware and operating systems do.

mod common;

use common::Pc;
use igvm_devices::Ending;

const FULL: u8 = 0x01;
const AUXILIARY: u8 = 0x20;
const TIMEOUT: u8 = 0x40;

fn command(pc: &mut Pc, command: u8) -> Option<Ending> {
    pc.write(0x64, &[command])
}

fn answer(pc: &mut Pc, command: u8) -> u8 {
    self::command(pc, command);
    assert_eq!(pc.byte(0x64) & (FULL | AUXILIARY), FULL, "{command:#x} is answered");
    let answer = pc.byte(0x60);
    assert_eq!(pc.byte(0x64) & FULL, 0, "{command:#x} is answered once");
    answer
}

#[test]
fn the_controller_passes_its_tests() {
    let mut pc = Pc::small();
    assert_eq!(pc.byte(0x64) & (FULL | 2 | 4), 0, "nothing to read, ready, not tested");
    assert_eq!(answer(&mut pc, 0xaa), 0x55);
    assert_eq!(pc.byte(0x64) & 4, 4, "tested");
    assert_eq!((answer(&mut pc, 0xab), answer(&mut pc, 0xa9)), (0, 0));
}

#[test]
fn the_command_byte_can_be_written_and_switches_the_interfaces() {
    let mut pc = Pc::small();
    command(&mut pc, 0x60);
    pc.write(0x60, &[0x65]);
    assert_eq!(answer(&mut pc, 0x20), 0x65);
    for (command, expected) in [(0xad, 0x75), (0xa7, 0x75), (0xa8, 0x55), (0xae, 0x45)] {
        self::command(&mut pc, command);
        assert_eq!(answer(&mut pc, 0x20), expected, "{command:#x}");
    }
}

#[test]
fn nobody_answers_behind_the_controller() {
    let mut pc = Pc::small();
    pc.write(0x60, &[0xff]);
    assert_eq!(pc.byte(0x64) & (FULL | AUXILIARY | TIMEOUT), FULL | TIMEOUT);
    assert_eq!(pc.byte(0x60), 0xfe);
    command(&mut pc, 0xd4);
    pc.write(0x60, &[0xff]);
    assert_eq!(pc.byte(0x64) & (FULL | AUXILIARY | TIMEOUT), FULL | AUXILIARY | TIMEOUT);
    assert_eq!(pc.byte(0x60), 0xfe);
}

/// Linux finds out by these whether there is an auxiliary port.
#[test]
fn bytes_come_back() {
    let mut pc = Pc::small();
    for (command, status) in [(0xd2, FULL), (0xd3, FULL | AUXILIARY)] {
        self::command(&mut pc, command);
        pc.write(0x60, &[0x5a]);
        assert_eq!(pc.byte(0x64) & (FULL | AUXILIARY), status);
        assert_eq!(pc.byte(0x60), 0x5a);
    }
}

#[test]
fn the_output_port_remembers_a20_and_resets() {
    let mut pc = Pc::small();
    assert_eq!(answer(&mut pc, 0xd0) & 3, 3);
    command(&mut pc, 0xd1);
    assert_eq!(pc.write(0x60, &[0xdd]), None);
    assert_eq!(answer(&mut pc, 0xd0) & 3, 1, "A20 is off");
    command(&mut pc, 0xd1);
    let reset = Some(Ending::Reset { port: 0x64 });
    assert_eq!(pc.write(0x60, &[0xfe]), reset);
    for pulse in 0xf0..=0xff {
        assert_eq!(command(&mut pc, pulse), reset.filter(|_| pulse & 1 == 0), "{pulse:#x}");
    }
}
