//! A file of format version 1.

use igvm_core::defs::IgvmPlatformType;
use igvm_core::write::{Context, FileBuilder, HeaderSpec, Version};
use igvm_core::x86::RegisterFile;

use crate::Sample;
use crate::context::{self, SEV_FEATURE_SNP};
use crate::hello::{RESET_PAGE, reset_page};
use crate::layout::push;

const LINE: &str = "Hello from a version 1 file!\n";

pub(crate) const SAMPLE: Sample = Sample {
    name: "version1",
    title: "Version 1 has a shorter fixed header and no native context: native starts from reset, \
            SEV-SNP from a save area with the same state.",
    prints: LINE,
    committed: true,
    build,
};

const NATIVE: u32 = 1 << 0;
const SNP: u32 = 1 << 1;
/// Where KVM's SNP launch has the save area: the top page of 48 bits.
const VMSA: u64 = 0xffff_ffff_f000;

fn build() -> Vec<u8> {
    let mut file = FileBuilder::new(Version::V1);
    push(&mut file, HeaderSpec::platform(IgvmPlatformType::NATIVE, NATIVE));
    push(&mut file, HeaderSpec::platform(IgvmPlatformType::SEV_SNP, SNP));
    push(&mut file, HeaderSpec::page(RESET_PAGE, NATIVE | SNP, &reset_page(LINE)));
    let vmsa = context::vmsa(&RegisterFile::reset(true), SEV_FEATURE_SNP);
    let context = Context::Vmsa(&vmsa);
    push(&mut file, HeaderSpec::VpContext { gpa: VMSA, mask: SNP, vp_index: 0, context });
    file.finish()
}
