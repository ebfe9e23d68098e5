//! The keyboard controller, ports 0x60 and 0x64 (Intel 8042 with the program
//! that the IBM PS/2 hardware reference describes, "Keyboard and Auxiliary
//! Device Controller"), with nothing plugged in.
//!
//! It is there for its reset and A20 lines and for firmware that takes a PC
//! without it for broken. Its interrupts, 1 and 12, are not connected: what the
//! controller says it says in answer to a port access. The ACPI tables do not
//! name it, so that an operating system does not look for a keyboard.

use crate::Ending;

/// Data port.
pub(crate) const DATA: u16 = 0x60;
/// Status port, and command port when written.
pub(crate) const COMMAND: u16 = 0x64;

/// Bits of the status.
mod status {
    /// There is a byte to read (OBF).
    pub(super) const OUTPUT_FULL: u8 = 0x01;
    /// The controller's self test has passed.
    pub(super) const SYSTEM_FLAG: u8 = 0x04;
    /// The last write was to the command port.
    pub(super) const COMMAND: u8 = 0x08;
    /// The keyboard is not locked.
    pub(super) const UNLOCKED: u8 = 0x10;
    /// The byte to read is the auxiliary device's.
    pub(super) const AUXILIARY: u8 = 0x20;
    /// The device did not answer.
    pub(super) const TIMEOUT: u8 = 0x40;
}

/// Command byte: the same as in the status.
const SYSTEM_FLAG: u8 = status::SYSTEM_FLAG;
/// Command byte: the keyboard's interface is off.
const KEYBOARD_OFF: u8 = 0x10;
/// Command byte: the auxiliary device's interface is off.
const AUXILIARY_OFF: u8 = 0x20;

/// Output port: the processor's reset line; resets when it is low.
const NOT_RESET: u8 = 0x01;
/// Output port: address line 20 is on. KVM cannot switch it off, so the bit only
/// remembers.
const A20: u8 = 0x02;
/// Output port: the interrupt lines, which follow the output buffer.
const KEYBOARD_LINE: u8 = 0x10;
const AUXILIARY_LINE: u8 = 0x20;
/// Output port at power-up: clock and data lines high.
const OUTPUT_PORT: u8 = 0xcc | NOT_RESET | A20;

/// Input port: the keyboard is not locked.
const INPUT_PORT: u8 = 0x80;

const SELF_TEST_PASSED: u8 = 0x55;
const INTERFACE_TEST_PASSED: u8 = 0x00;
/// What the controller puts in the place of an answer that a device does not
/// give: "resend".
const NO_ANSWER: u8 = 0xfe;

/// Where the next byte at the data port goes; without a command before it, to
/// the keyboard.
#[derive(Clone, Copy)]
enum Destination {
    Ram(u8),
    OutputPort,
    /// Comes back as if the keyboard had sent it.
    KeyboardBuffer,
    /// Comes back as if the auxiliary device had sent it.
    AuxiliaryBuffer,
    Auxiliary,
}

/// The controller.
pub(crate) struct Keyboard {
    /// Its memory. Byte 0 is the command byte.
    ram: [u8; 32],
    output_port: u8,
    /// The byte to read, which stays after it has been read.
    output: u8,
    /// Of the status: what belongs to that byte.
    output_status: u8,
    /// Of the status: which port was written last.
    last: u8,
    next: Option<Destination>,
}

impl Keyboard {
    pub(crate) const fn new() -> Self {
        Self {
            ram: [0; 32],
            output_port: OUTPUT_PORT,
            output: 0,
            output_status: 0,
            last: 0,
            next: None,
        }
    }

    pub(crate) fn read(&mut self, port: u16) -> u8 {
        if port == COMMAND {
            return self.output_status | self.last | status::UNLOCKED | self.ram[0] & SYSTEM_FLAG;
        }
        self.output_status = 0;
        self.output
    }

    pub(crate) fn write(&mut self, port: u16, value: u8) -> Option<Ending> {
        let reset = if port == COMMAND {
            self.last = status::COMMAND;
            self.next = None;
            self.command(value)
        } else {
            self.last = 0;
            self.data(value)
        };
        reset.then_some(Ending::Reset { port: COMMAND })
    }

    /// Carries a command out. Whether it resets the machine.
    fn command(&mut self, command: u8) -> bool {
        match command {
            0x20..=0x3f => self.answer(self.ram[usize::from(command & 0x1f)]),
            0x60..=0x7f => self.next = Some(Destination::Ram(command & 0x1f)),
            0xa7 => self.ram[0] |= AUXILIARY_OFF,
            0xa8 => self.ram[0] &= !AUXILIARY_OFF,
            0xa9 | 0xab => self.answer(INTERFACE_TEST_PASSED),
            0xaa => {
                self.ram[0] |= SYSTEM_FLAG;
                self.answer(SELF_TEST_PASSED);
            }
            0xad => self.ram[0] |= KEYBOARD_OFF,
            0xae => self.ram[0] &= !KEYBOARD_OFF,
            0xc0 => self.answer(INPUT_PORT),
            0xd0 => self.answer(self.output_port | self.lines()),
            0xd1 => self.next = Some(Destination::OutputPort),
            0xd2 => self.next = Some(Destination::KeyboardBuffer),
            0xd3 => self.next = Some(Destination::AuxiliaryBuffer),
            0xd4 => self.next = Some(Destination::Auxiliary),
            // Pulses the output port's low lines whose bits are clear.
            0xf0..=0xff => return command & NOT_RESET == 0,
            _ => {}
        }
        false
    }

    /// Takes a byte at the data port. Whether it resets the machine.
    fn data(&mut self, value: u8) -> bool {
        match self.next.take() {
            Some(Destination::Ram(at)) => self.ram[usize::from(at)] = value,
            Some(Destination::OutputPort) => {
                self.output_port = value & !(KEYBOARD_LINE | AUXILIARY_LINE) | NOT_RESET;
                return value & NOT_RESET == 0;
            }
            Some(Destination::KeyboardBuffer) => self.answer(value),
            Some(Destination::AuxiliaryBuffer) => self.put(value, status::AUXILIARY),
            Some(Destination::Auxiliary) => {
                self.put(NO_ANSWER, status::AUXILIARY | status::TIMEOUT);
            }
            None => {
                // Sending to the keyboard switches its interface on.
                self.ram[0] &= !KEYBOARD_OFF;
                self.put(NO_ANSWER, status::TIMEOUT);
            }
        }
        false
    }

    /// The interrupt lines, as the output port shows them.
    const fn lines(&self) -> u8 {
        match self.output_status & (status::OUTPUT_FULL | status::AUXILIARY) {
            0 => 0,
            status::OUTPUT_FULL => KEYBOARD_LINE,
            _ => AUXILIARY_LINE,
        }
    }

    fn answer(&mut self, value: u8) {
        self.put(value, 0);
    }

    fn put(&mut self, value: u8, with: u8) {
        self.output = value;
        self.output_status = status::OUTPUT_FULL | with;
    }
}
