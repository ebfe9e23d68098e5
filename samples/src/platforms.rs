//! One file, five platforms.

use igvm_core::defs::{
    IGVM_VHS_GUEST_POLICY, IGVM_VHS_SNP_ID_BLOCK, IGVM_VHS_VBS_MEASUREMENT, IgvmPageDataFlags,
    IgvmPageDataType, IgvmPlatformType, SnpPolicy, TdxPolicy, VbsDigestAlgorithm,
    VbsSigningAlgorithm,
};
use igvm_core::write::{Context, Data, FileBuilder, HeaderSpec, Version};
use zerocopy::FromZeros;

use crate::Sample;
use crate::context::{self, SEV_FEATURE_SNP};
use crate::guest;
use crate::hello::RESET_PAGE;
use crate::layout::{self, CODE, push};

const LINE: &str = "Hello from one file for five platforms!\n";

pub(crate) const SAMPLE: Sample = Sample {
    name: "platforms",
    title: "One image for five platforms: masks say what is for whom, and each platform has its \
            own format for the same registers.",
    prints: LINE,
    committed: true,
    build,
};

const NATIVE: u32 = 1 << 0;
const SNP: u32 = 1 << 1;
const VSM: u32 = 1 << 2;
const SEV_ES: u32 = 1 << 3;
const TDX: u32 = 1 << 4;
/// Those that start from a context.
const WITH_CONTEXT: u32 = NATIVE | SNP | VSM | SEV_ES;

/// SNP pages that the platform fills.
const SECRETS: u64 = 0x9000;
const CPUID: u64 = 0xa000;
/// Where KVM's SNP launch has the save area: the top page of 48 bits.
const VMSA: u64 = 0xffff_ffff_f000;

fn build() -> Vec<u8> {
    let mut file = FileBuilder::new(Version::V2_X64);
    push(&mut file, HeaderSpec::platform(IgvmPlatformType::NATIVE, NATIVE));
    push(&mut file, HeaderSpec::platform(IgvmPlatformType::SEV_SNP, SNP));
    push(&mut file, HeaderSpec::platform(IgvmPlatformType::VSM_ISOLATION, VSM));
    push(&mut file, HeaderSpec::platform(IgvmPlatformType::SEV_ES, SEV_ES));
    push(&mut file, HeaderSpec::platform(IgvmPlatformType::TDX, TDX));

    let snp_policy = SnpPolicy::new().with_abi_major(1).with_smt(1).with_reserved_must_be_one(1);
    push_policy(&mut file, SNP, snp_policy.into());
    push_policy(&mut file, TDX, TdxPolicy::new().with_sept_ve_disable(1).into());

    let context = layout::push_long64(&mut file, WITH_CONTEXT);
    push(&mut file, HeaderSpec::page(CODE, WITH_CONTEXT, &guest::hello64(LINE)));
    push_snp_page(&mut file, SECRETS, IgvmPageDataType::SECRETS);
    push_snp_page(&mut file, CPUID, IgvmPageDataType::CPUID_DATA);
    push(&mut file, HeaderSpec::page(RESET_PAGE, TDX, &tdx_reset_page()));

    push(&mut file, HeaderSpec::native_context(NATIVE, &context));
    let registers = context::registers_of(&context);
    let vmsa_snp = context::vmsa(&registers, SEV_FEATURE_SNP);
    push_context(&mut file, SNP, VMSA, Context::Vmsa(&vmsa_snp));
    let vbs = context::vbs_registers(&registers);
    push_context(&mut file, VSM, 0, Context::Vbs(&vbs));
    let vmsa_es = context::vmsa(&registers, 0);
    push_context(&mut file, SEV_ES, VMSA, Context::Vmsa(&vmsa_es));

    push(&mut file, HeaderSpec::SnpIdBlock(&id_block()));
    push(&mut file, HeaderSpec::VbsMeasurement(&vbs_measurement()));
    file.finish()
}

fn push_policy(file: &mut FileBuilder, compatibility_mask: u32, policy: u64) {
    let policy = IGVM_VHS_GUEST_POLICY { policy, compatibility_mask, reserved: 0 };
    push(file, HeaderSpec::GuestPolicy(policy));
}

fn push_snp_page(file: &mut FileBuilder, gpa: u64, data_type: IgvmPageDataType) {
    let flags = IgvmPageDataFlags::new();
    push(file, HeaderSpec::PageData { gpa, mask: SNP, flags, data_type, data: Data::Zero });
}

fn push_context(file: &mut FileBuilder, mask: u32, gpa: u64, context: Context<'_>) {
    push(file, HeaderSpec::VpContext { gpa, mask, vp_index: 0, context });
}

/// TDX knows no context: a guest starts at the reset vector, in 32-bit
/// protected mode. This one halts there.
fn tdx_reset_page() -> Vec<u8> {
    let mut page = vec![0; 0xff0];
    page.extend_from_slice(&guest::halting());
    page
}

/// An unsigned block. The measurement in it stays zero: it would be that of
/// this very file.
fn id_block() -> IGVM_VHS_SNP_ID_BLOCK {
    IGVM_VHS_SNP_ID_BLOCK {
        compatibility_mask: SNP,
        family_id: *b"igvm-playground\0",
        image_id: *b"platforms\0\0\0\0\0\0\0",
        version: 1,
        guest_svn: 1,
        // ECDSA P-384 with SHA-384, the only algorithm there is.
        id_key_algorithm: 1,
        ..IGVM_VHS_SNP_ID_BLOCK::new_zeroed()
    }
}

/// An unsigned measurement.
fn vbs_measurement() -> IGVM_VHS_VBS_MEASUREMENT {
    IGVM_VHS_VBS_MEASUREMENT {
        compatibility_mask: VSM,
        version: 1,
        product_id: 1,
        module_id: 1,
        security_version: 1,
        boot_digest_algo: VbsDigestAlgorithm::SHA256.0,
        signing_algo: VbsSigningAlgorithm::ECDSA_P384.0,
        ..IGVM_VHS_VBS_MEASUREMENT::new_zeroed()
    }
}
