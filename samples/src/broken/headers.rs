//! Broken variable headers of any kind, broken platforms, broken file data.

use igvm_core::defs::{
    IGVM_VHS_REQUIRED_MEMORY, IGVM_VHS_SUPPORTED_PLATFORM, IGVM_VHT_OPTIONAL_BIT, IgvmArchitecture,
    IgvmPlatformType as Platform, RequiredMemoryFlags,
};
use igvm_core::write::{Data, HeaderSpec, Version};

use super::base::{
    HALTS, SECTION_SIZE, file_of, native, on, repaired, reset_with, resized, set, without_data,
};
use super::{Broken, broken};
use crate::hello::RESET_PAGE;
use crate::layout::{CODE, NATIVE, PAGE_4K};

/// A directive type that the specification does not list.
const UNLISTED: u32 = 0x3f0;

pub(super) const SAMPLES: &[Broken] = &[
    broken("header.partial", || {
        let mut file = without_data(&[]);
        file.extend_from_slice(&[0; 4]);
        let size = file.len() - 32;
        set(&mut file, SECTION_SIZE, size);
        resized(file)
    }),
    broken("header.padding", || {
        // The last byte of the file is padding of its last header.
        let mut file = without_data(&[optional()]);
        *file.last_mut().expect("a file has bytes") = 1;
        repaired(file)
    }),
    broken("header.order", || reset_with(&[], &[HeaderSpec::VersionString("too late")])),
    broken("header.unknown-type", || {
        reset_with(&[], &[HeaderSpec::Raw { typ: UNLISTED, value: &[0; 8] }])
    }),
    broken("header.unknown-optional", || reset_with(&[], &[optional()])),
    broken("header.retired-type", || {
        reset_with(&[], &[HeaderSpec::Raw { typ: 0x306, value: &[0; 16] }])
    }),
    broken("header.length", || reset_with(&[], &[HeaderSpec::Raw { typ: 0x305, value: &[0; 8] }])),
    broken("header.reserved", || {
        let required = IGVM_VHS_REQUIRED_MEMORY {
            gpa: 0,
            compatibility_mask: NATIVE,
            number_of_bytes: PAGE_4K as u32,
            flags: RequiredMemoryFlags::new(),
            reserved: 1,
        };
        reset_with(&[], &[HeaderSpec::RequiredMemory(required)])
    }),
    broken("mask.zero", || reset_with(&[], &[HeaderSpec::zero_page(CODE, 0)])),
    broken("mask.undeclared", || reset_with(&[], &[HeaderSpec::zero_page(CODE, NATIVE | 2)])),
    broken("data.outside-file", || reset_with(&[], &[page_at(0x10_0000)])),
    broken("data.inside-headers", || reset_with(&[], &[page_at(0x20)])),
    broken("memory.beyond-address-space", || {
        reset_with(&[], &[HeaderSpec::zero_page(1 << 52, NATIVE)])
    }),
    broken("data.tail", || {
        let mut file = reset_with(&[], &[]);
        file.extend_from_slice(b"nobody refers to this");
        resized(file)
    }),
    broken("platform.none", || {
        file_of(Version::V2_X64, [HeaderSpec::page(RESET_PAGE, NATIVE, &HALTS)])
    }),
    broken("platform.mask", || platform(|platform| platform.compatibility_mask = 3)),
    broken("platform.mask-twice", || {
        on(&[native(), HeaderSpec::platform(Platform::TDX, NATIVE)], &[], &[])
    }),
    broken("platform.type", || platform(|platform| platform.platform_type = Platform(99))),
    broken("platform.twice", || {
        on(&[native(), HeaderSpec::platform(Platform::NATIVE, 2)], &[], &[])
    }),
    broken("platform.version", || platform(|platform| platform.platform_version = 2)),
    broken("platform.highest-vtl", || platform(|platform| platform.highest_vtl = 1)),
    broken("platform.no-vtl", || platform(|platform| platform.highest_vtl = 2)),
    broken("platform.shared-gpa-boundary", || {
        platform(|platform| platform.shared_gpa_boundary = 1 << 46)
    }),
    broken("platform.architecture", || {
        let version =
            Version::V2 { architecture: IgvmArchitecture::AARCH64, page_size: PAGE_4K as u32 };
        file_of(version, [native(), HeaderSpec::page(RESET_PAGE, NATIVE, &HALTS)])
    }),
];

/// An unlisted header that may be skipped, with seven bytes of padding.
const fn optional<'a>() -> HeaderSpec<'a> {
    HeaderSpec::Raw { typ: UNLISTED | IGVM_VHT_OPTIONAL_BIT, value: &[0; 1] }
}

fn page_at<'a>(file_offset: u32) -> HeaderSpec<'a> {
    HeaderSpec::PageData {
        gpa: CODE,
        mask: NATIVE,
        flags: Default::default(),
        data_type: Default::default(),
        data: Data::At(file_offset),
    }
}

fn platform(edit: fn(&mut IGVM_VHS_SUPPORTED_PLATFORM)) -> Vec<u8> {
    let mut platform = IGVM_VHS_SUPPORTED_PLATFORM {
        compatibility_mask: NATIVE,
        highest_vtl: 0,
        platform_type: Platform::NATIVE,
        platform_version: 1,
        shared_gpa_boundary: 0,
    };
    edit(&mut platform);
    on(&[HeaderSpec::SupportedPlatform(platform)], &[], &[])
}
