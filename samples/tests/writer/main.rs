//! Files of random headers: the writer's bytes are the `igvm` crate's bytes.
//!
//! The crate's own serializer is the oracle. It lays files out the same way
//! (headers, then each blob of data once, in order of first use), so nothing
//! less than equality will do: types, lengths, padding, offsets, sharing of
//! data, sizes and checksum.

mod convert;
mod strategies;

use igvm::{IgvmDirectiveHeader as Directive, IgvmFile};
use igvm_core::defs::IgvmPlatformType;
use igvm_core::file::IgvmFile as OwnFile;
use igvm_core::wire::Value;
use igvm_core::write::{Data, FileBuilder, HeaderSpec, Version};
use proptest::prelude::*;

use convert::write;
use strategies::{Headers, headers};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn bytes_are_those_of_the_reference(headers in headers()) {
        let written = write(&headers);
        let Headers { revision, platforms, initializations, directives } = headers.clone();
        let reference = IgvmFile::new(revision, platforms, initializations, directives).unwrap();
        let mut expected = Vec::new();
        reference.serialize(&mut expected).unwrap();
        prop_assert!(written == expected, "the files differ");

        // The crate reads no file without data.
        let data_start = OwnFile::parse(&written).unwrap().fixed().variable_headers().end();
        if data_start < written.len() as u64 {
            let read = IgvmFile::new_from_binary(&written, None).unwrap();
            prop_assert_eq!(read.platforms(), &headers.platforms[..]);
            prop_assert_eq!(read.initializations(), &headers.initializations[..]);
            prop_assert_eq!(read.directives().len(), headers.directives.len());
        }
    }

    #[test]
    fn own_reader_reads_it_back(headers in headers()) {
        let bytes = write(&headers);
        let file = OwnFile::parse(&bytes).unwrap();
        prop_assert_eq!(file.compute_checksum(), Some(file.fixed().checksum()));
        prop_assert_eq!(u64::from(file.fixed().total_file_size()), file.file_len());

        let mut read = file.headers();
        let count = read.by_ref().count();
        prop_assert_eq!(read.stop(), None);
        let parts = [headers.platforms.len(), headers.initializations.len()];
        prop_assert_eq!(count, parts.iter().sum::<usize>() + headers.directives.len());
        let directives = file.headers().skip(parts.iter().sum());
        for (header, expected) in directives.zip(&headers.directives) {
            if let (Value::PageData(page), Directive::PageData { gpa, data, .. }) =
                (header.value(), expected)
            {
                prop_assert_eq!(page.gpa, *gpa);
                match file.data_range(&header, &bytes[..]) {
                    None => prop_assert!(data.is_empty()),
                    Some(range) => {
                        let stored = &bytes[range.start as usize..range.end() as usize];
                        prop_assert_eq!(&stored[..data.len()], &data[..]);
                        prop_assert!(stored[data.len()..].iter().all(|byte| *byte == 0));
                    }
                }
            }
        }
    }
}

/// Equal data is stored once, whatever uses it and however it was given.
#[test]
fn equal_data_is_stored_once() {
    let mut file = FileBuilder::new(Version::V2_X64);
    file.push(HeaderSpec::platform(IgvmPlatformType::NATIVE, 1)).unwrap();
    let mut full = [0; 4096];
    full[..4].copy_from_slice(b"same");
    for page in 0..100 {
        file.push(HeaderSpec::page(page << 12, 1, b"same")).unwrap();
        file.push(HeaderSpec::page(page << 12, 1, &full)).unwrap();
        file.push(HeaderSpec::page(page << 12, 1, b"same\0\0")).unwrap();
    }
    let initial = Data::Bytes(b"same");
    file.push(HeaderSpec::ParameterArea { index: 0, number_of_bytes: 4096, initial }).unwrap();
    // Equal at the start, but of another length: a blob of its own.
    file.push(HeaderSpec::ParameterArea { index: 1, number_of_bytes: 8192, initial }).unwrap();
    let bytes = file.finish();
    let data_start = OwnFile::parse(&bytes).unwrap().fixed().variable_headers().end();
    assert_eq!(bytes.len() as u64 - data_start, 4096 + 8192);
}

/// Many different blobs: the table of slots grows and still finds them all.
#[test]
fn many_blobs_are_found_again() {
    let mut file = FileBuilder::new(Version::V2_X64);
    file.push(HeaderSpec::platform(IgvmPlatformType::NATIVE, 1)).unwrap();
    for round in 0..3_u64 {
        for page in 0..3000_u32 {
            let gpa = (round * 3000 + u64::from(page)) << 12;
            file.push(HeaderSpec::page(gpa, 1, &(page + 1).to_le_bytes())).unwrap();
        }
    }
    let bytes = file.finish();
    assert_eq!(bytes.len(), 32 + 24 + 9000 * 32 + 3000 * 4096);
    let file = OwnFile::parse(&bytes).unwrap();
    for (index, header) in file.headers().skip(1).enumerate() {
        let start = file.data_range(&header, &bytes[..]).unwrap().start as usize;
        let value = u32::from_le_bytes(bytes[start..start + 4].try_into().unwrap());
        assert_eq!(value as usize, index % 3000 + 1);
    }
}
