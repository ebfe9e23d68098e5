//! Broken parameter areas and parameters.

use igvm_core::defs::IGVM_VHS_PARAMETER_INSERT;
use igvm_core::wire::ParameterKind;
use igvm_core::write::{Data, HeaderSpec};

use super::base::reset_with;
use super::{Broken, broken};
use crate::layout::{CODE, NATIVE, PAGE_4K};

pub(super) const SAMPLES: &[Broken] = &[
    broken("area.size", || reset_with(&[], &[area(100), insert(CODE)])),
    broken("area.empty", || reset_with(&[], &[area(0), insert(CODE)])),
    broken("area.twice", || reset_with(&[], &[area(PAGE_4K), area(PAGE_4K), insert(CODE)])),
    broken("area.unknown", || reset_with(&[], &[vp_count(0)])),
    broken("area.never-inserted", || reset_with(&[], &[area(PAGE_4K), vp_count(0)])),
    broken("area.retired", || reset_with(&[], &[area(PAGE_4K), insert(CODE), vp_count(0)])),
    broken("insert.alignment", || reset_with(&[], &[area(PAGE_4K), insert(CODE + 8)])),
    broken("parameter.outside-area", || {
        reset_with(&[], &[area(PAGE_4K), vp_count(0xffe), insert(CODE)])
    }),
    broken("parameter.overlap", || {
        reset_with(&[], &[area(PAGE_4K), vp_count(0), vp_count(2), insert(CODE)])
    }),
    // The smallest memory map has 24 bytes.
    broken("parameter.does-not-fit", || {
        let memory_map = HeaderSpec::parameter(ParameterKind::MemoryMap, 0, 0xff0);
        reset_with(&[], &[area(PAGE_4K), memory_map, insert(CODE)])
    }),
    broken("parameter.not-offered", || {
        let madt = HeaderSpec::parameter(ParameterKind::Madt, 0, 0);
        reset_with(&[], &[area(PAGE_4K), madt, insert(CODE)])
    }),
];

pub(super) const fn area<'a>(number_of_bytes: u64) -> HeaderSpec<'a> {
    HeaderSpec::ParameterArea { index: 0, number_of_bytes, initial: Data::Zero }
}

pub(super) const fn insert<'a>(gpa: u64) -> HeaderSpec<'a> {
    HeaderSpec::ParameterInsert(IGVM_VHS_PARAMETER_INSERT {
        gpa,
        compatibility_mask: NATIVE,
        parameter_area_index: 0,
    })
}

const fn vp_count<'a>(byte_offset: u32) -> HeaderSpec<'a> {
    HeaderSpec::parameter(ParameterKind::VpCount, 0, byte_offset)
}
