//! A loaded IGVM file as the machine that a run starts from: `core`'s memory
//! image and registers, and nothing else.

use std::io::{Seek, SeekFrom};

use igvm_analysis::document::Document;
use igvm_core::file::PAGE_SIZE_2M;
use igvm_core::load::{Extent, GuestMemory, Host, Machine, Source, Space, Start};
use igvm_core::span::Span;
use igvm_core::x86::RegisterFile;
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

use crate::guest::{BootError, Image};

/// Bytes that are copied at a time where they do not come straight from disk.
const CHUNK: usize = 64 << 10;

/// A machine that [`igvm_core::load`] made of a file.
pub struct LoadedImage<'a> {
    machine: &'a Machine<'a>,
    memory: GuestMemory<'a, Document>,
    document: &'a Document,
    host: &'a Host<'a>,
}

impl<'a> LoadedImage<'a> {
    /// The machine, with the document and the host it was loaded with.
    pub fn new(machine: &'a Machine<'a>, document: &'a Document, host: &'a Host<'a>) -> Self {
        Self { machine, memory: machine.memory(document, host), document, host }
    }

    /// Asks the host for large pages wherever the image fills all of one: most
    /// of the time of loading a large file goes into page faults. Where the
    /// image has only a part of a large page, the rest would cost memory.
    fn want_large_pages(&self, guest: &GuestMemoryMmap) {
        let mut run = Span::default();
        let filled = self.machine.image().extents(Space::Guest).filter(|extent| !is_fresh(extent));
        for span in filled.map(|extent| extent.span) {
            if span.start == run.end() {
                run.len += span.len;
            } else {
                advise_large_pages(guest, run);
                run = span;
            }
        }
        advise_large_pages(guest, run);
    }

    /// Copies one extent. File bytes on disk go straight into guest memory.
    fn copy(&self, extent: &Extent, guest: &GuestMemoryMmap) -> Result<(), BootError> {
        match (extent.source, self.document.disk()) {
            _ if is_fresh(extent) => Ok(()),
            (Source::File { offset }, Some(mut file)) => {
                let at = GuestAddress(extent.span.start);
                file.seek(SeekFrom::Start(offset)).map_err(|error| unreadable(extent, &error))?;
                guest
                    .read_exact_volatile_from(at, &mut file, extent.span.len as usize)
                    .map_err(|error| unreadable(extent, &error))
            }
            _ => self.copy_chunks(extent.span, guest),
        }
    }

    fn copy_chunks(&self, span: Span, guest: &GuestMemoryMmap) -> Result<(), BootError> {
        let mut buffer = vec![0; CHUNK];
        let mut at = span.start;
        while at < span.end() {
            let len = (span.end() - at).min(CHUNK as u64) as usize;
            let chunk = &mut buffer[..len];
            self.memory.read(at, chunk).map_err(|error| BootError::Image(error.to_string()))?;
            guest
                .write_slice(chunk, GuestAddress(at))
                .map_err(|error| BootError::Image(format!("no memory at {at:#x}: {error}")))?;
            at += len as u64;
        }
        Ok(())
    }
}

/// Whether memory is as the extent wants it before anything is written: fresh
/// guest memory is zero.
fn is_fresh(extent: &Extent) -> bool {
    matches!(extent.source, Source::Zero | Source::Untouched)
}

/// Asks for large pages for the whole ones inside `run`.
fn advise_large_pages(guest: &GuestMemoryMmap, run: Span) {
    const LARGE: u64 = PAGE_SIZE_2M;
    let start = run.start.next_multiple_of(LARGE);
    let len = (run.end() - run.end() % LARGE).saturating_sub(start) as usize;
    if len == 0 {
        return;
    }
    // Where there is no memory, filling it says so.
    let Ok(slice) = guest.get_slice(GuestAddress(start), len) else { return };
    let address = slice.ptr_guard_mut().as_ptr();
    // SAFETY: the range lies inside one mapping of guest memory, which the
    // borrow keeps alive; the advice does not change what it holds. It may be
    // refused, which changes nothing either.
    let _refused = unsafe { libc::madvise(address.cast(), len, libc::MADV_HUGEPAGE) };
}

fn unreadable(extent: &Extent, error: &dyn std::fmt::Display) -> BootError {
    let file = extent.file_span().unwrap_or_default();
    BootError::Image(format!(
        "file offsets {file}, which belong at {:#x} of the guest, cannot be loaded: {error}",
        extent.span.start
    ))
}

impl Image for LoadedImage<'_> {
    fn memory(&self) -> Vec<Span> {
        let mut memory = Vec::new();
        self.machine.memory_ranges(self.host, &mut |range| memory.push(range));
        memory
    }

    fn fill(&self, memory: &GuestMemoryMmap) -> Result<(), BootError> {
        self.want_large_pages(memory);
        self.machine.image().extents(Space::Guest).try_for_each(|extent| self.copy(extent, memory))
    }

    fn registers(&self, vp_index: u32) -> Option<RegisterFile> {
        let processor = self.machine.processors().get(vp_index as usize)?;
        (processor.start == Start::Runs).then_some(processor.registers)
    }
}
