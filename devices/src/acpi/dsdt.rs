//! The DSDT: the PCI bus with its windows and interrupts, what is on the board,
//! and how to switch off (ACPI specification 6.5, chapters 6, 7 and 19).

use acpi_tables::aml::{
    AddressSpace, AddressSpaceCacheable, Device, EISAName, IO, Interrupt, Name, PackageBuilder,
    Path, ResourceTemplate, Scope,
};
use acpi_tables::sdt::Sdt;
use acpi_tables::{Aml, AmlSink};
use igvm_core::span::Span;

use super::{Chipset, OEM_ID, OEM_REVISION, OEM_TABLE_ID, bytes, last_bus};
use crate::{COM1, COM1_IRQ, DEBUG_PORT, EXIT_PORT, cmos, fw_cfg, pci, pm};

/// Bytes of the header that every system description table has.
const HEADER_LEN: u32 = 36;
/// Integers have 64 bits from this revision on.
const REVISION: u8 = 2;

/// The device number of the LPC bridge, which leads to what once was ISA.
const LPC_DEVICE: u32 = 31;

pub(super) fn dsdt(chipset: &Chipset) -> Vec<u8> {
    let mut dsdt = Sdt::new(*b"DSDT", HEADER_LEN, REVISION, OEM_ID, OEM_TABLE_ID, OEM_REVISION);
    // The sleep type that switches off, for PM1a and PM1b.
    dsdt.append_slice(&bytes(&name("_S5_", &package(&[pm::SOFT_OFF, pm::SOFT_OFF, 0, 0]))));
    let (root, board) = (pci_root(chipset), board(chipset));
    dsdt.append_slice(&bytes(&Scope::new(Path::new("_SB_"), vec![&root, &board])));
    dsdt.as_slice().to_vec()
}

/// AML that is made already: the crate's terms borrow what they hold.
struct Made(Vec<u8>);

impl Aml for Made {
    fn to_aml_bytes(&self, sink: &mut dyn AmlSink) {
        sink.vec(&self.0);
    }
}

fn name(path: &str, value: &dyn Aml) -> Made {
    Made(bytes(&Name::new(Path::new(path), value)))
}

fn package(numbers: &[u32]) -> PackageBuilder {
    let mut package = PackageBuilder::new();
    numbers.iter().for_each(|number| package.add_element(number));
    package
}

fn device(path: &str, parts: &[Made]) -> Made {
    let parts = parts.iter().map(|part| part as &dyn Aml).collect();
    Made(bytes(&Device::new(Path::new(path), parts)))
}

/// `_CRS`: what a device takes, or a bridge decodes.
fn resources(resources: &[Made]) -> Made {
    let resources = resources.iter().map(|resource| resource as &dyn Aml).collect();
    name("_CRS", &ResourceTemplate::new(resources))
}

/// Ports, first to last.
fn ports(first: u16, len: u8) -> Made {
    Made(bytes(&IO::new(first, first, 1, len)))
}

/// Memory addresses; by a descriptor of 32 bits where that is enough.
fn memory(range: Span) -> Made {
    let uncached = AddressSpaceCacheable::NotCacheable;
    let last = range.start + (range.len - 1);
    Made(match (u32::try_from(range.start), u32::try_from(last)) {
        (Ok(first), Ok(last)) => {
            bytes(&AddressSpace::new_memory(uncached, true, first, last, None))
        }
        _ => bytes(&AddressSpace::new_memory(uncached, true, range.start, last, None)),
    })
}

/// The root of the PCI Express hierarchy.
fn pci_root(chipset: &Chipset) -> Made {
    device(
        "PCI0",
        &[
            name("_HID", &EISAName::new("PNP0A08")),
            name("_CID", &EISAName::new("PNP0A03")),
            name("_UID", &0_u32),
            name("_SEG", &0_u32),
            name("_BBN", &0_u32),
            windows(chipset),
            interrupts(),
            device("ISA_", &[name("_ADR", &(LPC_DEVICE << 16)), com1(), clock()]),
        ],
    )
}

/// What the root decodes: buses, ports around the configuration mechanism's
/// own, memory.
fn windows(chipset: &Chipset) -> Made {
    const MECHANISM_LEN: u16 = 8;
    let io = |first: u16, last: u16| Made(bytes(&AddressSpace::<u16>::new_io(first, last, None)));
    let last_bus: u16 = chipset.ecam.map_or(0xff, last_bus).into();
    let mut decoded = vec![
        Made(bytes(&AddressSpace::<u16>::new_bus_number(0, last_bus))),
        ports(pci::ADDRESS, MECHANISM_LEN as u8),
        io(0, pci::ADDRESS - 1),
        io(pci::ADDRESS + MECHANISM_LEN, 0xffff),
    ];
    for window in &chipset.windows {
        let (below, above) = match chipset.ecam.and_then(|ecam| ecam.intersection(*window)) {
            Some(hole) => {
                (Span::between(window.start, hole.start), Span::between(hole.end(), window.end()))
            }
            None => (*window, Span::default()),
        };
        decoded.extend([below, above].into_iter().filter(|part| !part.is_empty()).map(memory));
    }
    resources(&decoded)
}

/// `_PRT`: which I/O APIC input the pins of each device reach. There are no
/// link devices, since nothing can be rerouted.
fn interrupts() -> Made {
    const ANY_FUNCTION: u32 = 0xffff;
    let mut routes = PackageBuilder::new();
    for device in 0..32_u8 {
        for pin in 0..4_u8 {
            let address = u32::from(device) << 16 | ANY_FUNCTION;
            // Here pin 0 is INTA#, in configuration space it is 1.
            let input = pci::io_apic_input(device, pin + 1);
            routes.add_element(&package(&[address, pin.into(), 0, input]));
        }
    }
    name("_PRT", &routes)
}

fn com1() -> Made {
    let line = Interrupt::new(true, true, false, false, COM1_IRQ);
    device(
        "COM1",
        &[
            name("_HID", &EISAName::new("PNP0501")),
            name("_UID", &1_u32),
            resources(&[ports(COM1, 8), Made(bytes(&line))]),
        ],
    )
}

/// The real-time clock, without its interrupt: it raises none.
fn clock() -> Made {
    device("RTC_", &[name("_HID", &EISAName::new("PNP0B00")), resources(&[ports(cmos::INDEX, 2)])])
}

/// What no other device claims and nobody may be put over.
fn board(chipset: &Chipset) -> Made {
    let mut taken = vec![
        ports(pm::APM, (pm::APM_END - pm::APM) as u8),
        ports(DEBUG_PORT, 1),
        ports(EXIT_PORT, 4),
        ports(fw_cfg::SELECTOR, (fw_cfg::END - fw_cfg::SELECTOR) as u8),
        ports(chipset.pm_base, pm::LEN as u8),
    ];
    taken.extend(chipset.ecam.map(memory));
    device(
        "MBRD",
        &[name("_HID", &EISAName::new("PNP0C02")), name("_UID", &0_u32), resources(&taken)],
    )
}
