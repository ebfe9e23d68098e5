//! Guests that do anything with the PCI bus and the disk. Memory and disk in
//! these tests refuse, or panic at, whatever is outside of them.

mod common;

use common::play::check;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn anything_is_answered_and_a_reset_makes_it_new(
        input in prop::collection::vec(any::<u8>(), 0..2000),
    ) {
        check(&input);
    }
}
