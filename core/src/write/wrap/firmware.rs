//! A firmware image below 4 GiB.

use alloc::vec::Vec;
use core::fmt;

use zerocopy::IntoBytes;

use super::{MASK, PAGE_LEN, PML4_GPA, native_file, push_identity_map, push_pages};
use crate::write::{FileBuilder, HeaderSpec, WriteError, start};

/// How the processor enters the firmware; always at 0xfffffff0, 16 bytes below
/// the end of the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// From reset: real mode, no context in the file. What every BIOS and OVMF
    /// image is made for.
    Reset16,
    /// In flat 32-bit protected mode. Only firmware that looks at CR0.PE in its
    /// first instructions can tell: OVMF images built for TDX guests too (their
    /// reset vector starts with `mov eax, cr0; test al, 1`, as in Debian's
    /// `OVMF.fd`). SeaBIOS and plain OVMF run their 16-bit code as 32-bit code
    /// and crash.
    Flat32,
    /// In 64-bit mode, with page tables that map the first 4 GiB as they are.
    /// For firmware of one's own: no packaged BIOS or OVMF expects 64-bit mode
    /// at its reset vector.
    Long64,
}

/// Largest image, 16 MiB: it starts at 0xff000000 then. Right below lie the
/// pages that KVM on Intel processors wants for itself, and below those the
/// local APIC (0xfee00000) and the I/O APIC.
pub const MAX_IMAGE_LEN: usize = 16 << 20;

/// Most of the image's end that is mirrored below 1 MiB, where 16-bit code can
/// reach it: 128 KiB, as chipsets do.
const MIRROR_LEN: usize = 128 << 10;

const RESET_VECTOR: u32 = 0xffff_fff0;

/// Where the 32- and 64-bit entries have their descriptors, behind the page
/// tables and below where a boot sector goes.
const GDT_GPA: u32 = 0x7000;

/// Wraps an image: it ends at 4 GiB, its last 128 KiB (all of it, if smaller)
/// are mirrored to end at 1 MiB, and the first processor enters it as `entry`
/// says. Pages of zeroes take no file data, equal pages are stored once.
///
/// [`Entry::Flat32`] and [`Entry::Long64`] add a page at 0x7000 with
/// [`start::FLAT_GDT`], and Long64 page tables at 0x1000..0x7000.
///
/// # Errors
/// The image cannot be firmware, or not at this place.
pub fn firmware(image: &[u8], entry: Entry) -> Result<Vec<u8>, WrapError> {
    check(image)?;
    let mut file = native_file()?;
    if entry == Entry::Long64 {
        push_identity_map(&mut file)?;
    }
    if entry != Entry::Reset16 {
        file.push(HeaderSpec::page(GDT_GPA.into(), MASK, start::FLAT_GDT.as_bytes()))?;
    }
    let mirrored = image.len().saturating_sub(MIRROR_LEN);
    push_pages_below(&mut file, 1 << 20, image.get(mirrored..).unwrap_or(image))?;
    push_pages_below(&mut file, 1 << 32, image)?;
    let context = match entry {
        Entry::Reset16 => None,
        Entry::Flat32 => Some(start::protected32(RESET_VECTOR, 0, GDT_GPA)),
        Entry::Long64 => Some(start::long64(RESET_VECTOR.into(), 0, GDT_GPA, PML4_GPA)),
    };
    if let Some(context) = &context {
        file.push(HeaderSpec::native_context(MASK, context))?;
    }
    Ok(file.finish())
}

fn check(image: &[u8]) -> Result<(), WrapError> {
    let len = image.len();
    if len == 0 {
        Err(WrapError::Empty)
    } else if len > MAX_IMAGE_LEN {
        Err(WrapError::TooLarge { len })
    } else if !len.is_multiple_of(PAGE_LEN) {
        Err(WrapError::NotPages { len })
    } else if image.iter().all(|byte| *byte == 0) {
        Err(WrapError::Blank)
    } else {
        Ok(())
    }
}

/// The pages of `bytes`, placed so that they end at `end`.
fn push_pages_below(file: &mut FileBuilder, end: u64, bytes: &[u8]) -> Result<(), WriteError> {
    push_pages(file, end.saturating_sub(bytes.len() as u64), bytes)
}

/// Why an image is not wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WrapError {
    /// No bytes.
    Empty,
    /// Nothing but zeroes.
    Blank,
    /// Not a whole number of 4 KiB pages.
    NotPages {
        /// Bytes of the image.
        len: usize,
    },
    /// Larger than [`MAX_IMAGE_LEN`].
    TooLarge {
        /// Bytes of the image.
        len: usize,
    },
    /// The file could not be built.
    Write(WriteError),
}

impl fmt::Display for WrapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "the firmware image is empty"),
            Self::Blank => write!(
                f,
                "the firmware image holds nothing but zeroes: there is no code at its reset vector"
            ),
            Self::NotPages { len } => write!(
                f,
                "the firmware image has {len} bytes, not a multiple of 4096: firmware ends exactly \
                 at 4 GiB, so give the image as it goes into the flash chip"
            ),
            Self::TooLarge { len } => write!(
                f,
                "the firmware image has {len} bytes; more than {MAX_IMAGE_LEN} would reach down to \
                 the interrupt controllers below 0xff000000"
            ),
            Self::Write(_) => write!(f, "the IGVM file cannot be built"),
        }
    }
}

impl core::error::Error for WrapError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Write(error) => Some(error),
            _ => None,
        }
    }
}

impl From<WriteError> for WrapError {
    fn from(error: WriteError) -> Self {
        Self::Write(error)
    }
}
