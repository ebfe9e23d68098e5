//! Rules of page data, memory ranges and measurements.

use igvm_defs::{
    IGVM_VHS_ERROR_RANGE, IGVM_VHS_PAGE_DATA, IGVM_VHS_REQUIRED_MEMORY, IGVM_VHS_SNP_ID_BLOCK,
    IgvmPageDataType, IgvmPlatformType as Platform, PAGE_SIZE_4K,
};

use super::finding::Finding;
use super::rule::rules;
use super::structure::Structure;
use crate::data::FileData;
use crate::file::{Header, page_len};
use crate::span::Span;

rules! {
    /// What can be wrong with page data, memory ranges and measurements.
    enum DirectiveFault;

    PageAlignment { gpa: u64, unit: u64 }
        Error "page.alignment"
        "A page lies at a multiple of its size."
        "igvm_defs: IGVM_VHS_PAGE_DATA.gpa, IgvmPageDataFlags.is_2mb_page; igvm 0.5.0: UnalignedAddress"
        => "the page lies at {gpa:#x}, not a multiple of {unit:#x}";
    PageFlags { flags: u32 }
        Error "page.flags"
        "Only bits 2:0 of the flags of page data are set."
        "igvm_defs: IgvmPageDataFlags.reserved"
        => "the flags are {flags:#x}; bits 31:3 are reserved and must be 0";
    PageDataType { value: u16 }
        Error "page.data-type"
        "The type of page data is one that the specification lists."
        "igvm_defs: IgvmPageDataType; igvm 0.5.0: InvalidPageDataType"
        => "data type {value} is not known; there are 0 to 3";
    PageDataTypeUnused { value: u16 }
        Note "page.data-type-platform"
        "Secrets and CPUID pages are for SEV-SNP."
        "igvm_defs: IgvmPageDataType; QEMU 10.2.2 loads them as plain pages on NATIVE"
        => "the page has data type {value}, a secrets or CPUID page, and none of its platforms is \
            SEV-SNP: loaders take it for a normal page";
    RequiredAlignment { field: &'static str, value: u64 }
        Error "required-memory.alignment"
        "Required memory begins and ends at page boundaries."
        "igvm_defs: IGVM_VHS_REQUIRED_MEMORY; igvm 0.5.0: UnalignedAddress, UnalignedSize"
        => "{field} is {value:#x}, not a multiple of 0x1000";
    RequiredFlags { flags: u32 }
        Error "required-memory.flags"
        "Only bit 0 of the flags of required memory is set."
        "igvm_defs: RequiredMemoryFlags.reserved"
        => "the flags are {flags:#x}; bits 31:1 are reserved and must be 0";
    RequiredEmpty { gpa: u64 }
        Warning "required-memory.empty"
        "Required memory has bytes."
        "igvm_defs: IGVM_VHS_REQUIRED_MEMORY.number_of_bytes"
        => "no bytes are required at {gpa:#x}: the header says nothing";
    ErrorAlignment { field: &'static str, value: u64 }
        Error "error-range.alignment"
        "An error range begins and ends at page boundaries."
        "igvm_defs: IGVM_VHS_ERROR_RANGE"
        => "{field} is {value:#x}, not a multiple of 0x1000";
    ErrorEmpty { gpa: u64 }
        Warning "error-range.empty"
        "An error range has bytes."
        "igvm_defs: IGVM_VHS_ERROR_RANGE.size_bytes"
        => "the error range at {gpa:#x} has no bytes";
    AuthorKey { enabled: u8 }
        Error "id-block.author-key"
        "An ID block with author_key_enabled 0 has no author key; the field is 0 or 1."
        "igvm_defs: IGVM_VHS_SNP_ID_BLOCK"
        => "author_key_enabled is {enabled}, which does not go with the author key fields";
    MeasurementPlatform { name: &'static str, wanted: &'static str }
        Warning "measurement.platform"
        "An ID block is for SEV-SNP, a VBS measurement for VSM_ISOLATION."
        "igvm_defs: IGVM_VHS_SNP_ID_BLOCK, IGVM_VHS_VBS_MEASUREMENT"
        => "a {name} is for platform {wanted}, which its compatibility mask does not name";
}

impl<D: FileData + ?Sized> Structure<'_, '_, D> {
    pub(super) fn page_data(&mut self, header: &Header<'_>, value: &IGVM_VHS_PAGE_DATA) {
        let len = page_len(value);
        let gpa = value.gpa;
        let guest = Span::new(gpa, len);
        if gpa.checked_rem(len) != Some(0) {
            let fault = DirectiveFault::PageAlignment { gpa, unit: len };
            self.report(Finding::new(fault).of(header).guest(guest));
        } else {
            self.guest_range(header, gpa, len);
        }
        if value.flags.reserved() != 0 {
            self.fault(header, DirectiveFault::PageFlags { flags: value.flags.into_bits() });
        }
        let IgvmPageDataType(data_type) = value.data_type;
        if data_type > IgvmPageDataType::CPUID_XF.0 {
            self.fault(header, DirectiveFault::PageDataType { value: data_type });
        } else if value.data_type != IgvmPageDataType::NORMAL
            && !self.platforms.names(value.compatibility_mask, Platform::SEV_SNP)
        {
            self.fault(header, DirectiveFault::PageDataTypeUnused { value: data_type });
        }
        self.reserved(header, "IGVM_VHS_PAGE_DATA.reserved", value.reserved.into());
        if value.file_offset != 0 {
            self.file_data(header, value.file_offset, len);
        }
    }

    pub(super) fn required_memory(
        &mut self,
        header: &Header<'_>,
        value: &IGVM_VHS_REQUIRED_MEMORY,
    ) {
        let (gpa, len) = (value.gpa, u64::from(value.number_of_bytes));
        for (field, value) in [("gpa", gpa), ("number_of_bytes", len)] {
            if value.checked_rem(PAGE_SIZE_4K) != Some(0) {
                self.fault(header, DirectiveFault::RequiredAlignment { field, value });
            }
        }
        self.guest_range(header, gpa, len);
        if len == 0 {
            self.fault(header, DirectiveFault::RequiredEmpty { gpa });
        }
        if value.flags.reserved() != 0 {
            self.fault(header, DirectiveFault::RequiredFlags { flags: value.flags.into_bits() });
        }
        self.reserved(header, "IGVM_VHS_REQUIRED_MEMORY.reserved", value.reserved.into());
    }

    pub(super) fn error_range(&mut self, header: &Header<'_>, value: &IGVM_VHS_ERROR_RANGE) {
        let (gpa, len) = (value.gpa, u64::from(value.size_bytes));
        for (field, value) in [("gpa", gpa), ("size_bytes", len)] {
            if value.checked_rem(PAGE_SIZE_4K) != Some(0) {
                self.fault(header, DirectiveFault::ErrorAlignment { field, value });
            }
        }
        self.guest_range(header, gpa, len);
        if len == 0 {
            self.fault(header, DirectiveFault::ErrorEmpty { gpa });
        }
    }

    pub(super) fn snp_id_block(&mut self, header: &Header<'_>, value: &IGVM_VHS_SNP_ID_BLOCK) {
        let [a, b, c] = value.reserved;
        let reserved = u32::from_le_bytes([a, b, c, 0]);
        self.reserved(header, "IGVM_VHS_SNP_ID_BLOCK.reserved", reserved.into());
        let id_key = value.id_public_key.reserved;
        self.reserved(header, "id_public_key.reserved", id_key.into());
        let enabled = value.author_key_enabled;
        let key = &value.author_public_key;
        let signature = &value.author_key_signature;
        let parts = [&key.qx, &key.qy, &signature.r_comp, &signature.s_comp];
        let has_key = parts.into_iter().flatten().any(|byte| *byte != 0)
            || (key.curve | key.reserved | value.author_key_algorithm) != 0;
        if enabled > 1 || (enabled == 0 && has_key) {
            self.fault(header, DirectiveFault::AuthorKey { enabled });
        }
        self.measurement(header, value.compatibility_mask, Platform::SEV_SNP, "SNP_ID_BLOCK");
    }

    pub(super) fn vbs_measurement(&mut self, header: &Header<'_>, mask: u32) {
        self.measurement(header, mask, Platform::VSM_ISOLATION, "VBS_MEASUREMENT");
    }

    fn measurement(
        &mut self,
        header: &Header<'_>,
        mask: u32,
        platform: Platform,
        name: &'static str,
    ) {
        if !self.platforms.names(mask, platform) {
            let wanted = super::platform::label(platform);
            self.fault(header, DirectiveFault::MeasurementPlatform { name, wanted });
        }
    }
}
