//! What the benchmarks are made of; `cargo xtask bench` runs them. Unix only.

pub mod boot;
pub mod checked;
pub mod heap;
pub mod large;
pub mod measure;
pub mod pages;
pub mod report;
pub mod rounds;
pub mod vmm;
