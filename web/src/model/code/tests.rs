use igvm_analysis::host::HostDescription;
use igvm_core::defs::IgvmPlatformType;
use igvm_core::write::{FileBuilder, HeaderSpec, Version};
use proptest::prelude::*;

use super::*;
use crate::model::document::Document;
use crate::model::focus::Subject;
use crate::model::machine::{Loaded, first_platform};

fn document(bytes: Vec<u8>) -> Document {
    let len = bytes.len() as u64;
    Document::open(Subject::File("a".into()), len, Box::new(bytes)).unwrap()
}

/// Looks with the eyes of the first processor.
fn look<R>(bytes: Vec<u8>, bits: Option<CodeBits>, look: impl FnOnce(Eyes<'_>) -> R) -> R {
    let document = document(bytes);
    let platform = first_platform(&document).unwrap();
    let loaded = Loaded::new(&document, platform, &HostDescription::default()).unwrap();
    let registers = loaded.registers(0).unwrap();
    loaded.with_memory(&document, |memory| look(Eyes::new(registers, memory, bits)))
}

fn sample(name: &str) -> Vec<u8> {
    (igvm_samples::by_name(name).unwrap().build)()
}

fn text(row: &Row) -> String {
    match &row.what {
        What::Instruction { text, .. } => text.iter().map(|piece| piece.text.as_str()).collect(),
        What::Bad => "(bad)".into(),
        What::Zeroes(len) => format!("{len} zeroes"),
    }
}

fn links(row: &Row) -> Vec<u64> {
    let What::Instruction { text, .. } = &row.what else { return Vec::new() };
    text.iter().filter_map(|piece| piece.linear).collect()
}

const RESET_PAGE: u64 = 0xffff_f000;

/// A processor after reset whose last page below 4 GiB holds these bytes.
fn reset_file(page: &[u8]) -> Vec<u8> {
    let mut file = FileBuilder::new(Version::V2_X64);
    file.push(HeaderSpec::platform(IgvmPlatformType::NATIVE, 1)).unwrap();
    file.push(HeaderSpec::page(RESET_PAGE, 1, page)).unwrap();
    file.finish()
}

/// Bytes as they are in code: much of one kind, some zeroes.
fn pages() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::collection::vec(any::<u8>(), 1..40),
        (1..60_usize).prop_map(|zeroes| vec![0; zeroes]),
        prop::collection::vec(prop_oneof![Just(0x90), Just(0xeb), Just(0x48), Just(0x8b)], 1..20),
    ];
    prop::collection::vec(piece, 1..90).prop_map(|pieces| {
        let mut page = pieces.concat();
        page.resize(4096, 0xf4);
        page
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// A listing is the bytes of memory, each once, decoded as iced decodes
    /// them where they stand; in pages it is the same as in one piece.
    #[test]
    fn a_listing_is_all_of_the_bytes(page in pages(), bits in 0..3_usize, rows in 1..40_usize) {
        let bits = CodeBits::ALL[bits];
        look(reset_file(&page), Some(bits), |eyes| {
            let all = eyes.list(RESET_PAGE, 5000);
            assert!(matches!(all.stop, Some(Stop::Unwritten(0) | Stop::NoMemory(0))), "{:?}", all.stop);
            let mut at = 0;
            for row in &all.rows {
                assert_eq!((row.linear, row.physical), (RESET_PAGE + at, RESET_PAGE + at));
                let bytes = &page[at as usize..][..row.span() as usize];
                match row.what {
                    What::Zeroes(len) => assert!(len >= 16 && bytes.iter().all(|byte| *byte == 0)),
                    _ => assert_eq!(row.bytes, bytes),
                }
                let mut plain = Decoder::new(bits.number(), &page[at as usize..], 0);
                let plain = plain.decode();
                match row.what {
                    What::Bad => assert_eq!(plain.code(), Code::INVALID),
                    What::Instruction { .. } => assert_eq!(plain.len() as u64, row.span()),
                    What::Zeroes(_) => {}
                }
                at += row.span();
            }
            assert_eq!(at, 4096);
            let (mut paged, mut next) = (Vec::new(), RESET_PAGE);
            loop {
                let part = eyes.list(next, rows);
                assert!(part.rows.len() <= rows);
                paged.extend(part.rows);
                next = part.next;
                if part.stop.is_some() {
                    break;
                }
            }
            assert_eq!(paged, all.rows);
        });
    }

    /// Going back ends before where it began, and comes out there again.
    #[test]
    fn going_back_comes_out_where_it_began(page in pages(), into in 0..4096_u64, rows in 1..60_usize) {
        look(reset_file(&page), Some(CodeBits::Bits64), |eyes| {
            let from = RESET_PAGE + into;
            match eyes.before(from, rows) {
                None => assert_eq!(into, 0),
                Some(start) => {
                    assert!(start < from && start >= from.saturating_sub(BACK));
                    let listing = eyes.list(start, rows);
                    assert!(!listing.rows.is_empty());
                }
            }
        });
    }
}

#[test]
fn the_reset_vector_jumps_in_its_segment() {
    look(sample("hello-real-reset"), None, |eyes| {
        assert_eq!((eyes.entry(), eyes.bits), (0xffff_fff0, CodeBits::Bits16));
        let listing = eyes.list(eyes.entry(), 10);
        assert_eq!(text(&listing.rows[0]), "jmp 0xf000");
        assert_eq!(links(&listing.rows[0]), [0xffff_f000]);
        // 4 GiB ends there, and nothing writes what is at 0.
        assert_eq!(listing.stop, Some(Stop::Unwritten(0)));
        // Elsewhere the base of CS does not reach.
        assert_eq!(eyes.base(0x7c00), 0);
        let start = eyes.list(0xffff_f000, 3);
        assert_eq!(start.rows.len(), 3);
    });
}

#[test]
fn code_is_read_through_the_page_tables() {
    look(sample("hello-long64"), None, |eyes| {
        let listing = eyes.list(eyes.entry(), 8);
        assert_eq!((listing.rows[0].linear, listing.rows[0].physical), (0x1_0000, 0x1_0000));
        let lines: Vec<String> = listing.rows.iter().map(text).collect();
        assert_eq!(lines[0], "lea rsi, [0x10030]");
        assert_eq!(lines[3], "je 0x10024");
        // The page tables map 2 MiB.
        let beyond = eyes.list(0x20_0000, 8);
        assert!(matches!(beyond.stop, Some(Stop::Fault(0x20_0000, _))) && beyond.rows.is_empty());
        let high = eyes.list(u64::MAX, 8);
        assert!(high.rows.is_empty() && high.stop.is_some());
        // A page of zeroes is one row.
        let zeroes = eyes.list(0x8000, 4);
        assert_eq!(zeroes.rows[0].what, What::Zeroes(0x1000));
        assert_eq!(zeroes.stop, Some(Stop::Unwritten(0x9000)));
    });
}

#[test]
fn operands_that_name_addresses_are_links() {
    let mut page = vec![0x90; 0x1000];
    // lea rax, [rip+0x10]; call $+5; jmp short $; mov eax, [0x1234]; a bad byte
    let code = [
        &[0x48, 0x8d, 0x05, 0x10, 0, 0, 0][..],
        &[0xe8, 0, 0, 0, 0],
        &[0xeb, 0xfe],
        &[0x8b, 0x04, 0x25, 0x34, 0x12, 0, 0],
        &[0x06],
    ]
    .concat();
    page[..code.len()].copy_from_slice(&code);
    look(reset_file(&page), Some(CodeBits::Bits64), |eyes| {
        let rows = eyes.list(RESET_PAGE, 5).rows;
        let links: Vec<Vec<u64>> = rows.iter().map(links).collect();
        let own = RESET_PAGE;
        assert_eq!(links, [vec![own + 0x17], vec![own + 12], vec![own + 12], vec![0x1234], vec![]]);
        assert_eq!(rows[4].what, What::Bad);
        assert!(matches!(rows[2].what, What::Instruction { leaves: true, .. }));
    });
}
