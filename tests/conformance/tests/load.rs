//! Loading, end to end, against a loader that is too simple to be wrong: guest
//! memory as a map of pages, areas as vectors of bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::discriminant;

use igvm_conformance::machine::{Room, inspect};
use igvm_conformance::random::Random;
use igvm_core::defs::{
    IGVM_VHS_ERROR_RANGE, IGVM_VHS_MEMORY_MAP_ENTRY, IGVM_VHS_PARAMETER_INSERT,
    IGVM_VHS_RELOCATABLE_REGION, IGVM_VHS_REQUIRED_MEMORY, IgvmArchitecture, IgvmPlatformType,
    MemoryMapEntryType, RequiredMemoryFlags, VbsVpContextRegister,
};
use igvm_core::file::HeaderRef;
use igvm_core::load::{
    Host, ProblemKind, Relocation, RelocationRefusal, RequiredMemoryPolicy, Space,
};
use igvm_core::span::Span;
use igvm_core::wire::ParameterKind;
use igvm_core::write::{Context, Data, FileBuilder, HeaderSpec, Version};
use zerocopy::IntoBytes;

const NATIVE: u32 = 1;
const OTHER: u32 = 2;
const PAGE: u64 = 4096;
/// Pages that the files and the model speak of.
const PAGES: u64 = 64;
/// The region that may move, in pages.
const REGION: std::ops::Range<u64> = 16..24;

#[derive(Debug, Clone)]
enum Op {
    Page { page: u64, mask: u32, fill: u8 },
    Area { index: u32, pages: u64, initial: Vec<u8> },
    Parameter { kind: ParameterKind, index: u32, offset: u32 },
    Insert { page: u64, mask: u32, index: u32 },
    Required { page: u64, mask: u32, pages: u64 },
    Error { page: u64, mask: u32, pages: u64 },
}

fn op(random: &mut Random) -> Op {
    let page = random.below(32);
    let mask = random.pick(&[NATIVE, NATIVE, NATIVE | OTHER, OTHER]);
    let index = random.below(4) as u32;
    match random.below(12) {
        0..=2 => Op::Page { page, mask, fill: random.pick(&[0, 0, 1, 2, 3]) },
        3 | 4 => {
            let pages = 1 + random.below(3);
            let mut initial = vec![0; random.below(pages * PAGE) as usize];
            random.fill(&mut initial);
            Op::Area { index, pages, initial }
        }
        5..=8 => {
            let offset = random.pick(&[0, 1, 2, 20, 60, 4092, 4093, 8190, 12280, u32::MAX]);
            let kind = random.pick(&ParameterKind::ALL);
            Op::Parameter { kind, index, offset }
        }
        9 => Op::Insert { page, mask, index },
        10 => Op::Required { page, mask, pages: random.below(6) },
        _ => Op::Error { page, mask, pages: random.below(4) },
    }
}

fn region() -> HeaderSpec<'static> {
    HeaderSpec::RelocatableRegion(IGVM_VHS_RELOCATABLE_REGION {
        compatibility_mask: NATIVE,
        vp_index: 0,
        vtl: 0,
        flags: 0,
        relocation_alignment: PAGE,
        relocation_region_gpa: REGION.start * PAGE,
        relocation_region_size: (REGION.end - REGION.start) * PAGE,
        minimum_relocation_gpa: 0,
        maximum_relocation_gpa: PAGES * PAGE,
    })
}

fn build(ops: &[Op]) -> Vec<u8> {
    let mut file = FileBuilder::new(Version::V2_X64);
    file.push(HeaderSpec::platform(IgvmPlatformType::NATIVE, NATIVE)).unwrap();
    file.push(HeaderSpec::platform(IgvmPlatformType::TDX, OTHER)).unwrap();
    file.push(region()).unwrap();
    for op in ops {
        push(&mut file, op);
    }
    file.finish()
}

fn push(file: &mut FileBuilder, op: &Op) {
    let filled;
    let spec = match *op {
        Op::Page { page, mask, fill: 0 } => HeaderSpec::zero_page(page * PAGE, mask),
        Op::Page { page, mask, fill } => {
            filled = [fill; PAGE as usize];
            HeaderSpec::page(page * PAGE, mask, &filled)
        }
        Op::Area { index, pages, ref initial } => HeaderSpec::ParameterArea {
            index,
            number_of_bytes: pages * PAGE,
            initial: if initial.is_empty() { Data::Zero } else { Data::Bytes(initial) },
        },
        Op::Parameter { kind, index, offset } => HeaderSpec::parameter(kind, index, offset),
        Op::Insert { page, mask, index } => {
            HeaderSpec::ParameterInsert(IGVM_VHS_PARAMETER_INSERT {
                gpa: page * PAGE,
                compatibility_mask: mask,
                parameter_area_index: index,
            })
        }
        Op::Required { page, mask, pages } => {
            HeaderSpec::RequiredMemory(IGVM_VHS_REQUIRED_MEMORY {
                gpa: page * PAGE,
                compatibility_mask: mask,
                number_of_bytes: (pages * PAGE) as u32,
                flags: RequiredMemoryFlags::new(),
                reserved: 0,
            })
        }
        Op::Error { page, mask, pages } => HeaderSpec::ErrorRange(IGVM_VHS_ERROR_RANGE {
            gpa: page * PAGE,
            compatibility_mask: mask,
            size_bytes: (pages * PAGE) as u32,
        }),
    };
    file.push(spec).unwrap();
}

/// What the host says for a parameter; `None` where it has nothing to say.
fn parameter(host: &Host<'_>, kind: ParameterKind) -> Option<Vec<u8>> {
    let table = |bytes: &[u8]| (!bytes.is_empty()).then(|| bytes.to_vec());
    match kind {
        ParameterKind::VpCount => Some(host.processors.to_le_bytes().to_vec()),
        ParameterKind::EnvironmentInfo => {
            Some(u32::from(host.memory_is_shared).to_le_bytes().to_vec())
        }
        ParameterKind::CommandLine => Some([host.command_line, b"\0"].concat()),
        ParameterKind::MemoryMap => Some([host.memory_map.as_bytes(), &[0; 24]].concat()),
        ParameterKind::MmioRanges => Some(host.mmio_ranges.as_bytes().to_vec()),
        ParameterKind::Srat => table(host.srat),
        ParameterKind::Madt => table(host.madt),
        ParameterKind::Slit => table(host.slit),
        ParameterKind::Pptt => table(host.pptt),
        ParameterKind::DeviceTree => table(host.device_tree),
    }
}

/// The simple loader.
#[derive(Default)]
struct Model {
    pages: BTreeMap<u64, (Vec<u8>, HeaderRef)>,
    areas: BTreeMap<u32, (Vec<u8>, bool)>,
    required: BTreeSet<u64>,
    errors: BTreeSet<u64>,
    /// The kinds of problems, but for overlaps, in order.
    problems: Vec<std::mem::Discriminant<ProblemKind>>,
    overwritten: u64,
    to: u64,
}

impl Model {
    /// A page, moved with the region.
    fn moved(&self, page: u64) -> u64 {
        if REGION.contains(&page) { page - REGION.start + self.to } else { page }
    }

    fn fail(&mut self, like: ProblemKind) {
        self.problems.push(discriminant(&like));
    }

    fn put(&mut self, page: u64, bytes: &[u8], header: HeaderRef) {
        if self.pages.insert(page, (bytes.to_vec(), header)).is_some() {
            self.overwritten += PAGE;
        }
    }

    fn demand(&mut self, page: u64, pages: u64, host: &Host<'_>) -> Vec<u64> {
        let start = self.moved(page);
        let demanded: Vec<u64> = (start..start + pages).collect();
        let missing = demanded.iter().any(|page| !in_ram(host, *page));
        if missing {
            self.fail(ProblemKind::MemoryMissing { span: Span::default(), created: false });
        }
        demanded
    }

    fn apply(&mut self, op: &Op, host: &Host<'_>, header: HeaderRef) {
        match *op {
            Op::Page { mask, .. }
            | Op::Insert { mask, .. }
            | Op::Required { mask, .. }
            | Op::Error { mask, .. }
                if mask & NATIVE == 0 => {}
            Op::Page { page, fill, .. } => {
                self.put(self.moved(page), &[fill; PAGE as usize], header);
            }
            Op::Area { index, .. } if self.areas.contains_key(&index) => {
                self.fail(ProblemKind::AreaTwice { index, first: header });
            }
            Op::Area { index, pages, ref initial } => {
                let mut bytes = initial.clone();
                bytes.resize((pages * PAGE) as usize, 0);
                self.areas.insert(index, (bytes, false));
            }
            Op::Parameter { kind, index, offset } => match self.areas.get_mut(&index) {
                None => self.fail(ProblemKind::AreaUnknown { index }),
                Some((_, true)) => {
                    self.fail(ProblemKind::AreaRetired { index, inserted: header });
                }
                Some((area, false)) => match parameter(host, kind) {
                    None => self.fail(ProblemKind::ParameterNotOffered { kind }),
                    Some(bytes) => {
                        let end = offset as usize + bytes.len();
                        match area.get_mut(offset as usize..end) {
                            Some(place) => place.copy_from_slice(&bytes),
                            None => self.fail(ProblemKind::ParameterDoesNotFit {
                                kind,
                                offset: 0,
                                len: 0,
                                area_len: 0,
                            }),
                        }
                    }
                },
            },
            Op::Insert { page, index, .. } => match self.areas.get_mut(&index) {
                None => self.fail(ProblemKind::AreaUnknown { index }),
                Some((_, true)) => {
                    self.fail(ProblemKind::AreaRetired { index, inserted: header });
                }
                Some((area, retired)) => {
                    *retired = true;
                    let area = area.clone();
                    for (page, bytes) in (self.moved(page)..).zip(area.chunks(PAGE as usize)) {
                        self.put(page, bytes, header);
                    }
                }
            },
            Op::Required { page, pages, .. } => {
                let demanded = self.demand(page, pages, host);
                self.required.extend(demanded);
            }
            Op::Error { page, pages, .. } => {
                let start = self.moved(page);
                self.errors.extend(start..start + pages);
            }
        }
    }

    fn is_memory(&self, page: u64, host: &Host<'_>) -> bool {
        let created = host.required_memory == RequiredMemoryPolicy::Create;
        let region = self.to..self.to + (REGION.end - REGION.start);
        in_ram(host, page)
            || self.pages.contains_key(&page)
            || self.errors.contains(&page)
            || created && (self.required.contains(&page) || region.contains(&page))
    }
}

fn in_ram(host: &Host<'_>, page: u64) -> bool {
    host.ram.iter().any(|ram| ram.contains(page * PAGE))
}

fn check(seed: u64) {
    let mut random = Random::new(seed);
    let ops: Vec<Op> = (0..random.below(40)).map(|_| op(&mut random)).collect();
    let bytes = build(&ops);

    let ram = [Span::new(0, 10 * PAGE), Span::new(20 * PAGE, 25 * PAGE)];
    let entry = |first: u64, pages: u64| IGVM_VHS_MEMORY_MAP_ENTRY {
        starting_gpa_page_number: first,
        number_of_pages: pages,
        entry_type: MemoryMapEntryType::MEMORY,
        flags: Default::default(),
        reserved: 0,
    };
    let map = [entry(0, 10), entry(20, 25)];
    let to = random.pick(&[REGION.start, REGION.start, 40, 3, 17]);
    let relocations = [Relocation { from: REGION.start * PAGE, to: to * PAGE }];
    let required_memory = random.pick(&[RequiredMemoryPolicy::Create, RequiredMemoryPolicy::Fail]);
    let mut madt = [0; 60];
    random.fill(&mut madt);
    let host = Host {
        processors: 3,
        command_line: b"root=/dev/vda console=ttyS0",
        madt: &madt,
        memory_is_shared: random.one_in(2),
        required_memory,
        relocations: &relocations,
        ..Host::new(&ram, &map)
    };

    let mut model = Model { to, ..Model::default() };
    // The region is demanded like required memory.
    model.demand(REGION.start, REGION.end - REGION.start, &host);
    let file = igvm_core::file::IgvmFile::parse(&bytes).unwrap();
    for (op, header) in ops.iter().zip(file.headers().skip(3)) {
        model.apply(op, &host, header.reference());
    }

    let mut problems = Vec::new();
    let mut overwritten = 0;
    let mut fatal = 0;
    let mut room = Room::new(16, 2, 3, 1);
    let machine = room
        .load(&bytes, IgvmPlatformType::NATIVE, &host, &mut |problem| {
            fatal += u64::from(problem.kind.is_fatal());
            assert_ne!(problem.kind.to_string(), "");
            match problem.kind {
                ProblemKind::Overlap(overlap) if overlap.space == Space::Guest => {
                    overwritten += overlap.span.len;
                }
                ProblemKind::Overlap(_) => {}
                kind => problems.push(discriminant(&kind)),
            }
        })
        .unwrap();
    inspect(&machine, &host);
    assert_eq!(problems, model.problems, "seed {seed}: {ops:?}");
    assert_eq!(machine.fatal_problems(), fatal);
    assert_eq!(overwritten, model.overwritten, "seed {seed}");

    let memory = machine.memory(bytes.as_slice(), &host);
    for page in 0..PAGES {
        let gpa = page * PAGE;
        let mut found = vec![0xaa; PAGE as usize];
        memory.read(gpa, &mut found).unwrap();
        let written = model.pages.get(&page);
        let expected = written.map_or(vec![0; PAGE as usize], |(bytes, _)| bytes.clone());
        assert!(found == expected, "seed {seed}: page {page:#x}");
        let extent = machine.image().extent_at(Space::Guest, gpa);
        assert_eq!(extent.is_some(), written.is_some(), "seed {seed}: page {page:#x}");
        if let (Some(extent), Some((_, header))) = (extent, written)
            && extent.area.is_none()
        {
            assert_eq!(extent.writer_at(gpa), *header);
        }
        assert_eq!(machine.is_memory(gpa, &host), model.is_memory(page, &host), "page {page:#x}");
    }
    let mut ranges = Vec::new();
    machine.memory_ranges(&host, &mut |range| ranges.push(range));
    let union: Vec<u64> =
        (0..PAGES).filter(|page| ranges.iter().any(|range| range.contains(page * PAGE))).collect();
    let expected: Vec<u64> = (0..PAGES).filter(|page| model.is_memory(*page, &host)).collect();
    assert_eq!(union, expected, "seed {seed}");
}

#[test]
fn as_a_simple_loader_does_it() {
    for seed in 0..4000 {
        check(seed);
    }
}

#[test]
fn relocations_that_cannot_be() {
    let bytes = build(&[]);
    let why = |from: u64, to: u64| {
        let relocations = [Relocation { from, to }];
        let host = Host { relocations: &relocations, ..Host::new(&[], &[]) };
        let mut refusal = None;
        let mut room = Room::new(1, 1, 1, 1);
        let machine = room
            .load(&bytes, IgvmPlatformType::NATIVE, &host, &mut |problem| {
                if let ProblemKind::RelocationRefused { why, .. } = problem.kind {
                    refusal = Some(why);
                }
            })
            .unwrap();
        assert_eq!(refusal.is_some(), machine.fatal_problems() != 0);
        refusal
    };
    let region = REGION.start * PAGE;
    let last = (PAGES - (REGION.end - REGION.start)) * PAGE;
    assert_eq!(why(region, region), None);
    assert_eq!(why(region, 0), None);
    assert_eq!(why(region, last), None);
    assert_eq!(why(region, last + PAGE), Some(RelocationRefusal::AboveMaximum));
    assert_eq!(why(region, u64::MAX - PAGE + 1), Some(RelocationRefusal::AboveMaximum));
    assert_eq!(why(region, 0x800), Some(RelocationRefusal::Unaligned));
    assert_eq!(why(0x1234, 0), Some(RelocationRefusal::NoSuchRegion { from: 0x1234 }));
}

/// The kinds of the problems that forbid starting the machine of this file.
fn fatal(bytes: &[u8], platform: IgvmPlatformType) -> Vec<ProblemKind> {
    let mut kinds = Vec::new();
    let host = Host::new(&[], &[]);
    let mut room = Room::new(1, 1, 1, 1);
    let mut keep = |problem: igvm_core::load::Problem| {
        if problem.kind.is_fatal() {
            kinds.push(problem.kind);
        }
    };
    let machine = room.load(bytes, platform, &host, &mut keep).unwrap();
    assert_eq!(machine.fatal_problems(), kinds.len() as u64);
    kinds
}

/// Files whose every directive can be carried out, and which are not the
/// machine that would come of it.
#[test]
fn files_as_a_whole_that_cannot_be_loaded() {
    let native = IgvmPlatformType::NATIVE;
    let small = |version| {
        let mut file = FileBuilder::new(version);
        file.push(HeaderSpec::platform(native, NATIVE)).unwrap();
        file.push(HeaderSpec::page(0, NATIVE, b"page")).unwrap();
        file.finish()
    };
    assert_eq!(fatal(&small(Version::V1), native), []);
    assert_eq!(fatal(&small(Version::V2_X64), native), []);

    let architecture = IgvmArchitecture::AARCH64;
    let arm = small(Version::V2 { architecture, page_size: 4096 });
    assert_eq!(fatal(&arm, native), [ProblemKind::NotX86 { architecture }]);
    let page_size = 65536;
    let large = small(Version::V2 { architecture: IgvmArchitecture::X64, page_size });
    assert_eq!(fatal(&large, native), [ProblemKind::PageSize { page_size }]);

    // The length of the last header passes the end: the page is not loaded.
    let mut cut = small(Version::V2_X64);
    let length = 32 + 24 + 4;
    cut[length..length + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(matches!(fatal(&cut, native)[..], [ProblemKind::HeadersCutShort { .. }]));
}

/// A context of registers that say nothing, which then ends with the file.
#[test]
fn a_context_that_ends_early_is_a_problem_however_long_it_is() {
    let vsm = IgvmPlatformType::VSM_ISOLATION;
    let register = VbsVpContextRegister {
        vtl: 0,
        register_name: 0x0008_0000.into(),
        mbz: [0; 11],
        register_value: [0; 16],
    };
    for registers in [1, 15, 16, 17, 200] {
        let mut file = FileBuilder::new(Version::V2_X64);
        file.push(HeaderSpec::platform(vsm, NATIVE)).unwrap();
        let context = Context::Vbs(&vec![register; registers]);
        file.push(HeaderSpec::VpContext { gpa: 0, mask: NATIVE, vp_index: 0, context }).unwrap();
        let mut bytes = file.finish();
        assert_eq!(fatal(&bytes, vsm), []);
        bytes.truncate(bytes.len() - 1);
        assert!(matches!(fatal(&bytes, vsm)[..], [ProblemKind::DataMissing { .. }]), "{registers}");
    }
}
