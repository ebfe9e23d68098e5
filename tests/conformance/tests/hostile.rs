//! Bad input at the level of the library: no panic, and time that follows the
//! size of the file.

use std::time::{Duration, Instant};

use igvm_conformance::compare::{Outcome, compare, read_all};
use igvm_conformance::machine::{Room, inspect};
use igvm_conformance::mutate::{head_len, repair_checksum, set_total_size};
use igvm_conformance::random::Random;
use igvm_core::defs::{
    IGVM_VHS_ERROR_RANGE, IGVM_VHS_PAGE_TABLE_RELOCATION, IGVM_VHS_PARAMETER_INSERT,
    IGVM_VHS_RELOCATABLE_REGION, IGVM_VHS_REQUIRED_MEMORY, IgvmPageDataFlags, IgvmPageDataType,
    IgvmPlatformType, RequiredMemoryFlags,
};
use igvm_core::file::IgvmFile;
use igvm_core::load::{Host, LoadError, Relocation};
use igvm_core::span::Span;
use igvm_core::wire::{FixedHeaderError, ParameterKind};
use igvm_core::write::{Context, Data, FileBuilder, HeaderSpec, Version, start};

const MASK: u32 = 1;
const NATIVE: IgvmPlatformType = IgvmPlatformType::NATIVE;

fn builder(platform: IgvmPlatformType) -> FileBuilder {
    let mut file = FileBuilder::new(Version::V2_X64);
    file.push(HeaderSpec::platform(platform, MASK)).unwrap();
    file
}

/// Samples whose files are small enough to be taken apart byte by byte.
fn small_samples() -> Vec<(&'static str, Vec<u8>)> {
    let all = igvm_samples::all().iter().map(|sample| (sample.name, (sample.build)()));
    all.filter(|(_, bytes)| bytes.len() < 64 << 10).collect()
}

/// Loads for every platform, in little room, with everything that there is
/// to relocate relocated.
fn load_all(bytes: &[u8]) {
    let Ok(file) = IgvmFile::parse(bytes) else { return };
    let ram = [Span::new(0, 64 << 20)];
    let relocations = [Relocation { from: 0x20_0000, to: 0x60_0000 }];
    for relocations in [&[][..], &relocations] {
        let host =
            Host { processors: 2, relocations, command_line: b"quiet", ..Host::new(&ram, &[]) };
        for (platform, _) in igvm_core::platform::PLATFORMS {
            let mut room = Room::new(8, 2, 2, 16);
            match room.load(bytes, platform, &host, &mut |_| {}) {
                Ok(machine) => inspect(&machine, &host),
                Err(LoadError::PlatformNotSupported) => {
                    assert!(file.platform(platform).is_none());
                }
                Err(LoadError::StorageFull(_)) => {}
            }
        }
    }
}

#[test]
fn what_is_not_igvm_is_called_so() {
    let error = |bytes: &[u8]| IgvmFile::parse(bytes).unwrap_err();
    assert_eq!(error(b""), FixedHeaderError::TooShort { available: 0, needed: 24 });
    assert_eq!(error(b"IGV"), FixedHeaderError::TooShort { available: 3, needed: 24 });
    assert_eq!(error(b"\x7fELF"), FixedHeaderError::NotIgvm { magic: *b"\x7fELF" });
    assert!(error(b"\x7fELF").to_string().contains("not an IGVM file"));
    let mut version = [0; 32];
    version[..4].copy_from_slice(b"IGVM");
    version[4] = 3;
    assert_eq!(error(&version), FixedHeaderError::UnknownVersion { version: 3 });
}

#[test]
fn truncated_at_every_length() {
    for (_, bytes) in small_samples() {
        let head = head_len(&bytes);
        for len in 0..bytes.len() {
            let cut = &bytes[..len];
            // The size in the header does not fit any more.
            assert_ne!(compare(cut), Outcome::Same);
            if len <= head + 8 || len % 509 == 0 {
                load_all(cut);
                let mut honest = cut.to_vec();
                set_total_size(&mut honest);
                repair_checksum(&mut honest);
                compare(&honest);
            }
        }
    }
}

#[test]
fn every_bit_of_the_headers_flipped() {
    for (_, mut bytes) in small_samples() {
        for bit in 0..head_len(&bytes) * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            // Bits of the CRC itself aside, one wrong bit never passes it.
            assert_ne!(compare(&bytes), Outcome::Same, "bit {bit}");
            let mut repaired = bytes.clone();
            repair_checksum(&mut repaired);
            compare(&repaired);
            if bit % 7 == 0 {
                load_all(&repaired);
            }
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

#[test]
fn fixed_header_fields_at_the_edges() {
    let sample = (igvm_samples::all()[0].build)();
    let edges = [0u32, 1, 7, 8, 23, 24, 31, 32, 33, 0x1000, 0x7fff_ffff, 0x8000_0000, 0xffff_fff8];
    let edges: Vec<u32> = edges.into_iter().chain([u32::MAX - 31, u32::MAX]).collect();
    for offset in &edges {
        for size in &edges {
            let mut bytes = sample.clone();
            bytes[8..12].copy_from_slice(&offset.to_le_bytes());
            bytes[12..16].copy_from_slice(&size.to_le_bytes());
            repair_checksum(&mut bytes);
            compare(&bytes);
            load_all(&bytes);
        }
    }
}

/// Files whose numbers are as large as their fields.
fn huge() -> Vec<Vec<u8>> {
    let mut files = Vec::new();
    let mut one = |platform, headers: &[HeaderSpec<'_>]| {
        let mut file = builder(platform);
        file.allow_any_order();
        for header in headers {
            file.push(*header).unwrap();
        }
        file.push(HeaderSpec::page(0x1000, MASK, b"page")).unwrap();
        files.push(file.finish());
    };
    let edges = [0u64, 1 << 32, 1 << 47, (1 << 52) - 4096, 1 << 52, 1 << 60, 1 << 63];
    let edges: Vec<u64> = edges.into_iter().chain([u64::MAX - 4095, u64::MAX]).collect();
    for &edge in &edges {
        for initial in [Data::Zero, Data::At(64), Data::At(u32::MAX)] {
            let area = HeaderSpec::ParameterArea { index: 7, number_of_bytes: edge, initial };
            let parameter = HeaderSpec::parameter(ParameterKind::CommandLine, 7, u32::MAX);
            let insert = |gpa| {
                HeaderSpec::ParameterInsert(IGVM_VHS_PARAMETER_INSERT {
                    gpa,
                    compatibility_mask: MASK,
                    parameter_area_index: 7,
                })
            };
            one(NATIVE, &[area, parameter, insert(0)]);
            one(NATIVE, &[area, parameter, insert(edge & !0xfff)]);
        }
        for flags in [IgvmPageDataFlags::new(), IgvmPageDataFlags::new().with_is_2mb_page(true)] {
            for data in [Data::Zero, Data::At(8), Data::At(u32::MAX)] {
                let data_type = IgvmPageDataType::NORMAL;
                one(
                    NATIVE,
                    &[HeaderSpec::PageData { gpa: edge, mask: MASK, flags, data_type, data }],
                );
            }
        }
        for context in [Context::At(0), Context::At(8), Context::At(u32::MAX)] {
            for (platform, _) in igvm_core::platform::PLATFORMS {
                let vp_index = edge as u16;
                let context = HeaderSpec::VpContext { gpa: edge, mask: MASK, vp_index, context };
                one(platform, &[context]);
            }
        }
        for bytes in [0, 4096, 0xffff_f000, u32::MAX] {
            one(
                NATIVE,
                &[
                    HeaderSpec::RequiredMemory(IGVM_VHS_REQUIRED_MEMORY {
                        gpa: edge,
                        compatibility_mask: MASK,
                        number_of_bytes: bytes,
                        flags: RequiredMemoryFlags::new(),
                        reserved: 0,
                    }),
                    HeaderSpec::ErrorRange(IGVM_VHS_ERROR_RANGE {
                        gpa: edge,
                        compatibility_mask: MASK,
                        size_bytes: bytes,
                    }),
                ],
            );
        }
    }
    files
}

#[test]
fn sizes_near_the_limits() {
    for bytes in huge() {
        compare(&bytes);
        load_all(&bytes);
    }
}

/// Regions anywhere, moved anywhere, with page tables that want to follow.
#[test]
fn regions_near_the_limits() {
    let edges = [0, 0x1000, 0x10_0000, 1 << 47, (1 << 52) - 0x2000, 1 << 52, 1 << 63];
    let edges: Vec<u64> = edges.into_iter().chain([u64::MAX - 0x1fff, u64::MAX - 4095]).collect();
    let context = start::long64(0x1000, 0x8000, 0x5000, 0x10_0000);
    for &gpa in &edges {
        for &size in &edges {
            for &to in &edges {
                let mut file = builder(NATIVE);
                file.push(HeaderSpec::RelocatableRegion(IGVM_VHS_RELOCATABLE_REGION {
                    compatibility_mask: MASK,
                    vp_index: 0,
                    vtl: 0,
                    flags: 7,
                    relocation_alignment: 0x1000,
                    relocation_region_gpa: gpa,
                    relocation_region_size: size,
                    minimum_relocation_gpa: 0,
                    maximum_relocation_gpa: u64::MAX - 4095,
                }))
                .unwrap();
                file.push(HeaderSpec::PageTableRelocationRegion(IGVM_VHS_PAGE_TABLE_RELOCATION {
                    compatibility_mask: MASK,
                    vp_index: 0,
                    vtl: 0,
                    reserved: 0,
                    gpa,
                    size,
                    used_size: size.min(0x2000),
                }))
                .unwrap();
                file.push(HeaderSpec::page(0x10_0000, MASK, &[1; 4096])).unwrap();
                file.push(HeaderSpec::native_context(MASK, &context)).unwrap();
                let bytes = file.finish();
                let relocations = [Relocation { from: gpa, to }];
                let host = Host { relocations: &relocations, ..Host::new(&[], &[]) };
                let mut room = Room::new(8, 1, 1, 8);
                let machine = room.load(&bytes, NATIVE, &host, &mut |_| {}).unwrap();
                inspect(&machine, &host);
            }
        }
    }
}

/// A file of `count` pages at these page numbers.
fn many(count: u64, page: impl Fn(u64) -> u64) -> Vec<u8> {
    let mut file = builder(NATIVE);
    for nth in 0..count {
        file.push(page_of_file(page(nth) << 12)).unwrap();
    }
    file.push(HeaderSpec::page(0, MASK, b"data")).unwrap();
    file.finish()
}

/// A page whose bytes are the first ones of the file.
fn page_of_file(gpa: u64) -> HeaderSpec<'static> {
    let (flags, data_type) = (IgvmPageDataFlags::new(), IgvmPageDataType::NORMAL);
    HeaderSpec::PageData { gpa, mask: MASK, flags, data_type, data: Data::At(8) }
}

fn time_to_load(bytes: &[u8], room: &mut Room) -> Duration {
    let ram = [Span::new(0, 1 << 40)];
    let host = Host::new(&ram, &[]);
    let start = Instant::now();
    let machine = room.load(bytes, NATIVE, &host, &mut |_| {}).unwrap();
    let mut ranges = 0;
    machine.memory_ranges(&host, &mut |_| ranges += 1);
    assert_eq!(ranges, 1);
    start.elapsed()
}

/// 2^20 headers take eight times as long as 2^17, within reason, in whatever
/// order they come.
#[test]
fn a_million_headers() {
    const FEW: u64 = 1 << 17;
    const MANY: u64 = 1 << 20;
    let mut room = Room::new((MANY / 32) as usize, 1, 1, 0);
    let scattered = |nth: u64| Random::new(nth).below(1 << 26);
    let orders: [(&str, &dyn Fn(u64) -> u64); 4] = [
        ("ascending", &|nth| nth),
        ("descending", &|nth| (1 << 22) - nth),
        ("scattered", &scattered),
        ("the same", &|_| 5),
    ];
    for (name, page) in orders {
        let few = time_to_load(&many(FEW, page), &mut room);
        let large = many(MANY, page);
        let all = time_to_load(&large, &mut room);
        println!("{name}: {few:?} for {FEW} pages, {all:?} for {MANY}");
        assert!(all < few * 8 * 4 + Duration::from_secs(1), "{name}: {few:?}, then {all:?}");
        read_all(&large);
    }
}
