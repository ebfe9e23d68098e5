//! What the benchmarks are made of; `cargo xtask bench` runs them.

#[cfg(unix)]
pub mod boot;
pub mod checked;
pub mod heap;
pub mod large;
#[cfg(unix)]
pub mod measure;
pub mod report;
pub mod rounds;
