//! Rules of parameter areas, parameters and their insertion.

use igvm_defs::{
    IGVM_VHS_MMIO_RANGES, IGVM_VHS_PARAMETER, IGVM_VHS_PARAMETER_AREA, IGVM_VHS_PARAMETER_INSERT,
    PAGE_SIZE_4K,
};

use super::finding::Finding;
use super::rule::rules;
use super::structure::Structure;
use crate::data::FileData;
use crate::file::Header;
use crate::load::{GUEST_PHYSICAL_LIMIT, Insertion, LoadError, StorageKind};
use crate::span::Span;
use crate::wire::ParameterKind;

rules! {
    /// What can be wrong with parameters.
    enum AreaFault;

    Size { len: u64 }
        Error "area.size"
        "The size of a parameter area is a multiple of 4 KiB."
        "igvm_defs: IGVM_VHS_PARAMETER_AREA.number_of_bytes; igvm 0.5.0: UnalignedSize"
        => "the area has {len:#x} bytes, not a multiple of 0x1000";
    Empty { index: u32 }
        Warning "area.empty"
        "A parameter area has bytes."
        "igvm_defs: IGVM_VHS_PARAMETER_AREA.number_of_bytes"
        => "parameter area {index} has no bytes: no parameter fits into it";
    Twice { index: u32, first: u32 }
        Error "area.twice"
        "The index of a parameter area is used once."
        "igvm_defs: IGVM_VHS_PARAMETER_AREA.parameter_area_index; igvm 0.5.0: InvalidParameterAreaIndex"
        => "parameter area {index} was declared before, by header {first}";
    Unknown { index: u32 }
        Error "area.unknown"
        "A parameter area is declared before it is used."
        "igvm_defs: IGVM_VHS_PARAMETER_INSERT.parameter_area_index; igvm 0.5.0: InvalidParameterAreaIndex"
        => "parameter area {index} is not declared before this header";
    NeverInserted { index: u32 }
        Warning "area.never-inserted"
        "A parameter area is inserted into the guest."
        "igvm_defs: IGVM_VHS_PARAMETER_INSERT"
        => "parameter area {index} is never inserted: the guest does not get to see it";
    InsertAlignment { gpa: u64 }
        Error "insert.alignment"
        "A parameter area is inserted at a page boundary."
        "igvm_defs: IGVM_VHS_PARAMETER_INSERT.gpa; igvm 0.5.0: UnalignedAddress"
        => "the area goes to {gpa:#x}, not a multiple of 0x1000";
    Outside { kind: ParameterKind, offset: u64, len: u64, area_len: u64 }
        Error "parameter.outside-area"
        "A parameter lies inside its area."
        "igvm_defs: IGVM_VHS_PARAMETER"
        => "{kind} takes at least {len} bytes at offset {offset:#x} of an area of {area_len:#x} bytes";
}

/// The bytes that a parameter takes whatever the host; at least one.
pub(super) const fn fixed_len(kind: ParameterKind) -> Option<u64> {
    match kind {
        ParameterKind::VpCount | ParameterKind::EnvironmentInfo => Some(size_of::<u32>() as u64),
        ParameterKind::MmioRanges => Some(size_of::<IGVM_VHS_MMIO_RANGES>() as u64),
        _ => None,
    }
}

impl<D: FileData + ?Sized> Structure<'_, '_, D> {
    pub(super) fn parameter_area(
        &mut self,
        header: &Header<'_>,
        value: &IGVM_VHS_PARAMETER_AREA,
    ) -> Result<(), LoadError> {
        let (index, len) = (value.parameter_area_index, value.number_of_bytes);
        if len.checked_rem(PAGE_SIZE_4K) != Some(0) {
            self.fault(header, AreaFault::Size { len });
        } else if len == 0 {
            self.fault(header, AreaFault::Empty { index });
        } else {
            self.guest_range(header, 0, len);
        }
        if value.file_offset != 0 {
            self.file_data(header, value.file_offset, len);
        }
        if let Some(first) = self.areas.get(index).map(|area| area.header.index) {
            self.fault(header, AreaFault::Twice { index, first });
            return Ok(());
        }
        self.areas
            .declare(index, len, header.reference())
            .map(|_| ())
            .map_err(|_| LoadError::StorageFull(StorageKind::Areas))
    }

    pub(super) fn parameter(
        &mut self,
        header: &Header<'_>,
        kind: ParameterKind,
        value: &IGVM_VHS_PARAMETER,
    ) {
        let index = value.parameter_area_index;
        let Some(area_len) = self.areas.get(index).map(|area| area.len) else {
            return self.fault(header, AreaFault::Unknown { index });
        };
        let offset = u64::from(value.byte_offset);
        let len = fixed_len(kind).unwrap_or(1);
        if offset.saturating_add(len) > area_len {
            self.fault(header, AreaFault::Outside { kind, offset, len, area_len });
        }
    }

    pub(super) fn parameter_insert(
        &mut self,
        header: &Header<'_>,
        value: &IGVM_VHS_PARAMETER_INSERT,
    ) {
        let (index, gpa) = (value.parameter_area_index, value.gpa);
        if gpa.checked_rem(PAGE_SIZE_4K) != Some(0) {
            self.fault(header, AreaFault::InsertAlignment { gpa });
        }
        let mask = value.compatibility_mask;
        if mask == 0 {
            // For no platform: nothing is inserted.
            return;
        }
        let Some(area) = self.areas.get(index).copied() else {
            self.insert_into(header, mask, Span::new(gpa, 0));
            return self.fault(header, AreaFault::Unknown { index });
        };
        // An area that is too long was reported where it is declared.
        self.guest_range(header, gpa, area.len.min(GUEST_PHYSICAL_LIMIT));
        self.insert_into(header, mask, Span::new(gpa, area.len));
        if let Some(earlier) = area.inserted {
            self.inserted_again(header, mask, earlier.header);
        }
        self.areas.retire(index, Insertion { gpa, header: header.reference() });
    }

    /// After the last header.
    pub(super) fn areas_end(&mut self) {
        let Self { file, areas, sink, .. } = self;
        for area in areas.iter().filter(|area| area.inserted.is_none()) {
            if let Some(header) = file.header(area.header) {
                let fault = AreaFault::NeverInserted { index: area.index };
                sink(Finding::new(fault).of(&header));
            }
        }
    }
}
