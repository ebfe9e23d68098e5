//! Where the bytes of the file come from.
//!
//! Decoding needs the headers in memory. The file data behind them (most of
//! any file) is only read where somebody asks for it, and may stay on disk.

use core::fmt;

use crate::span::Span;

/// The whole file, by offset.
pub trait FileData {
    /// Fills `buf` with the bytes from `offset` of the file.
    ///
    /// # Errors
    /// Fails when the range passes the end of the file or cannot be read; then
    /// `buf` holds nothing of meaning.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError>;

    /// The bytes themselves, where they are in memory already.
    fn bytes(&self, span: Span) -> Option<&[u8]> {
        let _ = span;
        None
    }
}

/// A part of the file that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadError {
    /// What was asked for.
    pub span: Span,
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the file has no readable bytes at {}", self.span)
    }
}

impl core::error::Error for ReadError {}

impl FileData for [u8] {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        let span = Span::new(offset, buf.len() as u64);
        buf.copy_from_slice(self.bytes(span).ok_or(ReadError { span })?);
        Ok(())
    }

    fn bytes(&self, span: Span) -> Option<&[u8]> {
        let start = usize::try_from(span.start).ok()?;
        let end = usize::try_from(span.checked_end()?).ok()?;
        self.get(start..end)
    }
}

impl<T: FileData + ?Sized> FileData for &T {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        (**self).read_at(offset, buf)
    }

    fn bytes(&self, span: Span) -> Option<&[u8]> {
        (**self).bytes(span)
    }
}
