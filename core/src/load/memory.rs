//! Guest memory as the guest will see it: the image with its bytes.

use super::extent::{Extent, Source, Space};
use super::fixup::FixupPage;
use super::host::Host;
use super::image::MemoryImage;
use super::machine::is_memory;
use crate::data::{FileData, ReadError};
use crate::span::Span;
use crate::x86::paging::{PhysicalMemory, Unreadable};

/// The memory image together with what its extents refer to: the file, the
/// host's parameters and the fixed-up page tables.
#[derive(Clone, Copy)]
pub struct GuestMemory<'a, D: ?Sized> {
    pub(crate) image: &'a MemoryImage<'a>,
    pub(crate) data: &'a D,
    pub(crate) host: &'a Host<'a>,
    pub(crate) fixups: &'a [FixupPage],
}

impl<'a, D: FileData + ?Sized> GuestMemory<'a, D> {
    /// The image behind it.
    pub fn image(&self) -> &'a MemoryImage<'a> {
        self.image
    }

    /// Reads guest physical memory. Bytes that nothing wrote read as zero,
    /// whether the guest has memory there or not.
    ///
    /// # Errors
    /// Fails where the file cannot be read.
    pub fn read(&self, gpa: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        self.read_space(Space::Guest, gpa, buf)
    }

    /// Reads an address space, see [`GuestMemory::read`].
    ///
    /// # Errors
    /// Fails where the file cannot be read.
    pub fn read_space(&self, space: Space, at: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        let whole = Span::new(at, buf.len() as u64);
        let mut done = 0;
        for extent in self.image.extents_in(space, whole) {
            let start = offset_in(whole, extent.span.start);
            let end = offset_in(whole, extent.span.end());
            if let Some(gap) = buf.get_mut(done..start) {
                gap.fill(0);
            }
            if let Some(bytes) = buf.get_mut(start..end) {
                self.fill(&extent, bytes)?;
            }
            done = end;
        }
        if let Some(gap) = buf.get_mut(done..) {
            gap.fill(0);
        }
        Ok(())
    }

    /// The first `buf.len()` bytes of an extent.
    ///
    /// # Errors
    /// Fails where the file cannot be read.
    pub fn fill(&self, extent: &Extent, buf: &mut [u8]) -> Result<(), ReadError> {
        match extent.source {
            Source::File { offset } => self.data.read_at(offset, buf),
            Source::Zero | Source::Untouched => {
                buf.fill(0);
                Ok(())
            }
            Source::Parameter { kind, offset } => {
                let parameter = self.host.parameter(kind);
                let head = parameter.as_ref().map_or(&[][..], |bytes| bytes.head.as_slice());
                copy_from(head, offset, buf);
                Ok(())
            }
            Source::Fixup { offset } => {
                copy_from(self.fixups.as_flattened(), offset, buf);
                Ok(())
            }
        }
    }
}

/// For the page walk. Unlike [`GuestMemory::read`] it fails where the guest has
/// no memory; ranges within one page are what a walk asks for.
impl<D: FileData + ?Sized> PhysicalMemory for GuestMemory<'_, D> {
    fn read(&self, gpa: u64, buf: &mut [u8]) -> Result<(), Unreadable> {
        let last = gpa.saturating_add((buf.len() as u64).saturating_sub(1));
        if !is_memory(self.image, self.host, gpa) || !is_memory(self.image, self.host, last) {
            return Err(Unreadable);
        }
        self.read_space(Space::Guest, gpa, buf).map_err(|_| Unreadable)
    }
}

/// Copies from an offset of `bytes`; beyond them there are zeroes.
fn copy_from(bytes: &[u8], offset: u64, buf: &mut [u8]) {
    let rest = usize::try_from(offset).ok().and_then(|at| bytes.get(at..)).unwrap_or(&[]);
    let len = rest.len().min(buf.len());
    if let (Some((to, zeroes)), Some(from)) = (buf.split_at_mut_checked(len), rest.get(..len)) {
        to.copy_from_slice(from);
        zeroes.fill(0);
    }
}

/// Where an address of `span` stands in a buffer for it.
fn offset_in(span: Span, at: u64) -> usize {
    usize::try_from(at.saturating_sub(span.start).min(span.len)).unwrap_or(usize::MAX)
}
