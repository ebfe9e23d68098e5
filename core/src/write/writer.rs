//! [`Writer`]: headers and data into lent storage, then out as a file.

use igvm_defs::{
    IGVM_FIXED_HEADER, IGVM_FIXED_HEADER_V2, IGVM_FORMAT_VERSION_1, IGVM_FORMAT_VERSION_2,
    IGVM_MAGIC_VALUE, IGVM_VHT_OPTIONAL_BIT, IgvmArchitecture, IgvmVariableHeaderType as Type,
    PAGE_SIZE_4K,
};
use zerocopy::IntoBytes;

use super::blob::{Blobs, Slot, Used};
use super::header::{Encoded, HeaderSpec, file_offset_field};
use super::{WriteError, blob::Blob};
use crate::checksum::Hasher;
use crate::wire::{HeaderSection, TLV_LEN};

/// The format version, with what its fixed header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// A fixed header of 24 bytes; X64 and 4 KiB pages go without saying.
    V1,
    /// A fixed header of 32 bytes.
    V2 {
        /// The architecture.
        architecture: IgvmArchitecture,
        /// The page size in bytes, a power of two.
        page_size: u32,
    },
}

impl Version {
    /// Version 2 as nearly every file has it: X64, 4 KiB pages.
    pub const V2_X64: Self =
        Self::V2 { architecture: IgvmArchitecture::X64, page_size: PAGE_SIZE_4K as u32 };

    const fn fixed_header_len(self) -> usize {
        match self {
            Self::V1 => size_of::<IGVM_FIXED_HEADER>(),
            Self::V2 { .. } => size_of::<IGVM_FIXED_HEADER_V2>(),
        }
    }
}

/// Memory a [`Writer`] works in.
pub struct Storage<'s> {
    /// Variable headers: 8 bytes and the value, rounded up to 8, for each.
    pub headers: &'s mut [u8],
    /// File data, equal blobs once.
    pub data: &'s mut [u8],
    /// One for each different blob, in their default state; twice as many keep
    /// the search short.
    pub slots: &'s mut [Slot],
}

/// Builds one file. Headers appear in the file in the order they are pushed.
pub struct Writer<'s> {
    headers: &'s mut [u8],
    blobs: Blobs<'s>,
    pub(super) state: State,
}

/// What a writer knows besides the contents of its storage.
#[derive(Debug, Clone, Copy)]
pub(super) struct State {
    version: Version,
    /// Bytes of the header buffer in use.
    pub(super) header_len: usize,
    pub(super) used: Used,
    /// The section of the latest header.
    reached: HeaderSection,
    any_order: bool,
}

impl State {
    pub(super) const fn new(version: Version) -> Self {
        Self {
            version,
            header_len: 0,
            used: Used { data: 0, slots: 0 },
            reached: HeaderSection::Platform,
            any_order: false,
        }
    }

    pub(super) const fn allow_any_order(&mut self) {
        self.any_order = true;
    }
}

/// Set in the `length` field of a header, in the header buffer only: its
/// `file_offset` counts from the start of the file data, which lies where the
/// headers will have ended. No value is that long.
const FILE_OFFSET_PENDING: u32 = 1 << 31;

impl<'s> Writer<'s> {
    /// An empty file.
    pub fn new(version: Version, storage: Storage<'s>) -> Self {
        Self::resume(State::new(version), storage)
    }

    /// Goes on where a writer with this state stopped; the storage holds what
    /// that one left there.
    pub(super) fn resume(state: State, storage: Storage<'s>) -> Self {
        let blobs = Blobs { slots: storage.slots, data: storage.data };
        Self { headers: storage.headers, blobs, state }
    }

    /// From here on headers may come in any order of sections, for files that
    /// are wrong on purpose.
    pub fn allow_any_order(&mut self) {
        self.state.allow_any_order();
    }

    /// Appends a header and stores its data. After an error nothing has
    /// changed.
    ///
    /// # Errors
    /// No room, data longer than its header describes, or a header of an
    /// earlier section than the one before it.
    pub fn push(&mut self, spec: HeaderSpec<'_>) -> Result<(), WriteError> {
        self.append(&spec.encode()?, 0)
    }

    /// [`Writer::push`] with the optional bit set: a loader that does not know
    /// the type may skip the header.
    ///
    /// # Errors
    /// As for [`Writer::push`].
    pub fn push_optional(&mut self, spec: HeaderSpec<'_>) -> Result<(), WriteError> {
        self.append(&spec.encode()?, IGVM_VHT_OPTIONAL_BIT)
    }

    fn append(&mut self, header: &Encoded<'_>, optional: u32) -> Result<(), WriteError> {
        let reached = self.section_after(Type(header.typ.0 & !IGVM_VHT_OPTIONAL_BIT))?;
        let value = header.value();
        let len = u32::try_from(value.len())
            .ok()
            .filter(|len| len & FILE_OFFSET_PENDING == 0)
            .ok_or(WriteError::FileTooLarge)?;
        let end = value
            .len()
            .checked_next_multiple_of(TLV_LEN as usize)
            .and_then(|padded| padded.checked_add(TLV_LEN as usize))
            .and_then(|tlv| tlv.checked_add(self.state.header_len))
            .ok_or(WriteError::FileTooLarge)?;
        if end > self.headers.len() {
            return Err(WriteError::HeaderSpace { needed: end });
        }
        let (used, offset) = self.place(header.blob.as_ref(), end)?;

        let length = if offset.is_some() { len | FILE_OFFSET_PENDING } else { len };
        let out = self.headers.get_mut(self.state.header_len..end).unwrap_or(&mut []);
        put(out, 0, &(header.typ.0 | optional).to_le_bytes());
        put(out, 4, &length.to_le_bytes());
        put(out, TLV_LEN as usize, value);
        let padding = (TLV_LEN as usize).saturating_add(value.len());
        out.get_mut(padding..).unwrap_or(&mut []).fill(0);
        if let (Some(offset), Some(field)) = (offset, file_offset_field(header.typ)) {
            put(out, (TLV_LEN as usize).saturating_add(field), &offset.to_le_bytes());
        }
        self.state = State { header_len: end, used, reached, ..self.state };
        Ok(())
    }

    fn section_after(&self, typ: Type) -> Result<HeaderSection, WriteError> {
        match HeaderSection::of(typ) {
            HeaderSection::Unassigned => Ok(self.state.reached),
            section if section >= self.state.reached || self.state.any_order => Ok(section),
            _ => Err(WriteError::SectionOrder { typ, reached: self.state.reached }),
        }
    }

    /// Stores a blob, for a file whose headers take `header_len` bytes; its
    /// offset in the file data.
    fn place(
        &mut self,
        blob: Option<&Blob<'_>>,
        header_len: usize,
    ) -> Result<(Used, Option<u32>), WriteError> {
        let mut used = self.state.used;
        let data_limit = (u32::MAX as usize)
            .checked_sub(self.state.version.fixed_header_len())
            .and_then(|rest| rest.checked_sub(header_len))
            .filter(|limit| used.data <= *limit)
            .ok_or(WriteError::FileTooLarge)?;
        let offset = match blob {
            Some(blob) => Some(self.blobs.place(blob, data_limit, &mut used)?),
            None => None,
        };
        Ok((used, offset))
    }

    /// Bytes the file has so far.
    pub fn file_len(&self) -> usize {
        self.state
            .version
            .fixed_header_len()
            .saturating_add(self.state.header_len)
            .saturating_add(self.state.used.data)
    }

    /// Emits the file, piece by piece, from its first byte to its last.
    pub fn finish(self, sink: &mut dyn FnMut(&[u8])) {
        let data_len = self.state.used.data;
        let data_start = self.file_len().saturating_sub(data_len);
        let headers = self.headers.get_mut(..self.state.header_len).unwrap_or(&mut []);
        resolve_file_offsets(headers, data_start as u32);

        let (fixed, fixed_len) =
            fixed_header(self.state.version, headers, data_start.saturating_add(data_len) as u32);
        sink(fixed.get(..fixed_len).unwrap_or(&fixed));
        sink(headers);
        sink(self.blobs.data.get(..data_len).unwrap_or(&[]));
    }

    /// Emits the file into a buffer; its length.
    ///
    /// # Errors
    /// [`WriteError::OutputSpace`].
    pub fn finish_into(self, out: &mut [u8]) -> Result<usize, WriteError> {
        let needed = self.file_len();
        if out.len() < needed {
            return Err(WriteError::OutputSpace { needed });
        }
        let mut at = 0_usize;
        self.finish(&mut |bytes| {
            put(out, at, bytes);
            at = at.saturating_add(bytes.len());
        });
        Ok(needed)
    }
}

/// Copies `bytes` to `at`, which lies inside.
fn put(out: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(to) = out.get_mut(at..).and_then(|rest| rest.get_mut(..bytes.len())) {
        to.copy_from_slice(bytes);
    }
}

/// Makes every pending `file_offset` one that counts from the start of the
/// file.
fn resolve_file_offsets(mut headers: &mut [u8], data_start: u32) {
    while let Some((tlv, rest)) = headers.split_at_mut_checked(TLV_LEN as usize) {
        let [typ, length] = [0, 4].map(|at| read_u32(tlv, at));
        let len = (length & !FILE_OFFSET_PENDING) as usize;
        let padded = len.next_multiple_of(TLV_LEN as usize);
        let Some((value, next)) = rest.split_at_mut_checked(padded) else { return };
        if length & FILE_OFFSET_PENDING != 0 {
            put(tlv, 4, &(length & !FILE_OFFSET_PENDING).to_le_bytes());
            if let Some(field) = file_offset_field(Type(typ & !IGVM_VHT_OPTIONAL_BIT)) {
                let offset = read_u32(value, field).saturating_add(data_start);
                put(value, field, &offset.to_le_bytes());
            }
        }
        headers = next;
    }
}

fn read_u32(bytes: &[u8], at: usize) -> u32 {
    let chunk = bytes.get(at..).and_then(<[u8]>::first_chunk::<4>);
    chunk.map_or(0, |chunk| u32::from_le_bytes(*chunk))
}

/// The fixed header with its checksum, and how many of the bytes it takes.
fn fixed_header(
    version: Version,
    headers: &[u8],
    total_file_size: u32,
) -> ([u8; size_of::<IGVM_FIXED_HEADER_V2>()], usize) {
    let len = version.fixed_header_len();
    // Version 1 is the beginning of version 2.
    let mut fixed = IGVM_FIXED_HEADER_V2 {
        magic: IGVM_MAGIC_VALUE,
        format_version: IGVM_FORMAT_VERSION_1,
        variable_header_offset: len as u32,
        variable_header_size: headers.len() as u32,
        total_file_size,
        checksum: 0,
        architecture: IgvmArchitecture::X64,
        page_size: PAGE_SIZE_4K as u32,
    };
    if let Version::V2 { architecture, page_size } = version {
        fixed.format_version = IGVM_FORMAT_VERSION_2;
        fixed.architecture = architecture;
        fixed.page_size = page_size;
    }
    let mut hasher = Hasher::new();
    hasher.update(fixed.as_bytes().get(..len).unwrap_or(&[]));
    hasher.update(headers);
    fixed.checksum = hasher.finalize();
    (zerocopy::transmute!(fixed), len)
}
