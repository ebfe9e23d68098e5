//! An opened file: its headers in memory, its data where it is.

use std::fmt;

use igvm_analysis::report::Size;
use igvm_core::file::{Header, HeaderRef, IgvmFile};
use igvm_core::wire::{FixedHeader, FixedHeaderError};

use super::blocks::{Blocks, ByteSource};
use super::focus::Subject;

/// Most bytes of headers that are read: some 16 million headers.
const HEAD_MAX: u64 = 512 << 20;

/// A file that could at least be read.
pub struct Document {
    /// Which one.
    pub subject: Subject,
    head: Vec<u8>,
    len: u64,
    data: Blocks,
    /// File offset of each header, by index.
    offsets: Vec<u32>,
    /// Why the headers end early, if they do.
    stopped: Option<String>,
}

/// Why a file cannot be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenError {
    /// The browser does not hand its bytes over.
    Unreadable,
    /// It says that it has more bytes of headers than are read here.
    TooManyHeaders(u64),
    /// It is none, or none that is known.
    NotReadable(FixedHeaderError),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable => f.write_str(
                "the browser cannot read this file; it may have been moved or changed since it \
                 was chosen, so choose it again",
            ),
            Self::TooManyHeaders(len) => write!(
                f,
                "the headers of this file take {}; this page reads up to {}, kvm-runner reads all",
                Size(*len),
                Size(HEAD_MAX)
            ),
            Self::NotReadable(error) => error.fmt(f),
        }
    }
}

impl Document {
    /// Reads the headers of a file of `len` bytes.
    ///
    /// # Errors
    /// When it is no IGVM file that can be shown.
    pub fn open(
        subject: Subject,
        len: u64,
        source: Box<dyn ByteSource>,
    ) -> Result<Self, OpenError> {
        let data = Blocks::new(source, len);
        let read = |len: u64| {
            let mut bytes = vec![0; len as usize];
            data.read_direct(0, &mut bytes).then_some(bytes).ok_or(OpenError::Unreadable)
        };
        let first = read(len.min(FixedHeader::MAX_LEN as u64))?;
        let fixed = FixedHeader::parse(&first).map_err(OpenError::NotReadable)?;
        let head_len = IgvmFile::head_len(&fixed, len);
        if head_len > HEAD_MAX {
            return Err(OpenError::TooManyHeaders(head_len));
        }
        let head = read(head_len)?;
        let file = IgvmFile::from_head(&head, len).map_err(OpenError::NotReadable)?;
        let mut walk = file.headers();
        let offsets = walk.by_ref().map(|header| header.raw.offset).collect();
        let stopped = walk.stop().map(|stop| stop.to_string());
        Ok(Self { subject, head, len, data, offsets, stopped })
    }

    /// The decoded view.
    pub fn file(&self) -> IgvmFile<'_> {
        IgvmFile::from_head(&self.head, self.len).expect("the head of a document parses")
    }

    /// The whole file's bytes, by offset.
    pub fn data(&self) -> &Blocks {
        &self.data
    }

    /// How many headers there are.
    pub fn header_count(&self) -> u32 {
        self.offsets.len() as u32
    }

    /// A header by index, at once however many there are.
    pub fn header(&self, index: u32) -> Option<Header<'_>> {
        let offset = *self.offsets.get(index as usize)?;
        self.file().header(HeaderRef { index, offset })
    }

    /// The header whose bytes hold this offset of the file.
    pub fn header_at(&self, offset: u64) -> Option<Header<'_>> {
        let after = self.offsets.partition_point(|start| u64::from(*start) <= offset);
        let index = u32::try_from(after.checked_sub(1)?).ok()?;
        self.header(index).filter(|header| header.range().contains(offset))
    }

    /// Where the first header behind this offset of the file begins.
    pub fn header_after(&self, offset: u64) -> Option<u64> {
        let next = self.offsets.partition_point(|start| u64::from(*start) <= offset);
        self.offsets.get(next).map(|start| u64::from(*start))
    }

    /// Why the headers end early, if they do.
    pub fn stopped(&self) -> Option<&str> {
        self.stopped.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(bytes: Vec<u8>) -> Result<Document, OpenError> {
        let len = bytes.len() as u64;
        Document::open(Subject::File("a".into()), len, Box::new(bytes))
    }

    #[test]
    fn any_header_is_found_by_index_and_by_offset() {
        for sample in igvm_samples::all() {
            let document = open((sample.build)()).unwrap();
            for expected in document.file().headers() {
                let found = document.header(expected.index).unwrap();
                assert_eq!(found.reference(), expected.reference());
                for offset in [expected.range().start, expected.range().end() - 1] {
                    let found = document.header_at(offset).unwrap();
                    assert_eq!(found.index, expected.index, "{}", sample.name);
                }
            }
            assert!(document.header(document.header_count()).is_none());
            assert!(document.header_at(0).is_none());
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_says_why() {
        let says = |bytes: &[u8]| open(bytes.to_vec()).err().map(|error| error.to_string());
        assert_eq!(says(b"").unwrap(), "the file is empty");
        assert!(says(b"\x7fELF....").unwrap().starts_with("not an IGVM file"));
        // Half a file is still shown.
        let whole = (igvm_samples::all()[3].build)();
        let half = open(whole[..whole.len() / 2].to_vec()).unwrap();
        assert_eq!(half.header_count(), open(whole).unwrap().header_count());
    }
}
