//! File data in blocks: read when asked for, the last few kept.

use std::any::Any;
use std::cell::{Cell, RefCell};

use igvm_core::data::{FileData, ReadError};
use igvm_core::span::Span;

/// Bytes of a block.
const BLOCK: u64 = 64 << 10;

/// Blocks that are kept: 4 MiB.
const KEPT: usize = 64;

/// Something with bytes at offsets: a file that the browser holds.
pub trait ByteSource {
    /// Fills `buf` from `offset`; false if that cannot be done.
    fn read(&self, offset: u64, buf: &mut [u8]) -> bool;

    /// The source itself, for who knows its kind and what else it can do.
    fn as_any(&self) -> Option<&dyn Any> {
        None
    }
}

impl ByteSource for Vec<u8> {
    fn read(&self, offset: u64, buf: &mut [u8]) -> bool {
        self.as_slice().read_at(offset, buf).is_ok()
    }
}

/// A source with a cache before it.
pub struct Blocks {
    source: Box<dyn ByteSource>,
    len: u64,
    /// Block numbers and bytes, the one used last at the end.
    kept: RefCell<Vec<(u64, Vec<u8>)>>,
    /// Whether the source refused bytes that it should have.
    failed: Cell<bool>,
}

impl Blocks {
    /// A source of `len` bytes.
    pub fn new(source: Box<dyn ByteSource>, len: u64) -> Self {
        Self { source, len, kept: RefCell::default(), failed: Cell::default() }
    }

    /// What is behind the cache.
    pub fn source(&self) -> &dyn ByteSource {
        self.source.as_ref()
    }

    /// Bytes there are.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Reads past the cache: for what is read once.
    pub fn read_direct(&self, offset: u64, buf: &mut [u8]) -> bool {
        let read = self.source.read(offset, buf);
        self.failed.set(self.failed.get() || !read);
        read
    }

    /// Whether bytes were refused since this was asked last: the file is not
    /// the one any more that was opened.
    pub fn take_failed(&self) -> bool {
        self.failed.take()
    }

    /// Copies the part of `block` that starts at `skip`.
    fn copy(&self, block: u64, skip: usize, buf: &mut [u8]) -> Option<()> {
        let mut kept = self.kept.borrow_mut();
        let entry = match kept.iter().position(|(number, _)| *number == block) {
            Some(at) => kept.remove(at),
            None => {
                if kept.len() >= KEPT {
                    kept.remove(0);
                }
                let start = block * BLOCK;
                let mut bytes = vec![0; BLOCK.min(self.len.checked_sub(start)?) as usize];
                self.read_direct(start, &mut bytes).then_some(())?;
                (block, bytes)
            }
        };
        buf.copy_from_slice(entry.1.get(skip..)?.get(..buf.len())?);
        kept.push(entry);
        Some(())
    }
}

impl FileData for Blocks {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        let span = Span::new(offset, buf.len() as u64);
        let error = ReadError { span };
        if span.checked_end().is_none_or(|end| end > self.len) {
            return Err(error);
        }
        let (mut at, mut rest) = (offset, buf);
        while !rest.is_empty() {
            let skip = at % BLOCK;
            let len = (BLOCK - skip).min(rest.len() as u64) as usize;
            let (part, after) = rest.split_at_mut(len);
            self.copy(at / BLOCK, skip as usize, part).ok_or(error)?;
            (at, rest) = (at + len as u64, after);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use proptest::prelude::*;

    use super::*;

    /// Counts what is read.
    struct Counted(Vec<u8>, Rc<Cell<u64>>);

    impl ByteSource for Counted {
        fn read(&self, offset: u64, buf: &mut [u8]) -> bool {
            self.1.set(self.1.get() + buf.len() as u64);
            self.0.read(offset, buf)
        }
    }

    fn pattern(len: usize) -> Vec<u8> {
        (0..len).map(|at| (at * 7 + at / 251) as u8).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn blocks_read_as_the_bytes_do(
            len in 0..400_000_usize,
            reads in prop::collection::vec((0..420_000_u64, 0..200_000_usize), 1..12),
        ) {
            let bytes = pattern(len);
            let blocks = Blocks::new(Box::new(bytes.clone()), len as u64);
            for (offset, len) in reads {
                let (mut ours, mut plain) = (vec![0; len], vec![0; len]);
                let expected = bytes.as_slice().read_at(offset, &mut plain);
                prop_assert_eq!(blocks.read_at(offset, &mut ours), expected);
                prop_assert!(expected.is_err() || ours == plain);
            }
        }
    }

    #[test]
    fn a_block_is_read_once() {
        let (len, read) = (3 * BLOCK + 5, Rc::new(Cell::new(0)));
        let source = Counted(pattern(len as usize), read.clone());
        let blocks = Blocks::new(Box::new(source), len);
        for offset in [0, 1, BLOCK - 1, 3 * BLOCK] {
            assert!(blocks.read_at(offset, &mut [0; 1]).is_ok());
        }
        assert_eq!(read.get(), BLOCK + 5);
        assert!(blocks.read_at(u64::MAX, &mut [0; 2]).is_err());
    }
}
