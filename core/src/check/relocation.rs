//! Rules of relocatable regions and of the region of the page tables.

use heapless::Vec;
use igvm_defs::{
    IGVM_VHF_RELOCATABLE_REGION_APPLY_GDTR, IGVM_VHF_RELOCATABLE_REGION_APPLY_PC,
    IGVM_VHF_RELOCATABLE_REGION_IS_VTL2, IGVM_VHS_PAGE_TABLE_RELOCATION,
    IGVM_VHS_RELOCATABLE_REGION, PAGE_SIZE_4K,
};

use super::finding::Finding;
use super::rule::rules;
use super::structure::Structure;
use crate::data::FileData;
use crate::file::{Header, HeaderRef};
use crate::span::Span;

rules! {
    /// What can be wrong with relocation.
    enum RelocationFault;

    Alignment { field: &'static str, value: u64, unit: u64 }
        Error "relocation.alignment"
        "Addresses of a relocatable region are multiples of its alignment, which like its size is one of 4 KiB."
        "igvm_defs: IGVM_VHS_RELOCATABLE_REGION; igvm 0.5.0: RelocationAlignment, RelocationAddress, RelocationSize"
        => "{field} is {value:#x}, not a multiple of {unit:#x}";
    NoAlignment
        Error "relocation.no-alignment"
        "The alignment of a relocatable region is not 0."
        "igvm_defs: IGVM_VHS_RELOCATABLE_REGION.relocation_alignment"
        => "relocation_alignment is 0; it must be a multiple of 0x1000";
    Empty
        Error "relocation.empty"
        "A region has bytes."
        "igvm 0.5.0 fails on a region of size 0"
        => "the region has size 0";
    Flags { flags: u8 }
        Error "relocation.flags"
        "Only bits 2:0 of the flags of a relocatable region are set."
        "igvm_defs: IGVM_VHF_RELOCATABLE_REGION_*"
        => "the flags are {flags:#x}; bits 7:3 have no meaning and must be 0";
    Vtl { vtl: u8 }
        Error "relocation.vtl"
        "The VTL of a region is 0, 1 or 2."
        "igvm 0.5.0: InvalidVtl"
        => "the VTL is {vtl}; there are 0, 1 and 2";
    Overlap { region: Span, other: u32 }
        Error "relocation.overlap"
        "Regions of a platform do not overlap."
        "igvm_defs: IGVM_VHS_PAGE_TABLE_RELOCATION; igvm 0.5.0: RelocationRegionsOverlap"
        => "the region {region} overlaps the one of header {other}";
    PageTableAlignment { field: &'static str, value: u64 }
        Error "page-tables.alignment"
        "Address and sizes of the page table region are multiples of 4 KiB."
        "igvm 0.5.0: UnalignedAddress, UnalignedSize"
        => "{field} is {value:#x}, not a multiple of 0x1000";
    PageTableUsed { used: u64, size: u64 }
        Error "page-tables.used-size"
        "The page table region does not use more than it has."
        "igvm 0.5.0: InvalidPageTableRegionSize"
        => "used_size is {used:#x}, more than the size {size:#x}";
    PageTablesTwice { bits: u32 }
        Error "page-tables.twice"
        "A platform has at most one page table region."
        "igvm 0.5.0: MultiplePageTableRelocationHeaders"
        => "the platforms with mask {bits:#x} had a page table region before";
    ContextMissing { vp_index: u16, vtl: u8 }
        Error "relocation.no-context"
        "The processor whose registers follow a region has a context."
        "igvm_defs: IGVM_VHS_PAGE_TABLE_RELOCATION; igvm 0.5.0: NoMatchingVpContext"
        => "the region names processor {vp_index} at VTL {vtl}, for which the file has no context";
    InsertInside { gpa: u64, region: Span, other: u32 }
        Error "insert.page-tables"
        "No parameter area is inserted into the page table region."
        "igvm_defs: IGVM_VHS_PAGE_TABLE_RELOCATION; igvm 0.5.0: ParameterInsertInsidePageTableRegion"
        => "the area goes to {gpa:#x}, inside the page tables {region} of header {other}";
}

/// Regions kept track of. The loader has the same bound, and reports what
/// passes it.
const REGIONS_MAX: usize = 64;

const FLAGS: u8 = IGVM_VHF_RELOCATABLE_REGION_IS_VTL2
    | IGVM_VHF_RELOCATABLE_REGION_APPLY_PC
    | IGVM_VHF_RELOCATABLE_REGION_APPLY_GDTR;

/// A region seen.
#[derive(Debug, Clone, Copy)]
struct Seen {
    header: HeaderRef,
    span: Span,
    mask: u32,
    vp_index: u16,
    vtl: u8,
    page_tables: bool,
    has_context: bool,
}

/// The regions seen so far.
#[derive(Debug)]
pub(super) struct Relocations {
    regions: Vec<Seen, REGIONS_MAX>,
    page_tables: u32,
}

impl Relocations {
    pub(super) const fn new() -> Self {
        Self { regions: Vec::new(), page_tables: 0 }
    }

    /// A context for a processor; `vtl` is `None` where the format has none.
    pub(super) fn context(&mut self, mask: u32, vp_index: u16, vtl: Option<u8>) {
        for region in &mut self.regions {
            if region.mask & mask != 0
                && region.vp_index == vp_index
                && vtl.is_none_or(|vtl| vtl == region.vtl)
            {
                region.has_context = true;
            }
        }
    }

    /// The page table region that a range of the guest touches.
    fn page_tables_in(&self, mask: u32, guest: Span) -> Option<Seen> {
        self.regions
            .iter()
            .copied()
            .find(|r| r.page_tables && r.mask & mask != 0 && r.span.overlaps(guest))
    }
}

impl<D: FileData + ?Sized> Structure<'_, '_, D> {
    pub(super) fn relocatable_region(
        &mut self,
        header: &Header<'_>,
        value: &IGVM_VHS_RELOCATABLE_REGION,
    ) {
        let alignment = value.relocation_alignment;
        if alignment == 0 {
            self.fault(header, RelocationFault::NoAlignment);
        }
        let fields = [
            ("relocation_alignment", alignment, PAGE_SIZE_4K),
            ("relocation_region_size", value.relocation_region_size, PAGE_SIZE_4K),
            ("relocation_region_gpa", value.relocation_region_gpa, alignment),
            ("minimum_relocation_gpa", value.minimum_relocation_gpa, alignment),
            ("maximum_relocation_gpa", value.maximum_relocation_gpa, alignment),
        ];
        for (field, value, unit) in fields {
            if value.checked_rem(unit).is_some_and(|rest| rest != 0) {
                self.fault(header, RelocationFault::Alignment { field, value, unit });
            }
        }
        if value.flags & !FLAGS != 0 {
            self.fault(header, RelocationFault::Flags { flags: value.flags });
        }
        self.region(
            Seen {
                header: header.reference(),
                span: Span::new(value.relocation_region_gpa, value.relocation_region_size),
                mask: value.compatibility_mask,
                vp_index: value.vp_index,
                vtl: value.vtl,
                page_tables: false,
                has_context: false,
            },
            header,
        );
    }

    pub(super) fn page_table_region(
        &mut self,
        header: &Header<'_>,
        value: &IGVM_VHS_PAGE_TABLE_RELOCATION,
    ) {
        self.reserved(header, "IGVM_VHS_PAGE_TABLE_RELOCATION.reserved", value.reserved.into());
        let fields = [("gpa", value.gpa), ("size", value.size), ("used_size", value.used_size)];
        for (field, value) in fields {
            if value.checked_rem(PAGE_SIZE_4K) != Some(0) {
                self.fault(header, RelocationFault::PageTableAlignment { field, value });
            }
        }
        let (used, size) = (value.used_size, value.size);
        if used > size {
            self.fault(header, RelocationFault::PageTableUsed { used, size });
        }
        let mask = value.compatibility_mask;
        let bits = self.relocations.page_tables & mask;
        self.relocations.page_tables |= mask;
        if bits != 0 {
            self.fault(header, RelocationFault::PageTablesTwice { bits });
        }
        self.region(
            Seen {
                header: header.reference(),
                span: Span::new(value.gpa, value.size),
                mask,
                vp_index: value.vp_index,
                vtl: value.vtl,
                page_tables: true,
                has_context: false,
            },
            header,
        );
    }

    /// What both kinds of region have in common.
    fn region(&mut self, region: Seen, header: &Header<'_>) {
        if region.vtl > 2 {
            self.fault(header, RelocationFault::Vtl { vtl: region.vtl });
        }
        if region.mask == 0 {
            // For no platform: nothing can move.
            return;
        }
        let Span { start, len } = region.span;
        if len == 0 {
            self.fault(header, RelocationFault::Empty);
        }
        self.guest_range(header, start, len);
        let other = self
            .relocations
            .regions
            .iter()
            .find(|other| other.mask & region.mask != 0 && other.span.overlaps(region.span))
            .map(|other| other.header.index);
        if let Some(other) = other {
            let fault = RelocationFault::Overlap { region: region.span, other };
            self.report(Finding::new(fault).of(header).guest(region.span));
        }
        // Past the bound the loader reports it.
        let _ = self.relocations.regions.push(region);
    }

    /// A parameter area that goes to `guest`.
    pub(super) fn insert_into(&mut self, header: &Header<'_>, mask: u32, guest: Span) {
        // An empty area still has a place.
        let touched = Span::new(guest.start, guest.len.max(1));
        if let Some(region) = self.relocations.page_tables_in(mask, touched) {
            let fault = RelocationFault::InsertInside {
                gpa: guest.start,
                region: region.span,
                other: region.header.index,
            };
            self.report(Finding::new(fault).of(header).guest(guest));
        }
    }

    /// After the last header.
    pub(super) fn relocations_end(&mut self) {
        let file = self.file;
        for nth in 0..self.relocations.regions.len() {
            let Some(region) = self.relocations.regions.get(nth).copied() else { break };
            if region.has_context {
                continue;
            }
            let Seen { vp_index, vtl, .. } = region;
            if let Some(header) = file.header(region.header) {
                self.fault(&header, RelocationFault::ContextMissing { vp_index, vtl });
            }
        }
    }
}
