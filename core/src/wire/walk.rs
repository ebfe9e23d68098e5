//! The walk over the variable headers: type, length, value, padding.

use core::fmt;

use igvm_defs::{
    IGVM_VHS_PAGE_DATA, IGVM_VHS_VARIABLE_HEADER, IGVM_VHT_OPTIONAL_BIT,
    IgvmVariableHeaderType as Type,
};
use zerocopy::FromBytes;

use crate::span::Span;

/// Bytes of type and length before each value.
pub(crate) const TLV_LEN: u64 = size_of::<IGVM_VHS_VARIABLE_HEADER>() as u64;

/// Bytes from one PAGE_DATA header to the next: type, length and value.
pub(crate) const PAGE_DATA_STRIDE: u32 = TLV_LEN as u32 + size_of::<IGVM_VHS_PAGE_DATA>() as u32;

/// One variable header as it stands in the file.
#[derive(Debug, Clone, Copy)]
pub struct RawHeader<'a> {
    /// File offset of its type field.
    pub offset: u32,
    /// Its type, without the optional bit.
    pub typ: Type,
    /// Bit 31 of the type: a loader that does not know the type may skip it.
    pub optional: bool,
    /// The value, `length` bytes.
    pub value: &'a [u8],
    /// The bytes up to the next multiple of eight; all zero in a file that
    /// keeps to the specification. Shorter than that where the headers end.
    pub padding: &'a [u8],
}

/// Why the walk ended before the variable headers did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WalkStop {
    /// Fewer than eight bytes are left: no room for type and length.
    PartialHeader {
        /// What is left.
        rest: Span,
    },
    /// The value passes the end of the variable headers.
    PartialValue {
        /// File offset of the header.
        offset: u32,
        /// Its type, without the optional bit.
        typ: Type,
        /// Bytes its value should have.
        length: u32,
        /// Bytes there are.
        available: u64,
    },
}

impl WalkStop {
    /// What is left unread of the variable headers.
    pub fn rest(&self) -> Span {
        match *self {
            Self::PartialHeader { rest } => rest,
            Self::PartialValue { offset, available, .. } => {
                Span::new(offset.into(), available.saturating_add(TLV_LEN))
            }
        }
    }
}

impl fmt::Display for WalkStop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PartialHeader { rest } => write!(
                f,
                "the variable headers end with {} bytes at {:#x}, too few for a header",
                rest.len, rest.start
            ),
            Self::PartialValue { offset, length, available, .. } => write!(
                f,
                "the header at {offset:#x} says its value has {length} bytes; {available} are left"
            ),
        }
    }
}

/// Iterates over the variable headers of a byte range that starts at a known
/// file offset. Ends at the first header that does not fit; [`Walk::stop`]
/// says why.
#[derive(Debug, Clone)]
pub struct Walk<'a> {
    rest: &'a [u8],
    offset: u32,
    stop: Option<WalkStop>,
}

impl<'a> Walk<'a> {
    /// Walks `bytes`, which start at `offset` of the file. Bytes whose file
    /// offset does not fit 32 bits are beyond what the format can address.
    pub fn new(bytes: &'a [u8], offset: u32) -> Self {
        Self { rest: bytes, offset, stop: None }
    }

    /// Why the walk ended early, once it has.
    pub fn stop(&self) -> Option<WalkStop> {
        self.stop
    }

    /// File offset of the next header.
    pub fn offset(&self) -> u32 {
        self.offset
    }

    /// Passes over the PAGE_DATA headers that carry on `page`, the value of the
    /// header before this place: pages of `len` bytes, each right behind the
    /// one before in the guest and, unless they are zeroes, in the file, alike
    /// in all else. At most `most`; returns how many.
    ///
    /// Large files consist of such runs, and a comparison is much cheaper than
    /// a decoded header.
    pub(crate) fn skip_pages(&mut self, page: &IGVM_VHS_PAGE_DATA, len: u64, most: u64) -> u32 {
        const TLV: u64 =
            Type::IGVM_VHT_PAGE_DATA.0 as u64 | (size_of::<IGVM_VHS_PAGE_DATA>() as u64) << 32;
        let addressable = u32::MAX.saturating_sub(self.offset) / PAGE_DATA_STRIDE;
        let most = usize::try_from(most.min(addressable.into())).unwrap_or(usize::MAX);
        let (records, _) = self.rest.as_chunks::<{ PAGE_DATA_STRIDE as usize }>();
        // Address; mask and file offset; flags, type and reserved.
        let [mut gpa, mut mask_offset, rest]: [u64; 3] = zerocopy::transmute!(*page);
        let data_len = if page.file_offset == 0 { 0 } else { len << 32 };
        let mut count = 0_u32;
        for record in records.iter().take(most) {
            let (Some(next_gpa), Some(next_offset)) =
                (gpa.checked_add(len), mask_offset.checked_add(data_len))
            else {
                break;
            };
            // Word by word: an array to compare with would go through memory.
            let [w0, w1, w2, w3]: [u64; 4] = zerocopy::transmute!(*record);
            if (w0 ^ TLV) | (w1 ^ next_gpa) | (w2 ^ next_offset) | (w3 ^ rest) != 0 {
                break;
            }
            (gpa, mask_offset) = (next_gpa, next_offset);
            count = count.saturating_add(1);
        }
        let taken = count.saturating_mul(PAGE_DATA_STRIDE);
        self.rest = self.rest.get(taken as usize..).unwrap_or(&[]);
        self.offset = self.offset.saturating_add(taken);
        count
    }

    fn end(&mut self, stop: WalkStop) {
        self.stop = Some(stop);
        self.rest = &[];
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = RawHeader<'a>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let Ok((header, body)) = IGVM_VHS_VARIABLE_HEADER::read_from_prefix(self.rest) else {
            let rest = Span::new(self.offset.into(), self.rest.len() as u64);
            self.end(WalkStop::PartialHeader { rest });
            return None;
        };
        let typ = Type(header.typ.0 & !IGVM_VHT_OPTIONAL_BIT);
        let Some((value, after)) = body.split_at_checked(header.length as usize) else {
            self.end(WalkStop::PartialValue {
                offset: self.offset,
                typ,
                length: header.length,
                available: body.len() as u64,
            });
            return None;
        };
        // Up to the next multiple of eight from the start of this header.
        let padding_len = (header.length.wrapping_neg() & 7) as usize;
        let (padding, rest) = after.split_at_checked(padding_len).unwrap_or((after, &[]));
        let item = RawHeader {
            offset: self.offset,
            typ,
            optional: header.typ.0 & IGVM_VHT_OPTIONAL_BIT != 0,
            value,
            padding,
        };
        let taken = self.rest.len().saturating_sub(rest.len());
        self.rest = rest;
        match u32::try_from(taken).ok().and_then(|taken| self.offset.checked_add(taken)) {
            Some(next) => self.offset = next,
            None => self.rest = &[],
        }
        Some(item)
    }
}
