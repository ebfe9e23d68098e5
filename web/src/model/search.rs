//! Looking for bytes, in the file or in written guest memory, in steps.

use igvm_core::load::{Extent, Source};

use super::document::Document;
use super::hex::Place;
use super::machine::Loaded;

/// Bytes that are looked at before the next look at the clock.
const STEP: u64 = 1 << 20;

/// Places that are kept; more are counted.
pub const HITS_MAX: usize = 1000;

/// Bytes that one can look for.
const NEEDLE_MAX: usize = 256;

/// What is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Where.
    pub place: Place,
    /// As it was typed.
    pub text: String,
    /// Whether that is text, and not hexadecimal.
    pub is_text: bool,
}

impl Wanted {
    /// The bytes.
    ///
    /// # Errors
    /// A sentence, when there are none, too many, or no hexadecimal digits.
    pub fn needle(&self) -> Result<Vec<u8>, String> {
        let needle = match self.is_text {
            true => self.text.clone().into_bytes(),
            false => bytes(&self.text)?,
        };
        match needle.len() {
            0 => Err("There is nothing to look for: type bytes or text.".into()),
            len if len > NEEDLE_MAX => {
                Err(format!("These are {len} bytes; at most {NEEDLE_MAX} can be looked for."))
            }
            _ => Ok(needle),
        }
    }
}

/// `de ad be ef`, `deadbeef`, `0xde, 0xad`.
fn bytes(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    for word in text.split([' ', ',', '\t', '\n']).filter(|word| !word.is_empty()) {
        let digits = word.strip_prefix("0x").unwrap_or(word).as_bytes();
        let value = |digit: &u8| char::from(*digit).to_digit(16).map(|value| value as u8);
        for pair in digits.chunks(2) {
            let values: Option<Vec<u8>> = pair.iter().map(value).collect();
            match values.as_deref() {
                Some([high, low]) => bytes.push(high << 4 | low),
                _ => {
                    return Err(format!(
                        "“{word}” is not bytes in hexadecimal, two digits each; to look for \
                         words, choose text."
                    ));
                }
            }
        }
    }
    Ok(bytes)
}

/// A search, and what it found so far.
#[derive(Debug)]
pub struct Search {
    /// What is looked for.
    pub wanted: Wanted,
    needle: Needle,
    /// The address that is looked at next.
    next: u64,
    /// Bytes that were looked at.
    seen: u64,
    hits: Vec<u64>,
    count: u64,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Runs,
    Done,
    Stopped,
    Unreadable,
}

impl Search {
    /// Begins.
    ///
    /// # Errors
    /// A sentence, see [`Wanted::needle`].
    pub fn new(wanted: Wanted) -> Result<Self, String> {
        let needle = Needle::new(wanted.needle()?);
        let (hits, state) = (Vec::new(), State::Runs);
        Ok(Self { wanted, needle, next: 0, seen: 0, hits, count: 0, state })
    }

    /// The first places, by address.
    pub fn hits(&self) -> &[u64] {
        &self.hits
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Bytes that a place has.
    pub fn len(&self) -> u64 {
        self.needle.bytes.len() as u64
    }

    /// Whether nothing was looked for: never.
    pub fn is_empty(&self) -> bool {
        self.needle.bytes.is_empty()
    }

    /// Why not everything was looked at, where it was not.
    pub fn incomplete(&self) -> Option<&'static str> {
        match self.state {
            State::Stopped => Some("cancelled"),
            State::Unreadable => Some("the browser cannot read on from here"),
            State::Runs | State::Done => None,
        }
    }

    /// Keeps what was found, and looks no further.
    pub fn stop(&mut self) {
        if self.state == State::Runs {
            self.state = State::Stopped;
        }
    }

    /// How much is done, of 1; `None` when all is.
    pub fn progress(&self, document: &Document, loaded: Option<&Loaded>) -> Option<f64> {
        let whole = match self.wanted.place {
            Place::File => document.file().file_len(),
            Place::Guest => loaded.map_or(0, |loaded| loaded.written.bytes),
        };
        (self.state == State::Runs).then(|| (self.seen as f64 / whole.max(1) as f64).min(1.0))
    }

    /// Looks at some bytes; false when there is nothing left to do.
    pub fn step(&mut self, document: &Document, loaded: Option<&Loaded>) -> bool {
        if self.state == State::Runs {
            self.state = match (self.wanted.place, loaded) {
                (Place::File, _) => self.step_in_file(document, STEP),
                (Place::Guest, Some(loaded)) => self.step_in_guest(document, loaded, STEP),
                (Place::Guest, None) => State::Done,
            };
        }
        self.state == State::Runs
    }

    /// Bytes beyond a step, for what begins in it and ends behind it.
    fn overlap(&self) -> u64 {
        self.len() - 1
    }

    fn step_in_file(&mut self, document: &Document, step: u64) -> State {
        let left = document.file().file_len().saturating_sub(self.next);
        if left < self.len() {
            return State::Done;
        }
        let mut bytes = vec![0; left.min(step + self.overlap()) as usize];
        if !document.data().read_direct(self.next, &mut bytes) {
            return State::Unreadable;
        }
        self.look(&bytes, step.min(left));
        State::Runs
    }

    /// One step in a stretch of written memory without a gap.
    fn step_in_guest(&mut self, document: &Document, loaded: &Loaded, step: u64) -> State {
        let mut extents = loaded.extents_above(self.next).peekable();
        let Some(first) = extents.next() else { return State::Done };
        self.next = self.next.max(first.span.start);
        let left = first.span.end() - self.next;
        if is_zero(first) && left > step + self.overlap() {
            self.pass_zeroes(left - self.overlap());
            return State::Runs;
        }
        let mut end = first.span.end();
        let wanted = self.next.saturating_add(step + self.overlap());
        while end < wanted
            && let Some(next) = extents.next_if(|next| next.span.start == end)
        {
            end = next.span.end();
        }
        let len = end.min(wanted) - self.next;
        let Some(bytes) = loaded.read(document, self.next, len as usize) else {
            return State::Unreadable;
        };
        self.look(&bytes, step.min(len));
        State::Runs
    }

    /// Zeroes, however many: what begins here is either everywhere or nowhere.
    fn pass_zeroes(&mut self, len: u64) {
        if self.needle.bytes.iter().all(|byte| *byte == 0) {
            let room = (HITS_MAX - self.hits.len()) as u64;
            self.hits.extend(self.next..self.next + len.min(room));
            self.count += len;
        }
        self.go_on(len);
    }

    /// Finds what begins in the first `len` of these bytes.
    fn look(&mut self, bytes: &[u8], len: u64) {
        for at in self.needle.find_all(bytes).take_while(|at| *at < len) {
            self.count += 1;
            if self.hits.len() < HITS_MAX {
                self.hits.push(self.next + at);
            }
        }
        self.go_on(len);
    }

    fn go_on(&mut self, len: u64) {
        self.seen += len;
        match self.next.checked_add(len) {
            Some(next) => self.next = next,
            None => self.state = State::Done,
        }
    }
}

fn is_zero(extent: &Extent) -> bool {
    matches!(extent.source, Source::Zero | Source::Untouched)
}

/// Bytes that are looked for by Horspool's method: the byte under the last one
/// says how far to go.
#[derive(Debug)]
struct Needle {
    bytes: Vec<u8>,
    /// By the value of a byte, how far its last occurrence is from the end.
    shifts: [u16; 256],
}

impl Needle {
    fn new(bytes: Vec<u8>) -> Self {
        let mut shifts = [bytes.len() as u16; 256];
        for (at, byte) in bytes.iter().enumerate().take(bytes.len().saturating_sub(1)) {
            shifts[usize::from(*byte)] = (bytes.len() - 1 - at) as u16;
        }
        Self { bytes, shifts }
    }

    /// Where it begins, overlaps included.
    fn find_all<'a>(&'a self, bytes: &'a [u8]) -> impl Iterator<Item = u64> + 'a {
        let mut at = 0;
        std::iter::from_fn(move || {
            while let Some(window) = bytes.get(at..at + self.bytes.len()) {
                let (found, here) = (window == self.bytes, at);
                at += usize::from(self.shifts[usize::from(*window.last()?)]).max(1);
                if found {
                    return Some(here as u64);
                }
            }
            None
        })
    }
}

/// The hits before and behind a place.
pub fn around(hits: &[u64], at: Option<u64>) -> (Option<u64>, Option<u64>) {
    let Some(at) = at else { return (None, hits.first().copied()) };
    let before = hits.partition_point(|hit| *hit < at);
    let behind = hits.partition_point(|hit| *hit <= at);
    (before.checked_sub(1).map(|nth| hits[nth]), hits.get(behind).copied())
}

#[cfg(test)]
mod tests {
    use igvm_analysis::host::HostDescription;
    use igvm_core::data::FileData;
    use igvm_core::load::Space;
    use igvm_core::span::Span;
    use proptest::prelude::*;

    use super::*;
    use crate::model::focus::Subject;
    use crate::model::machine::first_platform;

    fn naive(bytes: &[u8], needle: &[u8]) -> Vec<u64> {
        let windows = bytes.windows(needle.len()).enumerate();
        windows.filter(|(_, window)| *window == needle).map(|(at, _)| at as u64).collect()
    }

    fn hexadecimal(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x} ")).collect()
    }

    /// Everything that is found, with steps of this size.
    fn found(
        document: &Document,
        loaded: &Loaded,
        place: Place,
        needle: &[u8],
        step: u64,
    ) -> (Vec<u64>, u64) {
        let wanted = Wanted { place, text: hexadecimal(needle), is_text: false };
        let mut search = Search::new(wanted).unwrap();
        loop {
            let state = match place {
                Place::File => search.step_in_file(document, step),
                Place::Guest => search.step_in_guest(document, loaded, step),
            };
            if state != State::Runs {
                assert_eq!(state, State::Done);
                return (search.hits, search.count);
            }
        }
    }

    /// Stretches of written memory, with their bytes.
    fn stretches(document: &Document, loaded: &Loaded) -> Vec<(u64, Vec<u8>)> {
        let mut spans: Vec<Span> = Vec::new();
        for extent in loaded.extents(Space::Guest) {
            match spans.last_mut() {
                Some(last) if last.end() == extent.span.start => last.len += extent.span.len,
                _ => spans.push(extent.span),
            }
        }
        let read = |span: Span| loaded.read(document, span.start, span.len as usize).unwrap();
        spans.iter().map(|span| (span.start, read(*span))).collect()
    }

    #[test]
    fn every_place_is_found_across_extents_and_steps() {
        for sample in igvm_samples::all() {
            let bytes = (sample.build)();
            if bytes.len() > 1 << 20 {
                continue;
            }
            let subject = Subject::Sample(sample.name.into());
            let len = bytes.len() as u64;
            let document = Document::open(subject, len, Box::new(bytes.clone())).unwrap();
            let platform = first_platform(&document).unwrap();
            let loaded = Loaded::new(&document, platform, &HostDescription::default()).unwrap();
            let stretches = stretches(&document, &loaded);
            if stretches.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() > 1 << 21 {
                continue;
            }
            // What stands at the edges of extents and of pages, and zeroes.
            let edges = loaded.extents(Space::Guest).take(6).map(|extent| extent.span.end());
            let mut needles: Vec<Vec<u8>> =
                edges.filter_map(|end| loaded.read(&document, end.checked_sub(3)?, 6)).collect();
            needles.extend([vec![0; 5], vec![0], b"Hello".to_vec(), bytes[..9].to_vec()]);
            for needle in needles {
                for step in [0x333, 0x1000] {
                    let expected = naive(&bytes, &needle);
                    let (hits, count) = found(&document, &loaded, Place::File, &needle, step);
                    assert_eq!(count, expected.len() as u64, "{} {needle:x?}", sample.name);
                    assert_eq!(hits, expected[..hits.len()]);
                    let expected: Vec<u64> = stretches
                        .iter()
                        .flat_map(|(at, bytes)| {
                            naive(bytes, &needle).into_iter().map(move |hit| at + hit)
                        })
                        .collect();
                    let (hits, count) = found(&document, &loaded, Place::Guest, &needle, step);
                    assert_eq!(count, expected.len() as u64, "{} {needle:x?}", sample.name);
                    assert_eq!(hits, expected[..hits.len()]);
                    assert_eq!(hits.len(), expected.len().min(HITS_MAX));
                }
            }
            assert!(document.data().read_at(0, &mut [0]).is_ok());
        }
    }

    proptest! {
        #[test]
        fn the_method_finds_what_looking_at_every_byte_finds(
            bytes in prop::collection::vec(0..3_u8, 0..300),
            needle in prop::collection::vec(0..3_u8, 1..6),
        ) {
            let found: Vec<u64> = Needle::new(needle.clone()).find_all(&bytes).collect();
            prop_assert_eq!(found, naive(&bytes, &needle));
        }

        #[test]
        fn typed_bytes_are_understood(bytes in prop::collection::vec(any::<u8>(), 1..40), text in ".{0,20}") {
            let wanted = |text: String| Wanted { place: Place::File, text, is_text: false };
            prop_assert_eq!(wanted(hexadecimal(&bytes)).needle(), Ok(bytes.clone()));
            prop_assert_eq!(wanted(hexadecimal(&bytes).replace(' ', "")).needle(), Ok(bytes));
            let _ = wanted(text).needle();
        }
    }

    #[test]
    fn what_cannot_be_looked_for_is_said() {
        let says = |text: &str, is_text| {
            let wanted = Wanted { place: Place::File, text: text.into(), is_text };
            wanted.needle().unwrap_err()
        };
        assert!(says("", true).starts_with("There is nothing to look for"));
        assert!(says("abc", false).starts_with("“abc” is not bytes in hexadecimal"));
        assert!(says("hello", false).contains("choose text"));
        assert!(says(&"a".repeat(300), true).starts_with("These are 300 bytes"));
        assert_eq!(around(&[4, 8, 12], Some(8)), (Some(4), Some(12)));
        assert_eq!(around(&[4, 8], None), (None, Some(4)));
        assert_eq!(around(&[4], Some(2)), (None, Some(4)));
    }
}
