//! [`IgvmFile`]: a borrowed file in which every header knows its place.
//!
//! Reading is lenient: what can be decoded is, whatever else is wrong, so that
//! a broken file can still be looked at. [`check`](crate::check) says what is
//! wrong with it.

use igvm_defs::{
    IGVM_VHS_PAGE_DATA, IGVM_VHS_SUPPORTED_PLATFORM, IgvmPlatformType,
    IgvmVariableHeaderType as Type, PAGE_SIZE_4K, VbsVpContextHeader, VbsVpContextRegister,
};

use crate::data::FileData;
use crate::span::Span;
use crate::wire::{FixedHeader, FixedHeaderError, HeaderSection, RawHeader, Value, Walk, WalkStop};

/// Bytes of a 2 MiB page.
pub const PAGE_SIZE_2M: u64 = 2 << 20;

/// An IGVM file: its headers in memory, its data wherever it is.
#[derive(Debug, Clone, Copy)]
pub struct IgvmFile<'a> {
    fixed: FixedHeader,
    head: &'a [u8],
    file_len: u64,
    mask_bits: MaskBits,
}

/// The mask bits that the platforms claim, in file order: each bit belongs to
/// the first platform that has it, so this is all there is to know for telling
/// the first platform of a mask. Platforms that claim no new bit have no entry.
type MaskBits = [(u32, IgvmPlatformType); u32::BITS as usize];

impl<'a> IgvmFile<'a> {
    /// Reads a file that is wholly in memory.
    ///
    /// # Errors
    /// See [`FixedHeader::parse`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, FixedHeaderError> {
        Self::from_head(bytes, bytes.len() as u64)
    }

    /// Reads a file of `file_len` bytes of which only the first ones, `head`,
    /// are in memory. [`IgvmFile::head_len`] says how many are needed; with
    /// fewer, headers are missing.
    ///
    /// # Errors
    /// See [`FixedHeader::parse`].
    pub fn from_head(head: &'a [u8], file_len: u64) -> Result<Self, FixedHeaderError> {
        let mask_bits = [(0, IgvmPlatformType::NATIVE); u32::BITS as usize];
        let mut file = Self { fixed: FixedHeader::parse(head)?, head, file_len, mask_bits };
        let mut claimed = 0;
        let platforms = file.platforms();
        let mut slots = file.mask_bits.iter_mut();
        for platform in platforms {
            let new = platform.compatibility_mask & !claimed;
            if new != 0
                && let Some(slot) = slots.next()
            {
                *slot = (new, platform.platform_type);
                claimed |= new;
            }
        }
        Ok(file)
    }

    /// How many bytes from the start of a file of `file_len` bytes hold its
    /// headers. Never more than the file has.
    pub fn head_len(fixed: &FixedHeader, file_len: u64) -> u64 {
        fixed.variable_headers().end().max(fixed.len()).min(file_len)
    }

    /// The fixed header.
    pub fn fixed(&self) -> &FixedHeader {
        &self.fixed
    }

    /// Bytes the file really has.
    pub fn file_len(&self) -> u64 {
        self.file_len
    }

    /// The bytes of the variable headers, as far as they are there.
    pub fn variable_header_bytes(&self) -> &'a [u8] {
        let span = self.fixed.variable_headers();
        let start = usize::try_from(span.start).unwrap_or(usize::MAX).min(self.head.len());
        let end = usize::try_from(span.end()).unwrap_or(usize::MAX).min(self.head.len());
        self.head.get(start..end).unwrap_or(&[])
    }

    /// The CRC-32 of fixed and variable headers as they are. A file whose
    /// variable headers are cut short has none.
    pub fn compute_checksum(&self) -> Option<u32> {
        let bytes = self.variable_header_bytes();
        (bytes.len() as u64 == self.fixed.variable_headers().len)
            .then(|| self.fixed.compute_checksum(bytes))
    }

    /// All variable headers, in file order, up to the first that does not fit.
    pub fn headers(&self) -> Headers<'a> {
        let offset = u32::try_from(self.fixed.variable_headers().start).unwrap_or(u32::MAX);
        Headers { walk: Walk::new(self.variable_header_bytes(), offset), index: 0 }
    }

    /// The headers from a known one on; the way to one header among millions.
    pub fn headers_from(&self, at: HeaderRef) -> Headers<'a> {
        let start = self.fixed.variable_headers().start;
        let skip =
            u64::from(at.offset).checked_sub(start).and_then(|skip| usize::try_from(skip).ok());
        let bytes = skip.and_then(|skip| self.variable_header_bytes().get(skip..)).unwrap_or(&[]);
        Headers { walk: Walk::new(bytes, at.offset), index: at.index }
    }

    /// The header a reference stands for; `None` if it is not of this file.
    pub fn header(&self, at: HeaderRef) -> Option<Header<'a>> {
        self.headers_from(at).next()
    }

    /// The platforms the file says it supports, in file order.
    ///
    /// Platform headers come first, so this stops at the first header of a
    /// later section.
    pub fn platforms(&self) -> impl Iterator<Item = IGVM_VHS_SUPPORTED_PLATFORM> + use<'a> {
        self.headers().take_while(|header| header.section() == HeaderSection::Platform).filter_map(
            |header| match header.value() {
                Value::SupportedPlatform(platform) => Some(platform),
                _ => None,
            },
        )
    }

    /// The platform header of this platform.
    pub fn platform(&self, platform: IgvmPlatformType) -> Option<IGVM_VHS_SUPPORTED_PLATFORM> {
        self.platforms().find(|header| header.platform_type == platform)
    }

    /// The platform that a context is for: the first declared one whose mask
    /// bit it carries. The format of the context follows from it.
    pub fn context_platform(&self, compatibility_mask: u32) -> Option<IgvmPlatformType> {
        // Not by `platforms`: a file can have millions of them, and contexts.
        self.mask_bits
            .iter()
            .find(|(bits, _)| bits & compatibility_mask != 0)
            .map(|(_, platform)| *platform)
    }

    /// How many pages can carry on this one, in the guest and in the file,
    /// before the guest's addresses end at `guest_end` or the file does.
    pub(crate) fn pages_after(&self, page: &IGVM_VHS_PAGE_DATA, guest_end: u64) -> u64 {
        let pages = |start: u64, end: u64| {
            let room = end.saturating_sub(start).checked_div(page_len(page)).unwrap_or(0);
            room.saturating_sub(1)
        };
        let guest = pages(page.gpa, guest_end);
        match page.file_offset {
            0 => guest,
            offset => guest.min(pages(offset.into(), self.file_len)),
        }
    }

    /// The range of the file that a header's `file_offset` names; `None` for a
    /// header without data and for data that is all zeroes (`file_offset` 0).
    ///
    /// Reads `data` only for a VBS context, whose length stands in the data.
    /// The range may pass the end of the file.
    pub fn data_range(&self, header: &Header<'a>, data: &(impl FileData + ?Sized)) -> Option<Span> {
        let (offset, len) = match header.value() {
            Value::PageData(page) => (page.file_offset, page_len(&page)),
            Value::ParameterArea(area) => (area.file_offset, area.number_of_bytes),
            Value::CorimDocument(corim) | Value::CorimSignature(corim) => {
                (corim.file_offset, corim.size_bytes.into())
            }
            Value::VpContext(context) => {
                let len = match self.context_platform(context.compatibility_mask) {
                    Some(IgvmPlatformType::VSM_ISOLATION) => {
                        vbs_context_len(context.file_offset.into(), data)
                    }
                    _ => PAGE_SIZE_4K,
                };
                (context.file_offset, len)
            }
            _ => return None,
        };
        (offset != 0).then(|| Span::new(offset.into(), len))
    }
}

/// Guest bytes that a PAGE_DATA header covers: 4 KiB, or 2 MiB by its flag.
pub fn page_len(page: &IGVM_VHS_PAGE_DATA) -> u64 {
    if page.flags.is_2mb_page() { PAGE_SIZE_2M } else { PAGE_SIZE_4K }
}

/// Bytes of a VBS context: a count and as many registers.
fn vbs_context_len(offset: u64, data: &(impl FileData + ?Sized)) -> u64 {
    let mut count = [0; size_of::<VbsVpContextHeader>()];
    let registers = match data.read_at(offset, &mut count) {
        Ok(()) => u64::from(u32::from_le_bytes(count)),
        Err(_) => 0,
    };
    registers
        .saturating_mul(size_of::<VbsVpContextRegister>() as u64)
        .saturating_add(size_of::<VbsVpContextHeader>() as u64)
}

/// Names one variable header: enough to find it again at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct HeaderRef {
    /// Its number, counted from 0 over all variable headers.
    pub index: u32,
    /// File offset of its type field.
    pub offset: u32,
}

/// A variable header with its place in the file.
#[derive(Debug, Clone, Copy)]
pub struct Header<'a> {
    /// Its number, counted from 0.
    pub index: u32,
    /// Its bytes.
    pub raw: RawHeader<'a>,
}

impl<'a> Header<'a> {
    /// The name of this header.
    pub fn reference(&self) -> HeaderRef {
        HeaderRef { index: self.index, offset: self.raw.offset }
    }

    /// Its type, without the optional bit.
    pub fn typ(&self) -> Type {
        self.raw.typ
    }

    /// The section its type belongs to.
    pub fn section(&self) -> HeaderSection {
        HeaderSection::of(self.raw.typ)
    }

    /// Its decoded value.
    #[inline]
    pub fn value(&self) -> Value<'a> {
        Value::decode(self.raw.typ, self.raw.value)
    }

    /// Type, length, value and padding in the file.
    pub fn range(&self) -> Span {
        Span::between(self.raw.offset.into(), self.padding_range().end())
    }

    /// The value in the file.
    pub fn value_range(&self) -> Span {
        let start = u64::from(self.raw.offset).saturating_add(crate::wire::TLV_LEN);
        Span::new(start, self.raw.value.len() as u64)
    }

    /// The padding in the file.
    pub fn padding_range(&self) -> Span {
        Span::new(self.value_range().end(), self.raw.padding.len() as u64)
    }
}

/// Iterator over the headers of a file, see [`IgvmFile::headers`].
#[derive(Debug, Clone)]
pub struct Headers<'a> {
    walk: Walk<'a>,
    index: u32,
}

impl Headers<'_> {
    /// Why it ended early, once it has.
    pub fn stop(&self) -> Option<WalkStop> {
        self.walk.stop()
    }

    /// Why it ended early and the header that does not fit, once it has.
    pub(crate) fn cut_short(&self) -> Option<(HeaderRef, WalkStop)> {
        let at = HeaderRef { index: self.index, offset: self.walk.offset() };
        self.stop().map(|stop| (at, stop))
    }

    /// Passes over the PAGE_DATA headers that carry on the one just returned,
    /// whose value is `page`: pages right behind each other in the guest and
    /// (unless they are zeroes) in the file, alike in all else. At most `most`;
    /// returns how many.
    pub(crate) fn skip_pages(&mut self, page: &IGVM_VHS_PAGE_DATA, most: u64) -> u32 {
        let count = self.walk.skip_pages(page, page_len(page), most);
        self.index = self.index.saturating_add(count);
        count
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = Header<'a>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let header = Header { index: self.index, raw: self.walk.next()? };
        // At most 2^32 / 8 headers fit into a file.
        self.index = self.index.saturating_add(1);
        Some(header)
    }
}
