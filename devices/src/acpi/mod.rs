//! The ACPI tables of this PC (ACPI specification 6.5, chapter 5): what an
//! operating system finds its chipset by.
//!
//! The tables point at each other, so their bytes depend on where they lie.
//! They are made once, with offsets where addresses will be and a list of those
//! places (`Linked`). Then there are two ways into the guest: firmware runs
//! the list itself, as a script it reads by fw_cfg (`loader`), or the list is
//! run here, for memory that no firmware prepares ([`tables_at`]).
//!
//! Tables of processors and memory (MADT, SRAT, SLIT, PPTT) are made by whoever
//! describes the machine and are only linked here.

mod dsdt;
mod fixed;
pub(crate) mod loader;

use acpi_tables::Aml;
use acpi_tables::facs::FACS;
use acpi_tables::mcfg::MCFG;
use acpi_tables::rsdp::Rsdp;
use acpi_tables::xsdt::XSDT;
use igvm_core::span::Span;

use crate::pm;

const OEM_ID: [u8; 6] = *b"IGVMPG";
const OEM_TABLE_ID: [u8; 8] = *b"PLAYGRND";
const OEM_REVISION: u32 = 1;

/// Where a system description table has its checksum.
const CHECKSUM: usize = 9;

/// What the tables say of the chipset, as firmware has set it up or, where there
/// is none, as it is at power-up.
#[derive(Debug, Clone)]
pub struct Chipset {
    /// First port of the power-management block.
    pub pm_base: u16,
    /// Where configuration space is mapped, a MiB for each bus from 0 on.
    pub ecam: Option<Span>,
    /// Memory addresses for PCI devices. Where the mapped configuration space
    /// lies in one of them it is left out.
    pub windows: Vec<Span>,
}

impl Chipset {
    /// The chipset as no firmware has touched it, with the windows of the
    /// machine.
    #[must_use]
    pub fn at_power_up(windows: &[Span]) -> Self {
        Self { pm_base: pm::POWER_UP_BASE, ecam: None, windows: windows.to_vec() }
    }
}

/// A table that is made elsewhere, for the XSDT to name.
#[derive(Debug, Clone, Copy)]
pub enum Table<'a> {
    /// A whole table, which is put beside the others.
    Bytes(&'a [u8]),
    /// A table that somebody else puts at a guest physical address.
    At(u64),
}

/// The tables for memory that no firmware prepares: bytes for `gpa`, with the
/// RSDP at their beginning, checksums right and no fixing up left to do.
///
/// `None` where `gpa` is not a multiple of 64, as the FACS wants it, or the
/// tables would pass 4 GiB, which 32-bit pointers cannot.
#[must_use]
pub fn tables_at(gpa: u32, chipset: &Chipset, others: &[Table<'_>]) -> Option<Vec<u8>> {
    /// The RSDP's 36 bytes, rounded up for the FACS behind it.
    const TABLES: usize = 64;
    let mut linked = Linked::new(chipset, others);
    let end = u64::from(gpa) + (TABLES + linked.tables.len()) as u64;
    if !gpa.is_multiple_of(64) || end > 1 << 32 {
        return None;
    }
    linked.link(u64::from(gpa) + TABLES as u64);
    let mut bytes = linked.rsdp;
    bytes.resize(TABLES, 0);
    bytes.extend(linked.tables);
    Some(bytes)
}

/// The two parts that go to places of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The root pointer.
    Rsdp,
    /// Everything it leads to.
    Tables,
}

/// A number that will be an address: now it is an offset into the tables.
struct Pointer {
    part: Part,
    at: usize,
    /// 4 or 8 bytes.
    len: usize,
}

/// A byte, zero now, that will make a range sum up to zero.
struct Sum {
    part: Part,
    at: usize,
    start: usize,
    len: usize,
}

/// The tables before it is known where they go.
struct Linked {
    rsdp: Vec<u8>,
    tables: Vec<u8>,
    pointers: Vec<Pointer>,
    sums: Vec<Sum>,
}

impl Linked {
    fn new(chipset: &Chipset, others: &[Table<'_>]) -> Self {
        let mut linked = Self { rsdp: vec![], tables: vec![], pointers: vec![], sums: vec![] };
        // The FACS comes first: 64 bytes of alignment are its alone.
        let facs = linked.place(&bytes(&FACS::new()));
        let dsdt = linked.place(&dsdt::dsdt(chipset));
        let mut named = vec![linked.fadt(chipset.pm_base, facs, dsdt)];
        if let Some(ecam) = chipset.ecam {
            named.push(linked.place(&mcfg(ecam)));
        }
        let named = named.into_iter().map(|at| (at as u64, true)).collect();
        let named = others.iter().fold(named, |mut named: Vec<_>, other| {
            named.push(match *other {
                Table::Bytes(table) => (linked.place(table) as u64, true),
                Table::At(gpa) => (gpa, false),
            });
            named
        });
        let xsdt = linked.xsdt(&named);
        linked.root(xsdt);
        linked
    }

    /// Puts a table behind the others, and says at which offset.
    fn place(&mut self, table: &[u8]) -> usize {
        let at = self.tables.len().next_multiple_of(8);
        self.tables.resize(at, 0);
        self.tables.extend(table);
        at
    }

    /// The same for a table that holds pointers: its sum is taken later.
    fn place_linked(&mut self, table: &[u8]) -> usize {
        let at = self.place(table);
        self.tables[at + CHECKSUM] = 0;
        self.sums.push(Sum { part: Part::Tables, at: at + CHECKSUM, start: at, len: table.len() });
        at
    }

    fn fadt(&mut self, pm_base: u16, facs: usize, dsdt: usize) -> usize {
        let at = self.place_linked(&fixed::fadt(pm_base, facs as u32, dsdt as u32));
        for (field, len) in fixed::POINTERS {
            self.pointers.push(Pointer { part: Part::Tables, at: at + field, len });
        }
        at
    }

    /// The list of tables: each an offset that will be an address (`true`), or
    /// an address already.
    fn xsdt(&mut self, named: &[(u64, bool)]) -> usize {
        /// Bytes before the first entry.
        const HEADER: usize = 36;
        let mut xsdt = XSDT::new(OEM_ID, OEM_TABLE_ID, OEM_REVISION);
        for (table, _) in named {
            xsdt.add_entry(*table);
        }
        let at = self.place_linked(&bytes(&xsdt));
        let offsets = (at + HEADER..).step_by(8).zip(named).filter(|(_, (_, offset))| *offset);
        self.pointers.extend(offsets.map(|(at, _)| Pointer { part: Part::Tables, at, len: 8 }));
        at
    }

    fn root(&mut self, xsdt: usize) {
        /// XsdtAddress.
        const POINTER: usize = 24;
        /// Checksum, over the first 20 bytes as in ACPI 1.0, and Extended
        /// Checksum, over all of them.
        const SUMS: [(usize, usize); 2] = [(8, 20), (32, 36)];
        self.rsdp = bytes(&Rsdp::new(OEM_ID, xsdt as u64));
        self.pointers.push(Pointer { part: Part::Rsdp, at: POINTER, len: 8 });
        for (at, len) in SUMS {
            self.rsdp[at] = 0;
            self.sums.push(Sum { part: Part::Rsdp, at, start: 0, len });
        }
    }

    fn part(&mut self, part: Part) -> &mut [u8] {
        match part {
            Part::Rsdp => &mut self.rsdp,
            Part::Tables => &mut self.tables,
        }
    }

    /// Makes addresses of the offsets, for tables that start at `base`, and then
    /// the sums.
    fn link(&mut self, base: u64) {
        for Pointer { part, at, len } in std::mem::take(&mut self.pointers) {
            let field = &mut self.part(part)[at..at + len];
            let mut offset = [0; 8];
            offset[..len].copy_from_slice(field);
            let address = u64::from_le_bytes(offset) + base;
            field.copy_from_slice(&address.to_le_bytes()[..len]);
        }
        for Sum { part, at, start, len } in std::mem::take(&mut self.sums) {
            let part = self.part(part);
            let sum =
                part[start..start + len].iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
            part[at] = sum.wrapping_neg();
        }
    }
}

/// Where configuration space is mapped (PCI Firmware Specification 3.3, section
/// 4.1.2).
fn mcfg(ecam: Span) -> Vec<u8> {
    let mut mcfg = MCFG::new(OEM_ID, OEM_TABLE_ID, OEM_REVISION);
    mcfg.add_ecam(ecam.start, 0, 0, last_bus(ecam));
    bytes(&mcfg)
}

/// The last bus of a mapping.
fn last_bus(ecam: Span) -> u8 {
    u8::try_from((ecam.len >> 20).saturating_sub(1)).unwrap_or(u8::MAX)
}

fn bytes(table: &dyn Aml) -> Vec<u8> {
    let mut bytes = Vec::new();
    table.to_aml_bytes(&mut bytes);
    bytes
}
