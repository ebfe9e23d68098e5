//! A firmware image as a PC has it: below 4 GiB, its last 128 KiB once more
//! below 1 MiB, started by reset.

use igvm_core::span::Span;
use igvm_core::x86::RegisterFile;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use crate::guest::{BootError, Image, ram_layout};

const MIB: u64 = 1 << 20;
const FOUR_GIB: u64 = 1 << 32;
/// What of the image is seen below 1 MiB.
const MIRROR: u64 = 128 << 10;
const PAGE: u64 = 0x1000;

/// A machine with RAM and a firmware image.
#[derive(Debug)]
pub struct Firmware {
    image: Vec<u8>,
    ram: Vec<Span>,
}

impl Firmware {
    /// The largest image, in bytes: KVM's own pages lie just below.
    pub const LARGEST: u64 = 16 * MIB;

    /// A machine with `memory` bytes of RAM and this image.
    ///
    /// # Errors
    /// Fails where the image is not whole pages of at most 16 MiB, or the RAM
    /// is less than the first megabyte or not whole pages.
    pub fn new(image: Vec<u8>, memory: u64) -> Result<Self, BootError> {
        let len = image.len() as u64;
        if len == 0 || !len.is_multiple_of(PAGE) || len > Self::LARGEST {
            return Err(BootError::Image(format!(
                "the file is no firmware image: it should be whole pages of 4 KiB, at most {:#x} \
                 bytes, and has {}{len:#x}",
                Self::LARGEST,
                if len > Self::LARGEST { "at least " } else { "" }
            )));
        }
        if memory < MIB || !memory.is_multiple_of(PAGE) {
            return Err(BootError::Image(format!(
                "{memory:#x} bytes of memory: firmware needs 0x100000 at least, in whole pages"
            )));
        }
        Ok(Self { image, ram: ram_layout(memory) })
    }

    /// The usable memory.
    pub fn ram(&self) -> &[Span] {
        &self.ram
    }

    /// Where the image lies below 4 GiB.
    fn place(&self) -> Span {
        Span::between(FOUR_GIB - self.image.len() as u64, FOUR_GIB)
    }
}

impl Image for Firmware {
    fn memory(&self) -> Vec<Span> {
        let mut memory = self.ram.clone();
        memory.push(self.place());
        memory.sort();
        memory
    }

    fn fill(&self, memory: &GuestMemoryMmap) -> Result<(), BootError> {
        let mirror = self.image.len() - self.image.len().min(MIRROR as usize);
        let mirror = &self.image[mirror..];
        for (gpa, bytes) in
            [(self.place().start, &self.image[..]), (MIB - mirror.len() as u64, mirror)]
        {
            memory
                .write_slice(bytes, GuestAddress(gpa))
                .map_err(|error| BootError::Image(format!("no memory at {gpa:#x}: {error}")))?;
        }
        Ok(())
    }

    fn registers(&self, vp_index: u32) -> Option<RegisterFile> {
        (vp_index == 0).then(|| RegisterFile::reset(true))
    }
}
