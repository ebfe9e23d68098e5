//! Broken policies, documents and version strings.

use igvm_core::defs::{
    CcaHashAlgorithm, CcaLfaPolicy, IGVM_VHS_CCA_POLICY, IGVM_VHS_GUEST_POLICY, IgvmArchitecture,
    IgvmPlatformType as Platform,
};
use igvm_core::write::{HeaderSpec, Version};

use super::base::{HALTS, file_of, on, reset_with};
use super::{Broken, broken};
use crate::layout::{CODE, NATIVE, PAGE_4K};

/// The SNP policy bit that must be 1.
const SNP_ONE: u64 = 1 << 17;

pub(super) const SAMPLES: &[Broken] = &[
    broken("policy.snp", || policy(Platform::SEV_SNP, &[0])),
    broken("policy.tdx", || policy(Platform::TDX, &[1 << 63])),
    broken("policy.platform", || policy(Platform::NATIVE, &[SNP_ONE])),
    broken("policy.twice", || policy(Platform::SEV_SNP, &[SNP_ONE, SNP_ONE | 1 << 19])),
    broken("cca-policy.conflict", || {
        cca(Platform::CCA, |policy| {
            policy.attributes_required_zeroes = 3;
            policy.attributes_required_ones = 1;
        })
    }),
    broken("cca-policy.platform", || cca(Platform::VSM_ISOLATION, |_| {})),
    broken("cca-policy.value", || {
        cca(Platform::CCA, |policy| policy.hash_algorithm = CcaHashAlgorithm(9))
    }),
    broken("corim.twice", || {
        let document = HeaderSpec::CorimDocument { mask: NATIVE, document: b"document" };
        reset_with(&[document, document], &[])
    }),
    broken("corim.signature-without-document", || {
        reset_with(&[HeaderSpec::CorimSignature { mask: NATIVE, signature: b"signature" }], &[])
    }),
    broken("version-string.twice", || {
        reset_with(&[HeaderSpec::VersionString("1.0"), HeaderSpec::VersionString("1.1")], &[])
    }),
    broken("version-string.utf-8", || {
        reset_with(&[HeaderSpec::Raw { typ: 0x107, value: b"caf\xe9" }], &[])
    }),
];

fn policy(platform: Platform, policies: &[u64]) -> Vec<u8> {
    let headers: Vec<_> = policies
        .iter()
        .map(|policy| {
            HeaderSpec::GuestPolicy(IGVM_VHS_GUEST_POLICY {
                policy: *policy,
                compatibility_mask: NATIVE,
                reserved: 0,
            })
        })
        .collect();
    on(&[HeaderSpec::platform(platform, NATIVE)], &headers, &[])
}

/// An AARCH64 file with one platform and a CCA policy.
fn cca(platform: Platform, edit: fn(&mut IGVM_VHS_CCA_POLICY)) -> Vec<u8> {
    let mut policy = IGVM_VHS_CCA_POLICY {
        compatibility_mask: NATIVE,
        reserved: 0,
        attributes_required_zeroes: 0,
        attributes_required_ones: 0,
        hash_algorithm: CcaHashAlgorithm::SHA256,
        lfa_policy: CcaLfaPolicy::LFA_DISALLOW,
        reserved2: [0; 6],
    };
    edit(&mut policy);
    let version =
        Version::V2 { architecture: IgvmArchitecture::AARCH64, page_size: PAGE_4K as u32 };
    let headers = [
        HeaderSpec::platform(platform, NATIVE),
        HeaderSpec::CcaPolicy(policy),
        HeaderSpec::page(CODE, NATIVE, &HALTS),
    ];
    file_of(version, headers)
}
