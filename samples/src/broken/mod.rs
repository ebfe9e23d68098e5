//! Files that are wrong on purpose: one for each rule of
//! [`check`](igvm_core::check).
//!
//! Each is as good as it can be apart from what it is made to break. Its name
//! is the rule's id, with dashes for dots.

mod areas;
mod base;
mod contexts;
mod directives;
mod fixed;
mod headers;
mod initialization;
mod loaders;
mod machines;
mod registers;
mod relocations;

/// A file that breaks one rule.
#[derive(Debug, Clone, Copy)]
pub struct Broken {
    /// The id of the rule.
    pub rule: &'static str,
    /// Rules of severity error that are broken along with it: the fault does
    /// not come alone.
    pub also: &'static [&'static str],
    /// Builds the file.
    pub build: fn() -> Vec<u8>,
}

impl Broken {
    /// The name of the sample and, with `.igvm`, of its file.
    pub fn name(&self) -> String {
        self.rule.replace('.', "-")
    }
}

/// A file that breaks this rule and no other of severity error.
const fn broken(rule: &'static str, build: fn() -> Vec<u8>) -> Broken {
    Broken { rule, also: &[], build }
}

/// A file that cannot break the one rule without the others.
const fn broken_with(
    rule: &'static str,
    also: &'static [&'static str],
    build: fn() -> Vec<u8>,
) -> Broken {
    Broken { rule, also, build }
}

/// Every broken file, chapter by chapter of the rule book.
pub fn all() -> impl Iterator<Item = &'static Broken> {
    [
        fixed::SAMPLES,
        headers::SAMPLES,
        initialization::SAMPLES,
        relocations::SAMPLES,
        directives::SAMPLES,
        areas::SAMPLES,
        contexts::SAMPLES,
        machines::SAMPLES,
        registers::SAMPLES,
        loaders::SAMPLES,
    ]
    .into_iter()
    .flatten()
}
