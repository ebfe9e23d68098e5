//! A loaded IGVM file as the machine that a run starts from: `core`'s memory
//! image and registers, and nothing else.

use std::fs::File;
use std::io;

use igvm_analysis::document::Document;
use igvm_core::load::{Extent, GuestMemory, Host, Machine, Source, Space, Start};
use igvm_core::span::Span;
use igvm_core::x86::RegisterFile;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use crate::fill::{Piece, read_pieces, want_large_pages};
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

    /// Reads what comes from a file on disk straight into guest memory.
    fn read_disk(&self, file: &File, guest: &GuestMemoryMmap) -> Result<(), BootError> {
        let pieces = || {
            self.machine.image().extents(Space::Guest).filter_map(|extent| {
                let offset = extent.file_span()?.start;
                Some(Piece { guest: extent.span, offset })
            })
        };
        let total = pieces().map(|piece| piece.guest.len).sum();
        read_pieces(file, pieces().flat_map(Piece::shares), total, guest).map_err(unreadable)
    }

    /// What is written into fresh memory.
    fn written(&self) -> impl Iterator<Item = &Extent> {
        self.machine.image().extents(Space::Guest).filter(|extent| !is_fresh(extent))
    }

    fn write(&self, guest: &GuestMemoryMmap) -> Result<(), BootError> {
        let disk = self.document.disk();
        if let Some(file) = disk {
            self.read_disk(file, guest)?;
        }
        self.written()
            .filter(|extent| disk.is_none() || extent.file_span().is_none())
            .try_for_each(|extent| self.copy_chunks(extent.span, guest))
    }

    fn copy_chunks(&self, span: Span, guest: &GuestMemoryMmap) -> Result<(), BootError> {
        // A file may have very many small extents.
        let mut buffer = vec![0; span.len.min(CHUNK as u64) as usize];
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

fn unreadable((piece, error): (Piece, io::Error)) -> BootError {
    BootError::Image(format!(
        "file offsets {}, which belong at {:#x} of the guest, cannot be loaded: {error}",
        Span::new(piece.offset, piece.guest.len),
        piece.guest.start
    ))
}

impl Image for LoadedImage<'_> {
    fn memory(&self) -> Vec<Span> {
        let mut memory = Vec::new();
        self.machine.memory_ranges(self.host, &mut |range| memory.push(range));
        memory
    }

    fn fill(&self, memory: &GuestMemoryMmap) -> Result<(), BootError> {
        let written = self.written();
        want_large_pages(written.map(|extent| extent.span), memory);
        self.write(memory)
    }

    fn refill(&self, memory: &GuestMemoryMmap) -> Result<(), BootError> {
        for extent in self.machine.image().extents(Space::Guest) {
            if extent.source == Source::Zero {
                self.copy_chunks(extent.span, memory)?;
            }
        }
        self.write(memory)
    }

    fn registers(&self, vp_index: u32) -> Option<RegisterFile> {
        let processor = self.machine.processors().get(vp_index as usize)?;
        (processor.start == Start::Runs).then_some(processor.registers)
    }
}
