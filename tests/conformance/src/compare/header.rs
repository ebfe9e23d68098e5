//! Header by header: every field and every byte of file data.

use igvm::{
    IgvmDirectiveHeader as Directive, IgvmInitializationHeader as Initialization,
    IgvmPlatformHeader as Platform,
};
use igvm_core::data::FileData;
use igvm_core::defs::{
    IGVM_VHF_RELOCATABLE_REGION_APPLY_GDTR, IGVM_VHF_RELOCATABLE_REGION_APPLY_PC,
    IGVM_VHF_RELOCATABLE_REGION_IS_VTL2, IGVM_VHS_PARAMETER, IGVM_VHS_VP_CONTEXT,
    VbsVpContextRegister,
};
use igvm_core::file::{Header, IgvmFile};
use igvm_core::span::Span;
use igvm_core::wire::{ParameterKind, Value};
use zerocopy::{FromBytes, IntoBytes};

use super::registers::low_half_only;

pub(super) fn same_platform(ours: &Header<'_>, theirs: &Platform) {
    let Platform::SupportedPlatform(theirs) = theirs;
    assert!(matches!(ours.value(), Value::SupportedPlatform(v) if v == *theirs), "{ours:?}");
}

/// The file that the headers belong to.
pub(super) struct Place<'a> {
    pub(super) file: &'a IgvmFile<'a>,
    pub(super) bytes: &'a [u8],
}

impl Place<'_> {
    /// The file data of a header; empty where there is none.
    fn data(&self, header: &Header<'_>) -> &[u8] {
        match self.file.data_range(header, self.bytes) {
            Some(span) => self.bytes.bytes(span).expect("the oracle found the data"),
            None => &[],
        }
    }

    pub(super) fn same_initialization(&self, ours: &Header<'_>, theirs: &Initialization) {
        use Initialization as I;
        let same = match (ours.value(), theirs) {
            (Value::GuestPolicy(v), I::GuestPolicy { policy, compatibility_mask }) => {
                (v.policy, v.compatibility_mask, v.reserved) == (*policy, *compatibility_mask, 0)
            }
            (
                Value::CcaPolicy(v),
                I::CcaPolicy {
                    compatibility_mask,
                    attributes_required_zeroes,
                    attributes_required_ones,
                    hash_algorithm,
                    lfa_policy,
                },
            ) => {
                v.compatibility_mask == *compatibility_mask
                    && v.attributes_required_zeroes == *attributes_required_zeroes
                    && v.attributes_required_ones == *attributes_required_ones
                    && v.hash_algorithm == *hash_algorithm
                    && v.lfa_policy == *lfa_policy
                    && (v.reserved, v.reserved2) == (0, [0; 6])
            }
            (Value::RelocatableRegion(v), I::RelocatableRegion { .. }) => {
                let has = |flag| v.flags & flag != 0;
                *theirs
                    == I::RelocatableRegion {
                        compatibility_mask: v.compatibility_mask,
                        relocation_alignment: v.relocation_alignment,
                        relocation_region_gpa: v.relocation_region_gpa,
                        relocation_region_size: v.relocation_region_size,
                        minimum_relocation_gpa: v.minimum_relocation_gpa,
                        maximum_relocation_gpa: v.maximum_relocation_gpa,
                        is_vtl2: has(IGVM_VHF_RELOCATABLE_REGION_IS_VTL2),
                        apply_rip_offset: has(IGVM_VHF_RELOCATABLE_REGION_APPLY_PC),
                        apply_gdtr_offset: has(IGVM_VHF_RELOCATABLE_REGION_APPLY_GDTR),
                        vp_index: v.vp_index,
                        vtl: v.vtl.try_into().expect("the oracle checked it"),
                    }
            }
            (Value::PageTableRelocationRegion(v), I::PageTableRelocationRegion { .. }) => {
                v.reserved == 0
                    && *theirs
                        == I::PageTableRelocationRegion {
                            compatibility_mask: v.compatibility_mask,
                            gpa: v.gpa,
                            size: v.size,
                            used_size: v.used_size,
                            vp_index: v.vp_index,
                            vtl: v.vtl.try_into().expect("the oracle checked it"),
                        }
            }
            (Value::CorimDocument(v), I::CorimDocument { compatibility_mask, document }) => {
                v.compatibility_mask == *compatibility_mask && self.data(ours) == document
            }
            (Value::CorimSignature(v), I::CorimSignature { compatibility_mask, signature }) => {
                v.compatibility_mask == *compatibility_mask && self.data(ours) == signature
            }
            _ => false,
        };
        assert!(same, "{ours:?} is {theirs:?}");
    }

    pub(super) fn same_directive(&self, ours: &Header<'_>, theirs: &Directive) {
        use Directive as D;
        let same = match (ours.value(), theirs) {
            (
                Value::PageData(v),
                D::PageData { gpa, compatibility_mask, flags, data_type, data },
            ) => {
                v.gpa == *gpa
                    && v.compatibility_mask == *compatibility_mask
                    && v.flags == *flags
                    && v.data_type == *data_type
                    && v.reserved == 0
                    && self.page(ours) == *data
            }
            (
                Value::ParameterArea(v),
                D::ParameterArea { number_of_bytes, parameter_area_index, initial_data },
            ) => {
                v.number_of_bytes == *number_of_bytes
                    && v.parameter_area_index == *parameter_area_index
                    && self.data(ours) == initial_data
            }
            (Value::Parameter(kind, v), _) => parameter(theirs) == Some((kind, v)),
            (Value::ParameterInsert(v), D::ParameterInsert(insert)) => v == *insert,
            (
                Value::RequiredMemory(v),
                D::RequiredMemory { gpa, compatibility_mask, number_of_bytes, vtl2_protectable },
            ) => {
                v.gpa == *gpa
                    && v.compatibility_mask == *compatibility_mask
                    && v.number_of_bytes == *number_of_bytes
                    && v.flags.vtl2_protectable() == *vtl2_protectable
                    && v.reserved == 0
            }
            (Value::ErrorRange(v), D::ErrorRange { gpa, compatibility_mask, size_bytes }) => {
                (v.gpa, v.compatibility_mask, v.size_bytes)
                    == (*gpa, *compatibility_mask, *size_bytes)
            }
            (Value::VpContext(v), _) => self.same_context(ours, &v, theirs),
            (Value::SnpIdBlock(v), D::SnpIdBlock { .. }) => same_id_block(&v.get(), theirs),
            (Value::VbsMeasurement(v), D::VbsMeasurement { .. }) => {
                same_measurement(&v.get(), theirs)
            }
            _ => false,
        };
        assert!(same, "{ours:?} is {theirs:?}");
    }

    /// The page as the oracle has it: of a large one it reads the first 4 KiB.
    fn page(&self, header: &Header<'_>) -> &[u8] {
        match self.file.data_range(header, self.bytes) {
            Some(span) => self.bytes.bytes(Span::new(span.start, 4096)).unwrap_or(&[]),
            None => &[],
        }
    }

    fn same_context(&self, ours: &Header<'_>, v: &IGVM_VHS_VP_CONTEXT, theirs: &Directive) -> bool {
        use Directive as D;
        // Two platforms may share a mask bit (see the list of differences);
        // then the formats need not be the same.
        if crate::compare::loaded::shares_masks(self.file) {
            return true;
        }
        let data = self.data(ours);
        match theirs {
            D::X64NativeVpContext { compatibility_mask, vp_index, context } => {
                v.compatibility_mask == *compatibility_mask
                    && v.vp_index == *vp_index
                    && padded(context.as_bytes()) == data
            }
            D::SnpVpContext { gpa, compatibility_mask, vp_index, vmsa } => {
                v.gpa.get() == *gpa
                    && v.compatibility_mask == *compatibility_mask
                    && v.vp_index == *vp_index
                    && vmsa.as_bytes() == data
            }
            D::AArch64CcaVpContext { compatibility_mask, vp_index, context } => {
                v.compatibility_mask == *compatibility_mask
                    && v.vp_index == *vp_index
                    && padded(context.as_bytes()) == data
            }
            D::X64VbsVpContext { vtl, registers, compatibility_mask } => {
                let registers: Vec<_> =
                    registers.iter().map(|r| r.into_vbs_vp_context_reg(*vtl)).collect();
                v.compatibility_mask == *compatibility_mask && same_registers(data, &registers)
            }
            D::AArch64VbsVpContext { vtl, registers, compatibility_mask } => {
                let registers: Vec<_> =
                    registers.iter().map(|r| r.into_vbs_vp_context_reg(*vtl)).collect();
                v.compatibility_mask == *compatibility_mask && same_registers(data, &registers)
            }
            _ => false,
        }
    }
}

/// A context as it lies in its page of the file.
fn padded(context: &[u8]) -> Vec<u8> {
    let mut page = context.to_vec();
    page.resize(4096, 0);
    page
}

/// A list of Hyper-V registers, but for what the oracle does not look at.
fn same_registers(data: &[u8], theirs: &[VbsVpContextRegister]) -> bool {
    let (count, list) = data.split_first_chunk::<4>().expect("the oracle read the count");
    let ours = list.chunks(size_of::<VbsVpContextRegister>());
    u32::from_le_bytes(*count) as usize == theirs.len()
        && ours.len() == theirs.len()
        && ours.zip(theirs).all(|(ours, theirs)| {
            let ours = VbsVpContextRegister::read_from_bytes(ours).expect("a whole register");
            let name = theirs.register_name.get();
            let significant = if low_half_only(name) { 8 } else { 16 };
            let table = matches!(name, 0x0007_0000 | 0x0007_0001);
            let from = if table { 6 } else { 0 };
            ours.vtl == theirs.vtl
                && ours.register_name.get() == name
                && ours.register_value[from..significant]
                    == theirs.register_value[from..significant]
        })
}

fn parameter(theirs: &Directive) -> Option<(ParameterKind, IGVM_VHS_PARAMETER)> {
    use Directive as D;
    Some(match theirs {
        D::VpCount(v) => (ParameterKind::VpCount, *v),
        D::EnvironmentInfo(v) => (ParameterKind::EnvironmentInfo, *v),
        D::Srat(v) => (ParameterKind::Srat, *v),
        D::Madt(v) => (ParameterKind::Madt, *v),
        D::Slit(v) => (ParameterKind::Slit, *v),
        D::Pptt(v) => (ParameterKind::Pptt, *v),
        D::MmioRanges(v) => (ParameterKind::MmioRanges, *v),
        D::MemoryMap(v) => (ParameterKind::MemoryMap, *v),
        D::CommandLine(v) => (ParameterKind::CommandLine, *v),
        D::DeviceTree(v) => (ParameterKind::DeviceTree, *v),
        _ => return None,
    })
}

fn same_id_block(v: &igvm_core::defs::IGVM_VHS_SNP_ID_BLOCK, theirs: &Directive) -> bool {
    *theirs
        == Directive::SnpIdBlock {
            compatibility_mask: v.compatibility_mask,
            author_key_enabled: v.author_key_enabled,
            reserved: v.reserved,
            ld: v.ld,
            family_id: v.family_id,
            image_id: v.image_id,
            version: v.version,
            guest_svn: v.guest_svn,
            id_key_algorithm: v.id_key_algorithm,
            author_key_algorithm: v.author_key_algorithm,
            id_key_signature: Box::new(v.id_key_signature),
            id_public_key: Box::new(v.id_public_key),
            author_key_signature: Box::new(v.author_key_signature),
            author_public_key: Box::new(v.author_public_key),
        }
}

fn same_measurement(v: &igvm_core::defs::IGVM_VHS_VBS_MEASUREMENT, theirs: &Directive) -> bool {
    *theirs
        == Directive::VbsMeasurement {
            compatibility_mask: v.compatibility_mask,
            version: v.version,
            product_id: v.product_id,
            module_id: v.module_id,
            security_version: v.security_version,
            policy_flags: v.policy_flags,
            boot_digest_algo: v.boot_digest_algo,
            signing_algo: v.signing_algo,
            boot_measurement_digest: Box::new(v.boot_measurement_digest),
            signature: Box::new(v.signature),
            public_key: Box::new(v.public_key),
        }
}
