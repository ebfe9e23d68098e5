//! What a hostile guest can do to the devices: ports, memory-mapped registers,
//! DMA, resets.
#![no_main]

use std::sync::OnceLock;

use igvm_fuzz::pc::Pc;

/// Steps of one input.
const STEPS: usize = 1000;

/// The ports of a machine that nothing was done to.
static FRESH: OnceLock<Vec<u8>> = OnceLock::new();

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let fresh = FRESH.get_or_init(|| Pc::default().ports_after_reset());
    let mut pc = Pc::default();
    let mut rest = input;
    for _ in 0..STEPS {
        if pc.step(&mut rest).is_none() {
            break;
        }
    }
    // That takes longer than most inputs; some of them are enough.
    if input.first().is_some_and(|first| first % 16 == 0) {
        assert!(pc.ports_after_reset() == *fresh, "a reset does not forget everything");
    }
});
