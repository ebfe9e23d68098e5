//! What a machine says of itself is so: a guest reads every parameter, calls
//! the processors, tries the memory and the timer, and all that is compared
//! with each other and with the description that the machine was made of.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod common;
#[path = "truth/guest.rs"]
mod guest;
#[path = "truth/tables.rs"]
mod tables;
#[path = "../../analysis/tests/common/tool.rs"]
mod tool;

use std::cell::Cell;
use std::path::Path;
use std::time::Duration;

use common::{Buffer, binary, host, with_loaded};
use guest::{Call, NO_PROBE, PATTERN};
use igvm_analysis::document::Document;
use igvm_analysis::host::HostDescription;
use igvm_core::span::Span;
use igvm_core::wire::ParameterKind;
use igvm_devices::Ending;
use kvm_runner::console::{Console, Destination};
use kvm_runner::describe::description;
use kvm_runner::kvm::{Machine, Stop};
use kvm_runner::session::{Session, Settings};
use tables::{Table, cells, number};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

const GIB: u64 = 1 << 30;

/// A machine whose guest has looked at it.
struct Looked<'a>(&'a Machine);

/// Lets the guest look at a machine, and once more after a reset; `check` judges
/// both.
fn look(call: Call, processors: u32, memory: u64, check: impl Fn(&Looked<'_>)) {
    let Some(host) = host() else { return };
    let host = Cell::new(Some(host));
    let document = Document::from_bytes(guest::file(call)).unwrap();
    let command_line = "all of it".to_owned();
    let described =
        HostDescription { processors, memory, command_line, ..HostDescription::default() };
    with_loaded(&document, described, |loaded| {
        let debug = Destination::Writer(Box::new(Buffer::default()));
        let console = Console::new(Destination::Nowhere, debug, None);
        let host = host.take().expect("loaded once");
        let machine = Machine::new(host, &loaded.image, processors).unwrap();
        let settings = Settings { limit: Some(Duration::from_secs(40)), ..Settings::default() };
        let told = description(loaded.host);
        let mut session =
            Session::new(machine, &loaded.image, &told, console, None, settings).unwrap();
        for _ in 0..2 {
            let report = session.run(|_| {}).unwrap();
            let looked = Looked(&session.machine);
            let ended = Stop::Ended(Ending::Exit { value: 0x10 });
            assert_eq!(report.stop, ended, "{report}\n{}", looked.progress());
            check(&looked);
            // Memory that the file does not name would keep them.
            let none = vec![0; guest::RESULTS_LEN];
            session.machine.memory().write_slice(&none, GuestAddress(guest::RESULTS)).unwrap();
            session.reset().unwrap();
        }
    });
}

impl Looked<'_> {
    fn memory(&self) -> &GuestMemoryMmap {
        self.0.memory()
    }

    fn word(&self, gpa: u64) -> u32 {
        self.memory().read_obj(GuestAddress(gpa)).unwrap()
    }

    fn area(&self, kind: ParameterKind) -> Vec<u8> {
        let mut bytes = vec![0; guest::area_len()];
        self.memory().read_slice(&mut bytes, GuestAddress(guest::area(kind))).unwrap();
        bytes
    }

    /// An ACPI table: as long as its header says, and nothing behind it.
    fn acpi(&self, kind: ParameterKind) -> Vec<u8> {
        let mut bytes = self.area(kind);
        let len = u32::from_le_bytes(bytes[4..8].try_into().unwrap()) as usize;
        assert!(bytes[len..].iter().all(|byte| *byte == 0), "{kind}");
        bytes.truncate(len);
        bytes
    }

    fn progress(&self) -> String {
        let arrived = self.word(guest::ARRIVED);
        let (memory, ticks) = (self.word(guest::PAST_MEMORY), self.word(guest::TICKS));
        format!("{arrived} processors arrived; past memory: {memory}; {ticks} ticks")
    }

    /// Addresses and what the guest read there.
    fn probes(&self, from: u64) -> Vec<(u64, u64)> {
        let pair = |nth: u64| -> [u64; 2] {
            self.memory().read_obj(GuestAddress(from + nth * 16)).unwrap()
        };
        (0..)
            .map(pair)
            .take_while(|[gpa, _]| *gpa != NO_PROBE)
            .map(|[gpa, read]| (gpa, read))
            .collect()
    }

    /// Ranges of pages with their type, of entries of `stride` bytes.
    fn ranges(&self, kind: ParameterKind, stride: usize) -> Vec<(Span, u64)> {
        let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap());
        let area = self.area(kind);
        let entries = area.chunks_exact(stride).map(|entry| {
            let span = Span::new(number(&entry[..8]) << 12, number(&entry[8..16]) << 12);
            (span, entry[16..].first_chunk().map_or(0, |more| u64::from_le_bytes(*more)))
        });
        entries.take_while(|(span, _)| span.len != 0).collect()
    }
}

/// APIC ids by every way a processor knows its own, sorted; and that each is
/// where the others say.
fn apic_ids(looked: &Looked<'_>, count: u32) -> Vec<u64> {
    let mut ids = vec![];
    for nth in 0..u64::from(count) {
        let record = guest::RECORDS + nth * guest::RECORD_LEN;
        let [leaf_1, leaf_b, package, base, apic] =
            [0, 4, 8, 12, 16].map(|field| looked.word(record + field));
        assert_eq!((leaf_1 >> 24, apic >> 24), (leaf_b, leaf_b), "processor {nth}");
        // Neither topology leaf tells of other processors than there are.
        assert_eq!(package & 0xffff, count, "processor {nth}");
        assert_eq!(leaf_1 >> 16 & 0xff, count, "processor {nth}");
        // Where it is, enabled, and one is the bootstrap processor.
        assert_eq!(base & !0x100, guest::LOCAL_APIC | 0x800, "processor {nth}");
        assert_eq!(base & 0x100 != 0, leaf_b == 0, "processor {nth}");
        ids.push(leaf_b.into());
    }
    ids.sort_unstable();
    ids
}

/// What the description promises, from the description alone.
struct Promised {
    ids: Vec<u64>,
    ram: Vec<Span>,
}

#[track_caller]
fn processors_are_as_told(looked: &Looked<'_>, promised: &Promised) {
    let count = promised.ids.len() as u32;
    assert_eq!(looked.0.processors(), count);
    assert_eq!(looked.word(guest::area(ParameterKind::VpCount)), count);
    assert_eq!(looked.word(guest::ARRIVED), count);
    assert_eq!(apic_ids(looked, count), promised.ids);
    assert_eq!(
        looked.word(guest::area(ParameterKind::EnvironmentInfo)),
        0,
        "all memory is private"
    );
    assert!(looked.area(ParameterKind::CommandLine).starts_with(b"all of it\0"));
}

#[track_caller]
fn memory_is_as_told(looked: &Looked<'_>, promised: &Promised) {
    let map = looked.ranges(ParameterKind::MemoryMap, 24);
    let ram: Vec<_> = promised.ram.iter().map(|ram| (*ram, 0)).collect();
    assert_eq!(map, ram, "all of it of the type MEMORY");
    let ends = |span: &Span| [span.start, span.end() - 8];
    let written: Vec<_> =
        promised.ram.iter().flat_map(ends).map(|gpa| (gpa, gpa ^ PATTERN)).collect();
    assert_eq!(looked.probes(guest::RAM_PROBES), written);
    let behind: Vec<_> = promised.ram.iter().map(|ram| (ram.end(), u64::MAX)).collect();
    assert_eq!(looked.probes(guest::END_PROBES), behind);

    let mmio: Vec<_> =
        looked.ranges(ParameterKind::MmioRanges, 16).into_iter().map(|(span, _)| span).collect();
    assert_eq!(mmio.len(), 2);
    let nothing: Vec<_> = mmio.iter().flat_map(ends).map(|gpa| (gpa, u64::MAX)).collect();
    assert_eq!(looked.probes(guest::MMIO_PROBES), nothing);
    let address_bits = looked.word(guest::ADDRESS_SIZES) & 0xff;
    let apics = Span::between(guest::IO_APIC.into(), 4 * GIB);
    for mmio in mmio {
        assert!(!promised.ram.iter().any(|ram| ram.overlaps(mmio)), "{mmio} is RAM");
        assert!(!mmio.overlaps(apics), "{mmio}");
        assert!(mmio.end() <= 1 << address_bits, "{mmio}: {address_bits} address bits");
    }
}

/// The values of one field, sorted.
fn all(table: &Table, kind: &str, field: &str) -> Vec<u64> {
    let mut values: Vec<_> =
        table.subtables(kind).into_iter().map(|fields| number(fields, field)).collect();
    values.sort_unstable();
    values
}

/// All but where iasl is missing, which is said.
fn acpi_is_as_told(looked: &Looked<'_>, promised: &Promised, folder: &Path) -> Option<()> {
    let read = |signature, kind| Table::read(folder, signature, &looked.acpi(kind));

    let madt = read("APIC", ParameterKind::Madt)?;
    assert_eq!(number(&madt.fields, "Local Apic Address"), u64::from(guest::LOCAL_APIC));
    let processor = "00 [Processor Local APIC]";
    assert_eq!(all(&madt, processor, "Local Apic ID"), promised.ids);
    assert_eq!(all(&madt, processor, "Processor ID"), promised.ids);
    assert_eq!(all(&madt, processor, "Processor Enabled"), vec![1; promised.ids.len()]);
    assert_eq!(all(&madt, "01 [I/O APIC]", "Address"), [u64::from(guest::IO_APIC)]);
    assert_eq!(all(&madt, "01 [I/O APIC]", "Interrupt"), [0]);
    // It answered there, with 24 pins.
    assert_eq!(looked.word(guest::IO_APIC_VERSION) >> 16, 23);
    // The timer ticked through the pin that the table tells of.
    let moved = "02 [Interrupt Source Override]";
    assert_eq!(all(&madt, moved, "Source"), [0]);
    assert_eq!(all(&madt, moved, "Interrupt"), [u64::from(guest::TIMER_PIN)]);
    assert!(looked.word(guest::TICKS) >= 2);
    assert_eq!(madt.subtables.len(), promised.ids.len() + 2);

    let srat = read("SRAT", ParameterKind::Srat)?;
    let processor = "00 [Processor Local APIC/SAPIC Affinity]";
    assert_eq!(all(&srat, processor, "Apic ID"), promised.ids);
    let memory: Vec<_> = srat
        .subtables("01 [Memory Affinity]")
        .into_iter()
        .map(|fields| Span::new(number(fields, "Base Address"), number(fields, "Address Length")))
        .collect();
    assert_eq!(memory, promised.ram);
    assert_eq!(srat.subtables.len(), promised.ids.len() + promised.ram.len());
    for (kind, fields) in &srat.subtables {
        assert_eq!(number(fields, "Enabled"), 1, "{kind}");
        let domain = ["Proximity Domain", "Proximity Domain Low(8)"];
        let domain = domain.iter().find(|name| fields.contains_key(**name)).unwrap();
        assert_eq!(number(fields, domain), 0, "{kind}");
    }

    // One node, as SRAT says.
    let slit = read("SLIT", ParameterKind::Slit)?;
    assert_eq!(number(&slit.fields, "Localities"), 1);

    // A package and a core for each of MADT's processors.
    let pptt = read("PPTT", ParameterKind::Pptt)?;
    let nodes = pptt.subtables("00 [Processor Hierarchy Node]");
    let (packages, cores): (Vec<_>, Vec<_>) =
        nodes.into_iter().partition(|fields| number(fields, "Physical package") == 1);
    let [package] = packages[..] else { panic!("{packages:?}") };
    assert_eq!(number(package, "Parent"), 0);
    let ids: Vec<_> = cores.iter().map(|core| number(core, "ACPI Processor ID")).collect();
    assert_eq!(ids, promised.ids);
    for core in &cores {
        assert_eq!(number(core, "ACPI Processor ID valid"), 1);
        assert_ne!(number(core, "Parent"), 0);
    }
    assert_eq!(pptt.subtables.len(), promised.ids.len() + 1);
    Some(())
}

fn device_tree_is_as_told(looked: &Looked<'_>, promised: &Promised, folder: &Path) -> Option<()> {
    let nodes = tables::device_tree(folder, &looked.area(ParameterKind::DeviceTree))?;
    let named = |prefix: &str| -> Vec<_> {
        nodes
            .iter()
            .filter(|(name, _)| name.starts_with(prefix))
            .map(|(_, fields)| fields)
            .collect()
    };
    let ids: Vec<_> = named("cpu@").iter().flat_map(|cpu| cells(cpu, "reg")).collect();
    assert_eq!(ids, promised.ids);
    let ram: Vec<_> = named("memory@")
        .iter()
        .map(|memory| match cells(memory, "reg")[..] {
            [base_high, base, len_high, len] => {
                Span::new(base_high << 32 | base, len_high << 32 | len)
            }
            ref cells => panic!("{cells:x?}"),
        })
        .collect();
    assert_eq!(ram, promised.ram);
    assert_eq!(named("chosen")[0]["bootargs"], "\"all of it\"");
    Some(())
}

fn tells_the_truth(processors: u32, memory: u64, ram: &[Span]) {
    let promised = Promised { ids: (0..processors.into()).collect(), ram: ram.to_vec() };
    let folder = binary::folder(&format!("truth-{processors}"));
    look(Call::All, processors, memory, |looked| {
        processors_are_as_told(looked, &promised);
        assert_eq!(looked.word(guest::BEFORE_SIPI), 1, "somebody came before a SIPI");
        memory_is_as_told(looked, &promised);
        acpi_is_as_told(looked, &promised, &folder);
        device_tree_is_as_told(looked, &promised, &folder);
    });
}

#[test]
fn one_processor() {
    tells_the_truth(1, 256 << 20, &[Span::new(0, 256 << 20)]);
}

#[test]
fn four_processors() {
    tells_the_truth(4, 64 << 20, &[Span::new(0, 64 << 20)]);
}

/// RAM on both sides of the devices.
#[test]
fn ram_above_4_gib() {
    tells_the_truth(2, 3 * GIB, &[Span::new(0, 2 * GIB), Span::new(4 * GIB, GIB)]);
}

/// The second processor starts from its context in the file, before anybody has
/// sent a SIPI; the third waits for one.
#[test]
fn a_processor_with_a_context_starts_from_it() {
    let promised = Promised { ids: vec![0, 1, 2], ram: vec![Span::new(0, 64 << 20)] };
    look(Call::Third, 3, 64 << 20, |looked| {
        processors_are_as_told(looked, &promised);
        assert_eq!(looked.word(guest::BEFORE_SIPI), 2, "the third did not wait");
    });
}
