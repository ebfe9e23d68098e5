//! Rules of the initialization headers, apart from relocation.

use igvm_defs::{
    CcaHashAlgorithm, CcaLfaPolicy, IGVM_VHS_CCA_POLICY, IGVM_VHS_CORIM_DATA,
    IGVM_VHS_GUEST_POLICY, IgvmPlatformType as Platform, SnpPolicy, TdxPolicy,
};

use super::platform::label;
use super::rule::rules;
use super::structure::Structure;
use crate::data::FileData;
use crate::file::{Header, HeaderRef};

rules! {
    /// What can be wrong with policies, documents and the version string.
    enum InitFault;

    SnpPolicyBits { policy: u64 }
        Error "policy.snp"
        "In a policy for SEV-SNP bit 17 is 1 and bits 63:21 are 0."
        "igvm_defs: SnpPolicy; SEV Secure Nested Paging Firmware ABI, \"Guest Policy\""
        => "the policy for SEV-SNP is {policy:#x}; bit 17 must be 1 and bits 63:21 must be 0";
    TdxPolicyBits { policy: u64 }
        Error "policy.tdx"
        "In a policy for TDX bits 63:3 are 0."
        "igvm_defs: TdxPolicy"
        => "the policy for TDX is {policy:#x}; bits 63:3 must be 0";
    PolicyPlatform { name: &'static str }
        Warning "policy.platform"
        "A guest policy is for a platform that isolates the guest."
        "igvm_defs: IGVM_VHS_GUEST_POLICY"
        => "a guest policy for platform {name}, which has none: it is ignored";
    PolicyTwice { bits: u32 }
        Warning "policy.twice"
        "A platform has one policy."
        "igvm_defs: IGVM_VHS_GUEST_POLICY, IGVM_VHS_CCA_POLICY"
        => "the platforms with mask {bits:#x} had a policy before; loaders differ in which counts";
    CcaConflict { bits: u64 }
        Error "cca-policy.conflict"
        "No attribute of a CCA policy is required to be both 0 and 1."
        "igvm_defs: IGVM_VHS_CCA_POLICY; igvm 0.5.0: InvalidOnesZeroesMasks"
        => "attribute bits {bits:#x} are required to be 0 and 1 at once";
    CcaPlatform { mask: u32 }
        Error "cca-policy.platform"
        "A CCA policy is for the CCA platform alone."
        "igvm 0.5.0: InvalidCcaPolicyCompatibilityMask"
        => "a CCA policy with compatibility mask {mask:#x}, which names another platform than CCA";
    CcaAlgorithm { field: &'static str, value: u8 }
        Error "cca-policy.value"
        "Hash algorithm and activation policy of a CCA policy are listed ones."
        "igvm_defs: CcaHashAlgorithm, CcaLfaPolicy"
        => "{field} is {value}, which the specification does not list";
    CorimTwice { what: &'static str, bits: u32 }
        Error "corim.twice"
        "A platform has at most one CoRIM document and one signature."
        "igvm_defs: IGVM_VHT_CORIM_DOCUMENT; igvm 0.5.0: MultipleCorimDocuments"
        => "the platforms with mask {bits:#x} had a CoRIM {what} before";
    CorimSignatureFirst { bits: u32 }
        Error "corim.signature-without-document"
        "A CoRIM signature stands behind the document it signs."
        "igvm_defs: IGVM_VHT_CORIM_SIGNATURE; igvm 0.5.0: MissingCorimDocument"
        => "the platforms with mask {bits:#x} have no CoRIM document before this signature";
    VersionTwice { first: u32 }
        Error "version-string.twice"
        "A file has at most one version string."
        "igvm_defs: IGVM_VHT_VERSION_STRING"
        => "a second version string; the first one is header {first}";
    VersionNotText { at: usize }
        Error "version-string.utf-8"
        "A version string is UTF-8."
        "igvm_defs: IGVM_VHT_VERSION_STRING"
        => "the version string is not UTF-8 from its byte {at} on";
}

/// What initialization headers have said so far.
#[derive(Debug, Default)]
pub(super) struct Initialization {
    policies: u32,
    documents: u32,
    signatures: u32,
    version_string: Option<HeaderRef>,
}

impl<D: FileData + ?Sized> Structure<'_, '_, D> {
    pub(super) fn guest_policy(&mut self, header: &Header<'_>, value: &IGVM_VHS_GUEST_POLICY) {
        self.reserved(header, "IGVM_VHS_GUEST_POLICY.reserved", value.reserved.into());
        let (policy, mask) = (value.policy, value.compatibility_mask);
        self.policy_once(header, mask);
        let snp = SnpPolicy::from_bits(policy);
        if self.platforms.names(mask, Platform::SEV_SNP)
            && (snp.reserved_must_be_one() != 1 || snp.reserved() != 0)
        {
            self.fault(header, InitFault::SnpPolicyBits { policy });
        }
        if self.platforms.names(mask, Platform::TDX) && TdxPolicy::from_bits(policy).reserved() != 0
        {
            self.fault(header, InitFault::TdxPolicyBits { policy });
        }
        let isolates = |platform| platform != Platform::NATIVE;
        if self.platforms.names(mask, Platform::NATIVE)
            && !self.platforms.named_by(mask).any(isolates)
        {
            self.fault(header, InitFault::PolicyPlatform { name: label(Platform::NATIVE) });
        }
    }

    fn policy_once(&mut self, header: &Header<'_>, mask: u32) {
        let bits = self.init.policies & mask;
        self.init.policies |= mask;
        if bits != 0 {
            self.fault(header, InitFault::PolicyTwice { bits });
        }
    }

    pub(super) fn cca_policy(&mut self, header: &Header<'_>, value: &IGVM_VHS_CCA_POLICY) {
        self.reserved(header, "IGVM_VHS_CCA_POLICY.reserved", value.reserved.into());
        let reserved2 = value.reserved2.iter().copied().find(|byte| *byte != 0);
        self.reserved(header, "IGVM_VHS_CCA_POLICY.reserved2", reserved2.unwrap_or(0).into());
        let mask = value.compatibility_mask;
        self.policy_once(header, mask);
        let bits = value.attributes_required_zeroes & value.attributes_required_ones;
        if bits != 0 {
            self.fault(header, InitFault::CcaConflict { bits });
        }
        if self.platforms.named_by(mask).any(|platform| platform != Platform::CCA) {
            self.fault(header, InitFault::CcaPlatform { mask });
        }
        let CcaHashAlgorithm(hash) = value.hash_algorithm;
        if hash > CcaHashAlgorithm::SHA384.0 {
            self.fault(header, InitFault::CcaAlgorithm { field: "hash_algorithm", value: hash });
        }
        let CcaLfaPolicy(lfa) = value.lfa_policy;
        if lfa > CcaLfaPolicy::LFA_ALLOW.0 {
            self.fault(header, InitFault::CcaAlgorithm { field: "lfa_policy", value: lfa });
        }
    }

    pub(super) fn corim_document(&mut self, header: &Header<'_>, value: &IGVM_VHS_CORIM_DATA) {
        self.corim_data(header, value);
        let bits = self.init.documents & value.compatibility_mask;
        self.init.documents |= value.compatibility_mask;
        if bits != 0 {
            self.fault(header, InitFault::CorimTwice { what: "document", bits });
        }
    }

    pub(super) fn corim_signature(&mut self, header: &Header<'_>, value: &IGVM_VHS_CORIM_DATA) {
        self.corim_data(header, value);
        let bits = self.init.signatures & value.compatibility_mask;
        self.init.signatures |= value.compatibility_mask;
        if bits != 0 {
            self.fault(header, InitFault::CorimTwice { what: "signature", bits });
        }
        let bits = value.compatibility_mask & !self.init.documents;
        if bits != 0 {
            self.fault(header, InitFault::CorimSignatureFirst { bits });
        }
    }

    fn corim_data(&mut self, header: &Header<'_>, value: &IGVM_VHS_CORIM_DATA) {
        self.reserved(header, "IGVM_VHS_CORIM_DATA.reserved", value.reserved.into());
        if value.file_offset != 0 {
            self.file_data(header, value.file_offset, value.size_bytes.into());
        }
    }

    pub(super) fn version_string(&mut self, header: &Header<'_>, text: &[u8]) {
        match self.init.version_string {
            Some(first) => self.fault(header, InitFault::VersionTwice { first: first.index }),
            None => self.init.version_string = Some(header.reference()),
        }
        if let Err(error) = core::str::from_utf8(text) {
            self.fault(header, InitFault::VersionNotText { at: error.valid_up_to() });
        }
    }
}
