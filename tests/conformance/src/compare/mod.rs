//! One file through both readers.

mod header;
mod judged;
mod loaded;
mod registers;

use igvm::IgvmFile as Oracle;
use igvm_core::file::{Header, IgvmFile};
use igvm_core::wire::HeaderSection;

use crate::oracle::{self, Verdict};

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The oracle accepts it, core decodes it to the same values.
    Same,
    /// The oracle says no; core reads what can be read of it.
    Refused,
    /// The oracle panics; core reads what can be read of it.
    OraclePanicked,
}

/// Reads a file with the oracle and with core.
///
/// # Panics
/// When the oracle accepts the file and core decodes anything differently, and
/// when core panics.
pub fn compare(bytes: &[u8]) -> Outcome {
    read_all(bytes);
    match oracle::read(bytes) {
        Verdict::Accepted(theirs) => {
            let ours = IgvmFile::parse(bytes).expect("the oracle accepts what core cannot read");
            same_headers(&ours, bytes, &theirs);
            loaded::same_machines(&ours, bytes, &theirs);
            judged::no_unlisted_error(&ours, bytes);
            Outcome::Same
        }
        Verdict::Refused(_) => Outcome::Refused,
        Verdict::Panicked => Outcome::OraclePanicked,
    }
}

/// Decodes whatever there is and puts it into words.
pub fn read_all(bytes: &[u8]) {
    use std::fmt::Write;

    let mut words = Counter(0);
    let file = match IgvmFile::parse(bytes) {
        Ok(file) => file,
        Err(error) => {
            write!(words, "{error}").unwrap();
            assert_ne!(words.0, 0, "an error without a sentence");
            return;
        }
    };
    let _ = (file.compute_checksum(), file.fixed().total_file_size());
    let mut headers = file.headers();
    let mut end = file.fixed().variable_headers().start;
    for (nth, header) in headers.by_ref().enumerate() {
        assert_eq!(u64::from(header.raw.offset), end, "headers follow each other");
        assert_eq!(header.index as usize, nth);
        let range = header.range();
        assert!(range.end() <= bytes.len() as u64 && range.len >= 8);
        end = range.end();
        let value = header.value();
        write!(words, "{value:?} {:?} {:?}", value.compatibility_mask(), header.section()).unwrap();
        if let Some(span) = file.data_range(&header, bytes) {
            write!(words, "{span}").unwrap();
        }
        let again = file.header(header.reference()).expect("a header finds itself");
        assert_eq!(again.range(), range);
    }
    if let Some(stop) = headers.stop() {
        write!(words, "{stop} {}", stop.rest()).unwrap();
    }
}

/// Counts what is written.
struct Counter(usize);

impl std::fmt::Write for Counter {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0 += text.len();
        Ok(())
    }
}

fn same_headers(ours: &IgvmFile<'_>, bytes: &[u8], theirs: &Oracle) {
    assert_eq!(ours.compute_checksum(), Some(ours.fixed().checksum()));
    assert_eq!(u64::from(ours.fixed().total_file_size()), ours.file_len());
    let mut walk = ours.headers();
    let headers: Vec<Header<'_>> = walk.by_ref().collect();
    assert_eq!(walk.stop(), None, "the oracle read to the end");

    // The oracle drops headers that are for no platform at all.
    let kept = |section| {
        headers.iter().filter(move |header| {
            header.section() == section && header.value().compatibility_mask() != Some(0)
        })
    };
    let of_section = |section| kept(section).copied().collect::<Vec<_>>();
    let platforms = of_section(HeaderSection::Platform);
    let initializations = of_section(HeaderSection::Initialization);
    let directives = of_section(HeaderSection::Directive);
    let sections = [&platforms, &initializations, &directives].map(Vec::len);
    let counts =
        [theirs.platforms().len(), theirs.initializations().len(), theirs.directives().len()];
    assert_eq!(sections, counts, "headers of each section");
    let dropped = headers.iter().filter(|header| header.value().compatibility_mask() == Some(0));
    assert_eq!(headers.len(), counts.iter().sum::<usize>() + dropped.count());

    for (ours, theirs) in platforms.iter().zip(theirs.platforms()) {
        header::same_platform(ours, theirs);
    }
    let at = header::Place { file: ours, bytes };
    for (ours, theirs) in initializations.iter().zip(theirs.initializations()) {
        at.same_initialization(ours, theirs);
    }
    for (ours, theirs) in directives.iter().zip(theirs.directives()) {
        at.same_directive(ours, theirs);
    }
}
