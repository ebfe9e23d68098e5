//! The writer in lent storage: what running out means, what order is kept, and
//! what the bytes look like.

use igvm_core::defs::IgvmPlatformType;
use igvm_core::file::IgvmFile;
use igvm_core::wire::{HeaderSection, Value};
use igvm_core::write::{Data, HeaderSpec, Slot, Storage, Version, WriteError, Writer};

const PLATFORM: HeaderSpec<'_> = HeaderSpec::platform(IgvmPlatformType::NATIVE, 1);

/// Two pages, one of them twice, after a platform.
fn write_three_pages(
    headers: usize,
    data: usize,
    slots: usize,
    out: &mut [u8],
) -> Result<usize, WriteError> {
    let (mut headers, mut data) = (vec![0xaa; headers], vec![0xaa; data]);
    let mut slots = vec![Slot::default(); slots];
    let storage = Storage { headers: &mut headers, data: &mut data, slots: &mut slots };
    let mut writer = Writer::new(Version::V2_X64, storage);
    writer.push(PLATFORM)?;
    writer.push(HeaderSpec::page(0x1000, 1, b"one"))?;
    writer.push(HeaderSpec::page(0x2000, 1, b"two"))?;
    writer.push(HeaderSpec::page(0x3000, 1, b"one"))?;
    writer.finish_into(out)
}

const HEADERS: usize = 24 + 3 * 32;
const DATA: usize = 2 * 4096;
const FILE: usize = 32 + HEADERS + DATA;

#[test]
fn exact_storage_is_enough_and_one_less_is_an_error() {
    let mut out = vec![0; FILE];
    assert_eq!(write_three_pages(HEADERS, DATA, 2, &mut out), Ok(FILE));
    let file = IgvmFile::parse(&out).unwrap();
    assert_eq!(file.compute_checksum(), Some(file.fixed().checksum()));
    let offsets: Vec<_> = file
        .headers()
        .filter_map(|header| match header.value() {
            Value::PageData(page) => Some(page.file_offset as usize),
            _ => None,
        })
        .collect();
    let start = 32 + HEADERS;
    assert_eq!(offsets, [start, start + 4096, start]);
    assert_eq!(&out[start..start + 4], b"one\0");
    assert_eq!(&out[start + 4096..start + 4100], b"two\0");

    let needed = HEADERS;
    let result = write_three_pages(HEADERS - 1, DATA, 2, &mut out);
    assert_eq!(result, Err(WriteError::HeaderSpace { needed }));
    let result = write_three_pages(HEADERS, DATA - 1, 2, &mut out);
    assert_eq!(result, Err(WriteError::DataSpace { needed: DATA }));
    let result = write_three_pages(HEADERS, DATA, 1, &mut out);
    assert_eq!(result, Err(WriteError::SlotSpace { needed: 2 }));
    let result = write_three_pages(HEADERS, DATA, 2, &mut out[..FILE - 1]);
    assert_eq!(result, Err(WriteError::OutputSpace { needed: FILE }));
}

/// A push that fails leaves nothing behind, whatever it failed for.
#[test]
fn a_failed_push_changes_nothing() {
    let write = |fail: bool| {
        let (mut headers, mut data) = (vec![0; 24 + 2 * 32 + 8], vec![0; 4096]);
        let mut slots = vec![Slot::default(); 4];
        let storage = Storage { headers: &mut headers, data: &mut data, slots: &mut slots };
        let mut writer = Writer::new(Version::V2_X64, storage);
        writer.push(PLATFORM).unwrap();
        writer.push(HeaderSpec::page(0x1000, 1, b"one")).unwrap();
        if fail {
            let data_space = writer.push(HeaderSpec::page(0x2000, 1, b"two"));
            assert_eq!(data_space, Err(WriteError::DataSpace { needed: 8192 }));
            let long = writer.push(HeaderSpec::page(0x2000, 1, &[1; 4097]));
            assert!(matches!(long, Err(WriteError::DataTooLong { len: 4097, max: 4096, .. })));
            assert!(matches!(writer.push(PLATFORM), Err(WriteError::SectionOrder { .. })));
        }
        writer.push(HeaderSpec::page(0x3000, 1, b"one")).unwrap();
        if fail {
            let header_space = writer.push(HeaderSpec::zero_page(0x4000, 1));
            assert!(matches!(header_space, Err(WriteError::HeaderSpace { .. })));
        }
        let mut out = vec![0; writer.file_len()];
        writer.finish_into(&mut out).unwrap();
        out
    };
    assert_eq!(write(true), write(false));
}

#[test]
fn sections_keep_their_order_unless_told_otherwise() {
    let mut headers = vec![0; 1024];
    let storage = Storage { headers: &mut headers, data: &mut [], slots: &mut [] };
    let mut writer = Writer::new(Version::V1, storage);
    writer.push(HeaderSpec::zero_page(0, 1)).unwrap();
    let error = writer.push(HeaderSpec::VersionString("late")).unwrap_err();
    assert!(
        matches!(error, WriteError::SectionOrder { reached: HeaderSection::Directive, .. }),
        "{error}"
    );
    // A type of no section fits anywhere.
    writer.push(HeaderSpec::Raw { typ: 0x250, value: &[] }).unwrap();
    writer.allow_any_order();
    writer.push(HeaderSpec::VersionString("late")).unwrap();
    writer.push(PLATFORM).unwrap();
    let mut out = vec![0; writer.file_len()];
    writer.finish_into(&mut out).unwrap();
    let types: Vec<_> =
        IgvmFile::parse(&out).unwrap().headers().map(|header| header.typ().0).collect();
    assert_eq!(types, [0x302, 0x250, 0x107, 0x1]);
}

/// Odd headers come out as they went in: raw types, the optional bit, literal
/// file offsets.
#[test]
fn odd_headers_are_kept() {
    let (mut headers, mut data) = (vec![0xaa; 1024], vec![0; 4096]);
    let mut slots = [Slot::default(); 1];
    let storage = Storage { headers: &mut headers, data: &mut data, slots: &mut slots };
    let mut writer = Writer::new(Version::V1, storage);
    writer.push_optional(HeaderSpec::Raw { typ: 0x7f, value: b"abc" }).unwrap();
    writer.push(HeaderSpec::Raw { typ: 0x8000_0180, value: b"12345678" }).unwrap();
    writer.push(HeaderSpec::VersionString("v1.0")).unwrap();
    let initial = Data::At(0xffff_fff0);
    writer.push(HeaderSpec::ParameterArea { index: 7, number_of_bytes: 4096, initial }).unwrap();
    // The value of a known type with data, raw: no offset is touched.
    writer.push(HeaderSpec::Raw { typ: 0x302, value: &[0x11; 24] }).unwrap();
    writer.push(HeaderSpec::page(0, 1, &[])).unwrap();
    let mut out = vec![0; writer.file_len()];
    writer.finish_into(&mut out).unwrap();

    let file = IgvmFile::parse(&out).unwrap();
    let headers: Vec<_> = file.headers().collect();
    let seen: Vec<_> =
        headers.iter().map(|h| (h.typ().0, h.raw.optional, h.raw.value.len())).collect();
    let expected = [
        (0x7f, true, 3),
        (0x180, true, 8),
        (0x107, false, 4),
        (0x301, false, 16),
        (0x302, false, 24),
        (0x302, false, 24),
    ];
    assert_eq!(seen, expected);
    assert_eq!(headers[0].raw.padding, [0; 5]);
    assert!(matches!(headers[2].value(), Value::VersionString(b"v1.0")));
    assert!(
        matches!(headers[3].value(), Value::ParameterArea(area) if area.file_offset == 0xffff_fff0)
    );
    assert_eq!(headers[4].raw.value, [0x11; 24]);
    let Value::PageData(page) = headers[5].value() else { panic!("not a page") };
    assert_eq!(page.file_offset as usize, out.len() - 4096);
}

/// An area of 2^60 bytes with initial data would need as much of the file;
/// nobody hashes its zeroes to find that out.
#[test]
fn data_that_no_file_holds_is_refused_at_once() {
    let (mut headers, mut data, mut slots) = ([0; 64], [0; 64], [Slot::default(); 1]);
    let storage = Storage { headers: &mut headers, data: &mut data, slots: &mut slots };
    let mut writer = Writer::new(Version::V2_X64, storage);
    writer.push(PLATFORM).unwrap();
    let initial = Data::Bytes(b"x");
    let area = HeaderSpec::ParameterArea { index: 0, number_of_bytes: 1 << 60, initial };
    assert_eq!(writer.push(area), Err(WriteError::FileTooLarge));
}
