//! Every rule of the rule book has a file that breaks it, and no file breaks
//! rules that it does not mean to.

mod common;

use std::collections::BTreeSet;
use std::path::Path;

use igvm_core::check::{RULES, Severity};
use igvm_core::load::{Host, Relocation, RequiredMemoryPolicy};
use igvm_core::write::wrap::{Entry, firmware};
use igvm_samples::broken;

use common::{findings, host, lines};

/// Rules that no file alone can break, with the reason; those that a host can
/// make a file break are tested below.
const WITHOUT_SAMPLE: &[(&str, &str)] = &[
    ("memory.missing", "needs a host that fails where memory is missing"),
    ("relocation.refused", "needs a host that moves regions"),
    ("relocation.beyond-address-space", "needs a host that moves regions"),
    ("relocation.page-tables", "needs a host that moves regions"),
    ("data.unreadable", "needs a file whose bytes cannot be read"),
];

#[test]
fn each_broken_file_breaks_its_rule_and_no_other() {
    let mut wrong = String::new();
    for sample in broken::all() {
        let found = findings(&(sample.build)(), &host());
        let means = found.iter().any(|finding| finding.rule.id == sample.rule);
        let others: BTreeSet<_> = found
            .iter()
            .filter(|finding| finding.rule.severity == Severity::Error)
            .map(|finding| finding.rule.id)
            .filter(|id| *id != sample.rule)
            .collect();
        if !means || others != sample.also.iter().copied().collect() {
            wrong += &format!("{}:\n{}", sample.rule, lines(&found));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn each_rule_has_a_broken_file() {
    let samples: BTreeSet<_> = broken::all().map(|sample| sample.rule).collect();
    assert_eq!(samples.len(), broken::all().count(), "two samples of one name");
    let without: BTreeSet<_> = WITHOUT_SAMPLE.iter().map(|(rule, _)| *rule).collect();
    let rules: BTreeSet<_> = RULES.iter().map(|rule| rule.id).collect();
    assert_eq!(rules.len(), RULES.len(), "two rules of one id");
    let missing: Vec<_> =
        rules.iter().filter(|id| !samples.contains(*id) && !without.contains(*id)).collect();
    assert!(missing.is_empty(), "rules without a file: {missing:?}");
    let unknown: Vec<_> = samples.union(&without).filter(|id| !rules.contains(*id)).collect();
    assert!(unknown.is_empty(), "no such rules: {unknown:?}");
    assert!(samples.is_disjoint(&without));
}

#[test]
fn good_files_have_notes_only() {
    for sample in igvm_samples::all() {
        // The one that shows what an overlap is.
        let expected: &[&str] = match sample.name {
            "overlap" => &["memory.overlap"],
            _ => &[],
        };
        let found = findings(&(sample.build)(), &host());
        let graver: BTreeSet<_> = found
            .iter()
            .filter(|finding| finding.rule.severity < Severity::Note)
            .map(|finding| finding.rule.id)
            .collect();
        assert!(graver.iter().eq(expected), "{}:\n{}", sample.name, lines(&found));
    }
}

#[test]
fn wrapped_firmware_has_notes_only() {
    let packaged = ["/usr/share/seabios/bios.bin", "/usr/share/ovmf/OVMF.fd"];
    // Firmware that halts stands in where a package is missing.
    let images = packaged.into_iter().filter_map(|path| std::fs::read(path).ok());
    for image in images.chain([vec![0xf4; 0x2_0000]]) {
        for entry in [Entry::Reset16, Entry::Flat32, Entry::Long64] {
            let found = findings(&firmware(&image, entry).unwrap(), &host());
            let graver = found.iter().any(|finding| finding.rule.severity < Severity::Note);
            assert!(!graver, "{:#x} bytes, {entry:?}:\n{}", image.len(), lines(&found));
        }
    }
}

#[test]
fn hosts_make_good_files_fail() {
    let relocatable = igvm_samples::by_name("relocatable").unwrap().build;
    let rules = |file: &[u8], host: &Host<'_>| -> Vec<&str> {
        let found = findings(file, host);
        let errors = found.iter().filter(|finding| finding.rule.severity == Severity::Error);
        errors.map(|finding| finding.rule.id).collect()
    };
    let moved = |from, to| {
        let relocations = [Relocation { from, to }];
        rules(&relocatable(), &Host { relocations: &relocations, ..host() })
    };
    const REGION: u64 = 0x20_0000;
    const TABLES: u64 = 0x10_0000;
    assert_eq!(moved(REGION, 0x40_0000), [] as [&str; 0]);
    assert_eq!(moved(REGION, 0x40_1000), ["relocation.refused"]);
    assert_eq!(moved(0x1234_0000, 0), ["relocation.refused"]);
    assert!(moved(TABLES, 1 << 52).contains(&"relocation.beyond-address-space"));

    let required = broken::all().find(|sample| sample.rule == "memory.created").unwrap();
    let host = Host { required_memory: RequiredMemoryPolicy::Fail, ..host() };
    assert_eq!(rules(&(required.build)(), &host), ["memory.missing"]);
}

#[test]
fn committed_files_equal_rebuilt_ones() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/samples/broken");
    let stale: Vec<_> = broken::all()
        .filter(|sample| {
            let path = dir.join(sample.name()).with_extension("igvm");
            std::fs::read(path).ok().as_deref() != Some(&(sample.build)())
        })
        .map(|sample| sample.name())
        .collect();
    assert!(stale.is_empty(), "run `cargo xtask samples` and commit the result: {stale:?}");
    let files = std::fs::read_dir(dir).unwrap();
    let files = files.filter(|entry| {
        entry.as_ref().unwrap().path().extension().is_some_and(|extension| extension == "igvm")
    });
    assert_eq!(files.count(), broken::all().count(), "stray files");
}
