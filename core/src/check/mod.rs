//! The rule book: every finding about a file, each with its rule, its place
//! and a sentence.
//!
//! Two passes. [`structure`] goes over the headers once and judges each by
//! itself and against the ones before it, whatever the platform. Then, for
//! each platform that the file declares, a load shows what the directives do
//! to each other ([`problem`]), and [`machine`] judges the state in which the
//! processors would start. A fault that the first pass reports is not reported
//! again by the second.
//!
//! [`RULES`] lists every rule. A rule is an [`Severity::Error`] if the
//! specification forbids what it finds or if no loader or processor can start
//! it; what known loaders do otherwise is a [`Severity::Note`].
//!
//! Time: n headers take O(n log n), once for the first pass and once for each
//! known platform (at most seven). The bytes of at most 256 contexts are
//! looked at. Memory: what the caller lends in [`Storage`].

mod area;
mod context;
mod data;
mod directive;
mod finding;
mod fixed;
mod header;
mod init;
mod loaders;
mod machine;
mod platform;
mod problem;
mod processor;
mod relocation;
mod rule;
mod structure;

use igvm_defs::IgvmPlatformType;

pub use finding::{Finding, RULES};
pub use machine::machine;
pub use problem::problem;
pub use rule::{Rule, Severity};

use crate::data::FileData;
use crate::file::{HeaderRef, IgvmFile};
use crate::load::{AreaBlock, Host, LoadError, Problem, ProblemKind, Storage, load};
use crate::platform::platform_name;

/// Reports every finding about a file, on this host for every platform that it
/// declares.
///
/// # Errors
/// Fails if the lent storage does not suffice; the findings so far stand.
pub fn check<D: FileData + ?Sized>(
    file: &IgvmFile<'_>,
    data: &D,
    host: &Host<'_>,
    storage: Storage<'_>,
    sink: &mut dyn FnMut(Finding),
) -> Result<(), LoadError> {
    structure(file, data, storage.areas, sink)?;
    let mut done = Done { types: [None; MAX_PLATFORMS], masks: 0 };
    for header in file.platforms() {
        let mask = header.compatibility_mask;
        if mask.count_ones() != 1 || !done.is_new(header.platform_type) {
            continue;
        }
        let storage = Storage {
            extents: storage.extents,
            areas: storage.areas,
            processors: storage.processors,
            fixups: storage.fixups,
        };
        let before = done.masks;
        let mut first_time = |finding: Finding, concerned: u32| {
            if concerned & before == 0 {
                sink(finding);
            }
        };
        let loaded = load(file, data, header.platform_type, host, storage, &mut |found| {
            if let Some(finding) = problem(host, header.platform_type, &found) {
                first_time(finding, concerned(file, &found));
            }
        })?;
        machine(file, data, host, &loaded, sink);
        done.masks |= mask;
    }
    Ok(())
}

/// Reports what the headers show whatever the platform. `areas` is filled with
/// the parameter areas.
///
/// # Errors
/// Fails if there are more parameter areas than fit.
pub fn structure<D: FileData + ?Sized>(
    file: &IgvmFile<'_>,
    data: &D,
    areas: &mut [AreaBlock],
    sink: &mut dyn FnMut(Finding),
) -> Result<(), LoadError> {
    structure::Structure::new(file, data, areas, sink).run()
}

const MAX_PLATFORMS: usize = crate::platform::PLATFORMS.len();

/// The platforms that were loaded.
struct Done {
    types: [Option<IgvmPlatformType>; MAX_PLATFORMS],
    masks: u32,
}

impl Done {
    /// Whether this is a known platform that was not loaded before.
    fn is_new(&mut self, platform: IgvmPlatformType) -> bool {
        if platform_name(platform).is_none() || self.types.contains(&Some(platform)) {
            return false;
        }
        match self.types.iter_mut().find(|slot| slot.is_none()) {
            Some(slot) => {
                *slot = Some(platform);
                true
            }
            None => false,
        }
    }
}

/// The mask bits of the platforms for which a problem shows: those that all
/// headers involved have.
fn concerned(file: &IgvmFile<'_>, problem: &Problem) -> u32 {
    let mask = |at: HeaderRef| {
        file.header(at).and_then(|header| header.value().compatibility_mask()).unwrap_or(u32::MAX)
    };
    let other = match problem.kind {
        ProblemKind::Overlap(overlap) => mask(overlap.earlier),
        ProblemKind::AreaRetired { inserted, .. } => mask(inserted),
        ProblemKind::ContextTwice { earlier, .. } => mask(earlier),
        _ => u32::MAX,
    };
    mask(problem.header) & other
}
