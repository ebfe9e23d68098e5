//! The whole rule book, and every finding in words.
#![no_main]

use std::fmt::Write;

use igvm_core::check::check;
use igvm_core::file::IgvmFile;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let bytes = igvm_fuzz::file(input);
    let Ok(file) = IgvmFile::parse(&bytes) else { return };
    let mut room = igvm_fuzz::room();
    let mut text = String::new();
    igvm_fuzz::hosts(&bytes, |host| {
        text.clear();
        let _ = check(&file, bytes.as_slice(), host, room.lend(), &mut |finding| {
            assert!(!finding.rule.id.is_empty());
            if text.len() < 4096 {
                write!(text, "{finding}").unwrap();
            }
        });
    });
});
