//! `inspect`: the file as it stands, header by header.

use std::fmt;

use igvm_core::data::FileData;
use igvm_core::defs::{IGVM_VHS_SUPPORTED_PLATFORM, IgvmArchitecture};
use igvm_core::file::{Header, IgvmFile};
use igvm_core::span::Span;
use igvm_core::wire::kind_name;
use serde::{Serialize, Serializer};

use super::fields::{FieldView, fields, platform, summary};
use super::number::{Hex, Size};

/// The whole file. Headers are looked at one by one while it is written out,
/// so that a million of them take no memory.
#[derive(Debug, Clone, Copy)]
pub struct InspectReport<'a, D: ?Sized> {
    file: &'a IgvmFile<'a>,
    data: &'a D,
}

/// What stands before the headers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileView {
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
        Self { fields: fields(header), ..Self::without_fields(file, data, header) }
    }

    /// For one line of text. Bytes in hexadecimal take time and memory.
    fn without_fields(
        file: &IgvmFile<'_>,
        data: &(impl FileData + ?Sized),
        header: &Header<'_>,
    ) -> Self {
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
            fields: Vec::new(),
            data: span.map(DataView::from),
        }
    }

    fn shown_name(&self) -> String {
        let name = self.name.map_or_else(|| format!("type {}", self.typ), str::to_owned);
        if self.optional { format!("{name} (optional)") } else { name }
    }
}

impl FileView {
    /// Looks at everything but the headers.
    pub fn new(file: &IgvmFile<'_>) -> Self {
        let fixed = file.fixed();
        let variable = fixed.variable_headers();
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
            platforms: file.platforms().map(PlatformView::from).collect(),
        }
    }
}

impl From<IGVM_VHS_SUPPORTED_PLATFORM> for PlatformView {
    fn from(header: IGVM_VHS_SUPPORTED_PLATFORM) -> Self {
        Self {
            name: platform(header.platform_type),
            compatibility_mask: Hex(header.compatibility_mask.into()),
        }
    }
}

impl<'a, D: FileData + ?Sized> InspectReport<'a, D> {
    /// Looks at a file.
    pub fn new(file: &'a IgvmFile<'a>, data: &'a D) -> Self {
        Self { file, data }
    }

    /// Why the headers end early, if they do.
    fn stopped(&self) -> Option<String> {
        let mut walk = self.file.headers();
        walk.by_ref().for_each(drop);
        walk.stop().map(|stop| stop.to_string())
    }
}

impl<D: FileData + ?Sized> Serialize for InspectReport<'_, D> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        /// The headers, one by one.
        struct Headers<'a, 'b, D: ?Sized>(&'a InspectReport<'b, D>);

        impl<D: FileData + ?Sized> Serialize for Headers<'_, '_, D> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let InspectReport { file, data } = self.0;
                serializer
                    .collect_seq(file.headers().map(|header| HeaderView::new(file, *data, &header)))
            }
        }

        #[derive(Serialize)]
        struct Whole<H> {
            #[serde(flatten)]
            file: FileView,
            headers: H,
            /// Why the headers end early; `null` if they do not.
            stopped: Option<String>,
        }

        let file = FileView::new(self.file);
        Whole { file, headers: Headers(self), stopped: self.stopped() }.serialize(serializer)
    }
}

impl fmt::Display for FileView {
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
            writeln!(f, "the fixed header says the file has {} bytes", self.total_file_size)?;
        }
        let headers = Span::new(self.variable_header_offset.0, self.variable_header_size.0);
        write!(f, "variable headers at {headers}")?;
        match headers.end() > self.file_size.0 {
            true => writeln!(f, ", cut short: the file ends at {}", self.file_size)?,
            false => writeln!(f)?,
        }
        let verdict = match self.computed_checksum {
            Some(sum) if sum == self.checksum => "correct".to_owned(),
            Some(sum) => format!("wrong, the headers have {sum}"),
            None => "cannot be checked, the headers are cut short".to_owned(),
        };
        writeln!(f, "checksum {}: {verdict} (it covers the headers, not the data)", self.checksum)
    }
}

impl<D: FileData + ?Sized> fmt::Display for InspectReport<'_, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", FileView::new(self.file))?;
        for header in self.file.headers() {
            HeaderView::without_fields(self.file, self.data, &header).fmt(f)?;
        }
        match self.stopped() {
            Some(stopped) => writeln!(f, "stopped: {stopped}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for HeaderView {
    /// One line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (index, offset, name) = (self.index, self.file_offset, self.shown_name());
        writeln!(f, "{index:>5}  {offset:>8}  {name:<28}  {}", self.summary)
    }
}
