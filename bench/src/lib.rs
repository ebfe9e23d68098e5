//! What the benchmarks are made of; `cargo xtask bench` runs them.

pub mod checked;
pub mod heap;
pub mod large;
pub mod rounds;
