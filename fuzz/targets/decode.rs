//! Fixed header, headers, values, data ranges, in core and in the oracle:
//! whatever the oracle accepts must decode to the same values.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    igvm_conformance::compare::compare(&igvm_fuzz::file(input));
});
