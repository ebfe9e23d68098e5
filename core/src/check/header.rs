//! Rules of any variable header: type, length, order, padding, reserved
//! fields, compatibility mask.

use super::finding::Finding;
use super::rule::rules;
use super::structure::Structure;
use crate::data::FileData;
use crate::file::Header;
use crate::span::Span;
use crate::wire::{HeaderSection, Value, WalkStop, kind_name};

rules! {
    /// What can be wrong with any variable header.
    enum HeaderFault;

    Partial { stop: Rest }
        Error "header.partial"
        "The variable headers end with a whole header."
        "igvm_defs: IGVM_VHS_VARIABLE_HEADER.length"
        => "{stop}";
    Padding { at: u64 }
        Error "header.padding"
        "The bytes between a header and the next multiple of 8 are zero."
        "IGVM specification: variable headers are padded with zeroes to 8 bytes"
        => "the padding byte at file offset {at:#x} is not zero";
    Order { section: HeaderSection, after: HeaderSection }
        Error "header.order"
        "Platform headers come first, then initialization headers, then directives."
        "igvm_defs: IGVM_VHT_RANGE_*; igvm 0.5.0: InvalidBinaryVariableHeaderSection"
        => "a header of the {section} section stands behind one of the {after} section";
    Unknown { typ: u32 }
        Error "header.unknown-type"
        "A type that the specification does not list is marked optional."
        "igvm_defs: IGVM_VHT_OPTIONAL_BIT"
        => "header type {typ:#x} is not known and is not marked optional (bit 31), so loaders refuse \
            the file";
    UnknownOptional { typ: u32 }
        Note "header.unknown-optional"
        "Optional headers of unknown type are skipped."
        "igvm_defs: IGVM_VHT_OPTIONAL_BIT"
        => "header type {typ:#x} is not known; it is marked optional and was skipped";
    Retired
        Error "header.retired-type"
        "Type 0x306, once SHARED_BOUNDARY_GPA, is not used."
        "igvm_defs: RESERVED_DO_NOT_USE"
        => "header type 0x306 is retired; give the boundary in SUPPORTED_PLATFORM instead";
    Length { name: &'static str, expected: u32, length: u32 }
        Error "header.length"
        "The length of a header is the size of its structure."
        "igvm_defs: IGVM_VHS_VARIABLE_HEADER.length; igvm 0.5.0: InvalidVariableHeaderType"
        => "a {name} has {expected} bytes; this one says it has {length}";
    Reserved { field: &'static str, value: u64 }
        Error "header.reserved"
        "Reserved fields are zero."
        "igvm_defs: fields named reserved; igvm 0.5.0: ReservedNotZero"
        => "the reserved field {field} is {value:#x} and must be zero";
    MaskZero
        Warning "mask.zero"
        "A compatibility mask names at least one platform."
        "igvm_defs: compatibility_mask"
        => "the compatibility mask is 0: this header counts for no platform";
    MaskUndeclared { mask: u32, bits: u32 }
        Warning "mask.undeclared"
        "A compatibility mask names platforms that the file declares."
        "igvm_defs: IGVM_VHS_SUPPORTED_PLATFORM"
        => "the compatibility mask {mask:#x} has bits that no platform before it declares: {bits:#x} \
            (reported once for each set of bits)";
}

/// [`WalkStop`] as part of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rest(WalkStop);

impl core::fmt::Display for Rest {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

impl<D: FileData + ?Sized> Structure<'_, '_, D> {
    /// What every header has to keep to, whatever its type.
    pub(super) fn any_header(&mut self, header: &Header<'_>, value: &Value<'_>) {
        self.order(header);
        if let Some(nth) = header.raw.padding.iter().position(|byte| *byte != 0) {
            let padding = header.padding_range();
            let at = padding.start.saturating_add(nth as u64);
            self.report(
                Finding::new(HeaderFault::Padding { at }).at(header.reference()).file(padding),
            );
        }
        let typ = header.typ().0;
        match value {
            Value::Unknown | Value::Retired if header.raw.optional => {
                self.fault(header, HeaderFault::UnknownOptional { typ });
            }
            Value::Unknown => self.fault(header, HeaderFault::Unknown { typ }),
            Value::Retired => self.fault(header, HeaderFault::Retired),
            Value::WrongLength { expected } => {
                let name = kind_name(header.typ()).unwrap_or("header");
                let length = u32::try_from(header.raw.value.len()).unwrap_or(u32::MAX);
                self.fault(header, HeaderFault::Length { name, expected: *expected, length });
            }
            _ => {}
        }
        if let Some(mask) = value.compatibility_mask()
            && !matches!(value, Value::SupportedPlatform(_))
        {
            self.mask(header, mask);
        }
    }

    fn order(&mut self, header: &Header<'_>) {
        let section = header.section();
        if section == HeaderSection::Unassigned {
            return;
        }
        if section < self.section {
            let after = self.section;
            self.fault(header, HeaderFault::Order { section, after });
        }
        self.section = self.section.max(section);
    }

    fn mask(&mut self, header: &Header<'_>, mask: u32) {
        if mask == 0 {
            self.fault(header, HeaderFault::MaskZero);
        }
        let bits = mask & !self.platforms.declared;
        if bits & !self.undeclared_seen != 0 {
            self.undeclared_seen |= bits;
            self.fault(header, HeaderFault::MaskUndeclared { mask, bits });
        }
    }

    /// A reserved field of the header or its data.
    pub(super) fn reserved(&mut self, header: &Header<'_>, field: &'static str, value: u64) {
        if value != 0 {
            self.fault(header, HeaderFault::Reserved { field, value });
        }
    }

    /// The walk over the headers ended early.
    pub(super) fn partial(&mut self, stop: WalkStop) {
        // Where the file itself ends early, that is the news.
        if self.file.fixed().variable_headers().end() <= self.file.file_len() {
            let rest: Span = stop.rest();
            self.report(Finding::new(HeaderFault::Partial { stop: Rest(stop) }).file(rest));
        }
    }
}
