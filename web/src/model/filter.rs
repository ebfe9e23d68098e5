//! Which headers are shown.

use std::collections::BTreeMap;

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

    /// The indices of the headers that are shown; `None` for all.
    pub fn apply(&self, document: &Document) -> Option<Vec<u32>> {
        if self.is_empty() {
            return None;
        }
        let words: Vec<String> =
            self.text.split_whitespace().map(str::to_ascii_lowercase).collect();
        let file = document.file();
        let shown = file.headers().filter(|header| {
            self.kind.is_none_or(|kind| header.typ().0 == kind)
                && self.mask.is_none_or(|mask| header.value().applies_to(mask))
                && (words.is_empty() || {
                    let line = line(document, header).to_ascii_lowercase();
                    words.iter().all(|word| line.contains(word))
                })
        });
        Some(shown.map(|header| header.index).collect())
    }
}

/// The text that a search looks at: as the row reads.
fn line(document: &Document, header: &Header<'_>) -> String {
    let name = kind_name(header.typ()).unwrap_or("unknown");
    let data = document.file().data_range(header, document.data());
    format!("{} {:#x} {name} {}", header.index, header.raw.offset, summary(header, data))
}

/// The types that a file has, and how often.
pub fn kinds(document: &Document) -> BTreeMap<u32, u32> {
    let mut kinds = BTreeMap::new();
    for header in document.file().headers() {
        *kinds.entry(header.typ().0).or_default() += 1;
    }
    kinds
}

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
        let shown = |filter: Filter| filter.apply(&document).unwrap();
        assert_eq!(Filter::default().apply(&document), None);
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
        assert_eq!(kinds(&document).values().sum::<u32>(), document.header_count());
    }
}
