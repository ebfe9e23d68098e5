//! The files in `tests/samples` are what the sources build.

use std::path::{Path, PathBuf};

fn samples_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/samples")
}

#[test]
fn committed_files_equal_rebuilt_ones() {
    if std::env::var_os("BLESS").is_some() {
        igvm_samples::write_all(&samples_dir()).unwrap();
    }
    let mut stale = Vec::new();
    for sample in igvm_samples::all() {
        let path = samples_dir().join(sample.name).with_extension("igvm");
        if !sample.committed {
            assert!(!path.exists(), "{} is too large to be committed", path.display());
        } else if std::fs::read(&path).ok().as_deref() != Some(&(sample.build)()) {
            stale.push(sample.name);
        }
    }
    assert!(stale.is_empty(), "run `cargo xtask samples` and commit the result: {stale:?}");
}

#[test]
fn write_all_writes_the_committed_ones() {
    let dir = std::env::temp_dir().join(format!("igvm-samples-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let written = igvm_samples::write_all(&dir).unwrap();
    let committed = igvm_samples::all().iter().filter(|sample| sample.committed);
    for (path, sample) in written.iter().zip(committed.clone()) {
        assert_eq!(path.file_stem().unwrap(), sample.name);
        assert_eq!(std::fs::read(path).unwrap(), (sample.build)(), "{}", sample.name);
    }
    let broken = igvm_samples::broken::all().count();
    assert_eq!(written.len(), committed.count() + broken);
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn names_are_unique_and_found() {
    for sample in igvm_samples::all() {
        let found = igvm_samples::by_name(sample.name).unwrap();
        assert_eq!(found.title, sample.title);
        assert!(sample.prints.starts_with("Hello from "), "{}", sample.name);
    }
    assert!(igvm_samples::by_name("no-such-sample").is_none());
}
