//! The file that everything is measured on: 256 MiB in 65,536 pages, no two
//! alike, for the native platform, version 2.

use igvm_core::defs::{IgvmPlatformType, PAGE_SIZE_4K};
use igvm_core::write::{HeaderSpec, Slot, Storage, Version, Writer, start};

/// Pages of the file.
pub const PAGES: usize = 65_536;

/// Bytes of a page.
pub const PAGE_LEN: usize = PAGE_SIZE_4K as usize;

/// RAM of the machine that the file is checked and booted with, in bytes.
pub const RAM: u64 = 512 << 20;

/// Where the first page goes.
pub const FIRST_PAGE: u64 = 0;

/// The compatibility mask of the native platform.
const NATIVE: u32 = 1;

/// The page that holds the program: a context in real mode reaches it.
const CODE_PAGE: usize = 1;

/// `mov dx, 0x402; mov al, '!'; out dx, al; mov dx, 0x501; mov al, 0x10;
/// out dx, al; hlt`: says that it is there on the debug port, then ends the run
/// by the port that `kvm-runner` and QEMU's `isa-debug-exit` share.
pub const PROGRAM: [u8; 13] =
    [0xba, 0x02, 0x04, 0xb0, b'!', 0xee, 0xba, 0x01, 0x05, 0xb0, 0x10, 0xee, 0xf4];

/// The order in which the pages stand among the headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// By address, as nearly every tool writes them.
    Ascending,
    /// No page beside its neighbour: the worst a file can do to a memory image.
    Scattered,
}

impl Order {
    /// The number of the page that comes at this place.
    fn page_at(self, place: usize) -> usize {
        match self {
            Self::Ascending => place,
            // An odd factor makes a permutation of a power of two.
            Self::Scattered => place.wrapping_mul(40_503) % PAGES,
        }
    }
}

/// All pages of the payload, by address.
pub fn payload() -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = vec![0; PAGES * PAGE_LEN];
    for word in bytes.as_chunks_mut::<8>().0 {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        *word = state.to_le_bytes();
    }
    for (number, page) in (0u64..).zip(bytes.as_chunks_mut::<PAGE_LEN>().0) {
        page[..8].copy_from_slice(&number.to_le_bytes());
    }
    let code = CODE_PAGE * PAGE_LEN;
    bytes[code..][..PROGRAM.len()].copy_from_slice(&PROGRAM);
    bytes
}

/// The file of a payload. Its processor starts in real mode, at the program.
pub fn file(payload: &[u8], order: Order) -> Vec<u8> {
    const HEADERS: usize = PAGES + 2;
    const HEADER_LEN: usize = 32;
    let mut headers = vec![0; HEADERS * HEADER_LEN];
    let mut data = vec![0; (PAGES + 1) * PAGE_LEN];
    let mut slots = vec![Slot::default(); 2 * PAGES];
    let storage = Storage { headers: &mut headers, data: &mut data, slots: &mut slots };
    let mut writer = Writer::new(Version::V2_X64, storage);
    let mut push = |header| writer.push(header).expect("the storage was made for these headers");

    push(HeaderSpec::platform(IgvmPlatformType::NATIVE, NATIVE));
    let pages = payload.as_chunks::<PAGE_LEN>().0;
    for number in (0..PAGES).map(|place| order.page_at(place)) {
        let gpa = FIRST_PAGE + (number * PAGE_LEN) as u64;
        push(HeaderSpec::page(gpa, NATIVE, &pages[number]));
    }
    let segment = (CODE_PAGE * PAGE_LEN) >> 4;
    let context = start::real16(segment as u16, 0, 0);
    push(HeaderSpec::native_context(NATIVE, &context));

    let mut file = vec![0; writer.file_len()];
    writer.finish_into(&mut file).expect("the file has the length that the writer said");
    file
}
