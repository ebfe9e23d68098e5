//! A page of 2 MiB.

use igvm_core::defs::{IgvmPageDataFlags, IgvmPageDataType};
use igvm_core::write::{Data, HeaderSpec};

use crate::Sample;
use crate::guest;
use crate::layout::{self, CODE, NATIVE, PAGE_2M, push};

const LINE: &str = "Hello from the end of a 2 MiB page!\n";

pub(crate) const SAMPLE: Sample = Sample {
    name: "page-2m",
    title: "One PAGE_DATA header can carry 2 MiB; the text stands in its last 4096 bytes, which \
            the igvm crate 0.5.0 does not read.",
    prints: LINE,
    // 2 MiB, nearly all of it zero.
    committed: false,
    build,
};

const LARGE_PAGE: u64 = PAGE_2M;
const TEXT: u64 = LARGE_PAGE + PAGE_2M - 0x100;

fn build() -> Vec<u8> {
    let mut file = layout::native_file();
    layout::push_identity_2m(&mut file, NATIVE, 2);
    layout::push_gdt_and_stack(&mut file, NATIVE);
    push(&mut file, HeaderSpec::page(CODE, NATIVE, &guest::print_from64(TEXT)));
    let mut page = vec![0; (TEXT - LARGE_PAGE) as usize];
    page.extend_from_slice(LINE.as_bytes());
    push(
        &mut file,
        HeaderSpec::PageData {
            gpa: LARGE_PAGE,
            mask: NATIVE,
            flags: IgvmPageDataFlags::new().with_is_2mb_page(true),
            data_type: IgvmPageDataType::NORMAL,
            data: Data::Bytes(&page),
        },
    );
    push(&mut file, HeaderSpec::native_context(NATIVE, &layout::long64_context()));
    file.finish()
}
