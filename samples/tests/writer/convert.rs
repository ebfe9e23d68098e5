//! The `igvm` crate's headers as the writer takes them.

use igvm::{
    Arch, IgvmDirectiveHeader as Directive, IgvmInitializationHeader as Initialization,
    IgvmPlatformHeader, IgvmRevision,
};
use igvm_core::defs::{
    IGVM_VHF_RELOCATABLE_REGION_APPLY_GDTR, IGVM_VHF_RELOCATABLE_REGION_APPLY_PC,
    IGVM_VHF_RELOCATABLE_REGION_IS_VTL2, IGVM_VHS_CCA_POLICY, IGVM_VHS_ERROR_RANGE,
    IGVM_VHS_GUEST_POLICY, IGVM_VHS_PAGE_TABLE_RELOCATION, IGVM_VHS_PARAMETER,
    IGVM_VHS_RELOCATABLE_REGION, IGVM_VHS_REQUIRED_MEMORY, IGVM_VHS_SNP_ID_BLOCK,
    IGVM_VHS_VBS_MEASUREMENT, IgvmArchitecture, RequiredMemoryFlags, VbsVpContextRegister,
};
use igvm_core::wire::ParameterKind;
use igvm_core::write::{Context, Data, FileBuilder, HeaderSpec, Version};
use zerocopy::IntoBytes;

use crate::strategies::Headers;

/// The file that the writer makes of them.
pub(crate) fn write(headers: &Headers) -> Vec<u8> {
    let version = match headers.revision {
        IgvmRevision::V1 => Version::V1,
        IgvmRevision::V2 { arch, page_size } => {
            let architecture = match arch {
                Arch::X64 => IgvmArchitecture::X64,
                Arch::AArch64 => IgvmArchitecture::AARCH64,
            };
            Version::V2 { architecture, page_size }
        }
    };
    let mut file = FileBuilder::new(version);
    for IgvmPlatformHeader::SupportedPlatform(platform) in &headers.platforms {
        file.push(HeaderSpec::SupportedPlatform(*platform)).unwrap();
    }
    for header in &headers.initializations {
        file.push(initialization_spec(header)).unwrap();
    }
    for header in &headers.directives {
        push_directive(&mut file, header);
    }
    file.finish()
}

fn initialization_spec(header: &Initialization) -> HeaderSpec<'_> {
    match header {
        Initialization::GuestPolicy { policy, compatibility_mask } => {
            HeaderSpec::GuestPolicy(IGVM_VHS_GUEST_POLICY {
                policy: *policy,
                compatibility_mask: *compatibility_mask,
                reserved: 0,
            })
        }
        Initialization::CcaPolicy {
            compatibility_mask,
            attributes_required_zeroes,
            attributes_required_ones,
            hash_algorithm,
            lfa_policy,
        } => HeaderSpec::CcaPolicy(IGVM_VHS_CCA_POLICY {
            compatibility_mask: *compatibility_mask,
            reserved: 0,
            attributes_required_zeroes: *attributes_required_zeroes,
            attributes_required_ones: *attributes_required_ones,
            hash_algorithm: *hash_algorithm,
            lfa_policy: *lfa_policy,
            reserved2: [0; 6],
        }),
        Initialization::RelocatableRegion {
            compatibility_mask,
            relocation_alignment,
            relocation_region_gpa,
            relocation_region_size,
            minimum_relocation_gpa,
            maximum_relocation_gpa,
            is_vtl2,
            apply_rip_offset,
            apply_gdtr_offset,
            vp_index,
            vtl,
        } => {
            let flag = |set: bool, flag: u8| if set { flag } else { 0 };
            HeaderSpec::RelocatableRegion(IGVM_VHS_RELOCATABLE_REGION {
                compatibility_mask: *compatibility_mask,
                vp_index: *vp_index,
                vtl: *vtl as u8,
                flags: flag(*is_vtl2, IGVM_VHF_RELOCATABLE_REGION_IS_VTL2)
                    | flag(*apply_rip_offset, IGVM_VHF_RELOCATABLE_REGION_APPLY_PC)
                    | flag(*apply_gdtr_offset, IGVM_VHF_RELOCATABLE_REGION_APPLY_GDTR),
                relocation_alignment: *relocation_alignment,
                relocation_region_gpa: *relocation_region_gpa,
                relocation_region_size: *relocation_region_size,
                minimum_relocation_gpa: *minimum_relocation_gpa,
                maximum_relocation_gpa: *maximum_relocation_gpa,
            })
        }
        Initialization::PageTableRelocationRegion {
            compatibility_mask,
            gpa,
            size,
            used_size,
            vp_index,
            vtl,
        } => HeaderSpec::PageTableRelocationRegion(IGVM_VHS_PAGE_TABLE_RELOCATION {
            compatibility_mask: *compatibility_mask,
            vp_index: *vp_index,
            vtl: *vtl as u8,
            reserved: 0,
            gpa: *gpa,
            size: *size,
            used_size: *used_size,
        }),
        Initialization::CorimDocument { compatibility_mask, document } => {
            HeaderSpec::CorimDocument { mask: *compatibility_mask, document }
        }
        Initialization::CorimSignature { compatibility_mask, signature } => {
            HeaderSpec::CorimSignature { mask: *compatibility_mask, signature }
        }
    }
}

/// The crate's way to say "zeroes" is no data.
fn data_of(bytes: &[u8]) -> Data<'_> {
    if bytes.is_empty() { Data::Zero } else { Data::Bytes(bytes) }
}

fn push_directive(file: &mut FileBuilder, header: &Directive) {
    let mut push = |spec: HeaderSpec<'_>| file.push(spec).unwrap();
    let mut push_context = |gpa: u64, mask: u32, vp_index: u16, context: Context<'_>| {
        push(HeaderSpec::VpContext { gpa, mask, vp_index, context });
    };
    match header {
        Directive::X64NativeVpContext { compatibility_mask, vp_index, context } => {
            push_context(0, *compatibility_mask, *vp_index, Context::Native(context));
        }
        Directive::SnpVpContext { gpa, compatibility_mask, vp_index, vmsa } => {
            push_context(*gpa, *compatibility_mask, *vp_index, Context::Vmsa(vmsa.as_bytes()));
        }
        Directive::AArch64CcaVpContext { compatibility_mask, vp_index, context } => {
            push_context(0, *compatibility_mask, *vp_index, Context::Cca(context));
        }
        Directive::X64VbsVpContext { vtl, registers, compatibility_mask } => {
            let registers: Vec<VbsVpContextRegister> =
                registers.iter().map(|register| register.into_vbs_vp_context_reg(*vtl)).collect();
            push_context(0, *compatibility_mask, 0, Context::Vbs(&registers));
        }
        Directive::AArch64VbsVpContext { vtl, registers, compatibility_mask } => {
            let registers: Vec<VbsVpContextRegister> =
                registers.iter().map(|register| register.into_vbs_vp_context_reg(*vtl)).collect();
            push_context(0, *compatibility_mask, 0, Context::Vbs(&registers));
        }
        Directive::PageData { gpa, compatibility_mask, flags, data_type, data } => {
            push(HeaderSpec::PageData {
                gpa: *gpa,
                mask: *compatibility_mask,
                flags: *flags,
                data_type: *data_type,
                data: data_of(data),
            });
        }
        Directive::ParameterArea { number_of_bytes, parameter_area_index, initial_data } => {
            push(HeaderSpec::ParameterArea {
                index: *parameter_area_index,
                number_of_bytes: *number_of_bytes,
                initial: data_of(initial_data),
            });
        }
        Directive::RequiredMemory {
            gpa,
            compatibility_mask,
            number_of_bytes,
            vtl2_protectable,
        } => push(HeaderSpec::RequiredMemory(IGVM_VHS_REQUIRED_MEMORY {
            gpa: *gpa,
            compatibility_mask: *compatibility_mask,
            number_of_bytes: *number_of_bytes,
            flags: RequiredMemoryFlags::new().with_vtl2_protectable(*vtl2_protectable),
            reserved: 0,
        })),
        Directive::ErrorRange { gpa, compatibility_mask, size_bytes } => {
            push(HeaderSpec::ErrorRange(IGVM_VHS_ERROR_RANGE {
                gpa: *gpa,
                compatibility_mask: *compatibility_mask,
                size_bytes: *size_bytes,
            }));
        }
        Directive::ParameterInsert(insert) => push(HeaderSpec::ParameterInsert(*insert)),
        Directive::SnpIdBlock {
            compatibility_mask,
            author_key_enabled,
            reserved,
            ld,
            family_id,
            image_id,
            version,
            guest_svn,
            id_key_algorithm,
            author_key_algorithm,
            id_key_signature,
            id_public_key,
            author_key_signature,
            author_public_key,
        } => push(HeaderSpec::SnpIdBlock(&IGVM_VHS_SNP_ID_BLOCK {
            compatibility_mask: *compatibility_mask,
            author_key_enabled: *author_key_enabled,
            reserved: *reserved,
            ld: *ld,
            family_id: *family_id,
            image_id: *image_id,
            version: *version,
            guest_svn: *guest_svn,
            id_key_algorithm: *id_key_algorithm,
            author_key_algorithm: *author_key_algorithm,
            id_key_signature: **id_key_signature,
            id_public_key: **id_public_key,
            author_key_signature: **author_key_signature,
            author_public_key: **author_public_key,
        })),
        Directive::VbsMeasurement {
            compatibility_mask,
            version,
            product_id,
            module_id,
            security_version,
            policy_flags,
            boot_digest_algo,
            signing_algo,
            boot_measurement_digest,
            signature,
            public_key,
        } => push(HeaderSpec::VbsMeasurement(&IGVM_VHS_VBS_MEASUREMENT {
            compatibility_mask: *compatibility_mask,
            version: *version,
            product_id: *product_id,
            module_id: *module_id,
            security_version: *security_version,
            policy_flags: *policy_flags,
            boot_digest_algo: *boot_digest_algo,
            signing_algo: *signing_algo,
            boot_measurement_digest: **boot_measurement_digest,
            signature: **signature,
            public_key: **public_key,
        })),
        parameter => {
            let (kind, parameter) = parameter_of(parameter);
            push(HeaderSpec::Parameter(kind, parameter));
        }
    }
}

fn parameter_of(directive: &Directive) -> (ParameterKind, IGVM_VHS_PARAMETER) {
    use ParameterKind as Kind;
    match directive {
        Directive::VpCount(v) => (Kind::VpCount, *v),
        Directive::Srat(v) => (Kind::Srat, *v),
        Directive::Madt(v) => (Kind::Madt, *v),
        Directive::MmioRanges(v) => (Kind::MmioRanges, *v),
        Directive::MemoryMap(v) => (Kind::MemoryMap, *v),
        Directive::CommandLine(v) => (Kind::CommandLine, *v),
        Directive::Slit(v) => (Kind::Slit, *v),
        Directive::Pptt(v) => (Kind::Pptt, *v),
        Directive::DeviceTree(v) => (Kind::DeviceTree, *v),
        Directive::EnvironmentInfo(v) => (Kind::EnvironmentInfo, *v),
        other => panic!("not a parameter: {other:?}"),
    }
}
