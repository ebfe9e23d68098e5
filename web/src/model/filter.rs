//! Which headers are shown.

use igvm_analysis::report::summary;
use igvm_core::file::Header;
use igvm_core::wire::kind_name;

use super::document::Document;

/// What a header must be like to be shown.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// The type, without the optional bit.
    pub kind: Option<u32>,
    /// It must apply to a platform with this compatibility mask.
    pub mask: Option<u32>,
    /// Words that must all stand in its line.
    pub text: String,
}

impl Filter {
    /// Whether everything is shown.
    pub fn is_empty(&self) -> bool {
        self.kind.is_none() && self.mask.is_none() && self.text.trim().is_empty()
    }

    fn passes(&self, words: &[String], document: &Document, header: &Header<'_>) -> bool {
        self.kind.is_none_or(|kind| header.typ().0 == kind)
            && self.mask.is_none_or(|mask| header.value().applies_to(mask))
            && (words.is_empty() || {
                let line = line(document, header).to_ascii_lowercase();
                words.iter().all(|word| line.contains(word))
            })
    }
}

/// Headers that are looked at before the next look at the clock.
const BATCH: u32 = 2048;

/// The headers that pass a filter, found in steps: there may be a million.
#[derive(Debug, Default)]
pub struct Filtered {
    filter: Filter,
    words: Vec<String>,
    shown: Vec<u32>,
    /// The header that is looked at next.
    next: u32,
    stopped: bool,
}

impl Filtered {
    /// Begins anew.
    pub fn new(filter: Filter) -> Self {
        let words = filter.text.split_whitespace().map(str::to_ascii_lowercase).collect();
        Self { filter, words, ..Self::default() }
    }

    /// The filter.
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// The indices of the headers that are shown; `None` for all.
    pub fn shown(&self) -> Option<&[u32]> {
        (!self.filter.is_empty()).then_some(self.shown.as_slice())
    }

    /// Looks at some headers; false when there is nothing left to do.
    pub fn step(&mut self, document: &Document) -> bool {
        if self.is_done(document) {
            return false;
        }
        let end = self.next.saturating_add(BATCH).min(document.header_count());
        let headers = (self.next..end).filter_map(|index| document.header(index));
        let passing = headers.filter(|h| self.filter.passes(&self.words, document, h));
        let passing: Vec<u32> = passing.map(|header| header.index).collect();
        self.shown.extend(passing);
        self.next = end;
        true
    }

    /// How much is done, of 1; `None` when all is.
    pub fn progress(&self, document: &Document) -> Option<f64> {
        (!self.is_done(document))
            .then(|| f64::from(self.next) / f64::from(document.header_count().max(1)))
    }

    fn is_done(&self, document: &Document) -> bool {
        self.stopped || self.filter.is_empty() || self.next >= document.header_count()
    }

    /// Keeps what was found, and looks no further.
    pub fn stop(&mut self) {
        self.stopped = true;
    }

    /// Whether it was stopped before its end.
    pub fn is_incomplete(&self, document: &Document) -> bool {
        self.stopped && self.next < document.header_count()
    }
}

/// The text that a search looks at: as the row reads.
fn line(document: &Document, header: &Header<'_>) -> String {
    let name = kind_name(header.typ()).unwrap_or("unknown");
    let data = document.file().data_range(header, document.data());
    format!("{} {:#x} {name} {}", header.index, header.raw.offset, summary(header, data))
}

/// The types that a file has, in order, and how often. There are few.
pub fn kinds(document: &Document) -> Vec<(u32, u32)> {
    let mut kinds: Vec<(u32, u32)> = Vec::new();
    for header in document.file().headers() {
        let kind = header.typ().0;
        match kinds.binary_search_by_key(&kind, |(kind, _)| *kind) {
            Ok(at) => kinds[at].1 += 1,
            Err(at) if kinds.len() < KINDS_MAX => kinds.insert(at, (kind, 1)),
            Err(_) => {}
        }
    }
    kinds
}

/// More types than there are; a file of random bytes can have any number.
const KINDS_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use igvm_core::wire::Value;

    use super::*;
    use crate::model::focus::Subject;

    #[test]
    fn filters_say_what_they_do() {
        let bytes = (igvm_samples::by_name("platforms").unwrap().build)();
        let len = bytes.len() as u64;
        let document =
            Document::open(Subject::Sample("platforms".into()), len, Box::new(bytes)).unwrap();
        let shown = |filter: Filter| {
            let mut filtered = Filtered::new(filter);
            while filtered.step(&document) {}
            filtered.shown().unwrap().to_vec()
        };
        assert_eq!(Filtered::new(Filter::default()).shown(), None);
        let contexts = shown(Filter { text: "vp_CONTEXT".into(), ..Filter::default() });
        assert_eq!(contexts.len(), 4);
        let vsm = shown(Filter { text: "context 0x228".into(), ..Filter::default() });
        assert_eq!(vsm, [18]);
        for index in shown(Filter { mask: Some(2), ..Filter::default() }) {
            assert!(document.header(index).unwrap().value().applies_to(2));
        }
        let kind = document.header(0).unwrap().typ().0;
        for index in shown(Filter { kind: Some(kind), ..Filter::default() }) {
            let value = document.header(index).unwrap().value();
            assert!(matches!(value, Value::SupportedPlatform(_)));
        }
        let counted: u32 = kinds(&document).iter().map(|(_, number)| number).sum();
        assert_eq!(counted, document.header_count());
    }
}
