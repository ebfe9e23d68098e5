//! Broken fixed headers.

use igvm_core::defs::IgvmArchitecture;
use igvm_core::write::{HeaderSpec, Version};

use super::base::{
    CHECKSUM, SECTION_OFFSET, SECTION_SIZE, TOTAL_SIZE, file_of, native, put, repaired, reset_with,
    resized, set, without_data,
};
use super::{Broken, broken, broken_with};
use crate::hello::RESET_PAGE;
use crate::layout::NATIVE;

/// Bytes of the fixed header of version 1 and of version 2.
const LEN_V1: usize = 24;
const LEN_V2: usize = 32;

pub(super) const SAMPLES: &[Broken] = &[
    broken("fixed.checksum", || {
        let mut file = reset_with(&[], &[]);
        file[CHECKSUM] ^= 1;
        file
    }),
    broken("fixed.total-size", || {
        let mut file = reset_with(&[], &[]);
        let len = file.len();
        set(&mut file, TOTAL_SIZE, len + 0x1000);
        repaired(file)
    }),
    broken("fixed.trailing-data", || {
        let mut file = reset_with(&[], &[]);
        file.extend_from_slice(b"appended");
        file
    }),
    // The fields of version 2 are taken for the first header.
    broken_with("fixed.variable-header-offset", &["header.partial", "platform.none"], || {
        let mut file = without_data(&[]);
        let size = file.len() - LEN_V1;
        set(&mut file, SECTION_OFFSET, LEN_V1);
        set(&mut file, SECTION_SIZE, size);
        repaired(file)
    }),
    broken("header.alignment", || with_gap(without_data(&[]), LEN_V2, &[0; 4])),
    broken("fixed.variable-header-size", || {
        let mut file = without_data(&[]);
        set(&mut file, SECTION_SIZE, 0x1000);
        file
    }),
    broken("fixed.gap", || with_gap(without_data(&[]), LEN_V2, b"a secret")),
    broken("fixed.architecture", || of(IgvmArchitecture(7), 0x1000)),
    broken("fixed.page-size", || of(IgvmArchitecture::X64, 0x4000)),
    broken("fixed.version", || {
        let headers = [native(), HeaderSpec::zero_page(RESET_PAGE, NATIVE)];
        with_gap(file_of(Version::V1, headers), LEN_V1, &[0, 0, 0, 0, 0, 0x10, 0, 0])
    }),
];

/// The file with bytes between fixed header and variable headers.
fn with_gap(mut file: Vec<u8>, len: usize, gap: &[u8]) -> Vec<u8> {
    file.splice(len..len, gap.iter().copied());
    set(&mut file, SECTION_OFFSET, len + gap.len());
    resized(file)
}

fn of(architecture: IgvmArchitecture, page_size: u32) -> Vec<u8> {
    let mut file = reset_with(&[], &[]);
    put(&mut file, LEN_V1, &architecture.0.to_le_bytes());
    put(&mut file, LEN_V1 + 4, &page_size.to_le_bytes());
    repaired(file)
}
