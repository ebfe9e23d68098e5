//! Files and paths made to hurt.

use std::time::{Duration, Instant};

use igvm_analysis::document::Document;
use igvm_analysis::report::InspectReport;
use igvm_core::defs::IgvmPlatformType;
use igvm_core::write::{Context, FileBuilder, HeaderSpec, Version};

/// Each context looks for its platform, and none of them has it.
#[test]
fn many_platforms_and_contexts_take_linear_time() {
    const MANY: usize = 1 << 17;
    let mut file = FileBuilder::new(Version::V2_X64);
    for _ in 0..MANY {
        file.push(HeaderSpec::platform(IgvmPlatformType::NATIVE, 1)).unwrap();
    }
    for _ in 0..MANY {
        let context = Context::At(0x20);
        file.push(HeaderSpec::VpContext { gpa: 0, mask: 2, vp_index: 0, context }).unwrap();
    }
    let document = Document::from_bytes(file.finish()).unwrap();
    let start = Instant::now();
    let text = InspectReport::new(&document.file(), &document).to_string();
    assert!(text.lines().count() > 2 * MANY);
    // It takes about a second; platforms times contexts take many minutes.
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

/// Opening a pipe would wait for whoever writes to it.
#[cfg(unix)]
#[test]
fn a_pipe_is_refused_at_once() {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("pipe");
    std::fs::create_dir_all(&folder).unwrap();
    let pipe = folder.join("pipe");
    let _ = std::fs::remove_file(&pipe);
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let error = Document::open(&pipe).unwrap_err();
    assert!(error.to_string().contains("not a regular file"), "{error}");
}
