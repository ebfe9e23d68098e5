//! What can be taken away as a file. Nothing is built as a whole: a sink takes
//! pieces, and ranges of the opened file stay ranges.

use std::io::{self, BufWriter, Write};

use igvm_analysis::report::{ExtentView, FindingsReport, InspectReport, StateReport};
use igvm_core::load::{Extent, Source, Space};
use igvm_core::span::Span;
use serde::Serialize;

use super::blocks::ByteSource;
use super::document::Document;
use super::goto;
use super::machine::Loaded;

/// Bytes of guest memory that are exported at once.
pub const MEMORY_MAX: u64 = 4 << 30;

/// Headers and extents of a file whose analysis fits into a tab.
const ANALYSIS_MAX: u64 = 200_000;

/// Bytes of a piece.
const PIECE: usize = 1 << 20;

/// Something to take away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Export {
    /// The analysis as JSON: headers, machine, findings.
    Json,
    /// The page as one document.
    Report,
    /// The opened file itself.
    File,
    /// A range of guest memory.
    Memory(Span),
}

/// Where a file to take away is put together.
pub trait Sink {
    /// These bytes.
    fn bytes(&mut self, bytes: &[u8]);
    /// A range of the opened file.
    fn file(&mut self, source: &dyn ByteSource, span: Span);
    /// So many zeroes.
    fn zeroes(&mut self, len: u64);
}

impl Export {
    /// What the file is called.
    pub fn name(self, document: &Document) -> String {
        let name = document.subject.name();
        let stem = name.strip_suffix(".igvm").unwrap_or(name);
        match self {
            Self::Json => format!("{stem}.json"),
            Self::Report => format!("{stem}.html"),
            Self::File => format!("{stem}.igvm"),
            Self::Memory(span) => format!("{stem}-{:#x}.bin", span.start),
        }
    }
}

/// Understands a range of guest memory as it was typed.
///
/// # Errors
/// A sentence.
pub fn range(address: &str, length: &str) -> Result<Span, String> {
    let start = goto::address(address)
        .ok_or_else(|| format!("“{address}” is not an address: write 0x1000."))?;
    let len = size(length)
        .ok_or_else(|| format!("“{length}” is not a length: write 0x1000, 4096, 64K or 2M."))?;
    let span = Span::new(start, len);
    if len == 0 {
        return Err("A range of no bytes makes no file.".into());
    }
    if span.checked_end().is_none() {
        return Err("The range ends beyond the last address.".into());
    }
    if len > MEMORY_MAX {
        return Err("At most 4 GiB of guest memory can be taken at once; kvm-runner state --read \
                    takes more."
            .into());
    }
    Ok(span)
}

/// A number of bytes: `4096`, `0x1000`, `64K`, `2M`, `1G`.
fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    let unit = match text.chars().next_back()?.to_ascii_uppercase() {
        'K' => 10,
        'M' => 20,
        'G' => 30,
        _ => 0,
    };
    let digits = if unit == 0 { text } else { &text[..text.len() - 1] };
    let number = match digits.strip_prefix("0x") {
        Some(digits) => goto::address(digits)?,
        None => digits.replace('_', "").parse().ok()?,
    };
    number.checked_mul(1 << unit)
}

/// The whole analysis, as `kvm-runner` prints its parts.
#[derive(Serialize)]
struct Analysis<'a> {
    file: &'a str,
    /// `kvm-runner inspect --json`
    inspect: InspectReport<'a, super::blocks::Blocks>,
    /// `kvm-runner state --json`; `null` where there is no machine.
    state: Option<StateReport>,
    /// `kvm-runner check --json`
    check: &'a FindingsReport,
}

/// Writes the analysis as JSON.
///
/// # Errors
/// A sentence, when it is too large for a tab.
pub fn write_json(
    document: &Document,
    loaded: Option<&Loaded>,
    findings: &FindingsReport,
    sink: &mut dyn Sink,
) -> Result<(), String> {
    let extents = loaded.map_or(0, |loaded| loaded.written.extents);
    if extents.max(document.header_count().into()) > ANALYSIS_MAX {
        return Err(format!(
            "This file has {} headers and {extents} ranges of memory: too much JSON for a tab. \
             kvm-runner inspect, state and check write it with --json.",
            document.header_count()
        ));
    }
    let file = document.file();
    let analysis = Analysis {
        file: document.subject.name(),
        inspect: InspectReport::new(&file, document.data()),
        state: loaded.map(whole_state),
        check: findings,
    };
    let mut out = BufWriter::with_capacity(PIECE, Pieces(sink));
    serde_json::to_writer_pretty(&mut out, &analysis)
        .map_err(io::Error::from)
        .and_then(|()| out.flush())
        .map_err(|error| format!("The JSON cannot be written: {error}."))
}

/// The machine with its extents.
fn whole_state(loaded: &Loaded) -> StateReport {
    let extents = |space| loaded.extents(space).map(ExtentView::from).collect();
    StateReport {
        memory: extents(Space::Guest),
        required_memory: extents(Space::Required),
        error_ranges: extents(Space::ErrorRange),
        ..loaded.state.clone()
    }
}

/// A sink to write into.
struct Pieces<'a>(&'a mut dyn Sink);

impl Write for Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.bytes(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes a range of guest memory; what nothing wrote is zeroes.
///
/// # Errors
/// A sentence, where the file cannot be read.
pub fn write_memory(
    document: &Document,
    loaded: &Loaded,
    span: Span,
    sink: &mut dyn Sink,
) -> Result<(), String> {
    let mut at = span.start;
    let mut from_file = Span::default();
    for extent in loaded.machine().image().extents_in(Space::Guest, span) {
        let gap = extent.span.start - at;
        at = extent.span.end();
        let file = extent.file_span();
        // Ranges that go on in the file, too, are one.
        if let Some(more) = file.filter(|more| gap == 0 && more.start == from_file.end()) {
            from_file.len += more.len;
            continue;
        }
        flush_file(document, &mut from_file, sink)?;
        sink.zeroes(gap);
        match file {
            Some(file) => from_file = file,
            None => made(document, loaded, &extent, sink)?,
        }
    }
    flush_file(document, &mut from_file, sink)?;
    sink.zeroes(span.end() - at);
    Ok(())
}

fn flush_file(document: &Document, span: &mut Span, sink: &mut dyn Sink) -> Result<(), String> {
    let span = std::mem::take(span);
    if span.end() > document.file().file_len() {
        return Err("The file ends before the data of this memory.".into());
    }
    if !span.is_empty() {
        sink.file(document.data().source(), span);
    }
    Ok(())
}

/// What does not come from the file.
fn made(
    document: &Document,
    loaded: &Loaded,
    extent: &Extent,
    sink: &mut dyn Sink,
) -> Result<(), String> {
    if matches!(extent.source, Source::Zero | Source::Untouched) {
        sink.zeroes(extent.span.len);
        return Ok(());
    }
    let mut at = extent.span.start;
    while at < extent.span.end() {
        let len = (extent.span.end() - at).min(PIECE as u64);
        let bytes = loaded.read(document, at, len as usize);
        sink.bytes(&bytes.ok_or("The browser cannot read the file any more.")?);
        at += len;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use igvm_analysis::host::HostDescription;
    use proptest::prelude::*;

    use super::*;
    use crate::model::focus::Subject;
    use crate::model::machine::{findings, first_platform};

    #[derive(Default)]
    struct Whole(Vec<u8>);

    impl Sink for Whole {
        fn bytes(&mut self, bytes: &[u8]) {
            self.0.extend(bytes);
        }
        fn file(&mut self, source: &dyn ByteSource, span: Span) {
            let start = self.0.len();
            self.0.resize(start + span.len as usize, 0);
            assert!(source.read(span.start, &mut self.0[start..]));
        }
        fn zeroes(&mut self, len: u64) {
            self.0.resize(self.0.len() + len as usize, 0);
        }
    }

    fn opened(name: &str) -> (Document, Loaded) {
        let bytes = (igvm_samples::by_name(name).unwrap().build)();
        let len = bytes.len() as u64;
        let document = Document::open(Subject::Sample(name.into()), len, Box::new(bytes)).unwrap();
        let platform = first_platform(&document).unwrap();
        let loaded = Loaded::new(&document, platform, &HostDescription::default()).unwrap();
        (document, loaded)
    }

    #[test]
    fn json_is_what_the_reports_are() {
        for sample in igvm_samples::all().iter().filter(|sample| sample.committed) {
            let (document, loaded) = opened(sample.name);
            let findings = findings(&document, &HostDescription::default());
            let mut sink = Whole::default();
            write_json(&document, Some(&loaded), &findings, &mut sink).unwrap();
            let json: serde_json::Value = serde_json::from_slice(&sink.0).unwrap();
            let extents = json["state"]["memory"].as_array().unwrap().len() as u64;
            assert_eq!(extents, loaded.written.extents);
            let headers = json["inspect"]["headers"].as_array().unwrap().len();
            assert_eq!(headers as u32, document.header_count());
            assert_eq!(json["check"], serde_json::to_value(&findings).unwrap());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn memory_is_what_reading_gives(
            name in prop::sample::select(vec!["hello-long64", "parameters", "overlap", "platforms"]),
            start in 0..0x2_0000_u64,
            len in 1..0x1_0000_u64,
        ) {
            let (document, loaded) = opened(name);
            let mut sink = Whole::default();
            write_memory(&document, &loaded, Span::new(start, len), &mut sink).unwrap();
            prop_assert!(sink.0 == loaded.read(&document, start, len as usize).unwrap());
        }

        #[test]
        fn any_range_may_be_typed(address in ".{0,12}", length in ".{0,12}") {
            let _ = range(&address, &length);
        }
    }

    #[test]
    fn ranges_are_understood_or_refused_in_a_sentence() {
        for (address, length, expected) in [
            ("0x1000", "4K", Ok(Span::new(0x1000, 0x1000))),
            ("ffff_f000", "0x1000", Ok(Span::new(0xffff_f000, 0x1000))),
            ("0", "17", Ok(Span::new(0, 17))),
            ("0", "4G", Ok(Span::new(0, 4 << 30))),
            ("0", "5G", Err("At most 4 GiB")),
            ("0", "0", Err("A range of no bytes")),
            ("xyz", "1", Err("“xyz” is not an address")),
            ("0", "99999999999G", Err("“99999999999G” is not a length")),
            ("0xffffffffffffffff", "2", Err("The range ends beyond")),
        ] {
            match (range(address, length), expected) {
                (Ok(span), Ok(expected)) => assert_eq!(span, expected),
                (Err(error), Err(start)) => assert!(error.starts_with(start), "{error}"),
                (got, _) => panic!("{address} {length}: {got:?}"),
            }
        }
    }
}
