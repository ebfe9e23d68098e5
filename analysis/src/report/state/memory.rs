//! Extents, parameter areas and regions of a machine.

use igvm_core::defs::IgvmPageDataType;
use igvm_core::load::{Area, Extent, Machine, Region, Source};
use serde::Serialize;

use crate::report::fields::data_type;
use crate::report::number::Hex;

/// A run of bytes with one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExtentView {
    /// First guest physical address; for the content of an area the offset in
    /// it.
    pub gpa: Hex,
    /// Bytes.
    pub length: Hex,
    /// `file`, `zero`, `parameter`, `fixup` or `untouched`.
    pub source: &'static str,
    /// File offset of the first byte.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_offset: Option<Hex>,
    /// The parameter, by header name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter: Option<&'static str>,
    /// The parameter area the bytes came through, by index.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub area: Option<u32>,
    /// The header that wrote the first byte.
    pub header: u32,
    /// The header that wrote the last byte, if it is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_header: Option<u32>,
    /// The page data type, if it is not normal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_type: Option<&'static str>,
    /// Whether the pages are not measured.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unmeasured: bool,
    /// Whether the pages are visible to the host.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub shared: bool,
}

impl From<&Extent> for ExtentView {
    fn from(extent: &Extent) -> Self {
        let (first, last) = extent.writers();
        let (source, file_offset, parameter) = match extent.source {
            Source::File { offset } => ("file", Some(Hex(offset)), None),
            Source::Zero => ("zero", None, None),
            Source::Parameter { kind, .. } => ("parameter", None, Some(kind.header_name())),
            Source::Fixup { .. } => ("fixup", None, None),
            Source::Untouched => ("untouched", None, None),
        };
        Self {
            gpa: Hex(extent.span.start),
            length: Hex(extent.span.len),
            source,
            file_offset,
            parameter,
            area: extent.area,
            header: first.index,
            last_header: (last != first).then_some(last.index),
            data_type: (extent.data_type != IgvmPageDataType::NORMAL)
                .then(|| data_type(extent.data_type)),
            unmeasured: extent.flags.unmeasured(),
            shared: extent.flags.shared(),
        }
    }
}

/// A parameter area.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AreaView {
    /// `parameter_area_index`.
    pub index: u32,
    /// Bytes it has.
    pub length: Hex,
    /// The header that declared it.
    pub header: u32,
    /// Where it was inserted; `null` if never.
    pub inserted: Option<InsertionView>,
    /// What it holds.
    pub content: Vec<ExtentView>,
}

/// Where a parameter area went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct InsertionView {
    /// Guest physical address.
    pub gpa: Hex,
    /// The header that inserted it.
    pub header: u32,
}

impl AreaView {
    pub(super) fn new(area: &Area, machine: &Machine<'_>) -> Self {
        let Area { index, len, header, inserted } = *area;
        Self {
            index,
            length: Hex(len),
            header: header.index,
            inserted: inserted.map(|inserted| InsertionView {
                gpa: Hex(inserted.gpa),
                header: inserted.header.index,
            }),
            content: machine
                .image()
                .extents(area.space())
                .map(|extent| ExtentView { area: None, ..ExtentView::from(extent) })
                .collect(),
        }
    }
}

/// A relocatable region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RegionView {
    /// Where the file has it.
    pub gpa: Hex,
    /// Bytes.
    pub length: Hex,
    /// Where it is loaded.
    pub loaded_at: Hex,
    /// Whether it holds the page tables.
    pub page_tables: bool,
    /// The header that describes it.
    pub header: u32,
}

impl From<&Region> for RegionView {
    fn from(region: &Region) -> Self {
        Self {
            gpa: Hex(region.span.start),
            length: Hex(region.span.len),
            loaded_at: Hex(region.to),
            page_tables: region.page_tables.is_some(),
            header: region.header.index,
        }
    }
}
