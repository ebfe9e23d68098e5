//! IGVM files of small guests, for tests of the binary.

use std::path::{Path, PathBuf};

use igvm_core::write::{Context, FileBuilder, HeaderSpec, Version, start};

use super::binary;

const NATIVE: u32 = 1;

/// A file whose processors start at 0x10000 and 0x11000, as many as there are
/// programs, in flat 32-bit protected mode.
pub fn flat32(folder: &Path, programs: &[&[u8]]) -> PathBuf {
    let mut file = FileBuilder::new(Version::V2_X64);
    let native = igvm_core::defs::IgvmPlatformType::NATIVE;
    file.push(HeaderSpec::platform(native, NATIVE)).unwrap();
    for (at, program) in (0..).zip(programs) {
        let gpa = 0x10000 + 0x1000 * at;
        file.push(HeaderSpec::page(gpa, NATIVE, program)).unwrap();
        let context = start::protected32(gpa as u32, 0x9000 - 0x800 * at as u32, 0);
        let context = Context::Native(&context);
        let vp_index = at as u16;
        file.push(HeaderSpec::VpContext { gpa: 0, mask: NATIVE, vp_index, context }).unwrap();
    }
    binary::write(folder, "guest.igvm", &file.finish())
}
