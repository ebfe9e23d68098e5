//! Core's verdict on files that the oracle accepts.

use igvm_core::check::{Severity, check};
use igvm_core::file::IgvmFile;
use igvm_core::load::Host;
use igvm_core::span::Span;

use crate::differences::DIFFERENCES;
use crate::machine::Room;

/// Every error that core finds is a known difference. The host has plenty of
/// everything, so that none is the host's.
pub(super) fn no_unlisted_error(file: &IgvmFile<'_>, bytes: &[u8]) {
    let ram = [Span::new(0, 1 << 52)];
    let host = Host { processors: 8, ..Host::new(&ram, &[]) };
    let mut room = Room::new(64, 8, 8, 0);
    // Where the storage does not suffice, the findings so far count.
    let _ = check(file, bytes, &host, room.lend(), &mut |finding| {
        let known = DIFFERENCES.iter().any(|known| known.rule == finding.rule.id);
        assert!(
            finding.rule.severity != Severity::Error || known,
            "{}: {finding}, and the oracle accepts it",
            finding.rule.id
        );
    });
}
