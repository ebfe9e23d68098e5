//! The fields of a header, by the specification's names.

use igvm_core::defs::*;
use igvm_core::file::Header;
use igvm_core::platform::platform_name;
use igvm_core::span::Span;
use igvm_core::wire::Value;
use serde::Serialize;

use super::number::{Hex, Size};

/// One field of a header's value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldView {
    /// The name in `igvm_defs`.
    pub name: &'static str,
    /// Its value: a hexadecimal number, or the bytes in hexadecimal.
    pub value: String,
    /// What the value means, where there is more to say than the number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meaning: Option<String>,
    /// File offset of its first byte.
    pub file_offset: Hex,
    /// Bytes it has.
    pub length: u64,
}

/// How a field is shown.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// A number.
    Number,
    /// A number that counts or names something: its meaning is decimal.
    Count,
    /// A number of bytes.
    Size,
    /// An offset in the file, 0 for zeroes (of pages and areas only).
    DataOffset,
    /// Bytes.
    Bytes,
    Platform,
    RegionFlags,
    PageFlags,
    DataType,
    RequiredFlags,
}

/// Name, offset, length, kind.
type Field = (&'static str, usize, usize, Kind);

/// The fields of a structure, in its order. Offsets and lengths come from the
/// structure itself.
macro_rules! layout {
    ($structure:ident: $($field:ident $kind:ident,)*) => {{
        const fn len<T>(_: fn(&$structure) -> &T) -> usize {
            size_of::<T>()
        }
        const FIELDS: &[Field] = &[$((
            stringify!($field),
            core::mem::offset_of!($structure, $field),
            len(|structure| &structure.$field),
            Kind::$kind,
        ),)*];
        FIELDS
    }};
}

fn layout(value: &Value<'_>) -> &'static [Field] {
    match value {
        Value::SupportedPlatform(_) => layout!(IGVM_VHS_SUPPORTED_PLATFORM:
            compatibility_mask Number,
            highest_vtl Number,
            platform_type Platform,
            platform_version Number,
            shared_gpa_boundary Number,
        ),
        Value::GuestPolicy(_) => layout!(IGVM_VHS_GUEST_POLICY:
            policy Number,
            compatibility_mask Number,
            reserved Number,
        ),
        Value::RelocatableRegion(_) => layout!(IGVM_VHS_RELOCATABLE_REGION:
            compatibility_mask Number,
            vp_index Number,
            vtl Number,
            flags RegionFlags,
            relocation_alignment Number,
            relocation_region_gpa Number,
            relocation_region_size Size,
            minimum_relocation_gpa Number,
            maximum_relocation_gpa Number,
        ),
        Value::PageTableRelocationRegion(_) => layout!(IGVM_VHS_PAGE_TABLE_RELOCATION:
            compatibility_mask Number,
            vp_index Number,
            vtl Number,
            reserved Number,
            gpa Number,
            size Size,
            used_size Size,
        ),
        Value::CorimDocument(_) | Value::CorimSignature(_) => layout!(IGVM_VHS_CORIM_DATA:
            compatibility_mask Number,
            file_offset Number,
            size_bytes Size,
            reserved Number,
        ),
        Value::CcaPolicy(_) => layout!(IGVM_VHS_CCA_POLICY:
            compatibility_mask Number,
            reserved Number,
            attributes_required_zeroes Number,
            attributes_required_ones Number,
            hash_algorithm Number,
            lfa_policy Number,
            reserved2 Bytes,
        ),
        Value::ParameterArea(_) => layout!(IGVM_VHS_PARAMETER_AREA:
            number_of_bytes Size,
            parameter_area_index Count,
            file_offset DataOffset,
        ),
        Value::PageData(_) => layout!(IGVM_VHS_PAGE_DATA:
            gpa Number,
            compatibility_mask Number,
            file_offset DataOffset,
            flags PageFlags,
            data_type DataType,
            reserved Number,
        ),
        Value::ParameterInsert(_) => layout!(IGVM_VHS_PARAMETER_INSERT:
            gpa Number,
            compatibility_mask Number,
            parameter_area_index Count,
        ),
        Value::VpContext(_) => layout!(IGVM_VHS_VP_CONTEXT:
            gpa Number,
            compatibility_mask Number,
            file_offset Number,
            vp_index Count,
            reserved Number,
        ),
        Value::RequiredMemory(_) => layout!(IGVM_VHS_REQUIRED_MEMORY:
            gpa Number,
            compatibility_mask Number,
            number_of_bytes Size,
            flags RequiredFlags,
            reserved Number,
        ),
        Value::Parameter(..) => layout!(IGVM_VHS_PARAMETER:
            parameter_area_index Count,
            byte_offset Number,
        ),
        Value::SnpIdBlock(_) => layout!(IGVM_VHS_SNP_ID_BLOCK:
            compatibility_mask Number,
            author_key_enabled Number,
            reserved Bytes,
            ld Bytes,
            family_id Bytes,
            image_id Bytes,
            version Number,
            guest_svn Count,
            id_key_algorithm Number,
            author_key_algorithm Number,
            id_key_signature Bytes,
            id_public_key Bytes,
            author_key_signature Bytes,
            author_public_key Bytes,
        ),
        Value::ErrorRange(_) => layout!(IGVM_VHS_ERROR_RANGE:
            gpa Number,
            compatibility_mask Number,
            size_bytes Size,
        ),
        Value::VbsMeasurement(_) => layout!(IGVM_VHS_VBS_MEASUREMENT:
            compatibility_mask Number,
            version Number,
            product_id Number,
            module_id Number,
            security_version Count,
            policy_flags Number,
            boot_digest_algo Number,
            signing_algo Number,
            boot_measurement_digest Bytes,
            signature Bytes,
            public_key Bytes,
        ),
        Value::VersionString(_) | Value::WrongLength { .. } | Value::Retired | Value::Unknown => {
            &[]
        }
    }
}

/// The fields of a header. A value without a known structure is one field of
/// bytes.
pub fn fields(header: &Header<'_>) -> Vec<FieldView> {
    let value = header.value();
    let bytes = header.raw.value;
    let start = header.value_range().start;
    let layout = layout(&value);
    let whole: [Field; 1] = [match value {
        Value::VersionString(_) => ("text", 0, bytes.len(), Kind::Bytes),
        _ => ("value", 0, bytes.len(), Kind::Bytes),
    }];
    let layout = if layout.is_empty() { &whole } else { layout };
    layout
        .iter()
        .filter_map(|(name, offset, len, kind)| {
            let raw = bytes.get(*offset..offset + len)?;
            let text = matches!(value, Value::VersionString(_));
            Some(FieldView {
                name,
                value: shown(*kind, raw),
                meaning: if text { Some(quoted(raw)) } else { meaning(*kind, raw) },
                file_offset: Hex(start + *offset as u64),
                length: *len as u64,
            })
        })
        .collect()
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

fn shown(kind: Kind, bytes: &[u8]) -> String {
    match kind {
        Kind::Bytes => {
            let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or('?');
            bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]).collect()
        }
        _ => format!("{:#x}", number(bytes)),
    }
}

fn meaning(kind: Kind, bytes: &[u8]) -> Option<String> {
    let value = number(bytes);
    match kind {
        Kind::Number => None,
        Kind::Bytes => (bytes.iter().all(|byte| *byte == 0)).then(|| "all zero".to_owned()),
        Kind::Count => (value > 9).then(|| value.to_string()),
        Kind::Size => Some(Size(value).to_string()),
        Kind::DataOffset => (value == 0).then(|| "zeroes".to_owned()),
        Kind::Platform => Some(platform(IgvmPlatformType(value as u8))),
        Kind::DataType => Some(data_type(IgvmPageDataType(value as u16)).to_owned()),
        Kind::RegionFlags => Some(names(value, &["IS_VTL2", "APPLY_PC", "APPLY_GDTR"])),
        Kind::PageFlags => Some(names(value, &["2 MiB page", "unmeasured", "shared"])),
        Kind::RequiredFlags => Some(names(value, &["vtl2_protectable"])),
    }
}

fn names(value: u64, bits: &[&str]) -> String {
    let set: Vec<&str> = bits
        .iter()
        .enumerate()
        .filter(|(bit, _)| value >> bit & 1 != 0)
        .map(|(_, name)| *name)
        .collect();
    let known = (1u64 << bits.len()) - 1;
    match (set.is_empty(), value & !known) {
        (true, 0) => "none".to_owned(),
        (_, 0) => set.join(", "),
        (true, reserved) => format!("reserved bits {reserved:#x}"),
        (false, reserved) => format!("{}, reserved bits {reserved:#x}", set.join(", ")),
    }
}

pub(super) fn platform(platform: IgvmPlatformType) -> String {
    platform_name(platform).map_or_else(|| format!("unknown ({:#x})", platform.0), str::to_owned)
}

pub(super) fn data_type(data_type: IgvmPageDataType) -> &'static str {
    match data_type {
        IgvmPageDataType::NORMAL => "normal",
        IgvmPageDataType::SECRETS => "secrets",
        IgvmPageDataType::CPUID_DATA => "cpuid-data",
        IgvmPageDataType::CPUID_XF => "cpuid-xf",
        _ => "unknown",
    }
}

fn quoted(bytes: &[u8]) -> String {
    format!("{:?}", String::from_utf8_lossy(bytes))
}

/// A header in one line of words.
pub fn summary(header: &Header<'_>, data: Option<Span>) -> String {
    let from = match data {
        Some(data) => format!(" from file {data}"),
        None => String::new(),
    };
    let mask = |mask: u32| format!(", mask {mask:#x}");
    match header.value() {
        Value::SupportedPlatform(v) => format!(
            "{}, version {}, highest VTL {}{}{}",
            platform(v.platform_type),
            v.platform_version,
            v.highest_vtl,
            match v.shared_gpa_boundary {
                0 => String::new(),
                boundary => format!(", shared above {boundary:#x}"),
            },
            mask(v.compatibility_mask),
        ),
        Value::GuestPolicy(v) => format!("policy {:#x}{}", v.policy, mask(v.compatibility_mask)),
        Value::RelocatableRegion(v) => format!(
            "{}, movable between {:#x} and {:#x} in steps of {}, {}, processor {}{}",
            Span::new(v.relocation_region_gpa, v.relocation_region_size),
            v.minimum_relocation_gpa,
            v.maximum_relocation_gpa,
            Size(v.relocation_alignment),
            names(v.flags.into(), &["IS_VTL2", "APPLY_PC", "APPLY_GDTR"]),
            v.vp_index,
            mask(v.compatibility_mask),
        ),
        Value::PageTableRelocationRegion(v) => format!(
            "{}, {} in use, processor {}{}",
            Span::new(v.gpa, v.size),
            Size(v.used_size),
            v.vp_index,
            mask(v.compatibility_mask),
        ),
        Value::CorimDocument(v) | Value::CorimSignature(v) => {
            format!("{}{from}{}", Size(v.size_bytes.into()), mask(v.compatibility_mask))
        }
        Value::CcaPolicy(v) => format!(
            "zeroes {:#x}, ones {:#x}{}",
            v.attributes_required_zeroes,
            v.attributes_required_ones,
            mask(v.compatibility_mask)
        ),
        Value::VersionString(text) => quoted(text),
        Value::ParameterArea(v) => format!(
            "area {}, {}, {}",
            v.parameter_area_index,
            Size(v.number_of_bytes),
            if v.file_offset == 0 { "zeroes".to_owned() } else { format!("initially{from}") },
        ),
        Value::PageData(v) => page_summary(&v, &from),
        Value::ParameterInsert(v) => {
            format!("area {} at {:#x}{}", v.parameter_area_index, v.gpa, mask(v.compatibility_mask))
        }
        Value::VpContext(v) => format!(
            "processor {}{from}{}{}",
            v.vp_index,
            match v.gpa.get() {
                0 => String::new(),
                gpa => format!(", at {gpa:#x}"),
            },
            mask(v.compatibility_mask),
        ),
        Value::RequiredMemory(v) => format!(
            "{}{}{}",
            Span::new(v.gpa, v.number_of_bytes.into()),
            if v.flags.vtl2_protectable() { ", VTL2 protectable" } else { "" },
            mask(v.compatibility_mask),
        ),
        Value::Parameter(_, v) => {
            format!("into area {} at offset {:#x}", v.parameter_area_index, v.byte_offset)
        }
        Value::SnpIdBlock(v) => {
            let v = v.get();
            format!("guest SVN {}{}", v.guest_svn, mask(v.compatibility_mask))
        }
        Value::ErrorRange(v) => {
            format!("{}{}", Span::new(v.gpa, v.size_bytes.into()), mask(v.compatibility_mask))
        }
        Value::VbsMeasurement(v) => {
            let v = v.get();
            format!("security version {}{}", v.security_version, mask(v.compatibility_mask))
        }
        Value::WrongLength { expected } => {
            format!("{} bytes where the structure has {expected}", header.raw.value.len())
        }
        Value::Retired => format!("retired type, {} bytes", header.raw.value.len()),
        Value::Unknown => format!("unknown type, {} bytes", header.raw.value.len()),
    }
}

fn page_summary(page: &IGVM_VHS_PAGE_DATA, from: &str) -> String {
    let size = igvm_core::file::page_len(page);
    let mut text = format!("{:#x}, {}", page.gpa, Size(size));
    text += if page.file_offset == 0 { " of zeroes" } else { from };
    if page.data_type != IgvmPageDataType::NORMAL {
        text += &format!(", {}", data_type(page.data_type));
    }
    for (set, name) in [(page.flags.unmeasured(), "unmeasured"), (page.flags.shared(), "shared")] {
        if set {
            text += &format!(", {name}");
        }
    }
    text + &format!(", mask {:#x}", page.compatibility_mask)
}
