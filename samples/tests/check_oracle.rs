//! The rule book against the `igvm` crate: what that refuses, an error or a
//! note about the crate explains; what it accepts breaks only rules that it is
//! known not to enforce.

mod common;

use std::collections::BTreeMap;
use std::panic::catch_unwind;

use igvm_core::check::{Finding, Severity};
use igvm_core::file::IgvmFile;

use common::{findings, host, lines};

/// What the crate says: whether it accepts, or why not.
fn oracle(file: &[u8]) -> Result<(), String> {
    match catch_unwind(|| igvm::IgvmFile::new_from_binary(file, None).map(|_| ())) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(format!("{error:?}")),
        Err(_) => Err("panic".to_owned()),
    }
}

fn is_error(finding: &&Finding) -> bool {
    finding.rule.severity == Severity::Error
}

fn explains_refusal(finding: &Finding) -> bool {
    is_error(&finding) || finding.rule.id.starts_with("igvm-crate.")
}

/// The file with its checksum right again, if its fixed header can be read.
fn repaired(mut file: Vec<u8>) -> Option<Vec<u8>> {
    let checksum = IgvmFile::parse(&file).ok()?.compute_checksum();
    if let Some(checksum) = checksum {
        file[20..24].copy_from_slice(&checksum.to_le_bytes());
    }
    Some(file)
}

/// Every sample, and every one with any one bit of its headers flipped. Long
/// headers (signatures, keys) are sampled.
fn files() -> impl Iterator<Item = (String, Vec<u8>)> {
    let good = igvm_samples::all().iter().filter(|sample| sample.committed);
    let good = good.map(|sample| (sample.name.to_owned(), (sample.build)()));
    let broken = igvm_samples::broken::all().map(|sample| (sample.name(), (sample.build)()));
    good.chain(broken).flat_map(|(name, file)| {
        let head = IgvmFile::parse(&file).unwrap().fixed().variable_headers().end();
        let bits = usize::try_from(head).unwrap().min(file.len()) * 8;
        let step = if bits > 8192 { 7 } else { 1 };
        let flipped = (0..bits).step_by(step).filter_map({
            let (name, file) = (name.clone(), file.clone());
            move |bit| {
                let mut file = file.clone();
                file[bit / 8] ^= 1 << (bit % 8);
                Some((format!("{name}, byte {:#x} bit {}", bit / 8, bit % 8), repaired(file)?))
            }
        });
        std::iter::once((name, file)).chain(flipped)
    })
}

/// Rules of severity error that the crate does not enforce, by what they are
/// about. It does not look at what loading makes, nor at most reserved bits.
const NOT_ENFORCED: &[&str] = &[
    // Layout: it reads on from wherever a header ends.
    "header.alignment",
    "header.padding",
    // Reserved fields and bits; some of them it does check.
    "header.reserved",
    "page.flags",
    "required-memory.flags",
    "relocation.flags",
    "policy.snp",
    "policy.tdx",
    "cca-policy.value",
    "id-block.author-key",
    // 2 MiB pages, which it takes for 4 KiB ones.
    "data.outside-file",
    "page.alignment",
    // Ranges.
    "error-range.alignment",
    "memory.beyond-address-space",
    "parameter.does-not-fit",
    "parameter.outside-area",
    // Contexts as such.
    "context.gpa",
    "context.twice",
    "context.version",
    // What registers and memory are after loading.
    "context.attributes",
    "context.base-above-4g",
    "context.cache",
    "context.canonical",
    "context.cet",
    "context.cs-long",
    "context.cs-long-and-big",
    "context.cs-not-present",
    "context.cs-privilege",
    "context.cs-type",
    "context.ldtr",
    "context.limit",
    "context.lma",
    "context.local-selector",
    "context.not-readable",
    "context.pae",
    "context.paging-without-protection",
    "context.pat",
    "context.pcide",
    "context.reserved-bits",
    "context.rflags",
    "context.rip-above-4g",
    "context.ss-privilege",
    "context.ss-type",
    "context.system-segment",
    "context.tr",
    "context.virtual-8086-mode",
    "context.virtual-8086-segment",
    "context.xcr0",
    "context.xcr0-incomplete",
    "entry.not-executable",
    "entry.outside-memory",
    "entry.unmapped",
    "paging.root-not-written",
    "reset.nothing-loaded",
];

#[test]
fn verdicts_agree() {
    std::panic::set_hook(Box::new(|_| {}));
    let mut unexplained = BTreeMap::<String, String>::new();
    let mut only_ours = BTreeMap::<&str, String>::new();
    let mut count = 0;
    for (name, file) in files() {
        count += 1;
        let found = findings(&file, &host());
        match oracle(&file) {
            Ok(()) => {
                for finding in found.iter().filter(is_error) {
                    let example = || format!("{name}: {finding}");
                    only_ours.entry(finding.rule.id).or_insert_with(example);
                }
            }
            Err(why) if !found.iter().any(explains_refusal) => {
                unexplained.entry(why).or_insert_with(|| format!("{name}\n{}", lines(&found)));
            }
            Err(_) => {}
        }
    }
    let _ = std::panic::take_hook();
    assert!(count > 50_000, "only {count} files");
    assert!(unexplained.is_empty(), "refused without a finding: {unexplained:#?}");
    // Both ways: a rule that the crate turns out to enforce leaves the list.
    let stale: Vec<_> = NOT_ENFORCED.iter().filter(|id| only_ours.remove(*id).is_none()).collect();
    assert!(only_ours.is_empty(), "accepted against our rules: {only_ours:#?}");
    assert!(stale.is_empty(), "enforced by the crate after all: {stale:?}");
}
