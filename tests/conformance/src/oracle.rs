//! The `igvm` crate, kept from bringing the test down.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use igvm::{Error, IgvmFile};

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// What the `igvm` crate made of something.
#[derive(Debug)]
pub enum Verdict<T> {
    /// It took it.
    Accepted(T),
    /// It said no.
    Refused(Error),
    /// It panicked.
    Panicked,
}

/// Runs the oracle. Its panics are caught and stay silent, those of everybody
/// else do not.
pub fn ask<T>(question: impl FnOnce() -> Result<T, Error>) -> Verdict<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                others(info);
            }
        }));
    });
    QUIET.set(true);
    let answer = panic::catch_unwind(AssertUnwindSafe(question));
    QUIET.set(false);
    match answer {
        Ok(Ok(value)) => Verdict::Accepted(value),
        Ok(Err(error)) => Verdict::Refused(error),
        Err(_) => Verdict::Panicked,
    }
}

/// Reads a file with the oracle, for every platform.
pub fn read(bytes: &[u8]) -> Verdict<IgvmFile> {
    ask(|| IgvmFile::new_from_binary(bytes, None))
}
