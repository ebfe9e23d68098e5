//! What can be put into a file: one [`HeaderSpec`] per header type.

use core::mem::offset_of;

use igvm_defs::{
    IGVM_VHS_CCA_POLICY, IGVM_VHS_CORIM_DATA, IGVM_VHS_ERROR_RANGE, IGVM_VHS_GUEST_POLICY,
    IGVM_VHS_PAGE_DATA, IGVM_VHS_PAGE_TABLE_RELOCATION, IGVM_VHS_PARAMETER,
    IGVM_VHS_PARAMETER_AREA, IGVM_VHS_PARAMETER_INSERT, IGVM_VHS_RELOCATABLE_REGION,
    IGVM_VHS_REQUIRED_MEMORY, IGVM_VHS_SNP_ID_BLOCK, IGVM_VHS_SUPPORTED_PLATFORM,
    IGVM_VHS_VBS_MEASUREMENT, IGVM_VHS_VP_CONTEXT, IgvmNativeVpContextX64, IgvmPageDataFlags,
    IgvmPageDataType, IgvmPlatformType, IgvmVariableHeaderType as Type, IgvmVpContextAArch64Cca,
    PAGE_SIZE_4K, VbsVpContextRegister,
};
use zerocopy::{Immutable, IntoBytes};

use super::WriteError;
use super::blob::Blob;
use crate::file::page_len;
use crate::wire::ParameterKind;

/// The file data of a header.
#[derive(Debug, Clone, Copy)]
pub enum Data<'a> {
    /// `file_offset` 0: zeroes, of which the file stores nothing.
    Zero,
    /// These bytes, filled up with zeroes to the length that the header
    /// describes. Stored even if all of them are zero.
    Bytes(&'a [u8]),
    /// This `file_offset` as it stands, wherever it points.
    At(u32),
}

/// The file data of a VP context; which one a loader expects follows from the
/// platform.
#[derive(Debug, Clone, Copy)]
pub enum Context<'a> {
    /// For NATIVE and SEV: the structure and zeroes up to 4096 bytes.
    Native(&'a IgvmNativeVpContextX64),
    /// For SEV-ES and SEV-SNP: the save area, filled up to 4096 bytes.
    Vmsa(&'a [u8]),
    /// For VSM isolation: a count and these registers.
    Vbs(&'a [VbsVpContextRegister]),
    /// For CCA: the structure and zeroes up to 4096 bytes.
    Cca(&'a IgvmVpContextAArch64Cca),
    /// This `file_offset` as it stands, wherever it points.
    At(u32),
}

/// One variable header to write. The structures of `igvm_defs` are taken as
/// they are where they carry no `file_offset`.
#[derive(Debug, Clone, Copy)]
pub enum HeaderSpec<'a> {
    /// `IGVM_VHT_SUPPORTED_PLATFORM`
    SupportedPlatform(IGVM_VHS_SUPPORTED_PLATFORM),
    /// `IGVM_VHT_GUEST_POLICY`
    GuestPolicy(IGVM_VHS_GUEST_POLICY),
    /// `IGVM_VHT_RELOCATABLE_REGION`
    RelocatableRegion(IGVM_VHS_RELOCATABLE_REGION),
    /// `IGVM_VHT_PAGE_TABLE_RELOCATION_REGION`
    PageTableRelocationRegion(IGVM_VHS_PAGE_TABLE_RELOCATION),
    /// `IGVM_VHT_CORIM_DOCUMENT`
    CorimDocument {
        /// Compatibility mask.
        mask: u32,
        /// The CBOR document.
        document: &'a [u8],
    },
    /// `IGVM_VHT_CORIM_SIGNATURE`
    CorimSignature {
        /// Compatibility mask.
        mask: u32,
        /// The COSE_Sign1 structure.
        signature: &'a [u8],
    },
    /// `IGVM_VHT_CCA_POLICY`
    CcaPolicy(IGVM_VHS_CCA_POLICY),
    /// `IGVM_VHT_VERSION_STRING`
    VersionString(&'a str),
    /// `IGVM_VHT_PARAMETER_AREA`
    ParameterArea {
        /// `parameter_area_index`
        index: u32,
        /// `number_of_bytes`
        number_of_bytes: u64,
        /// What the area holds before any parameter.
        initial: Data<'a>,
    },
    /// `IGVM_VHT_PAGE_DATA`
    PageData {
        /// Guest physical address.
        gpa: u64,
        /// Compatibility mask.
        mask: u32,
        /// A 2 MiB page by its flag, else 4 KiB.
        flags: IgvmPageDataFlags,
        /// `data_type`
        data_type: IgvmPageDataType,
        /// The page.
        data: Data<'a>,
    },
    /// `IGVM_VHT_PARAMETER_INSERT`
    ParameterInsert(IGVM_VHS_PARAMETER_INSERT),
    /// `IGVM_VHT_VP_CONTEXT`
    VpContext {
        /// Where the context is deposited; 0 where the platform does not.
        gpa: u64,
        /// Compatibility mask.
        mask: u32,
        /// `vp_index`
        vp_index: u16,
        /// The registers.
        context: Context<'a>,
    },
    /// `IGVM_VHT_REQUIRED_MEMORY`
    RequiredMemory(IGVM_VHS_REQUIRED_MEMORY),
    /// Any of the parameters.
    Parameter(ParameterKind, IGVM_VHS_PARAMETER),
    /// `IGVM_VHT_SNP_ID_BLOCK`
    SnpIdBlock(&'a IGVM_VHS_SNP_ID_BLOCK),
    /// `IGVM_VHT_ERROR_RANGE`
    ErrorRange(IGVM_VHS_ERROR_RANGE),
    /// `IGVM_VHT_VBS_MEASUREMENT`
    VbsMeasurement(&'a IGVM_VHS_VBS_MEASUREMENT),
    /// Any type with any value.
    Raw {
        /// The type; the optional bit may be part of it.
        typ: u32,
        /// The value, without padding.
        value: &'a [u8],
    },
}

impl<'a> HeaderSpec<'a> {
    /// A platform of version 1 with no VTLs and no shared boundary.
    pub const fn platform(platform_type: IgvmPlatformType, mask: u32) -> Self {
        Self::SupportedPlatform(IGVM_VHS_SUPPORTED_PLATFORM {
            compatibility_mask: mask,
            highest_vtl: 0,
            platform_type,
            platform_version: 1,
            shared_gpa_boundary: 0,
        })
    }

    /// A normal, measured 4 KiB page. Shorter data is filled up with zeroes.
    pub const fn page(gpa: u64, mask: u32, bytes: &'a [u8]) -> Self {
        Self::page_of(gpa, mask, Data::Bytes(bytes))
    }

    /// A normal, measured 4 KiB page of zeroes that takes no file data.
    pub const fn zero_page(gpa: u64, mask: u32) -> Self {
        Self::page_of(gpa, mask, Data::Zero)
    }

    /// [`HeaderSpec::page`], or [`HeaderSpec::zero_page`] if all of it is zero.
    pub fn page_or_zero(gpa: u64, mask: u32, bytes: &'a [u8]) -> Self {
        if bytes.iter().all(|byte| *byte == 0) {
            Self::zero_page(gpa, mask)
        } else {
            Self::page(gpa, mask, bytes)
        }
    }

    const fn page_of(gpa: u64, mask: u32, data: Data<'a>) -> Self {
        let (flags, data_type) = (IgvmPageDataFlags::new(), IgvmPageDataType::NORMAL);
        Self::PageData { gpa, mask, flags, data_type, data }
    }

    /// The native context of the first processor.
    pub const fn native_context(mask: u32, context: &'a IgvmNativeVpContextX64) -> Self {
        Self::VpContext { gpa: 0, mask, vp_index: 0, context: Context::Native(context) }
    }

    /// A parameter of this kind, `byte_offset` into area `area`.
    pub const fn parameter(kind: ParameterKind, area: u32, byte_offset: u32) -> Self {
        let parameter = IGVM_VHS_PARAMETER { parameter_area_index: area, byte_offset };
        Self::Parameter(kind, parameter)
    }

    /// The bytes of the value, its data apart.
    pub(super) fn encode(&self) -> Result<Encoded<'a>, WriteError> {
        Ok(match *self {
            Self::SupportedPlatform(v) => Encoded::of(Type::IGVM_VHT_SUPPORTED_PLATFORM, &v),
            Self::GuestPolicy(v) => Encoded::of(Type::IGVM_VHT_GUEST_POLICY, &v),
            Self::RelocatableRegion(v) => Encoded::of(Type::IGVM_VHT_RELOCATABLE_REGION, &v),
            Self::PageTableRelocationRegion(v) => {
                Encoded::of(Type::IGVM_VHT_PAGE_TABLE_RELOCATION_REGION, &v)
            }
            Self::CorimDocument { mask, document } => {
                encode_corim(Type::IGVM_VHT_CORIM_DOCUMENT, mask, document)?
            }
            Self::CorimSignature { mask, signature } => {
                encode_corim(Type::IGVM_VHT_CORIM_SIGNATURE, mask, signature)?
            }
            Self::CcaPolicy(v) => Encoded::of(Type::IGVM_VHT_CCA_POLICY, &v),
            Self::VersionString(text) => {
                Encoded::borrowed(Type::IGVM_VHT_VERSION_STRING.0, text.as_bytes())
            }
            Self::ParameterArea { index, number_of_bytes, initial } => {
                encode_parameter_area(index, number_of_bytes, initial)?
            }
            Self::PageData { gpa, mask, flags, data_type, data } => {
                let page = IGVM_VHS_PAGE_DATA {
                    gpa,
                    compatibility_mask: mask,
                    file_offset: data.literal_offset(),
                    flags,
                    data_type,
                    reserved: 0,
                };
                Encoded::of(Type::IGVM_VHT_PAGE_DATA, &page).with_data(data, page_len(&page))?
            }
            Self::ParameterInsert(v) => Encoded::of(Type::IGVM_VHT_PARAMETER_INSERT, &v),
            Self::VpContext { gpa, mask, vp_index, context } => {
                encode_context(gpa, mask, vp_index, context)?
            }
            Self::RequiredMemory(v) => Encoded::of(Type::IGVM_VHT_REQUIRED_MEMORY, &v),
            Self::Parameter(kind, v) => Encoded::of(kind.header_type(), &v),
            Self::SnpIdBlock(v) => Encoded::borrowed(Type::IGVM_VHT_SNP_ID_BLOCK.0, v.as_bytes()),
            Self::ErrorRange(v) => Encoded::of(Type::IGVM_VHT_ERROR_RANGE, &v),
            Self::VbsMeasurement(v) => {
                Encoded::borrowed(Type::IGVM_VHT_VBS_MEASUREMENT.0, v.as_bytes())
            }
            Self::Raw { typ, value } => Encoded::borrowed(typ, value),
        })
    }
}

/// Where in the value of this type its `file_offset` stands.
pub(super) const fn file_offset_field(typ: Type) -> Option<usize> {
    Some(match typ {
        Type::IGVM_VHT_PAGE_DATA => offset_of!(IGVM_VHS_PAGE_DATA, file_offset),
        Type::IGVM_VHT_PARAMETER_AREA => offset_of!(IGVM_VHS_PARAMETER_AREA, file_offset),
        Type::IGVM_VHT_VP_CONTEXT => offset_of!(IGVM_VHS_VP_CONTEXT, file_offset),
        Type::IGVM_VHT_CORIM_DOCUMENT | Type::IGVM_VHT_CORIM_SIGNATURE => {
            offset_of!(IGVM_VHS_CORIM_DATA, file_offset)
        }
        _ => return None,
    })
}

fn encode_corim<'a>(typ: Type, mask: u32, bytes: &'a [u8]) -> Result<Encoded<'a>, WriteError> {
    let size_bytes = u32::try_from(bytes.len()).map_err(|_| WriteError::FileTooLarge)?;
    let value =
        IGVM_VHS_CORIM_DATA { compatibility_mask: mask, file_offset: 0, size_bytes, reserved: 0 };
    Encoded::of(typ, &value).with_bytes(bytes, size_bytes.into())
}

fn encode_parameter_area(
    parameter_area_index: u32,
    number_of_bytes: u64,
    initial: Data<'_>,
) -> Result<Encoded<'_>, WriteError> {
    let file_offset = initial.literal_offset();
    let area = IGVM_VHS_PARAMETER_AREA { number_of_bytes, parameter_area_index, file_offset };
    Encoded::of(Type::IGVM_VHT_PARAMETER_AREA, &area).with_data(initial, number_of_bytes)
}

fn encode_context(
    gpa: u64,
    mask: u32,
    vp_index: u16,
    context: Context<'_>,
) -> Result<Encoded<'_>, WriteError> {
    let file_offset = match context {
        Context::At(file_offset) => file_offset,
        _ => 0,
    };
    let value = IGVM_VHS_VP_CONTEXT {
        gpa: gpa.into(),
        compatibility_mask: mask,
        file_offset,
        vp_index,
        reserved: 0,
    };
    let encoded = Encoded::of(Type::IGVM_VHT_VP_CONTEXT, &value);
    match context {
        Context::Native(v) => encoded.with_bytes(v.as_bytes(), PAGE_SIZE_4K),
        Context::Vmsa(bytes) => encoded.with_bytes(bytes, PAGE_SIZE_4K),
        Context::Cca(v) => encoded.with_bytes(v.as_bytes(), PAGE_SIZE_4K),
        Context::Vbs(registers) => {
            let count = u32::try_from(registers.len()).map_err(|_| WriteError::FileTooLarge)?;
            let blob = Blob::counted(count, registers.as_bytes());
            Ok(Encoded { blob: Some(blob.ok_or(WriteError::FileTooLarge)?), ..encoded })
        }
        Context::At(_) => Ok(encoded),
    }
}

impl Data<'_> {
    /// What stands in `file_offset` before the place of stored data is known.
    fn literal_offset(&self) -> u32 {
        match *self {
            Self::At(file_offset) => file_offset,
            Self::Zero | Self::Bytes(_) => 0,
        }
    }
}

/// Longest value that is not borrowed.
const INLINE_LEN: usize = size_of::<IGVM_VHS_RELOCATABLE_REGION>();

/// A header ready for the header buffer.
pub(super) struct Encoded<'a> {
    /// With the optional bit, where a raw header has it.
    pub(super) typ: Type,
    value: EncodedValue<'a>,
    /// Data to be stored; `file_offset` will point to it.
    pub(super) blob: Option<Blob<'a>>,
}

enum EncodedValue<'a> {
    Inline([u8; INLINE_LEN], usize),
    Borrowed(&'a [u8]),
}

impl<'a> Encoded<'a> {
    fn of<T: IntoBytes + Immutable>(typ: Type, value: &T) -> Self {
        const { assert!(size_of::<T>() <= INLINE_LEN) };
        let mut bytes = [0; INLINE_LEN];
        for (to, from) in bytes.iter_mut().zip(value.as_bytes()) {
            *to = *from;
        }
        Self { typ, value: EncodedValue::Inline(bytes, size_of::<T>()), blob: None }
    }

    fn borrowed(typ: u32, value: &'a [u8]) -> Self {
        Self { typ: Type(typ), value: EncodedValue::Borrowed(value), blob: None }
    }

    /// The value, without padding.
    pub(super) fn value(&self) -> &[u8] {
        match &self.value {
            EncodedValue::Inline(bytes, len) => bytes.get(..*len).unwrap_or(bytes),
            EncodedValue::Borrowed(bytes) => bytes,
        }
    }

    fn with_data(self, data: Data<'a>, len: u64) -> Result<Self, WriteError> {
        match data {
            Data::Bytes(bytes) => self.with_bytes(bytes, len),
            Data::Zero | Data::At(_) => Ok(self),
        }
    }

    /// Attaches data of `len` bytes, of which `bytes` are the first.
    fn with_bytes(mut self, bytes: &'a [u8], len: u64) -> Result<Self, WriteError> {
        let too_long = WriteError::DataTooLong { typ: self.typ, len: bytes.len() as u64, max: len };
        let len = usize::try_from(len).map_err(|_| WriteError::FileTooLarge)?;
        let blob = Blob::filled(bytes, len).ok_or(too_long)?;
        // No bytes are nowhere: `file_offset` stays 0.
        self.blob = (len != 0).then_some(blob);
        Ok(self)
    }
}
