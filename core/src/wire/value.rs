//! The value of a variable header, as the structure its type names.

use core::fmt;

use igvm_defs::{
    IGVM_VHS_CCA_POLICY, IGVM_VHS_CORIM_DATA, IGVM_VHS_ERROR_RANGE, IGVM_VHS_GUEST_POLICY,
    IGVM_VHS_PAGE_DATA, IGVM_VHS_PAGE_TABLE_RELOCATION, IGVM_VHS_PARAMETER,
    IGVM_VHS_PARAMETER_AREA, IGVM_VHS_PARAMETER_INSERT, IGVM_VHS_RELOCATABLE_REGION,
    IGVM_VHS_REQUIRED_MEMORY, IGVM_VHS_SNP_ID_BLOCK, IGVM_VHS_SUPPORTED_PLATFORM,
    IGVM_VHS_VBS_MEASUREMENT, IGVM_VHS_VP_CONTEXT, IgvmVariableHeaderType as Type,
};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unalign};

use super::ParameterKind;

/// A decoded value. Small structures are copied out, the two large ones stay
/// where they are.
#[derive(Debug, Clone, Copy)]
pub enum Value<'a> {
    /// `IGVM_VHS_SUPPORTED_PLATFORM`
    SupportedPlatform(IGVM_VHS_SUPPORTED_PLATFORM),
    /// `IGVM_VHS_GUEST_POLICY`
    GuestPolicy(IGVM_VHS_GUEST_POLICY),
    /// `IGVM_VHS_RELOCATABLE_REGION`
    RelocatableRegion(IGVM_VHS_RELOCATABLE_REGION),
    /// `IGVM_VHS_PAGE_TABLE_RELOCATION`
    PageTableRelocationRegion(IGVM_VHS_PAGE_TABLE_RELOCATION),
    /// `IGVM_VHS_CORIM_DATA` of a document
    CorimDocument(IGVM_VHS_CORIM_DATA),
    /// `IGVM_VHS_CORIM_DATA` of a signature
    CorimSignature(IGVM_VHS_CORIM_DATA),
    /// `IGVM_VHS_CCA_POLICY`
    CcaPolicy(IGVM_VHS_CCA_POLICY),
    /// The text of a version string; UTF-8 if the file keeps to the
    /// specification.
    VersionString(&'a [u8]),
    /// `IGVM_VHS_PARAMETER_AREA`
    ParameterArea(IGVM_VHS_PARAMETER_AREA),
    /// `IGVM_VHS_PAGE_DATA`
    PageData(IGVM_VHS_PAGE_DATA),
    /// `IGVM_VHS_PARAMETER_INSERT`
    ParameterInsert(IGVM_VHS_PARAMETER_INSERT),
    /// `IGVM_VHS_VP_CONTEXT`
    VpContext(IGVM_VHS_VP_CONTEXT),
    /// `IGVM_VHS_REQUIRED_MEMORY`
    RequiredMemory(IGVM_VHS_REQUIRED_MEMORY),
    /// `IGVM_VHS_PARAMETER`
    Parameter(ParameterKind, IGVM_VHS_PARAMETER),
    /// `IGVM_VHS_SNP_ID_BLOCK`
    SnpIdBlock(InPlace<'a, IGVM_VHS_SNP_ID_BLOCK>),
    /// `IGVM_VHS_ERROR_RANGE`
    ErrorRange(IGVM_VHS_ERROR_RANGE),
    /// `IGVM_VHS_VBS_MEASUREMENT`
    VbsMeasurement(InPlace<'a, IGVM_VHS_VBS_MEASUREMENT>),
    /// A type of the specification whose value has another length than its
    /// structure.
    WrongLength {
        /// Bytes the structure has.
        expected: u32,
    },
    /// Type 0x306, which the specification retired.
    Retired,
    /// A type that the specification does not list.
    Unknown,
}

impl<'a> Value<'a> {
    /// Decodes the value bytes of a header of this type (without the optional
    /// bit).
    #[inline]
    pub fn decode(typ: Type, bytes: &'a [u8]) -> Self {
        // Nearly all headers of nearly all files; worth inlining.
        match typ {
            Type::IGVM_VHT_PAGE_DATA => copied(bytes, Self::PageData),
            _ => Self::decode_other(typ, bytes),
        }
    }

    /// Every type but PAGE_DATA.
    fn decode_other(typ: Type, bytes: &'a [u8]) -> Self {
        match typ {
            Type::IGVM_VHT_SUPPORTED_PLATFORM => copied(bytes, Self::SupportedPlatform),
            Type::IGVM_VHT_GUEST_POLICY => copied(bytes, Self::GuestPolicy),
            Type::IGVM_VHT_RELOCATABLE_REGION => copied(bytes, Self::RelocatableRegion),
            Type::IGVM_VHT_PAGE_TABLE_RELOCATION_REGION => {
                copied(bytes, Self::PageTableRelocationRegion)
            }
            Type::IGVM_VHT_CORIM_DOCUMENT => copied(bytes, Self::CorimDocument),
            Type::IGVM_VHT_CORIM_SIGNATURE => copied(bytes, Self::CorimSignature),
            Type::IGVM_VHT_CCA_POLICY => copied(bytes, Self::CcaPolicy),
            Type::IGVM_VHT_VERSION_STRING => Self::VersionString(bytes),
            Type::IGVM_VHT_PARAMETER_AREA => copied(bytes, Self::ParameterArea),
            Type::IGVM_VHT_PARAMETER_INSERT => copied(bytes, Self::ParameterInsert),
            Type::IGVM_VHT_VP_CONTEXT => copied(bytes, Self::VpContext),
            Type::IGVM_VHT_REQUIRED_MEMORY => copied(bytes, Self::RequiredMemory),
            Type::IGVM_VHT_SNP_ID_BLOCK => borrowed(bytes, Self::SnpIdBlock),
            Type::IGVM_VHT_ERROR_RANGE => copied(bytes, Self::ErrorRange),
            Type::IGVM_VHT_VBS_MEASUREMENT => borrowed(bytes, Self::VbsMeasurement),
            Type::RESERVED_DO_NOT_USE => Self::Retired,
            _ => match ParameterKind::of(typ) {
                Some(kind) => copied(bytes, |parameter| Self::Parameter(kind, parameter)),
                None => Self::Unknown,
            },
        }
    }

    /// The compatibility mask, for the types that have one. Parameters and
    /// parameter areas have none: they belong to every platform.
    pub fn compatibility_mask(&self) -> Option<u32> {
        Some(match self {
            Self::SupportedPlatform(v) => v.compatibility_mask,
            Self::GuestPolicy(v) => v.compatibility_mask,
            Self::RelocatableRegion(v) => v.compatibility_mask,
            Self::PageTableRelocationRegion(v) => v.compatibility_mask,
            Self::CorimDocument(v) | Self::CorimSignature(v) => v.compatibility_mask,
            Self::CcaPolicy(v) => v.compatibility_mask,
            Self::PageData(v) => v.compatibility_mask,
            Self::ParameterInsert(v) => v.compatibility_mask,
            Self::VpContext(v) => v.compatibility_mask,
            Self::RequiredMemory(v) => v.compatibility_mask,
            Self::SnpIdBlock(v) => v.get().compatibility_mask,
            Self::ErrorRange(v) => v.compatibility_mask,
            Self::VbsMeasurement(v) => v.get().compatibility_mask,
            Self::VersionString(_)
            | Self::ParameterArea(_)
            | Self::Parameter(..)
            | Self::WrongLength { .. }
            | Self::Retired
            | Self::Unknown => return None,
        })
    }

    /// Whether this header counts for a platform with this mask bit: its own
    /// mask has the bit, or it has no mask.
    pub fn applies_to(&self, mask: u32) -> bool {
        self.compatibility_mask().is_none_or(|own| own & mask != 0)
    }
}

fn copied<'a, T: FromBytes>(bytes: &'a [u8], wrap: impl FnOnce(T) -> Value<'a>) -> Value<'a> {
    match T::read_from_bytes(bytes) {
        Ok(value) => wrap(value),
        Err(_) => Value::WrongLength { expected: size_of::<T>() as u32 },
    }
}

fn borrowed<'a, T: FromBytes + KnownLayout + Immutable + 'a>(
    bytes: &'a [u8],
    wrap: impl FnOnce(InPlace<'a, T>) -> Value<'a>,
) -> Value<'a> {
    match Unalign::<T>::ref_from_bytes(bytes) {
        Ok(value) => wrap(InPlace(value)),
        Err(_) => Value::WrongLength { expected: size_of::<T>() as u32 },
    }
}

/// A structure too large to carry about, read where it stands in the file.
#[derive(Clone, Copy)]
pub struct InPlace<'a, T>(&'a Unalign<T>);

impl<T: Copy> InPlace<'_, T> {
    /// A copy of the structure.
    pub fn get(&self) -> T {
        self.0.get()
    }
}

impl<T: Copy + fmt::Debug> fmt::Debug for InPlace<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}
