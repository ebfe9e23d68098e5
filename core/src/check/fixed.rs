//! Rules of the fixed header.

use igvm_defs::{IGVM_FORMAT_VERSION_1, IGVM_FORMAT_VERSION_2, IgvmArchitecture, PAGE_SIZE_4K};

use super::finding::Finding;
use super::rule::rules;
use crate::data::FileData;
use crate::file::IgvmFile;
use crate::span::Span;
use crate::wire::FixedHeader;

rules! {
    /// What can be wrong with the fixed header.
    enum FixedFault;

    Checksum { stored: u32, computed: u32 }
        Error "fixed.checksum"
        "The checksum is the CRC-32 of the fixed header, with the field zero, and the variable headers."
        "igvm_defs: IGVM_FIXED_HEADER.checksum"
        => "the checksum is {stored:#010x}, but headers as they stand have {computed:#010x}; \
            if they are as intended, store that";
    Truncated { total: u32, file_len: u64 }
        Error "fixed.total-size"
        "total_file_size is the size of the file."
        "igvm_defs: IGVM_FIXED_HEADER.total_file_size"
        => "total_file_size is {total:#x}, but the file has {file_len:#x} bytes; it is cut short or \
            the field is wrong";
    Trailing { total: u32, file_len: u64 }
        Error "fixed.trailing-data"
        "Nothing follows the end of the file as total_file_size gives it."
        "igvm_defs: IGVM_FIXED_HEADER.total_file_size"
        => "total_file_size is {total:#x}, but the file has {file_len:#x} bytes; something was \
            appended or the field is wrong";
    OffsetInside { offset: u64, len: u64 }
        Error "fixed.variable-header-offset"
        "The variable headers begin behind the fixed header."
        "igvm_defs: IGVM_FIXED_HEADER.variable_header_offset"
        => "variable_header_offset is {offset:#x}, inside the fixed header, which has {len} bytes";
    OffsetUnaligned { offset: u64 }
        Error "header.alignment"
        "Every variable header begins at a file offset that is a multiple of 8."
        "igvm_defs: IGVM_VHS_VARIABLE_HEADER"
        => "variable_header_offset is {offset:#x}, not a multiple of 8, so no header is aligned";
    SectionOutside { section: Span, file_len: u64 }
        Error "fixed.variable-header-size"
        "The variable headers lie inside the file."
        "igvm_defs: IGVM_FIXED_HEADER.variable_header_size"
        => "the variable headers should lie at {section}, but the file ends at {file_len:#x}";
    Gap { at: u64, gap: Span }
        Note "fixed.gap"
        "Nothing hides between the fixed header and the variable headers, where no checksum covers it."
        "igvm_defs: IGVM_FIXED_HEADER.checksum"
        => "file offset {at:#x} is not zero; the gap {gap} belongs to no header and no checksum \
            covers it";
    Architecture { value: u32 }
        Error "fixed.architecture"
        "The architecture is X64 (0) or AARCH64 (1)."
        "igvm_defs: IGVM_FIXED_HEADER_V2.architecture"
        => "architecture {value} is not known";
    PageSize { value: u32 }
        Error "fixed.page-size"
        "The page size is 4096."
        "igvm_defs: IGVM_FIXED_HEADER_V2.page_size; igvm 0.5.0: UnsupportedPageSize"
        => "page_size is {value}; loaders know 4096 only";
    Version { value: u32, page_size: u32 }
        Warning "fixed.version"
        "A file with the longer fixed header says that it is version 2."
        "igvm_defs: IGVM_FIXED_HEADER_V2"
        => "format_version is {value}, but what follows looks like the fields of version 2 \
            (page_size {page_size}): they are not read";
}

/// Offset of `checksum` and others in the fixed header.
const TOTAL_SIZE: Span = Span::new(16, 4);
const CHECKSUM: Span = Span::new(20, 4);
const ARCHITECTURE: Span = Span::new(24, 4);
const PAGE_SIZE: Span = Span::new(28, 4);
const VERSION: Span = Span::new(4, 4);
const SECTION_OFFSET: Span = Span::new(8, 4);
const SECTION_SIZE: Span = Span::new(12, 4);

pub(crate) fn check<D: FileData + ?Sized>(
    file: &IgvmFile<'_>,
    data: &D,
    sink: &mut dyn FnMut(Finding),
) {
    let fixed = file.fixed();
    let section = fixed.variable_headers();
    let file_len = file.file_len();
    let mut report = |fault: FixedFault, field| sink(Finding::new(fault).file(field));

    let total = fixed.total_file_size();
    match u64::from(total).cmp(&file_len) {
        core::cmp::Ordering::Greater => {
            report(FixedFault::Truncated { total, file_len }, TOTAL_SIZE);
        }
        core::cmp::Ordering::Less => report(FixedFault::Trailing { total, file_len }, TOTAL_SIZE),
        core::cmp::Ordering::Equal => {}
    }
    if fixed.version() >= IGVM_FORMAT_VERSION_2 {
        let IgvmArchitecture(value) = fixed.architecture();
        if !matches!(fixed.architecture(), IgvmArchitecture::X64 | IgvmArchitecture::AARCH64) {
            report(FixedFault::Architecture { value }, ARCHITECTURE);
        }
        let value = fixed.page_size();
        if u64::from(value) != PAGE_SIZE_4K {
            report(FixedFault::PageSize { value }, PAGE_SIZE);
        }
    }
    if section.start < fixed.len() {
        let (offset, len) = (section.start, fixed.len());
        report(FixedFault::OffsetInside { offset, len }, SECTION_OFFSET);
    } else if !section.start.is_multiple_of(8) {
        report(FixedFault::OffsetUnaligned { offset: section.start }, SECTION_OFFSET);
    }
    if section.end() > file_len {
        report(FixedFault::SectionOutside { section, file_len }, SECTION_SIZE);
    }
    if let Some(computed) = file.compute_checksum()
        && computed != fixed.checksum()
    {
        report(FixedFault::Checksum { stored: fixed.checksum(), computed }, CHECKSUM);
    }
    let gap = Span::between(fixed.len(), section.start.min(file_len));
    if let Some(page_size) = looks_like_version_2(fixed, gap, data) {
        report(FixedFault::Version { value: fixed.version(), page_size }, VERSION);
    } else if let Some(at) = first_not_zero(data, gap) {
        report(FixedFault::Gap { at, gap }, gap);
    }
}

/// Whether a version 1 header is followed by what version 2 would add.
fn looks_like_version_2<D: FileData + ?Sized>(
    fixed: &FixedHeader,
    gap: Span,
    data: &D,
) -> Option<u32> {
    let mut bytes = [0; 8];
    let room = fixed.version() == IGVM_FORMAT_VERSION_1 && gap.len >= bytes.len() as u64;
    (room && data.read_at(gap.start, &mut bytes).is_ok()).then_some(())?;
    let fields = u64::from_le_bytes(bytes);
    let (architecture, page_size) = (fields as u32, (fields >> 32) as u32);
    (architecture <= 1 && u64::from(page_size) == PAGE_SIZE_4K).then_some(page_size)
}

/// The first byte of a range of the file that is not zero. A part that cannot
/// be read counts as zero.
pub(crate) fn first_not_zero<D: FileData + ?Sized>(data: &D, span: Span) -> Option<u64> {
    let mut at = span.start;
    while at < span.end() {
        let mut chunk = [0; 512];
        let len = Span::between(at, span.end()).len.min(chunk.len() as u64);
        let chunk = chunk.get_mut(..usize::try_from(len).ok()?)?;
        data.read_at(at, chunk).ok()?;
        if let Some(nth) = chunk.iter().position(|byte| *byte != 0) {
            return Some(at.saturating_add(nth as u64));
        }
        at = at.saturating_add(len);
    }
    None
}
