//! Loading for every platform on small hosts, with relocation.
#![no_main]

use std::fmt::Write;

use igvm_core::load::Space;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let bytes = igvm_fuzz::file(input);
    let mut room = igvm_fuzz::room();
    let mut text = String::new();
    igvm_fuzz::hosts(&bytes, |host| {
        igvm_fuzz::platforms(&bytes, |_, platform| {
            text.clear();
            let mut fatal = 0;
            let loaded = room.load(&bytes, platform, host, &mut |problem| {
                fatal += u64::from(problem.kind.is_fatal());
                if text.len() < 4096 {
                    write!(text, "{}", problem.kind).unwrap();
                }
            });
            let Ok(machine) = loaded else { return };
            assert_eq!(machine.fatal_problems(), fatal);
            igvm_conformance::machine::inspect(&machine, host);
            let memory = machine.memory(bytes.as_slice(), host);
            let mut page = [0; 4096];
            for extent in machine.image().extents(Space::Guest).take(256) {
                let len = extent.span.len.min(4096) as usize;
                memory.read(extent.span.start, &mut page[..len]).expect("the loader looked");
            }
        });
    });
});
