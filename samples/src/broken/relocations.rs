//! Broken relocatable regions.

use igvm_core::defs::{
    IGVM_VHS_PAGE_TABLE_RELOCATION, IGVM_VHS_PARAMETER_INSERT, IGVM_VHS_RELOCATABLE_REGION,
};
use igvm_core::write::{Data, HeaderSpec};

use super::base::{protected_with, reset_with};
use super::{Broken, broken};
use crate::layout::{NATIVE, PAGE_2M, PAGE_4K};

/// Where regions lie, clear of everything else.
const REGION: u64 = 0x40_0000;

/// More regions than a loader keeps track of.
const MANY: u64 = 65;

pub(super) const SAMPLES: &[Broken] = &[
    broken("relocation.alignment", || {
        regions(&[HeaderSpec::RelocatableRegion(IGVM_VHS_RELOCATABLE_REGION {
            minimum_relocation_gpa: PAGE_4K,
            ..region()
        })])
    }),
    broken("relocation.no-alignment", || {
        regions(&[HeaderSpec::RelocatableRegion(IGVM_VHS_RELOCATABLE_REGION {
            relocation_alignment: 0,
            ..region()
        })])
    }),
    broken("relocation.empty", || {
        regions(&[HeaderSpec::RelocatableRegion(IGVM_VHS_RELOCATABLE_REGION {
            relocation_region_size: 0,
            ..region()
        })])
    }),
    broken("relocation.flags", || {
        regions(&[HeaderSpec::RelocatableRegion(IGVM_VHS_RELOCATABLE_REGION {
            flags: 8,
            ..region()
        })])
    }),
    broken("relocation.vtl", || {
        regions(&[HeaderSpec::RelocatableRegion(IGVM_VHS_RELOCATABLE_REGION {
            vtl: 3,
            ..region()
        })])
    }),
    broken("relocation.overlap", || {
        regions(&[HeaderSpec::RelocatableRegion(region()), HeaderSpec::RelocatableRegion(region())])
    }),
    broken("relocation.no-context", || reset_with(&[HeaderSpec::RelocatableRegion(region())], &[])),
    broken("relocation.too-many", || {
        let many: Vec<_> = (0..MANY)
            .map(|nth| {
                HeaderSpec::RelocatableRegion(IGVM_VHS_RELOCATABLE_REGION {
                    relocation_region_gpa: REGION + nth * PAGE_2M,
                    ..region()
                })
            })
            .collect();
        regions(&many)
    }),
    broken("page-tables.alignment", || {
        regions(&[HeaderSpec::PageTableRelocationRegion(IGVM_VHS_PAGE_TABLE_RELOCATION {
            used_size: 8,
            ..tables()
        })])
    }),
    broken("page-tables.used-size", || {
        regions(&[HeaderSpec::PageTableRelocationRegion(IGVM_VHS_PAGE_TABLE_RELOCATION {
            used_size: 3 * PAGE_4K,
            ..tables()
        })])
    }),
    broken("page-tables.twice", || {
        regions(&[
            HeaderSpec::PageTableRelocationRegion(tables()),
            HeaderSpec::PageTableRelocationRegion(IGVM_VHS_PAGE_TABLE_RELOCATION {
                gpa: REGION + PAGE_2M,
                ..tables()
            }),
        ])
    }),
    broken("insert.page-tables", || {
        let area =
            HeaderSpec::ParameterArea { index: 0, number_of_bytes: PAGE_4K, initial: Data::Zero };
        let insert = HeaderSpec::ParameterInsert(IGVM_VHS_PARAMETER_INSERT {
            gpa: REGION + PAGE_4K,
            compatibility_mask: NATIVE,
            parameter_area_index: 0,
        });
        protected_with(&[HeaderSpec::PageTableRelocationRegion(tables())], &[area, insert], |_| {})
    }),
];

fn regions(headers: &[HeaderSpec<'_>]) -> Vec<u8> {
    protected_with(headers, &[], |_| {})
}

const fn region() -> IGVM_VHS_RELOCATABLE_REGION {
    IGVM_VHS_RELOCATABLE_REGION {
        compatibility_mask: NATIVE,
        vp_index: 0,
        vtl: 0,
        flags: 0,
        relocation_alignment: PAGE_2M,
        relocation_region_gpa: REGION,
        relocation_region_size: PAGE_2M,
        minimum_relocation_gpa: 0,
        maximum_relocation_gpa: 1 << 30,
    }
}

const fn tables() -> IGVM_VHS_PAGE_TABLE_RELOCATION {
    IGVM_VHS_PAGE_TABLE_RELOCATION {
        compatibility_mask: NATIVE,
        vp_index: 0,
        vtl: 0,
        reserved: 0,
        gpa: REGION,
        size: 2 * PAGE_4K,
        used_size: PAGE_4K,
    }
}
