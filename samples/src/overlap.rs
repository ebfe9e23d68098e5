//! Pages written twice.

use igvm_core::write::HeaderSpec;

use crate::Sample;
use crate::guest::Program64;
use crate::layout::{self, CODE, NATIVE, push};

pub(crate) const SAMPLE: Sample = Sample {
    name: "overlap",
    title: "Directives are carried out in order: a later page replaces an earlier one, and a page \
            of zeroes does so, too.",
    prints: "Hello from overlap: the second page wins, and zeroes replace data: 00\n",
    committed: true,
    build,
};

const REPLACED: u64 = 0x2_0000;
const CLEARED: u64 = 0x2_1000;

fn build() -> Vec<u8> {
    let mut file = layout::native_file();
    let context = layout::push_long64(&mut file, NATIVE);
    push(&mut file, HeaderSpec::page(CODE, NATIVE, &program()));
    push(&mut file, HeaderSpec::page(REPLACED, NATIVE, b"the first page wins\0"));
    push(&mut file, HeaderSpec::page(CLEARED, NATIVE, &[0xff; 0x1000]));
    push(&mut file, HeaderSpec::page(REPLACED, NATIVE, b"the second page wins\0"));
    push(&mut file, HeaderSpec::zero_page(CLEARED, NATIVE));
    push(&mut file, HeaderSpec::native_context(NATIVE, &context));
    file.finish()
}

fn program() -> Vec<u8> {
    let mut program = Program64::new();
    program.print("Hello from overlap: ");
    program.print_at(REPLACED);
    program.print(", and zeroes replace data: ");
    program.print_byte_at(CLEARED);
    program.print("\n");
    program.finish(CODE)
}
