//! Random headers that the `igvm` crate accepts.

use igvm::hv_defs::Vtl;
use igvm::registers::{AArch64Register, SegmentRegister, TableRegister, X86Register};
use igvm::snp_defs::SevVmsa;
use igvm::{
    Arch, IgvmDirectiveHeader as Directive, IgvmInitializationHeader as Initialization,
    IgvmPlatformHeader, IgvmRevision,
};
use igvm_core::defs::{
    CcaHashAlgorithm, CcaLfaPolicy, IGVM_VHS_PARAMETER, IGVM_VHS_PARAMETER_INSERT,
    IGVM_VHS_SNP_ID_BLOCK, IGVM_VHS_SUPPORTED_PLATFORM, IGVM_VHS_VBS_MEASUREMENT,
    IgvmNativeVpContextX64, IgvmPageDataFlags, IgvmPageDataType, IgvmPlatformType,
    IgvmVpContextAArch64Cca,
};
use proptest::prelude::*;
use zerocopy::FromBytes;

/// Headers of one file, as the crate has them.
#[derive(Debug, Clone)]
pub(crate) struct Headers {
    pub(crate) revision: IgvmRevision,
    pub(crate) platforms: Vec<IgvmPlatformHeader>,
    pub(crate) initializations: Vec<Initialization>,
    pub(crate) directives: Vec<Directive>,
}

const X64_PLATFORMS: [IgvmPlatformType; 6] = [
    IgvmPlatformType::NATIVE,
    IgvmPlatformType::VSM_ISOLATION,
    IgvmPlatformType::SEV_SNP,
    IgvmPlatformType::TDX,
    IgvmPlatformType::SEV,
    IgvmPlatformType::SEV_ES,
];
const AARCH64_PLATFORMS: [IgvmPlatformType; 2] =
    [IgvmPlatformType::VSM_ISOLATION, IgvmPlatformType::CCA];

/// The headers of one file: any set of platforms, each with its context.
pub(crate) fn headers() -> impl Strategy<Value = Headers> {
    let page_size = 4096;
    let revisions = prop_oneof![
        Just((IgvmRevision::V1, &X64_PLATFORMS[..])),
        Just((IgvmRevision::V2 { arch: Arch::X64, page_size }, &X64_PLATFORMS[..])),
        Just((IgvmRevision::V2 { arch: Arch::AArch64, page_size }, &AARCH64_PLATFORMS[..])),
    ];
    revisions.prop_flat_map(|(revision, choices)| {
        let platforms = proptest::sample::subsequence(choices, 1..=choices.len()).prop_shuffle();
        (platforms, 0_u32..26).prop_flat_map(move |(types, first_bit)| {
            let masks = types.iter().enumerate().map(|(i, typ)| (*typ, 1 << first_bit << i));
            headers_for(revision, masks.collect())
        })
    })
}

fn headers_for(
    revision: IgvmRevision,
    masks: Vec<(IgvmPlatformType, u32)>,
) -> impl Strategy<Value = Headers> {
    let platforms = masks.iter().map(|(platform_type, compatibility_mask)| {
        IgvmPlatformHeader::SupportedPlatform(IGVM_VHS_SUPPORTED_PLATFORM {
            compatibility_mask: *compatibility_mask,
            highest_vtl: 0,
            platform_type: *platform_type,
            platform_version: 1,
            shared_gpa_boundary: 0,
        })
    });
    let platforms: Vec<_> = platforms.collect();
    let contexts: Vec<_> =
        masks.iter().filter_map(|(typ, mask)| context(revision, *typ, *mask)).collect();
    let mask_of = |wanted| masks.iter().find(|(typ, _)| *typ == wanted).map(|(_, mask)| *mask);
    let relocation_mask = mask_of(IgvmPlatformType::VSM_ISOLATION);
    let cca_mask = mask_of(IgvmPlatformType::CCA);
    (
        initializations(masks[0].1, relocation_mask, cca_mask),
        proptest::collection::vec(directive(), 0..24),
        proptest::collection::vec(parameter_area(), 0..4),
        contexts,
    )
        .prop_map(move |(initializations, mut directives, areas, contexts)| {
            for (index, area) in areas.into_iter().enumerate() {
                directives.extend(area.directives(index as u32));
            }
            directives.extend(contexts);
            let platforms = platforms.clone();
            Headers { revision, platforms, initializations, directives }
        })
}

fn page_aligned() -> impl Strategy<Value = u64> {
    (0_u64..1 << 36).prop_map(|page| page << 12)
}

fn any_mask() -> impl Strategy<Value = u32> {
    1_u32..
}

/// Few different contents, so that some are equal.
fn bytes(longest: usize) -> impl Strategy<Value = Vec<u8>> {
    let lengths = prop_oneof![Just(1), Just(16), Just(longest), 1..=longest];
    (0_u8..3, lengths).prop_map(|(byte, len)| vec![byte; len])
}

fn initializations(
    mask: u32,
    relocation_mask: Option<u32>,
    cca_mask: Option<u32>,
) -> impl Strategy<Value = Vec<Initialization>> {
    let policy = proptest::option::of(any::<u64>());
    let corim = proptest::option::of((bytes(300), proptest::option::of(bytes(300))));
    let relocation = proptest::option::of((0_u8..8, 0_u64..16, 0_u64..=16));
    let cca = (any::<u64>(), 0_u8..3, any::<bool>());
    (policy, corim, relocation, cca).prop_map(move |(policy, corim, relocation, cca)| {
        let mut all = Vec::new();
        if let Some(policy) = policy {
            all.push(Initialization::GuestPolicy { policy, compatibility_mask: mask });
        }
        if let (Some(compatibility_mask), (ones, hash, lfa)) = (cca_mask, cca) {
            all.push(Initialization::CcaPolicy {
                compatibility_mask,
                attributes_required_zeroes: !ones,
                attributes_required_ones: ones,
                hash_algorithm: CcaHashAlgorithm(hash),
                lfa_policy: CcaLfaPolicy(lfa.into()),
            });
        }
        if let (Some(compatibility_mask), Some((flags, gpa, used))) = (relocation_mask, relocation)
        {
            all.push(Initialization::RelocatableRegion {
                compatibility_mask,
                relocation_alignment: 1 << 20,
                relocation_region_gpa: gpa << 20,
                relocation_region_size: 1 << 20,
                minimum_relocation_gpa: 0,
                maximum_relocation_gpa: 1 << 40,
                is_vtl2: flags & 1 != 0,
                apply_rip_offset: flags & 2 != 0,
                apply_gdtr_offset: flags & 4 != 0,
                vp_index: 0,
                vtl: Vtl::Vtl0,
            });
            all.push(Initialization::PageTableRelocationRegion {
                compatibility_mask,
                // Above every insert, which may not lie inside.
                gpa: 1 << 50,
                size: 16 << 12,
                used_size: used << 12,
                vp_index: 0,
                vtl: Vtl::Vtl0,
            });
        }
        if let Some((document, signature)) = corim {
            all.push(Initialization::CorimDocument { compatibility_mask: mask, document });
            if let Some(signature) = signature {
                all.push(Initialization::CorimSignature { compatibility_mask: mask, signature });
            }
        }
        all
    })
}

fn directive() -> impl Strategy<Value = Directive> {
    let flags = any::<[bool; 2]>().prop_map(|[unmeasured, shared]| {
        IgvmPageDataFlags::new().with_unmeasured(unmeasured).with_shared(shared)
    });
    let data = prop_oneof![Just(Vec::new()), bytes(4096)];
    let page = (page_aligned(), any_mask(), flags, 0_u16..4, data);
    let page = page.prop_map(|(gpa, compatibility_mask, flags, data_type, data)| {
        let data_type = IgvmPageDataType(data_type);
        Directive::PageData { gpa, compatibility_mask, flags, data_type, data }
    });
    let required = (page_aligned(), any_mask(), 0_u32..1 << 20, any::<bool>()).prop_map(
        |(gpa, compatibility_mask, pages, vtl2_protectable)| Directive::RequiredMemory {
            gpa,
            compatibility_mask,
            number_of_bytes: pages << 12,
            vtl2_protectable,
        },
    );
    let error = (page_aligned(), any_mask(), any::<u32>()).prop_map(
        |(gpa, compatibility_mask, size_bytes)| Directive::ErrorRange {
            gpa,
            compatibility_mask,
            size_bytes,
        },
    );
    prop_oneof![8 => page, 1 => required, 1 => error, 1 => id_block(), 1 => vbs_measurement()]
}

fn id_block() -> impl Strategy<Value = Directive> {
    structure::<IGVM_VHS_SNP_ID_BLOCK>().prop_map(|block| Directive::SnpIdBlock {
        compatibility_mask: block.compatibility_mask | 1,
        author_key_enabled: block.author_key_enabled,
        reserved: block.reserved,
        ld: block.ld,
        family_id: block.family_id,
        image_id: block.image_id,
        version: block.version,
        guest_svn: block.guest_svn,
        id_key_algorithm: block.id_key_algorithm,
        author_key_algorithm: block.author_key_algorithm,
        id_key_signature: Box::new(block.id_key_signature),
        id_public_key: Box::new(block.id_public_key),
        author_key_signature: Box::new(block.author_key_signature),
        author_public_key: Box::new(block.author_public_key),
    })
}

fn vbs_measurement() -> impl Strategy<Value = Directive> {
    structure::<IGVM_VHS_VBS_MEASUREMENT>().prop_map(|vbs| Directive::VbsMeasurement {
        compatibility_mask: vbs.compatibility_mask | 1,
        version: vbs.version,
        product_id: vbs.product_id,
        module_id: vbs.module_id,
        security_version: vbs.security_version,
        policy_flags: vbs.policy_flags,
        boot_digest_algo: vbs.boot_digest_algo,
        signing_algo: vbs.signing_algo,
        boot_measurement_digest: Box::new(vbs.boot_measurement_digest),
        signature: Box::new(vbs.signature),
        public_key: Box::new(vbs.public_key),
    })
}

/// Any structure of bytes, from random bytes.
fn structure<T: FromBytes + std::fmt::Debug>() -> impl Strategy<Value = T> {
    proptest::collection::vec(any::<u8>(), size_of::<T>())
        .prop_map(|bytes| T::read_from_bytes(&bytes).unwrap())
}

#[derive(Debug, Clone)]
struct Area {
    pages: u64,
    initial: Vec<u8>,
    parameters: Vec<(usize, u32)>,
    insert: Option<(u64, u32)>,
}

fn parameter_area() -> impl Strategy<Value = Area> {
    let parameters = proptest::collection::vec((0..PARAMETERS.len(), any::<u32>()), 0..4);
    let insert = proptest::option::of((page_aligned(), any_mask()));
    let initial = prop_oneof![Just(Vec::new()), bytes(4096)];
    (1_u64..4, initial, parameters, insert).prop_map(|(pages, initial, parameters, insert)| Area {
        pages,
        initial,
        parameters,
        insert,
    })
}

impl Area {
    fn directives(self, parameter_area_index: u32) -> Vec<Directive> {
        let mut all = vec![Directive::ParameterArea {
            number_of_bytes: self.pages * 4096,
            parameter_area_index,
            initial_data: self.initial,
        }];
        for (kind, byte_offset) in self.parameters {
            all.push(PARAMETERS[kind](IGVM_VHS_PARAMETER { parameter_area_index, byte_offset }));
        }
        all.extend(self.insert.map(|(gpa, compatibility_mask)| {
            Directive::ParameterInsert(IGVM_VHS_PARAMETER_INSERT {
                gpa,
                compatibility_mask,
                parameter_area_index,
            })
        }));
        all
    }
}

const PARAMETERS: [fn(IGVM_VHS_PARAMETER) -> Directive; 10] = [
    Directive::VpCount,
    Directive::Srat,
    Directive::Madt,
    Directive::MmioRanges,
    Directive::MemoryMap,
    Directive::CommandLine,
    Directive::Slit,
    Directive::Pptt,
    Directive::DeviceTree,
    Directive::EnvironmentInfo,
];

/// A context in the format of the platform.
fn context(
    revision: IgvmRevision,
    platform: IgvmPlatformType,
    compatibility_mask: u32,
) -> Option<BoxedStrategy<Directive>> {
    let aarch64 = matches!(revision, IgvmRevision::V2 { arch: Arch::AArch64, .. });
    Some(match platform {
        IgvmPlatformType::NATIVE | IgvmPlatformType::SEV => {
            (structure::<IgvmNativeVpContextX64>(), any::<u16>())
                .prop_map(move |(context, vp_index)| Directive::X64NativeVpContext {
                    compatibility_mask,
                    vp_index,
                    context: Box::new(context),
                })
                .boxed()
        }
        IgvmPlatformType::SEV_SNP | IgvmPlatformType::SEV_ES => {
            (structure::<SevVmsa>(), any::<u16>(), page_aligned())
                .prop_map(move |(vmsa, vp_index, gpa)| Directive::SnpVpContext {
                    gpa,
                    compatibility_mask,
                    vp_index,
                    vmsa: Box::new(vmsa),
                })
                .boxed()
        }
        IgvmPlatformType::CCA => (structure::<IgvmVpContextAArch64Cca>(), any::<u16>())
            .prop_map(move |(context, vp_index)| Directive::AArch64CcaVpContext {
                compatibility_mask,
                vp_index,
                context: Box::new(context),
            })
            .boxed(),
        IgvmPlatformType::VSM_ISOLATION if aarch64 => any::<[u64; 2]>()
            .prop_map(move |[pc, x0]| Directive::AArch64VbsVpContext {
                vtl: Vtl::Vtl0,
                registers: vec![AArch64Register::Pc(pc), AArch64Register::X0(x0)],
                compatibility_mask,
            })
            .boxed(),
        IgvmPlatformType::VSM_ISOLATION => any::<(u64, u64, u16, u16, u32)>()
            .prop_map(move |(rip, base, selector, attributes, limit)| Directive::X64VbsVpContext {
                vtl: Vtl::Vtl0,
                registers: vec![
                    X86Register::Rip(rip),
                    X86Register::Cs(SegmentRegister { base, limit, selector, attributes }),
                    X86Register::Gdtr(TableRegister { base, limit: selector }),
                ],
                compatibility_mask,
            })
            .boxed(),
        _ => return None,
    })
}
