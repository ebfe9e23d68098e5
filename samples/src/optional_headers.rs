//! Headers that a loader may skip.

use igvm_core::write::{FileBuilder, HeaderSpec};

use crate::Sample;
use crate::guest;
use crate::layout::{self, CODE, NATIVE, push};

const LINE: &str = "Hello from a file with headers nobody knows!\n";

pub(crate) const SAMPLE: Sample = Sample {
    name: "optional-headers",
    title: "Bit 31 of a header's type lets a loader skip what it does not know; here one in each \
            section, and a version string.",
    prints: LINE,
    committed: true,
    build,
};

/// Types of the three sections that the specification does not use.
const UNKNOWN_PLATFORM: u32 = 0x80;
const UNKNOWN_INITIALIZATION: u32 = 0x180;
const UNKNOWN_DIRECTIVE: u32 = 0x380;

fn build() -> Vec<u8> {
    let mut file = layout::native_file();
    push_unknown(&mut file, UNKNOWN_PLATFORM, b"platform");
    push(&mut file, HeaderSpec::VersionString("optional-headers 1.0"));
    push_unknown(&mut file, UNKNOWN_INITIALIZATION, b"");
    let context = layout::push_long64(&mut file, NATIVE);
    push(&mut file, HeaderSpec::page(CODE, NATIVE, &guest::hello64(LINE)));
    // Five bytes: three of padding follow.
    push_unknown(&mut file, UNKNOWN_DIRECTIVE, b"skip!");
    push(&mut file, HeaderSpec::native_context(NATIVE, &context));
    file.finish()
}

fn push_unknown(file: &mut FileBuilder, typ: u32, value: &[u8]) {
    let header = HeaderSpec::Raw { typ, value };
    file.push_optional(header).expect("a sample is small and its headers are in order");
}
