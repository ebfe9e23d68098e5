//! What no change may lose by the way, without looking at a clock.

use igvm_bench::checked::{CheckStorage, decode, host, reference};
use igvm_bench::large::Order;
use igvm_bench::large::{PAGES, file, payload};
use igvm_bench::{heap, measure};

#[global_allocator]
static HEAP: heap::Counting = heap::Counting;

#[test]
fn a_large_file_takes_no_memory_to_check_and_little_to_load() {
    let bytes = file(&payload(), Order::Ascending);
    let host = host();
    let mut storage = CheckStorage::new();

    let (errors, checked) = heap::measure(|| storage.decode_and_check(&bytes, &host));
    assert_eq!(errors, 0, "the file keeps to every rule");
    assert_eq!(checked.calls, 0, "decoding and checking allocate nothing");
    let (_, decoded) = heap::measure(|| decode(&bytes));
    assert_eq!(decoded.calls, 0, "decoding allocates nothing");

    let loaded = measure::load_heap(&bytes, &host);
    assert!(loaded.peak < 1 << 20, "the memory image of 256 MiB took {} bytes", loaded.peak);
    // That the allocator is counting at all.
    assert!(loaded.peak > 0 && loaded.calls > 0);

    // The pages and the context.
    assert_eq!(reference(&bytes), PAGES + 1, "the reference reader sees the same file");
}
