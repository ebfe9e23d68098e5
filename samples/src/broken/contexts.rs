//! Broken context headers and context data.

use igvm_core::defs::IgvmPlatformType as Platform;
use igvm_core::write::{Context, HeaderSpec, Version};

use super::base::{
    HALTS, VMSA, context_data, file_of, native, on, protected, protected_context, protected_with,
    real_context, reset_with, snp, vsm,
};
use super::{Broken, broken, broken_with};
use crate::context::{registers_of, vmsa};
use crate::hello::RESET_PAGE;
use crate::layout::{CODE, NATIVE};

pub(super) const SAMPLES: &[Broken] = &[
    broken("context.platform", || {
        let context = protected_context();
        let context = HeaderSpec::native_context(NATIVE, &context);
        on(&[HeaderSpec::platform(Platform::TDX, NATIVE)], &[], &[context])
    }),
    broken("context.formats", || {
        let platforms = [native(), HeaderSpec::platform(Platform::SEV_SNP, 2)];
        let both = NATIVE | 2;
        let page = HeaderSpec::page(CODE, both, &HALTS);
        let native_context = real_context();
        on(&platforms, &[], &[page, context(0, both, 0, Context::Native(&native_context))])
    }),
    broken("context.version", || {
        let context = real_context();
        let headers = [
            native(),
            HeaderSpec::page(CODE, NATIVE, &HALTS),
            HeaderSpec::native_context(NATIVE, &context),
        ];
        file_of(Version::V1, headers)
    }),
    broken("context.gpa", || {
        let native_context = real_context();
        let page = HeaderSpec::page(CODE, NATIVE, &HALTS);
        reset_with(&[], &[page, context(0x1000, NATIVE, 0, Context::Native(&native_context))])
    }),
    // The save area cannot be loaded, so the processor starts from reset.
    broken_with("context.alignment", &["reset.nothing-loaded"], || {
        let page = vmsa(&registers_of(&protected_context()), 1);
        snp(VMSA + 8, Context::Vmsa(&page))
    }),
    broken("context.no-data", || {
        let without = context(VMSA, NATIVE, 5, Context::At(0));
        on(&[HeaderSpec::platform(Platform::SEV_SNP, NATIVE)], &[], &[without])
    }),
    broken("context.rest-not-zero", || {
        let mut file = protected(|_| {});
        let at = context_data(&file);
        file[at + 0x800] = 1;
        file
    }),
    // Without any register it starts from reset.
    broken_with("context.register-count", &["entry.outside-memory"], || vsm(Vec::clear)),
    broken("context.vtl", || {
        vsm(|registers| registers.iter_mut().for_each(|register| register.vtl = 3))
    }),
    broken("context.vtl-mixed", || vsm(|registers| registers[0].vtl = 2)),
    broken("context.twice", || {
        let again = protected_context();
        protected_with(&[], &[HeaderSpec::native_context(NATIVE, &again)], |_| {})
    }),
    broken("context.no-processor", || {
        let other = protected_context();
        let other = context(0, NATIVE, 7, Context::Native(&other));
        protected_with(&[], &[other], |_| {})
    }),
    broken("reset.nothing-loaded", || {
        file_of(Version::V2_X64, [native(), HeaderSpec::page(RESET_PAGE - 0x1000, NATIVE, &HALTS)])
    }),
    broken("reset.no-context", || reset_with(&[], &[])),
];

const fn context(gpa: u64, mask: u32, vp_index: u16, context: Context<'_>) -> HeaderSpec<'_> {
    HeaderSpec::VpContext { gpa, mask, vp_index, context }
}
