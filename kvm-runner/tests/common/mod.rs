//! What the tests share: the `kvm-runner` binary, the machines that tests run,
//! and skips that are seen.
#![allow(dead_code, unused_imports, unreachable_pub, reason = "each test binary uses a part")]

pub mod binary;
pub mod guest_files;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod loaded;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod machine;
mod skip;

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub use loaded::*;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub use machine::*;
pub use skip::*;
