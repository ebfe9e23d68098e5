//! Firmware images wrapped into IGVM files, as the `igvm` crate reads them.

use std::collections::BTreeMap;

use igvm::{IgvmDirectiveHeader as Directive, IgvmFile};
use igvm_core::defs::IgvmNativeVpContextX64;
use igvm_core::write::wrap::{Entry, MAX_IMAGE_LEN, WrapError, firmware};

const ENTRIES: [Entry; 3] = [Entry::Reset16, Entry::Flat32, Entry::Long64];

/// Pages by guest address and the context, if there is one.
type Contents = (BTreeMap<u64, Vec<u8>>, Option<Box<IgvmNativeVpContextX64>>);

fn read(file: &[u8]) -> Contents {
    let mut pages = BTreeMap::new();
    let mut context = None;
    for directive in IgvmFile::new_from_binary(file, None).unwrap().directives() {
        match directive {
            Directive::PageData { gpa, data, .. } => {
                let page = if data.is_empty() { vec![0; 4096] } else { data.clone() };
                assert!(pages.insert(*gpa, page).is_none(), "{gpa:#x} is written twice");
            }
            Directive::X64NativeVpContext { context: found, .. } => context = Some(found.clone()),
            other => panic!("unexpected {other:?}"),
        }
    }
    (pages, context)
}

fn memory(pages: &BTreeMap<u64, Vec<u8>>, gpa: u64, len: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for at in (gpa..).step_by(4096).take(len / 4096) {
        bytes.extend_from_slice(&pages[&at]);
    }
    bytes
}

/// Distinct pages, with some equal ones and some of zeroes among them.
fn synthetic(len: usize) -> Vec<u8> {
    let page = |index: usize| match index % 5 {
        0 => vec![0; 4096],
        1 => vec![0x90; 4096],
        _ => (0..4096).map(|at| (at ^ (index * 37)) as u8 | 1).collect(),
    };
    let mut image: Vec<u8> = (0..len / 4096).flat_map(page).collect();
    image[len - 1] = 0xf4;
    image
}

/// A synthetic image of each size, and what the machine's packages hold.
fn images() -> Vec<(String, Vec<u8>)> {
    let mut images: Vec<_> = [4096, 64 << 10, 128 << 10, 256 << 10, 1 << 20, MAX_IMAGE_LEN]
        .map(|len| (format!("synthetic, {len} bytes"), synthetic(len)))
        .into();
    let packaged = [
        "/usr/share/seabios/bios.bin",
        "/usr/share/seabios/bios-256k.bin",
        "/usr/share/ovmf/OVMF.fd",
        "/usr/share/OVMF/OVMF_CODE_4M.fd",
    ];
    for path in packaged {
        match std::fs::read(path) {
            Ok(image) => images.push((path.to_owned(), image)),
            Err(error) => eprintln!("skipped {path}: {error}"),
        }
    }
    images
}

#[test]
fn images_lie_below_4_gib_and_below_1_mib() {
    for (name, image) in images() {
        for entry in ENTRIES {
            let file = firmware(&image, entry).unwrap();
            let (pages, context) = read(&file);
            let mirrored = image.len().min(128 << 10);
            let high = memory(&pages, (1 << 32) - image.len() as u64, image.len());
            let low = memory(&pages, (1 << 20) - mirrored as u64, mirrored);
            assert!(high == image, "{name}, {entry:?}");
            assert!(low == image[image.len() - mirrored..], "{name}, {entry:?}");
            assert_eq!(context.is_some(), entry != Entry::Reset16);
            let extra = match entry {
                Entry::Reset16 => 0,
                Entry::Flat32 => 1,
                Entry::Long64 => 7,
            };
            assert_eq!(pages.len(), (image.len() + mirrored) / 4096 + extra);
        }
    }
}

/// The mirror and equal pages take no data of their own, zero pages none.
#[test]
fn pages_are_stored_once() {
    let image = synthetic(1 << 20);
    let different: std::collections::BTreeSet<_> =
        image.chunks(4096).filter(|page| page.iter().any(|byte| *byte != 0)).collect();
    let file = firmware(&image, Entry::Reset16).unwrap();
    let headers = 32 + 24 + 32 * ((1 << 20) + (128 << 10)) / 4096;
    assert_eq!(file.len(), headers + 4096 * different.len());
}

#[test]
fn contexts_enter_at_the_reset_vector() {
    let image = synthetic(64 << 10);
    let (pages, context) = read(&firmware(&image, Entry::Flat32).unwrap());
    let flat = context.unwrap();
    assert_eq!((flat.rip, flat.rflags), (0xffff_fff0, 2));
    assert_eq!((flat.cr0 & 0x8000_0001, flat.cr4, flat.efer), (1, 0, 0));
    assert_eq!((flat.code_selector, flat.code_attributes), (0x8, 0xc09b));
    assert_eq!((flat.data_selector, flat.data_attributes), (0x10, 0xc093));
    assert_descriptors_match(&pages, &flat);

    let (pages, context) = read(&firmware(&image, Entry::Long64).unwrap());
    let long = context.unwrap();
    assert_eq!((long.rip, long.rflags), (0xffff_fff0, 2));
    assert_eq!((long.cr0 & 0x8000_0001, long.cr4, long.efer), (0x8000_0001, 0x20, 0x500));
    assert_eq!((long.code_attributes, long.data_attributes), (0xa09b, 0xc093));
    assert_descriptors_match(&pages, &long);
    // An identity map, from the first byte to the last below 4 GiB.
    for address in [0, 0x1000, 0x1f_ffff, 0x4000_0000, 0xbfff_f123, 0xffff_fff0] {
        assert_eq!(translate(&pages, long.cr3, address), Some(address), "{address:#x}");
    }
    assert_eq!(translate(&pages, long.cr3, 1 << 32), None);
}

/// The hidden parts of CS and DS are what their selectors name in the GDT.
fn assert_descriptors_match(pages: &BTreeMap<u64, Vec<u8>>, context: &IgvmNativeVpContextX64) {
    let segments = [
        (context.code_selector, context.code_attributes),
        (context.data_selector, context.data_attributes),
    ];
    for (selector, attributes) in segments {
        assert!(selector + 7 <= context.gdtr_limit);
        let at = context.gdtr_base + u64::from(selector);
        let descriptor = read_u64(pages, at);
        assert_eq!((descriptor >> 40) as u16 & 0xf0ff, attributes);
        assert_eq!(descriptor & 0xff0f_00ff_ffff_ffff, 0x000f_0000_0000_ffff);
    }
}

fn read_u64(pages: &BTreeMap<u64, Vec<u8>>, gpa: u64) -> u64 {
    let (page, at) = (gpa & !0xfff, (gpa & 0xfff) as usize);
    u64::from_le_bytes(pages[&page][at..at + 8].try_into().unwrap())
}

/// A walk that knows 4-level tables with 2 MiB pages and nothing else.
fn translate(pages: &BTreeMap<u64, Vec<u8>>, cr3: u64, address: u64) -> Option<u64> {
    let mut table = cr3;
    for shift in [39, 30, 21] {
        let entry = read_u64(pages, table + (address >> shift & 0x1ff) * 8);
        if entry & 1 == 0 {
            return None;
        }
        assert_eq!(entry & 0x80 != 0, shift == 21);
        table = entry & 0x000f_ffff_ffff_f000;
    }
    Some(table + (address & 0x1f_ffff))
}

#[test]
fn what_cannot_be_firmware_is_refused() {
    let refused = |len: usize, byte: u8| firmware(&vec![byte; len], Entry::Reset16).unwrap_err();
    assert_eq!(refused(0, 0), WrapError::Empty);
    assert_eq!(refused(4096, 0), WrapError::Blank);
    assert_eq!(refused(4095, 1), WrapError::NotPages { len: 4095 });
    assert_eq!(refused(MAX_IMAGE_LEN + 1, 1), WrapError::TooLarge { len: MAX_IMAGE_LEN + 1 });
    for error in [refused(0, 0), refused(4096, 0), refused(4095, 1), refused(MAX_IMAGE_LEN + 1, 1)]
    {
        assert!(error.to_string().starts_with("the firmware image "));
    }
}
