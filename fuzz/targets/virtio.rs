//! PCI configuration space, base addresses and virtqueues: a guest that is made
//! of the input's bytes, before and after a reset.
#![no_main]

#[path = "../../devices/tests/common/mod.rs"]
mod common;

libfuzzer_sys::fuzz_target!(|input: &[u8]| common::play::check(input));
