//! What a rule is, and the list of all of them.

use core::fmt;

/// How much a finding matters, the gravest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The specification forbids it, or no loader or processor can start it.
    Error,
    /// Allowed, but surely a mistake, or read differently by different loaders.
    Warning,
    /// Good to know: what known loaders refuse or do otherwise.
    Note,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        })
    }
}

/// One rule of the rule book.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Its name: subject, dot, matter; never changes its meaning.
    pub id: &'static str,
    /// How much breaking it matters.
    pub severity: Severity,
    /// What it says of any file.
    pub summary: &'static str,
    /// Where that is written.
    pub source: &'static str,
}

/// A chapter of the rule book: an enum with a variant for each rule, whose
/// fields are the numbers of the place that breaks it. Rule and sentence stand
/// beside the variant, so that one cannot be changed without the other.
macro_rules! rules {
    (
        $(#[$attribute:meta])*
        enum $name:ident;
        $(
            $variant:ident $({ $($field:ident: $type:ty),* $(,)? })?
            $severity:ident $id:literal
            $summary:literal
            $source:literal
            => $sentence:literal;
        )*
    ) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum $name {
            $($variant $({ $($field: $type),* })?,)*
        }

        impl $name {
            pub(crate) const RULES: &'static [&'static $crate::check::Rule] = &[$(
                &$crate::check::Rule {
                    id: $id,
                    severity: $crate::check::Severity::$severity,
                    summary: $summary,
                    source: $source,
                },
            )*];

            /// The rule that is broken.
            pub(crate) const fn rule(&self) -> &'static $crate::check::Rule {
                match self {
                    $(Self::$variant $({ $($field: _),* })? => &$crate::check::Rule {
                        id: $id,
                        severity: $crate::check::Severity::$severity,
                        summary: $summary,
                        source: $source,
                    },)*
                }
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                match *self {
                    $(Self::$variant $({ $($field),* })? => write!(f, $sentence),)*
                }
            }
        }
    };
}
pub(crate) use rules;

/// Binds the chapters into one book.
macro_rules! book {
    ($($chapter:ident)*) => {
        /// What is wrong at a place, by chapter of the rule book.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Detail {
            $($chapter($chapter),)*
        }

        impl Detail {
            pub(crate) const fn rule(&self) -> &'static Rule {
                match self {
                    $(Self::$chapter(detail) => detail.rule(),)*
                }
            }
        }

        impl core::fmt::Display for Detail {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                match self {
                    $(Self::$chapter(detail) => detail.fmt(f),)*
                }
            }
        }

        $(impl From<$chapter> for Detail {
            fn from(detail: $chapter) -> Self {
                Self::$chapter(detail)
            }
        })*

        /// Every rule, chapter by chapter.
        pub const RULES: &[&Rule] = &concat::<{ 0 $(+ $chapter::RULES.len())* }>(
            &[$($chapter::RULES),*]
        );
    };
}
pub(crate) use book;

/// The chapters in one array of `N` rules.
#[expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "runs at compile time: a wrong index fails the build"
)]
pub(crate) const fn concat<const N: usize>(chapters: &[&[&'static Rule]]) -> [&'static Rule; N] {
    let mut all = [chapters[0][0]; N];
    let (mut at, mut chapter) = (0, 0);
    while chapter < chapters.len() {
        let mut rule = 0;
        while rule < chapters[chapter].len() {
            all[at] = chapters[chapter][rule];
            at += 1;
            rule += 1;
        }
        chapter += 1;
    }
    all
}
