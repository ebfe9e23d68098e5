//! Isolation platforms by name.

use igvm_defs::IgvmPlatformType;

/// Every platform that `igvm_defs` knows, with the name used on the command
/// line and in reports.
pub const PLATFORMS: [(IgvmPlatformType, &str); 7] = [
    (IgvmPlatformType::NATIVE, "native"),
    (IgvmPlatformType::VSM_ISOLATION, "vsm"),
    (IgvmPlatformType::SEV_SNP, "sev-snp"),
    (IgvmPlatformType::TDX, "tdx"),
    (IgvmPlatformType::SEV, "sev"),
    (IgvmPlatformType::SEV_ES, "sev-es"),
    (IgvmPlatformType::CCA, "cca"),
];

/// The name of a platform, `None` for a type the specification does not list.
pub fn platform_name(platform: IgvmPlatformType) -> Option<&'static str> {
    PLATFORMS.iter().find(|(known, _)| *known == platform).map(|(_, name)| *name)
}

/// The platform of this name. Case, `-` and `_` do not matter: `SEV_SNP` is
/// `sev-snp`. The constants' long name `vsm-isolation` is understood too.
pub fn platform_by_name(name: &str) -> Option<IgvmPlatformType> {
    if same_name(name, "vsm-isolation") || same_name(name, "vbs") {
        return Some(IgvmPlatformType::VSM_ISOLATION);
    }
    PLATFORMS.iter().find(|(_, known)| same_name(name, known)).map(|(platform, _)| *platform)
}

fn same_name(given: &str, known: &str) -> bool {
    let mut given = given.bytes().filter(|c| !matches!(c, b'-' | b'_'));
    let mut known = known.bytes().filter(|c| !matches!(c, b'-' | b'_'));
    loop {
        match (given.next(), known.next()) {
            (None, None) => return true,
            (Some(a), Some(b)) if a.eq_ignore_ascii_case(&b) => {}
            _ => return false,
        }
    }
}
