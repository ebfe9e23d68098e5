//! Guests that do anything with the PCI bus and the disk. Memory and disk in
//! these tests refuse, or panic at, whatever is outside of them.

mod common;

use common::play::{check, play};
use common::{RamDisk, driver::Driver};
use proptest::prelude::*;

/// A read of sector 1, for [`play`]: three descriptors, made available, and the
/// bell.
const REQUEST: [u8; 29] = [
    0x0a, 0x00, 0x00, 0x10, 1, 1, 0, 1, // The header.
    0x16, 0x10, 0x02, 0x00, 3, 2, 0, 0, // The data.
    0x22, 0x20, 0x00, 0x01, 2, 0, 0, 0, // The status.
    0x0b, 0, 0, 1, //
    0x07,
];

/// What the other tests here start from is a request indeed.
#[test]
fn the_request_is_done() {
    let mut driver = Driver::started(RamDisk::new(16));
    play(&mut driver.pc, &REQUEST);
    assert_eq!(driver.given_back(), [(0, 513)]);
    assert_eq!(driver.peek(0x4400, 512), [1; 512]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn anything_is_answered_and_a_reset_makes_it_new(
        input in prop::collection::vec(
            prop_oneof![Just(REQUEST.to_vec()), prop::collection::vec(any::<u8>(), 0..100)],
            0..60,
        ),
    ) {
        check(&input.concat());
    }

    /// A request of which some bytes are others.
    #[test]
    fn a_broken_request_breaks_nothing(
        changes in prop::collection::vec((0..REQUEST.len(), any::<u8>()), 0..6),
    ) {
        let mut request = REQUEST;
        changes.iter().for_each(|(at, byte)| request[*at] = *byte);
        check(&[request; 3].concat());
    }
}

/// The seeds of the fuzz target.
#[test]
fn the_seeds_pass() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/seeds/virtio");
    let seeds: Vec<_> = std::fs::read_dir(folder).unwrap().collect();
    assert!(!seeds.is_empty());
    for seed in seeds {
        check(&std::fs::read(seed.unwrap().path()).unwrap());
    }
}
