//! Good files that some loader refuses or loads differently.

use igvm_core::defs::{
    IGVM_VHS_ERROR_RANGE, IGVM_VHS_RELOCATABLE_REGION, IGVM_VHS_VBS_MEASUREMENT, IgvmPageDataFlags,
    IgvmPageDataType, IgvmPlatformType as Platform,
};
use igvm_core::wire::ParameterKind;
use igvm_core::write::{Context, Data, HeaderSpec};
use zerocopy::FromZeros;

use super::areas::{area, insert};
use super::base::{
    HALTS, file_of, hyper_v, native, on, protected_with, real_context, reset_with, vsm, vsm_for,
    without_data,
};
use super::{Broken, broken};
use crate::hello::RESET_PAGE;
use crate::layout::{CODE, NATIVE, PAGE_2M, PAGE_4K};

/// MTRR capabilities, of which the igvm crate knows nothing.
const HV_MTRR_CAP: u32 = 0x0008_000d;

pub(super) const SAMPLES: &[Broken] = &[
    broken("qemu.acpi-table", || parameter(ParameterKind::Srat, 0)),
    broken("qemu.command-line", || parameter(ParameterKind::CommandLine, 0)),
    broken("qemu.mmio-ranges", || parameter(ParameterKind::MmioRanges, 0)),
    broken("qemu.device-tree", || parameter(ParameterKind::DeviceTree, 0)),
    broken("qemu.error-range", || {
        let range = IGVM_VHS_ERROR_RANGE {
            gpa: CODE,
            compatibility_mask: NATIVE,
            size_bytes: PAGE_4K as u32,
        };
        reset_with(&[], &[HeaderSpec::ErrorRange(range)])
    }),
    broken("qemu.relocation", relocatable),
    broken("qemu.header-type", || {
        let mut measurement = IGVM_VHS_VBS_MEASUREMENT::new_zeroed();
        measurement.compatibility_mask = NATIVE;
        on(
            &[HeaderSpec::platform(Platform::VSM_ISOLATION, NATIVE)],
            &[],
            &[HeaderSpec::VbsMeasurement(&measurement)],
        )
    }),
    broken("qemu.context", || {
        let other = real_context();
        let context = Context::Native(&other);
        let other = HeaderSpec::VpContext { gpa: 0, mask: NATIVE, vp_index: 1, context };
        protected_with(&[], &[other], |_| {})
    }),
    broken("qemu.area-data", || {
        let area = HeaderSpec::ParameterArea {
            index: 0,
            number_of_bytes: PAGE_4K,
            initial: Data::Bytes(b"initial"),
        };
        reset_with(&[], &[area, insert(CODE)])
    }),
    broken("qemu.memory-map-offset", || parameter(ParameterKind::MemoryMap, 8)),
    broken("qemu.environment-info", || parameter(ParameterKind::EnvironmentInfo, 0)),
    broken("igvm-crate.optional-bit", || {
        reset_with(&[], &[HeaderSpec::Raw { typ: 0x8000_03f1, value: b"optional" }])
    }),
    broken("igvm-crate.version-string", || reset_with(&[HeaderSpec::VersionString("1.0.0")], &[])),
    broken("igvm-crate.no-file-data", || without_data(&[])),
    broken("igvm-crate.page-2m", || {
        let page = HeaderSpec::PageData {
            gpa: PAGE_2M,
            mask: NATIVE,
            flags: IgvmPageDataFlags::new().with_is_2mb_page(true),
            data_type: IgvmPageDataType::NORMAL,
            data: Data::Zero,
        };
        reset_with(&[], &[page])
    }),
    broken("igvm-crate.relocation", relocatable),
    broken("igvm-crate.context-mask", || {
        let context = real_context();
        let both = NATIVE | 2;
        file_of(
            igvm_core::write::Version::V2_X64,
            [
                native(),
                HeaderSpec::platform(Platform::SEV, 2),
                HeaderSpec::page(CODE, both, &HALTS),
                HeaderSpec::native_context(both, &context),
            ],
        )
    }),
    broken("igvm-crate.vsm-processor", || vsm_for(1, |_| {})),
    broken("igvm-crate.vsm-register", || {
        vsm(|registers| registers.push(hyper_v(HV_MTRR_CAP, 0x508)))
    }),
    broken("igvm-crate.insert-twice", || {
        let mut again = insert(CODE);
        if let HeaderSpec::ParameterInsert(insert) = &mut again {
            insert.compatibility_mask = 2;
        }
        on(
            &[native(), HeaderSpec::platform(Platform::SEV, 2)],
            &[],
            &[HeaderSpec::page(RESET_PAGE, 2, &HALTS), area(PAGE_4K), insert(CODE), again],
        )
    }),
    broken("openvmm.native", || reset_with(&[], &[])),
];

fn parameter(kind: ParameterKind, byte_offset: u32) -> Vec<u8> {
    let parameter = HeaderSpec::parameter(kind, 0, byte_offset);
    reset_with(&[], &[area(PAGE_4K), parameter, insert(CODE)])
}

fn relocatable() -> Vec<u8> {
    let region = IGVM_VHS_RELOCATABLE_REGION {
        compatibility_mask: NATIVE,
        vp_index: 0,
        vtl: 0,
        flags: 0,
        relocation_alignment: PAGE_2M,
        relocation_region_gpa: PAGE_2M,
        relocation_region_size: PAGE_2M,
        minimum_relocation_gpa: 0,
        maximum_relocation_gpa: 1 << 30,
    };
    protected_with(&[HeaderSpec::RelocatableRegion(region)], &[], |_| {})
}
