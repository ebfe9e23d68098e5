//! Page walk and list of mappings over the memory of a loaded machine, and the
//! two against each other.
#![no_main]

use igvm_core::x86::paging::{mappings, walk};

/// Entries of page tables that one input may have looked at.
const BUDGET: u64 = 20_000;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let bytes = igvm_fuzz::file(input);
    let mut room = igvm_fuzz::room();
    igvm_fuzz::hosts(&bytes, |host| {
        igvm_fuzz::platforms(&bytes, |_, platform| {
            let Ok(machine) = room.load(&bytes, platform, host, &mut |_| {}) else { return };
            let memory = machine.memory(bytes.as_slice(), host);
            for processor in machine.processors() {
                let registers = &processor.registers;
                let rip = registers.cs.base.wrapping_add(registers.rip);
                for linear in [rip, registers.rsp, 0, 0xffff_fff0, u64::MAX] {
                    let _ = walk(registers, &memory, linear).result.map_err(|e| e.to_string());
                }
                for mapping in mappings(registers, &memory, BUDGET).take(64) {
                    let end = mapping.linear.wrapping_add(mapping.len - 1);
                    for linear in [mapping.linear, end] {
                        let found = walk(registers, &memory, linear).result;
                        let found = found.expect("what is mapped can be walked to");
                        let expected = mapping.physical + linear.wrapping_sub(mapping.linear);
                        assert_eq!((found.physical, found.rights), (expected, mapping.rights));
                    }
                }
            }
        });
    });
});
