//! An i440FX-like PCI bus 0 by configuration mechanism 1: the host bridge, the
//! PIIX3 ISA bridge and the PIIX4 power management, which is what PC firmware
//! looks for. There are no base address registers and nothing to find beyond.

/// CONFIG_ADDRESS, a double word.
pub(crate) const ADDRESS: u16 = 0xcf8;
/// First port of CONFIG_DATA.
pub(crate) const DATA: u16 = 0xcfc;

/// CONFIG_ADDRESS: accesses to CONFIG_DATA go to configuration space.
const ENABLE: u32 = 1 << 31;

/// Where the power-management block is before anybody moves it. On the real
/// chip firmware has to put it there; a file that starts an operating system
/// brings no firmware, so here it is there from the start.
const PM_BASE: u16 = 0xb000;
/// PIIX4: the block's base, bits 15:6.
const PMBA: usize = 0x40;
/// PIIX4, function 3: bit 0 turns the block on.
const PMREGMISC: usize = 0x80;

const COMMAND: usize = 0x04;
const INTERRUPT_LINE: usize = 0x3c;

/// One function's configuration space.
struct Function {
    /// Device and function number, as CONFIG_ADDRESS has them in bits 15:8.
    number: u8,
    config: [u8; 256],
    /// The bits that can be written.
    writable: [u8; 256],
}

impl Function {
    /// `class` is base class and subclass, `subsystem` vendor and device.
    fn new(number: u8, device: u16, class: u16, header: u8, subsystem: Option<(u16, u16)>) -> Self {
        let mut function = Self { number, config: [0; 256], writable: [0; 256] };
        function.word(0x00, 0x8086);
        function.word(0x02, device);
        function.word(COMMAND, 0x0007);
        function.word(0x0a, class);
        function.config[0x0e] = header;
        if let Some((vendor, device)) = subsystem {
            function.word(0x2c, vendor);
            function.word(0x2e, device);
        }
        function.writable[COMMAND] = 0x07;
        function.writable[COMMAND + 1] = 0x01;
        function.writable[INTERRUPT_LINE] = 0xff;
        function
    }

    fn word(&mut self, at: usize, value: u16) {
        self.config[at..at + 2].copy_from_slice(&value.to_le_bytes());
    }
}

/// CONFIG_ADDRESS and the functions behind it.
pub(crate) struct Pci {
    address: u32,
    functions: [Function; 3],
}

impl Pci {
    pub(crate) fn new() -> Self {
        Self { address: 0, functions: [host_bridge(), isa_bridge(), power_management()] }
    }

    pub(crate) const fn address(&self) -> u32 {
        self.address
    }

    pub(crate) const fn set_address(&mut self, value: u32) {
        // Bits 30:24 and 1:0 are fixed at zero.
        self.address = value & 0x80ff_fffc;
    }

    /// Reads the byte at `offset` from [`DATA`].
    pub(crate) fn read(&self, offset: u8) -> u8 {
        let (number, register) = self.selected(offset);
        match self.functions.iter().find(|function| Some(function.number) == number) {
            Some(function) => function.config[register],
            None => 0xff,
        }
    }

    /// Writes the byte at `offset` from [`DATA`].
    pub(crate) fn write(&mut self, offset: u8, value: u8) {
        let (number, register) = self.selected(offset);
        if let Some(function) =
            self.functions.iter_mut().find(|function| Some(function.number) == number)
        {
            let writable = function.writable[register];
            let byte = &mut function.config[register];
            *byte = *byte & !writable | value & writable;
        }
    }

    /// First I/O port of the power-management block, where it is on.
    pub(crate) fn pm_base(&self) -> Option<u16> {
        let config = &self.functions[2].config;
        let base = u16::from_le_bytes([config[PMBA], config[PMBA + 1]]) & 0xffc0;
        (config[PMREGMISC] & 1 != 0 && base != 0).then_some(base)
    }

    /// The function on bus 0 and the register that CONFIG_DATA reaches.
    fn selected(&self, offset: u8) -> (Option<u8>, usize) {
        let [register, number, bus, _] = self.address.to_le_bytes();
        let on_bus_0 = self.address & ENABLE != 0 && bus == 0;
        (on_bus_0.then_some(number), usize::from(register & 0xfc | offset & 3))
    }
}

/// 00:00.0, the 82441FX. The subsystem is the one by which firmware made for
/// virtual machines knows it.
fn host_bridge() -> Function {
    let mut function = Function::new(0x00, 0x1237, 0x0600, 0, Some((0x1af4, 0x1100)));
    // PAM: who answers at 0xc0000 to 0xfffff, memory or firmware, read and
    // write. Here all of that is memory, readable and writable, whatever these
    // registers say: they only remember.
    function.writable[0x59..=0x5f].fill(0xff);
    // SMRAM control, which only remembers too.
    function.writable[0x72] = 0xff;
    function
}

/// 00:01.0, the PIIX3: the routes from PCI interrupts to ISA lines, all off.
fn isa_bridge() -> Function {
    let mut function = Function::new(0x08, 0x7000, 0x0601, 0x80, Some((0x1af4, 0x1100)));
    function.config[0x60..=0x63].fill(0x80);
    function.writable[0x60..=0x63].fill(0x8f);
    function
}

/// 00:01.3, the PIIX4's power management.
fn power_management() -> Function {
    let mut function = Function::new(0x0b, 0x7113, 0x0680, 0, Some((0x1af4, 0x1100)));
    // Its interrupt is ISA line 9, by pin A.
    function.config[INTERRUPT_LINE] = 9;
    function.config[INTERRUPT_LINE + 1] = 1;
    function.word(PMBA, PM_BASE | 1);
    function.writable[PMBA..PMBA + 2].copy_from_slice(&[0xc0, 0xff]);
    function.config[PMREGMISC] = 1;
    function.writable[PMREGMISC] = 1;
    // Device activity B, bit 25: writes to the APM port raise an SMI already.
    // Firmware takes that as "system management mode is set up" and leaves it
    // alone, which is right where there is none.
    function.config[0x5b] = 0x02;
    // The base and the enable bit of a system-management bus without devices.
    function.config[0x90] = 1;
    function.writable[0x90..0x92].copy_from_slice(&[0xf0, 0xff]);
    function.writable[0xd2] = 0x0f;
    function
}
