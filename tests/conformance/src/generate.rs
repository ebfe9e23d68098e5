//! Random files that the `igvm` crate accepts, every kind of header among
//! them, serialised by that crate.

use igvm::hv_defs::Vtl;
use igvm::registers::{AArch64Register, SegmentRegister, TableRegister, X86Register};
use igvm::snp_defs::SevVmsa;
use igvm::{
    Arch, IgvmDirectiveHeader as Directive, IgvmFile, IgvmInitializationHeader as Initialization,
    IgvmPlatformHeader, IgvmRevision,
};
use igvm_core::defs::{
    CcaHashAlgorithm, CcaLfaPolicy, IGVM_VHS_PARAMETER, IGVM_VHS_PARAMETER_INSERT,
    IGVM_VHS_SNP_ID_BLOCK, IGVM_VHS_SUPPORTED_PLATFORM, IGVM_VHS_VBS_MEASUREMENT,
    IgvmNativeVpContextX64, IgvmPageDataFlags, IgvmPageDataType, IgvmPlatformType,
    IgvmVpContextAArch64Cca,
};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

use crate::oracle::{self, Verdict};
use crate::random::Random;

const X64_PLATFORMS: [IgvmPlatformType; 6] = [
    IgvmPlatformType::NATIVE,
    IgvmPlatformType::VSM_ISOLATION,
    IgvmPlatformType::SEV_SNP,
    IgvmPlatformType::TDX,
    IgvmPlatformType::SEV,
    IgvmPlatformType::SEV_ES,
];

/// The file of a seed. `None` where the `igvm` crate finds fault with what came
/// together, or where it would be a file without data, which it cannot read.
pub fn file(seed: u64) -> Option<Vec<u8>> {
    let mut generator = Generator::new(seed);
    let headers = generator.headers();
    let revision = generator.revision;
    let written = oracle::ask(move || {
        let (platforms, initializations, directives) = headers;
        let mut bytes = Vec::new();
        IgvmFile::new(revision, platforms, initializations, directives)?.serialize(&mut bytes)?;
        Ok(bytes)
    });
    match written {
        Verdict::Accepted(bytes) => Some(bytes),
        Verdict::Refused(_) | Verdict::Panicked => None,
    }
}

type Headers = (Vec<IgvmPlatformHeader>, Vec<Initialization>, Vec<Directive>);

struct Generator {
    random: Random,
    revision: IgvmRevision,
    platforms: Vec<(IgvmPlatformType, u32)>,
    /// Indices of areas that are declared and not inserted.
    areas: Vec<u32>,
    next_area: u32,
    regions: u64,
}

impl Generator {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let arm = random.one_in(8);
        let arch = if arm { Arch::AArch64 } else { Arch::X64 };
        let revision = match arm || !random.one_in(4) {
            true => IgvmRevision::V2 { arch, page_size: 4096 },
            false => IgvmRevision::V1,
        };
        let known: &[_] = match arm {
            true => &[IgvmPlatformType::VSM_ISOLATION, IgvmPlatformType::CCA],
            false => &X64_PLATFORMS,
        };
        let mut platforms: Vec<(IgvmPlatformType, u32)> = Vec::new();
        for _ in 0..=random.below(4) {
            let platform = random.pick(known);
            let mask = 1 << random.below(32);
            if platforms.iter().all(|(p, m)| *p != platform && *m != mask) {
                platforms.push((platform, mask));
            }
        }
        Self { random, revision, platforms, areas: Vec::new(), next_area: 0, regions: 0 }
    }

    fn arm(&self) -> bool {
        matches!(self.revision, IgvmRevision::V2 { arch: Arch::AArch64, .. })
    }

    fn headers(&mut self) -> Headers {
        let platforms = (0..self.platforms.len()).map(|nth| self.platform(nth)).collect();
        let initializations: Vec<_> =
            (0..self.random.below(4)).filter_map(|_| self.initialization()).collect();
        let mut directives: Vec<_> =
            (0..self.random.below(24)).filter_map(|_| self.directive()).collect();
        // Regions want a VBS context; its registers may be anything.
        if self.regions != 0
            && let Some(context) = self.vbs_context(Vtl::Vtl0)
        {
            directives.push(context);
        }
        directives.push(self.page());
        (platforms, initializations, directives)
    }

    /// A mask with bits of the file's platforms, rarely with others.
    fn mask(&mut self) -> u32 {
        if self.random.one_in(16) {
            return self.random.u32();
        }
        let mut mask = 0;
        for (_, bit) in self.platforms.clone() {
            if mask == 0 || self.random.one_in(2) {
                mask |= bit;
            }
        }
        mask
    }

    fn platform(&mut self, nth: usize) -> IgvmPlatformHeader {
        let (platform_type, compatibility_mask) = self.platforms[nth];
        let boundary = match platform_type {
            IgvmPlatformType::NATIVE | IgvmPlatformType::VSM_ISOLATION => 0,
            _ => self.random.edge(),
        };
        IgvmPlatformHeader::SupportedPlatform(IGVM_VHS_SUPPORTED_PLATFORM {
            compatibility_mask,
            highest_vtl: self.random.pick(&[0, 2]),
            platform_type,
            platform_version: 1,
            shared_gpa_boundary: boundary,
        })
    }

    fn initialization(&mut self) -> Option<Initialization> {
        let vsm = self.mask_of(&[IgvmPlatformType::VSM_ISOLATION]);
        Some(match self.random.below(6) {
            0 | 1 => Initialization::GuestPolicy {
                policy: self.random.u64(),
                compatibility_mask: self.mask(),
            },
            2 => {
                let zeroes = self.random.u64();
                Initialization::CcaPolicy {
                    compatibility_mask: self.mask_of(&[IgvmPlatformType::CCA])?,
                    attributes_required_zeroes: zeroes,
                    attributes_required_ones: self.random.u64() & !zeroes,
                    hash_algorithm: CcaHashAlgorithm(self.random.u64() as u8),
                    lfa_policy: CcaLfaPolicy(self.random.u64() as u8),
                }
            }
            3 => {
                self.regions += 1;
                let gpa = self.regions << 24;
                Initialization::RelocatableRegion {
                    compatibility_mask: vsm?,
                    relocation_alignment: self.random.pick(&[0x1000, 0x20_0000]),
                    relocation_region_gpa: gpa,
                    relocation_region_size: 0x1000 * (1 + self.random.below(512)),
                    minimum_relocation_gpa: 0,
                    maximum_relocation_gpa: self.random.below(64) << 30,
                    is_vtl2: self.random.one_in(2),
                    apply_rip_offset: self.random.one_in(2),
                    apply_gdtr_offset: self.random.one_in(2),
                    vp_index: 0,
                    vtl: Vtl::Vtl0,
                }
            }
            4 => {
                self.regions += 1;
                let used = 0x1000 * self.random.below(16);
                Initialization::PageTableRelocationRegion {
                    compatibility_mask: vsm?,
                    gpa: self.regions << 24,
                    size: used + 0x1000 * (1 + self.random.below(16)),
                    used_size: used,
                    vp_index: 0,
                    vtl: Vtl::Vtl0,
                }
            }
            _ => Initialization::CorimDocument {
                compatibility_mask: self.mask(),
                document: self.some_bytes(300),
            },
        })
    }

    fn some_bytes(&mut self, most: u64) -> Vec<u8> {
        let mut bytes = vec![0; 1 + self.random.below(most) as usize];
        self.random.fill(&mut bytes);
        bytes
    }

    /// The mask bit of the first platform of the file that is one of these.
    fn mask_of(&self, wanted: &[IgvmPlatformType]) -> Option<u32> {
        self.platforms.iter().find(|(p, _)| wanted.contains(p)).map(|(_, mask)| *mask)
    }

    fn gpa(&mut self) -> u64 {
        // Close to each other, so that pages follow and overwrite each other.
        self.random.below(24) << 12
    }

    fn page(&mut self) -> Directive {
        let data = match self.random.below(4) {
            0 => Vec::new(),
            1 => self.some_bytes(4096),
            _ => vec![self.random.u64() as u8 | 1; 4096],
        };
        Directive::PageData {
            gpa: self.gpa(),
            compatibility_mask: self.mask(),
            flags: IgvmPageDataFlags::new()
                .with_unmeasured(self.random.one_in(3))
                .with_shared(self.random.one_in(3)),
            data_type: IgvmPageDataType(self.random.below(4) as u16),
            data,
        }
    }

    fn directive(&mut self) -> Option<Directive> {
        Some(match self.random.below(16) {
            0..=3 => self.page(),
            4 | 5 => self.area(),
            6..=8 => self.parameter()?,
            9 => {
                let nth = self.random.below(self.areas.len().max(1) as u64) as usize;
                self.areas.get(nth)?;
                Directive::ParameterInsert(IGVM_VHS_PARAMETER_INSERT {
                    gpa: self.gpa(),
                    compatibility_mask: self.mask(),
                    parameter_area_index: self.areas.remove(nth),
                })
            }
            10 => Directive::RequiredMemory {
                gpa: self.gpa(),
                compatibility_mask: self.mask(),
                number_of_bytes: (self.random.below(64) << 12) as u32,
                vtl2_protectable: self.random.one_in(2),
            },
            11 => Directive::ErrorRange {
                gpa: self.gpa(),
                compatibility_mask: self.mask(),
                size_bytes: self.random.u32(),
            },
            12 => self.id_block(),
            13 => self.measurement(),
            _ => self.context()?,
        })
    }

    fn area(&mut self) -> Directive {
        let index = self.next_area;
        self.next_area += 1 + self.random.below(3) as u32;
        self.areas.push(index);
        let number_of_bytes = 0x1000 * (1 + self.random.below(3));
        let initial_data =
            if self.random.one_in(2) { Vec::new() } else { self.some_bytes(number_of_bytes) };
        Directive::ParameterArea { number_of_bytes, parameter_area_index: index, initial_data }
    }

    fn parameter(&mut self) -> Option<Directive> {
        let nth = self.random.below(self.areas.len().max(1) as u64) as usize;
        let parameter = IGVM_VHS_PARAMETER {
            parameter_area_index: *self.areas.get(nth)?,
            byte_offset: self.random.below(0x2100) as u32,
        };
        Some(match self.random.below(10) {
            0 => Directive::VpCount(parameter),
            1 => Directive::EnvironmentInfo(parameter),
            2 => Directive::Srat(parameter),
            3 => Directive::Madt(parameter),
            4 => Directive::Slit(parameter),
            5 => Directive::Pptt(parameter),
            6 => Directive::MmioRanges(parameter),
            7 => Directive::MemoryMap(parameter),
            8 => Directive::CommandLine(parameter),
            _ => Directive::DeviceTree(parameter),
        })
    }

    fn id_block(&mut self) -> Directive {
        let v = IGVM_VHS_SNP_ID_BLOCK::read_from_bytes(
            &self.random.bytes::<{ size_of::<IGVM_VHS_SNP_ID_BLOCK>() }>(),
        )
        .expect("any bytes are one");
        Directive::SnpIdBlock {
            compatibility_mask: self.mask(),
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

    fn measurement(&mut self) -> Directive {
        let v = IGVM_VHS_VBS_MEASUREMENT::read_from_bytes(
            &self.random.bytes::<{ size_of::<IGVM_VHS_VBS_MEASUREMENT>() }>(),
        )
        .expect("any bytes are one");
        Directive::VbsMeasurement {
            compatibility_mask: self.mask(),
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

    /// A context for one of the platforms that have one.
    fn context(&mut self) -> Option<Directive> {
        let (platform, compatibility_mask) = self.random.pick(&self.platforms);
        let vp_index = self.random.below(5) as u16;
        Some(match platform {
            IgvmPlatformType::NATIVE | IgvmPlatformType::SEV => {
                let mut context = IgvmNativeVpContextX64::new_zeroed();
                self.random.fill(context.as_mut_bytes());
                let context = Box::new(context);
                Directive::X64NativeVpContext { compatibility_mask, vp_index, context }
            }
            IgvmPlatformType::SEV_ES | IgvmPlatformType::SEV_SNP => {
                let mut vmsa = Box::new(SevVmsa::new_zeroed());
                self.random.fill(vmsa.as_mut_bytes());
                Directive::SnpVpContext { gpa: self.gpa(), compatibility_mask, vp_index, vmsa }
            }
            IgvmPlatformType::CCA => {
                let mut context = IgvmVpContextAArch64Cca::new_zeroed();
                self.random.fill(context.as_mut_bytes());
                let context = Box::new(context);
                Directive::AArch64CcaVpContext { compatibility_mask, vp_index, context }
            }
            IgvmPlatformType::VSM_ISOLATION => {
                let vtl = self.random.pick(&[Vtl::Vtl0, Vtl::Vtl1, Vtl::Vtl2]);
                self.vbs_context(vtl)?
            }
            _ => return None,
        })
    }

    fn vbs_context(&mut self, vtl: Vtl) -> Option<Directive> {
        let compatibility_mask = self.mask_of(&[IgvmPlatformType::VSM_ISOLATION])?;
        let count = 1 + self.random.below(40);
        Some(if self.arm() {
            let registers = (0..count).map(|_| self.arm_register()).collect();
            Directive::AArch64VbsVpContext { vtl, registers, compatibility_mask }
        } else {
            let registers = (0..count).map(|_| self.x86_register()).collect();
            Directive::X64VbsVpContext { vtl, registers, compatibility_mask }
        })
    }

    fn arm_register(&mut self) -> AArch64Register {
        let value = self.random.u64();
        match self.random.below(4) {
            0 => AArch64Register::Pc(value),
            1 => AArch64Register::X0(value),
            2 => AArch64Register::Cpsr(value),
            _ => AArch64Register::Ttbr1El1(value),
        }
    }

    fn x86_register(&mut self) -> X86Register {
        use X86Register as R;
        let value = self.random.u64();
        let table = TableRegister { base: value, limit: self.random.u64() as u16 };
        let segment = SegmentRegister {
            base: value,
            limit: self.random.u32(),
            selector: self.random.u64() as u16,
            attributes: self.random.u64() as u16,
        };
        match self.random.below(26) {
            0 => R::Gdtr(table),
            1 => R::Idtr(table),
            2 => R::Ds(segment),
            3 => R::Es(segment),
            4 => R::Fs(segment),
            5 => R::Gs(segment),
            6 => R::Ss(segment),
            7 => R::Cs(segment),
            8 => R::Tr(segment),
            9 => R::Cr0(value),
            10 => R::Cr3(value),
            11 => R::Cr4(value),
            12 => R::Efer(value),
            13 => R::Pat(value),
            14 => R::Rbp(value),
            15 => R::Rip(value),
            16 => R::Rsi(value),
            17 => R::Rsp(value),
            18 => R::R8(value),
            19 => R::R9(value),
            20 => R::R10(value),
            21 => R::R11(value),
            22 => R::R12(value),
            23 => R::Rflags(value),
            24 => R::MtrrDefType(value),
            _ => R::MtrrFix4kF8000(value),
        }
    }
}
