//! [`Ordered`] against the standard library's map.

use std::collections::BTreeMap;
use std::vec::Vec;

use proptest::prelude::*;

use crate::load::ordered::{BLOCK_LEN, Block, Entry, Full, Ordered};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pair {
    key: u32,
    value: u32,
}

impl Entry for Pair {
    type Key = u32;

    fn key(&self) -> u32 {
        self.key
    }
}

/// Runs rather than single entries, so that blocks split and empty.
#[derive(Debug, Clone)]
enum Step {
    Insert { start: u32, stride: i32, count: u32 },
    Remove { from: u32, count: u32 },
    Change { key: u32 },
    Look { key: u32 },
}

const KEYS: u32 = 12_000;

fn step() -> impl Strategy<Value = Step> {
    let key = 0..KEYS;
    prop_oneof![
        4 => (key.clone(), -7..8i32, 1..2000u32)
            .prop_map(|(start, stride, count)| Step::Insert { start, stride, count }),
        2 => (key.clone(), 1..2000u32).prop_map(|(from, count)| Step::Remove { from, count }),
        1 => key.clone().prop_map(|key| Step::Change { key }),
        1 => key.prop_map(|key| Step::Look { key }),
    ]
}

/// The map and its model side by side.
struct Both<'s> {
    map: Ordered<'s, Pair>,
    model: BTreeMap<u32, u32>,
    stamp: u32,
}

impl Both<'_> {
    fn apply(&mut self, step: &Step) -> Result<(), Full> {
        match *step {
            Step::Insert { start, stride, count } => {
                for nth in 0..count {
                    let key = start.wrapping_add_signed(stride * nth as i32) % KEYS;
                    if self.model.contains_key(&key) {
                        continue;
                    }
                    self.stamp += 1;
                    self.map.insert(Pair { key, value: self.stamp })?;
                    self.model.insert(key, self.stamp);
                }
            }
            Step::Remove { from, count } => {
                let mut at = self.map.at_or_after(from);
                for _ in 0..count {
                    let Some(position) = at else { break };
                    let key = self.map.get(position).unwrap().key;
                    at = self.map.remove(position);
                    self.model.remove(&key).unwrap();
                    let next = self.model.range(key..).next();
                    assert_eq!(at.map(|at| self.map.get(at).unwrap().key), next.map(|(k, _)| *k));
                }
            }
            Step::Change { key } => {
                if let Some(at) = self.map.find(key) {
                    self.stamp += 1;
                    self.map.get_mut(at).unwrap().value = self.stamp;
                    *self.model.get_mut(&key).unwrap() = self.stamp;
                }
            }
            Step::Look { key } => self.look(key),
        }
        Ok(())
    }

    fn look(&self, key: u32) {
        let key_at = |at| self.map.get(at).unwrap().key;
        assert_eq!(self.map.find(key).map(key_at), self.model.get(&key).map(|_| key));
        let before = self.model.range(..=key).next_back().map(|(key, _)| *key);
        assert_eq!(self.map.at_or_before(key).map(key_at), before);
        let after = self.model.range(key..).next().map(|(key, _)| *key);
        assert_eq!(self.map.at_or_after(key).map(key_at), after);
        if let Some(before) = self.map.at_or_before(key) {
            let follower = self.model.range(key + 1..).next().map(|(key, _)| *key);
            assert_eq!(self.map.next(before).map(key_at), follower);
            let rest: Vec<u32> = self.map.iter_from(before).map(|pair| pair.key).collect();
            let expected: Vec<u32> =
                self.model.range(key_at(before)..).map(|(key, _)| *key).collect();
            assert_eq!(rest, expected);
        }
    }

    fn check(&self) {
        let entries: Vec<(u32, u32)> = self.map.iter().map(|pair| (pair.key, pair.value)).collect();
        let expected: Vec<(u32, u32)> =
            self.model.iter().map(|(key, value)| (*key, *value)).collect();
        assert_eq!(entries, expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn behaves_as_a_btree_map(steps in prop::collection::vec(step(), 1..60)) {
        // A split leaves two halves, so twice the entries always fit.
        let mut blocks: Vec<Block<Pair>> = Vec::new();
        blocks.resize_with(2 * KEYS as usize / (BLOCK_LEN / 2), Block::new);
        let map = Ordered::new(&mut blocks);
        let mut both = Both { map, model: BTreeMap::new(), stamp: 0 };
        for step in &steps {
            // Removal thins blocks out without joining them, so even this can
            // run full; nothing may be lost then.
            if both.apply(step).is_err() {
                both.check();
                break;
            }
            both.check();
        }
    }

    #[test]
    fn full_storage_changes_nothing(
        steps in prop::collection::vec(step(), 1..60),
        count in 0usize..6,
    ) {
        let mut blocks: Vec<Block<Pair>> = Vec::new();
        blocks.resize_with(count, Block::new);
        let mut both = Both { map: Ordered::new(&mut blocks), model: BTreeMap::new(), stamp: 0 };
        for step in &steps {
            // What fits before it is full stays; what is asked later too.
            let _ = both.apply(step);
            both.check();
        }
    }

    #[test]
    fn what_was_in_the_storage_before_does_not_matter(
        before in prop::collection::vec(step(), 1..20),
        after in prop::collection::vec(step(), 1..20),
    ) {
        let mut blocks: Vec<Block<Pair>> = Vec::new();
        blocks.resize_with(400, Block::new);
        for steps in [before, after] {
            let mut both = Both { map: Ordered::new(&mut blocks), model: BTreeMap::new(), stamp: 0 };
            for step in &steps {
                both.apply(step).unwrap();
            }
            both.check();
        }
    }
}
