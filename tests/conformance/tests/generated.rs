//! Thousands of files, whole and damaged, through both readers.

use igvm_conformance::compare::{Outcome, compare};
use igvm_conformance::random::Random;
use igvm_conformance::{generate, mutate};

const FILES: u64 = 3000;

#[test]
fn files_of_the_oracle_decode_to_the_same_values() {
    let mut same = 0;
    for seed in 0..FILES {
        let Some(bytes) = generate::file(seed) else { continue };
        if compare(&bytes) == Outcome::Same {
            same += 1;
        }
    }
    assert!(same > FILES / 2, "only {same} of {FILES} seeds made a file that the oracle reads");
}

#[test]
fn damaged_files_are_read_by_both_or_refused() {
    let mut outcomes = [0u32; 3];
    for seed in 0..FILES {
        let Some(bytes) = generate::file(seed) else { continue };
        let mut random = Random::new(!seed);
        for _ in 0..4 {
            let outcome = compare(&mutate::damage(&bytes, &mut random));
            outcomes[outcome as usize] += 1;
        }
    }
    // Each of the three is met often, else the test looks at nothing.
    assert!(outcomes.iter().all(|count| *count > 40), "{outcomes:?}");
}
