//! `inspect`: the file as it stands, header by header.

use std::fmt;

use igvm_core::data::FileData;
use igvm_core::defs::IgvmArchitecture;
use igvm_core::file::{Header, IgvmFile};
use igvm_core::span::Span;
use igvm_core::wire::kind_name;
use serde::Serialize;

use super::fields::{FieldView, fields, platform, summary};
use super::number::{Hex, Size};

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InspectReport {
    /// Format version, 1 or 2.
    pub version: u32,
    /// `x64`, `aarch64` or the number.
    pub architecture: String,
    /// Page size in bytes.
    pub page_size: u32,
    /// Bytes the fixed header says the file has.
    pub total_file_size: Hex,
    /// Bytes the file has.
    pub file_size: Hex,
    /// File offset of the variable headers.
    pub variable_header_offset: Hex,
    /// Bytes of the variable headers.
    pub variable_header_size: Hex,
    /// The stored checksum.
    pub checksum: Hex,
    /// The checksum of the headers as they are; `null` if they are cut short.
    pub computed_checksum: Option<Hex>,
    /// The platforms.
    pub platforms: Vec<PlatformView>,
    /// All variable headers.
    pub headers: Vec<HeaderView>,
    /// Why the headers end early, if they do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
}

/// A platform the file supports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlatformView {
    /// Its name.
    pub name: String,
    /// Its compatibility mask.
    pub compatibility_mask: Hex,
}

/// One variable header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeaderView {
    /// Its number.
    pub index: u32,
    /// File offset of its type field.
    pub file_offset: Hex,
    /// Its type, without the optional bit.
    #[serde(rename = "type")]
    pub typ: Hex,
    /// The name of the type; `null` for one that the specification does not
    /// list.
    pub name: Option<&'static str>,
    /// Whether loaders that do not know the type may skip it.
    pub optional: bool,
    /// Bytes of its value.
    pub length: u64,
    /// Bytes of padding behind it.
    pub padding: u64,
    /// The header in words.
    pub summary: String,
    /// Its fields.
    pub fields: Vec<FieldView>,
    /// Its data in the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<DataView>,
}

/// A range of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct DataView {
    /// File offset of its first byte.
    pub file_offset: Hex,
    /// Bytes it has.
    pub length: Hex,
}

impl From<Span> for DataView {
    fn from(span: Span) -> Self {
        Self { file_offset: Hex(span.start), length: Hex(span.len) }
    }
}

impl HeaderView {
    /// Looks at one header.
    pub fn new(file: &IgvmFile<'_>, data: &(impl FileData + ?Sized), header: &Header<'_>) -> Self {
        let span = file.data_range(header, data);
        Self {
            index: header.index,
            file_offset: Hex(header.raw.offset.into()),
            typ: Hex(header.typ().0.into()),
            name: kind_name(header.typ()),
            optional: header.raw.optional,
            length: header.raw.value.len() as u64,
            padding: header.raw.padding.len() as u64,
            summary: summary(header, span),
            fields: fields(header),
            data: span.map(DataView::from),
        }
    }

    fn shown_name(&self) -> String {
        let name = self.name.map_or_else(|| format!("type {}", self.typ), str::to_owned);
        if self.optional { format!("{name} (optional)") } else { name }
    }
}

impl InspectReport {
    /// Looks at a file.
    pub fn new(file: &IgvmFile<'_>, data: &(impl FileData + ?Sized)) -> Self {
        let fixed = file.fixed();
        let variable = fixed.variable_headers();
        let mut walk = file.headers();
        let headers = walk.by_ref().map(|header| HeaderView::new(file, data, &header)).collect();
        Self {
            version: fixed.version(),
            architecture: match fixed.architecture() {
                IgvmArchitecture::X64 => "x64".to_owned(),
                IgvmArchitecture::AARCH64 => "aarch64".to_owned(),
                other => format!("unknown ({:#x})", other.0),
            },
            page_size: fixed.page_size(),
            total_file_size: Hex(fixed.total_file_size().into()),
            file_size: Hex(file.file_len()),
            variable_header_offset: Hex(variable.start),
            variable_header_size: Hex(variable.len),
            checksum: Hex(fixed.checksum().into()),
            computed_checksum: file.compute_checksum().map(|sum| Hex(sum.into())),
            platforms: file
                .platforms()
                .map(|header| PlatformView {
                    name: platform(header.platform_type),
                    compatibility_mask: Hex(header.compatibility_mask.into()),
                })
                .collect(),
            headers,
            stopped: walk.stop().map(|stop| stop.to_string()),
        }
    }
}

impl fmt::Display for InspectReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "IGVM version {}, {}, pages of {}, file of {} ({})",
            self.version,
            self.architecture,
            Size(self.page_size.into()),
            Size(self.file_size.0),
            self.file_size,
        )?;
        if self.total_file_size != self.file_size {
            writeln!(f, "  the fixed header says the file has {} bytes", self.total_file_size)?;
        }
        writeln!(
            f,
            "variable headers at {}",
            Span::new(self.variable_header_offset.0, self.variable_header_size.0)
        )?;
        let verdict = match self.computed_checksum {
            Some(sum) if sum == self.checksum => "correct".to_owned(),
            Some(sum) => format!("wrong, the headers have {sum}"),
            None => "cannot be checked, the headers are cut short".to_owned(),
        };
        writeln!(f, "checksum {}: {verdict} (it covers the headers, not the data)", self.checksum)?;
        writeln!(f)?;
        let width = self.headers.iter().map(|header| header.shown_name().len()).max().unwrap_or(0);
        for header in &self.headers {
            writeln!(
                f,
                "{:>5}  {:>8}  {:<width$}  {}",
                header.index,
                header.file_offset,
                header.shown_name(),
                header.summary,
            )?;
        }
        match &self.stopped {
            Some(stopped) => writeln!(f, "stopped: {stopped}"),
            None => Ok(()),
        }
    }
}
