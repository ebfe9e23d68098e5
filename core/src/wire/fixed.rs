//! The fixed header (`IGVM_FIXED_HEADER`, `IGVM_FIXED_HEADER_V2`).

use core::fmt;

use igvm_defs::{
    IGVM_FIXED_HEADER, IGVM_FIXED_HEADER_V2, IGVM_FORMAT_VERSION_1, IGVM_FORMAT_VERSION_2,
    IGVM_MAGIC_VALUE, IgvmArchitecture, PAGE_SIZE_4K,
};
use zerocopy::{FromBytes, IntoBytes};

use crate::checksum::Hasher;
use crate::span::Span;

/// The fixed header of either version.
#[derive(Debug, Clone, Copy)]
pub struct FixedHeader {
    raw: IGVM_FIXED_HEADER,
    v2: Option<(IgvmArchitecture, u32)>,
}

impl FixedHeader {
    /// Bytes of the longest fixed header: what to read before anything else.
    pub const MAX_LEN: usize = size_of::<IGVM_FIXED_HEADER_V2>();

    /// Reads the fixed header from the first bytes of a file.
    ///
    /// # Errors
    /// Only what makes the file unreadable: too short, another magic, a version
    /// whose layout nobody knows.
    pub fn parse(bytes: &[u8]) -> Result<Self, FixedHeaderError> {
        let too_short = |needed| FixedHeaderError::TooShort { available: bytes.len(), needed };
        // A short file of another kind is better called "not IGVM".
        if let Some(magic) = bytes.first_chunk::<4>()
            && u32::from_le_bytes(*magic) != IGVM_MAGIC_VALUE
        {
            return Err(FixedHeaderError::NotIgvm { magic: *magic });
        }
        let (raw, _) = IGVM_FIXED_HEADER::read_from_prefix(bytes)
            .map_err(|_| too_short(size_of::<IGVM_FIXED_HEADER>()))?;
        let v2 = match raw.format_version {
            IGVM_FORMAT_VERSION_1 => None,
            IGVM_FORMAT_VERSION_2 => {
                let (v2, _) = IGVM_FIXED_HEADER_V2::read_from_prefix(bytes)
                    .map_err(|_| too_short(size_of::<IGVM_FIXED_HEADER_V2>()))?;
                Some((v2.architecture, v2.page_size))
            }
            version => return Err(FixedHeaderError::UnknownVersion { version }),
        };
        Ok(Self { raw, v2 })
    }

    /// `format_version`: 1 or 2.
    pub fn version(&self) -> u32 {
        self.raw.format_version
    }

    /// Length of this fixed header in bytes: 24 or 32.
    pub fn len(&self) -> u64 {
        match self.v2 {
            None => size_of::<IGVM_FIXED_HEADER>() as u64,
            Some(_) => size_of::<IGVM_FIXED_HEADER_V2>() as u64,
        }
    }

    /// Never: there is always a fixed header.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The architecture; version 1 files are X64.
    pub fn architecture(&self) -> IgvmArchitecture {
        self.v2.map_or(IgvmArchitecture::X64, |(architecture, _)| architecture)
    }

    /// The page size in bytes; 4096 in version 1.
    pub fn page_size(&self) -> u32 {
        self.v2.map_or(PAGE_SIZE_4K as u32, |(_, page_size)| page_size)
    }

    /// `total_file_size`: the file's size as the header claims it.
    pub fn total_file_size(&self) -> u32 {
        self.raw.total_file_size
    }

    /// The stored CRC-32. It covers this header (with the checksum field zero)
    /// and the variable headers, not the file data.
    pub fn checksum(&self) -> u32 {
        self.raw.checksum
    }

    /// The range of the variable headers as the header claims it.
    pub fn variable_headers(&self) -> Span {
        Span::new(self.raw.variable_header_offset.into(), self.raw.variable_header_size.into())
    }

    /// The CRC-32 that belongs into this header for these variable headers.
    pub fn compute_checksum(&self, variable_headers: &[u8]) -> u32 {
        let mut hasher = Hasher::new();
        let raw = IGVM_FIXED_HEADER { checksum: 0, ..self.raw };
        hasher.update(raw.as_bytes());
        if let Some((architecture, page_size)) = self.v2 {
            hasher.update(architecture.as_bytes());
            hasher.update(page_size.as_bytes());
        }
        hasher.update(variable_headers);
        hasher.finalize()
    }
}

/// Why a file cannot be read at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FixedHeaderError {
    /// Fewer bytes than the fixed header has.
    TooShort {
        /// Bytes there are.
        available: usize,
        /// Bytes the fixed header takes.
        needed: usize,
    },
    /// The first four bytes are not `IGVM`.
    NotIgvm {
        /// What stands there.
        magic: [u8; 4],
    },
    /// `format_version` is neither 1 nor 2, so the layout is not known.
    UnknownVersion {
        /// What stands there.
        version: u32,
    },
}

impl fmt::Display for FixedHeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort { available: 0, .. } => write!(f, "the file is empty"),
            Self::TooShort { available, needed } => write!(
                f,
                "the file ends at offset {available}, inside the fixed header, which takes {needed} bytes"
            ),
            Self::NotIgvm { magic } => write!(
                f,
                "not an IGVM file: it starts with \"{}\" where \"IGVM\" must stand",
                magic.escape_ascii()
            ),
            Self::UnknownVersion { version } => write!(
                f,
                "format version {version} at file offset 0x4 is not known; versions 1 and 2 are"
            ),
        }
    }
}

impl core::error::Error for FixedHeaderError {}
