//! From a file on disk into guest memory: straight, in large pages, by as many
//! threads as there are processors.
//!
//! Nearly all the time goes into page faults, in which the kernel clears fresh
//! memory; hence the large pages and the threads.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::{Mutex, PoisonError};
use std::thread;

use igvm_core::file::PAGE_SIZE_2M;
use igvm_core::span::Span;
use vm_memory::volatile_memory::VolatileSlice;
use vm_memory::{GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

/// A run of bytes of the file and where they go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Piece {
    /// Guest physical memory.
    pub(crate) guest: Span,
    /// File offset of the first byte.
    pub(crate) offset: u64,
}

/// Bytes that a thread takes on at a time; whole large pages.
const SHARE: u64 = 4 * PAGE_SIZE_2M;

/// Threads, however many processors there are: memory sets the limit.
const THREADS_MAX: usize = 8;

impl Piece {
    /// The piece in shares that end where large pages do.
    pub(crate) fn shares(self) -> impl Iterator<Item = Self> {
        let mut at = self.guest.start;
        std::iter::from_fn(move || {
            let end = (at - at % SHARE + SHARE).min(self.guest.end());
            let guest = Span::between(at, end);
            let offset = self.offset + (at - self.guest.start);
            at = end;
            (!guest.is_empty()).then_some(Self { guest, offset })
        })
    }
}

/// Reads the pieces, `total` bytes, into guest memory.
///
/// # Errors
/// The first piece that cannot be read, and why.
pub(crate) fn read_pieces(
    file: &File,
    pieces: impl Iterator<Item = Piece> + Send,
    total: u64,
    guest: &GuestMemoryMmap,
) -> Result<(), (Piece, io::Error)> {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let threads = (total / SHARE).min(processors.min(THREADS_MAX) as u64);
    let pieces = Mutex::new(pieces);
    let next = || pieces.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        while let Some(piece) = next() {
            read_piece(file, piece, guest).map_err(|error| (piece, error))?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        // Where there are no more threads to have, this one does it alone.
        let others: Vec<_> = (1..threads)
            .filter_map(|_| thread::Builder::new().spawn_scoped(scope, work).ok())
            .collect();
        let mine = work();
        let join = |other: thread::ScopedJoinHandle<'_, _>| {
            other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        others.into_iter().map(join).fold(mine, Result::and)
    })
}

fn read_piece(file: &File, piece: Piece, guest: &GuestMemoryMmap) -> io::Result<()> {
    let to = guest
        .get_slice(GuestAddress(piece.guest.start), piece.guest.len as usize)
        .map_err(io::Error::other)?;
    let mut done = 0;
    while done < to.len() {
        let rest = to.offset(done).map_err(io::Error::other)?;
        match pread(file, piece.offset + done as u64, &rest) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => done += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn pread(file: &File, offset: u64, to: &VolatileSlice<'_>) -> io::Result<usize> {
    let offset = libc::off_t::try_from(offset).map_err(io::Error::other)?;
    let address = to.ptr_guard_mut();
    // SAFETY: the slice lies in guest memory, which is mapped and writable for
    // as long as the slice is borrowed, and which nobody takes for Rust objects.
    let read = unsafe { libc::pread(file.as_raw_fd(), address.as_ptr().cast(), to.len(), offset) };
    usize::try_from(read).map_err(|_| io::Error::last_os_error())
}

/// Asks for large pages wherever ranges, given by address, fill all of one.
/// Where they have only a part of a large page, the rest would cost memory.
pub(crate) fn want_large_pages(ranges: impl Iterator<Item = Span>, guest: &GuestMemoryMmap) {
    let mut run = Span::default();
    for range in ranges {
        if range.start == run.end() {
            run.len += range.len;
        } else {
            advise(run, guest);
            run = range;
        }
    }
    advise(run, guest);
}

fn advise(run: Span, guest: &GuestMemoryMmap) {
    let start = run.start.next_multiple_of(PAGE_SIZE_2M);
    let len = (run.end() - run.end() % PAGE_SIZE_2M).saturating_sub(start) as usize;
    if len == 0 {
        return;
    }
    // Where there is no memory, filling it says so.
    let Ok(slice) = guest.get_slice(GuestAddress(start), len) else { return };
    let address = slice.ptr_guard_mut();
    // SAFETY: the slice is a range of one mapping of guest memory; the advice
    // does not change what it holds. A refusal changes nothing either.
    let _refused = unsafe { libc::madvise(address.as_ptr().cast(), len, libc::MADV_HUGEPAGE) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_cover_a_piece_and_end_where_large_pages_do() {
        let piece = Piece { guest: Span::new(SHARE - 0x1000, 2 * SHARE), offset: 0x38 };
        let shares: Vec<Piece> = piece.shares().collect();
        let starts: Vec<u64> = shares.iter().map(|share| share.guest.start).collect();
        assert_eq!(starts, [SHARE - 0x1000, SHARE, 2 * SHARE]);
        assert_eq!(shares.iter().map(|share| share.guest.len).sum::<u64>(), 2 * SHARE);
        for share in shares {
            assert_eq!(share.offset - 0x38, share.guest.start - piece.guest.start);
        }
    }

    #[test]
    fn the_end_of_the_file_is_an_error_whichever_thread_meets_it() {
        let file = File::open("/dev/null").expect("there is /dev/null");
        let guest = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 4 * SHARE as usize)])
            .expect("there is memory for a guest");
        let all = Piece { guest: Span::new(0, 4 * SHARE), offset: 0 };
        let (_, error) = read_pieces(&file, all.shares(), 4 * SHARE, &guest).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
