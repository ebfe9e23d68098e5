//! Relocatable regions: which guest addresses move, and how far.

use heapless::Vec;
use igvm_defs::{
    IGVM_VHF_RELOCATABLE_REGION_APPLY_GDTR, IGVM_VHF_RELOCATABLE_REGION_APPLY_PC,
    IGVM_VHS_PAGE_TABLE_RELOCATION, IGVM_VHS_RELOCATABLE_REGION, PAGE_SIZE_4K,
};

use super::host::Relocation;
use super::problem::{ProblemKind, RelocationRefusal, aligned, in_guest};
use crate::file::HeaderRef;
use crate::span::Span;

/// Regions that this loader keeps track of. Real files have a handful.
const REGIONS_MAX: usize = 64;

/// A region that may be loaded elsewhere than the file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// The header that describes it.
    pub header: HeaderRef,
    /// Where the file has it.
    pub span: Span,
    /// Where it is loaded.
    pub to: u64,
    /// The processor whose registers follow it.
    pub vp_index: u16,
    /// Whether that processor's instruction pointer follows it.
    pub apply_pc: bool,
    /// Whether that processor's GDTR follows it.
    pub apply_gdtr: bool,
    /// For the region of the page tables, how many bytes of it are in use.
    pub page_tables: Option<u64>,
}

impl Region {
    /// Where it is loaded.
    pub fn loaded(&self) -> Span {
        Span::new(self.to, self.span.len)
    }

    /// Whether it is loaded elsewhere than the file says.
    pub fn is_moved(&self) -> bool {
        self.to != self.span.start
    }

    /// An address in it, moved with it.
    pub fn moved(&self, address: u64) -> u64 {
        address.wrapping_sub(self.span.start).wrapping_add(self.to)
    }

    /// How far it moves, in bytes of either direction.
    pub fn distance(&self) -> u64 {
        self.to.abs_diff(self.span.start)
    }
}

/// The regions of the chosen platform.
#[derive(Debug, Default)]
pub struct Regions {
    regions: Vec<Region, REGIONS_MAX>,
}

impl Regions {
    /// All regions, in file order.
    pub fn iter(&self) -> core::slice::Iter<'_, Region> {
        self.regions.iter()
    }

    /// The region that holds an address of the file.
    pub fn find(&self, gpa: u64) -> Option<&Region> {
        self.regions.iter().find(|region| region.span.contains(gpa))
    }

    /// Where an address of the file is loaded.
    pub fn moved(&self, gpa: u64) -> u64 {
        self.find(gpa).map_or(gpa, |region| region.moved(gpa))
    }

    /// The first region, by address, that moves and shares a byte with `span`
    /// (as the file has it).
    pub fn first_moved_in(&self, span: Span) -> Option<&Region> {
        self.regions
            .iter()
            .filter(|region| region.is_moved() && region.span.overlaps(span))
            .min_by_key(|region| region.span.start)
    }

    pub(crate) fn add_relocatable(
        &mut self,
        value: &IGVM_VHS_RELOCATABLE_REGION,
        header: HeaderRef,
        wanted: &[Relocation],
    ) -> Result<Region, ProblemKind> {
        let span = Span::new(value.relocation_region_gpa, value.relocation_region_size);
        let has = |flag| value.flags & flag != 0;
        let region = Region {
            header,
            span,
            to: target(wanted, span),
            vp_index: value.vp_index,
            apply_pc: has(IGVM_VHF_RELOCATABLE_REGION_APPLY_PC),
            apply_gdtr: has(IGVM_VHF_RELOCATABLE_REGION_APPLY_GDTR),
            page_tables: None,
        };
        if region.is_moved() {
            may_move(value, &region)
                .map_err(|why| ProblemKind::RelocationRefused { to: region.to, why })?;
        }
        self.add(region)
    }

    pub(crate) fn add_page_tables(
        &mut self,
        value: &IGVM_VHS_PAGE_TABLE_RELOCATION,
        header: HeaderRef,
        wanted: &[Relocation],
    ) -> Result<Region, ProblemKind> {
        let span = Span::new(value.gpa, value.size);
        let region = Region {
            header,
            span,
            to: target(wanted, span),
            vp_index: value.vp_index,
            apply_pc: false,
            apply_gdtr: false,
            page_tables: Some(value.used_size.min(value.size)),
        };
        if region.is_moved() && region.to.checked_rem(PAGE_SIZE_4K) != Some(0) {
            let why = RelocationRefusal::Unaligned;
            return Err(ProblemKind::RelocationRefused { to: region.to, why });
        }
        self.add(region)
    }

    fn add(&mut self, region: Region) -> Result<Region, ProblemKind> {
        // Nothing that follows a region has to think of addresses that wrap.
        for span in [region.span, region.loaded()] {
            aligned(span.start, PAGE_SIZE_4K)?;
            aligned(span.len, PAGE_SIZE_4K)?;
            in_guest(span)?;
        }
        let why = RelocationRefusal::TooMany;
        self.regions
            .push(region)
            .map(|()| region)
            .map_err(|region| ProblemKind::RelocationRefused { to: region.to, why })
    }
}

/// Where the host wants the region at `span`.
fn target(wanted: &[Relocation], span: Span) -> u64 {
    wanted.iter().find(|wanted| wanted.from == span.start).map_or(span.start, |wanted| wanted.to)
}

fn may_move(value: &IGVM_VHS_RELOCATABLE_REGION, region: &Region) -> Result<(), RelocationRefusal> {
    let alignment = value.relocation_alignment;
    if alignment == 0 || alignment.checked_rem(PAGE_SIZE_4K) != Some(0) {
        return Err(RelocationRefusal::BadAlignment);
    }
    if region.to.checked_rem(alignment) != Some(0) {
        return Err(RelocationRefusal::Unaligned);
    }
    if region.to < value.minimum_relocation_gpa {
        return Err(RelocationRefusal::BelowMinimum);
    }
    match region.loaded().checked_end() {
        Some(end) if end <= value.maximum_relocation_gpa => Ok(()),
        _ => Err(RelocationRefusal::AboveMaximum),
    }
}
