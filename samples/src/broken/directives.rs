//! Broken page data, memory ranges and measurements.

use igvm_core::defs::{
    IGVM_VHS_ERROR_RANGE, IGVM_VHS_REQUIRED_MEMORY, IGVM_VHS_SNP_ID_BLOCK, IgvmPageDataFlags,
    IgvmPageDataType, IgvmPlatformType as Platform, RequiredMemoryFlags,
};
use igvm_core::write::{Data, HeaderSpec};
use zerocopy::FromZeros;

use super::base::{on, reset_with};
use super::{Broken, broken};
use crate::layout::{CODE, NATIVE, PAGE_4K};

pub(super) const SAMPLES: &[Broken] = &[
    broken("page.alignment", || reset_with(&[], &[HeaderSpec::zero_page(CODE + 1, NATIVE)])),
    broken("page.flags", || page(IgvmPageDataFlags::from_bits(1 << 31), IgvmPageDataType::NORMAL)),
    broken("page.data-type", || page(IgvmPageDataFlags::new(), IgvmPageDataType(9))),
    broken("page.data-type-platform", || page(IgvmPageDataFlags::new(), IgvmPageDataType::SECRETS)),
    broken("required-memory.alignment", || required(|required| required.gpa = 0x10)),
    broken("required-memory.flags", || {
        required(|required| required.flags = RequiredMemoryFlags::from_bits(2))
    }),
    broken("required-memory.empty", || required(|required| required.number_of_bytes = 0)),
    broken("memory.created", || required(|required| required.gpa = 1 << 40)),
    broken("error-range.alignment", || error_range(8)),
    broken("error-range.empty", || error_range(0)),
    broken("id-block.author-key", || {
        let mut block = IGVM_VHS_SNP_ID_BLOCK::new_zeroed();
        block.compatibility_mask = NATIVE;
        block.author_public_key.curve = 2;
        on(
            &[HeaderSpec::platform(Platform::SEV_SNP, NATIVE)],
            &[],
            &[HeaderSpec::SnpIdBlock(&block)],
        )
    }),
    broken("measurement.platform", || {
        let mut block = IGVM_VHS_SNP_ID_BLOCK::new_zeroed();
        block.compatibility_mask = NATIVE;
        reset_with(&[], &[HeaderSpec::SnpIdBlock(&block)])
    }),
    broken("memory.overlap", || {
        let page = HeaderSpec::zero_page(CODE, NATIVE);
        reset_with(&[], &[page, page])
    }),
];

fn page(flags: IgvmPageDataFlags, data_type: IgvmPageDataType) -> Vec<u8> {
    let page = HeaderSpec::PageData { gpa: CODE, mask: NATIVE, flags, data_type, data: Data::Zero };
    reset_with(&[], &[page])
}

fn required(edit: fn(&mut IGVM_VHS_REQUIRED_MEMORY)) -> Vec<u8> {
    let mut required = IGVM_VHS_REQUIRED_MEMORY {
        gpa: CODE,
        compatibility_mask: NATIVE,
        number_of_bytes: PAGE_4K as u32,
        flags: RequiredMemoryFlags::new(),
        reserved: 0,
    };
    edit(&mut required);
    reset_with(&[], &[HeaderSpec::RequiredMemory(required)])
}

fn error_range(size_bytes: u32) -> Vec<u8> {
    let range = IGVM_VHS_ERROR_RANGE { gpa: CODE, compatibility_mask: NATIVE, size_bytes };
    reset_with(&[], &[HeaderSpec::ErrorRange(range)])
}
