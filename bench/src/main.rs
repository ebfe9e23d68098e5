//! scratch
use igvm_bench::{checked::*, heap, large::*, rounds::Rounds};
use igvm_core::file::IgvmFile;
use std::hint::black_box;

#[global_allocator]
static HEAP: heap::Counting = heap::Counting;

fn main() {
    let payload = payload();
    for order in [Order::Ascending, Order::Scattered] {
        let bytes = file(&payload, order);
        let host = host();
        let mut storage = CheckStorage::new();
        let rounds: usize = std::env::args().nth(1).map_or(11, |s| s.parse().unwrap());
        if std::env::args().nth(2).is_some_and(|w| w == format!("{order:?}")) {
            for _ in 0..rounds {
                storage.decode_and_check(black_box(&bytes), &host);
            }
            return;
        }
        std::fs::create_dir_all("target/bench").unwrap();
        std::fs::write(format!("target/bench/{order:?}.igvm"), &bytes).unwrap();
        println!(
            "errors {} {:?}",
            storage.decode_and_check(&bytes, &host),
            heap::measure(|| storage.decode_and_check(&bytes, &host))
        );
        let all = Rounds::run(
            rounds,
            || storage.decode_and_check(black_box(&bytes), &host),
            || reference(black_box(&bytes)),
        );
        println!("{order:?} check {:?} {:?} {:?}", all.ours(), all.theirs(), all.speedup());
        let all =
            Rounds::run(rounds, || decode(black_box(&bytes)), || reference(black_box(&bytes)));
        println!("{order:?} decode {:?} {:?} {:?}", all.ours(), all.theirs(), all.speedup());
        let f = IgvmFile::parse(&bytes).unwrap();
        let all = Rounds::run(
            rounds,
            || black_box(&f).compute_checksum(),
            || reference(black_box(&bytes)),
        );
        println!("{order:?} crc {:?} {:?} {:?}", all.ours(), all.theirs(), all.speedup());
    }
}
