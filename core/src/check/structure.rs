//! The pass over the headers: what each says for itself and what they say
//! together, whatever the platform.

use igvm_defs::{IGVM_VHS_PAGE_DATA, IgvmPageDataType};

use super::finding::{Detail, Finding};
use super::init::Initialization;
use super::loaders::NotesSeen;
use super::platform::Platforms;
use super::relocation::Relocations;
use crate::data::FileData;
use crate::file::{Header, IgvmFile, page_len};
use crate::load::{AreaBlock, Areas, GUEST_PHYSICAL_LIMIT, LoadError};
use crate::wire::{HeaderSection, Value};

/// Contexts whose bytes are looked at: a file has one for a processor, and
/// each costs a page to read.
pub(super) const CONTEXTS_READ_MAX: u32 = 256;

/// What has been seen so far.
pub(super) struct Structure<'a, 's, D: ?Sized> {
    pub(super) file: &'a IgvmFile<'a>,
    pub(super) data: &'a D,
    pub(super) sink: &'a mut dyn FnMut(Finding),
    /// File offset behind fixed and variable headers.
    pub(super) headers_end: u64,
    /// Where the data ends that headers refer to.
    pub(super) data_end: u64,
    pub(super) section: HeaderSection,
    pub(super) platforms: Platforms,
    /// Undeclared mask bits that were reported.
    pub(super) undeclared_seen: u32,
    pub(super) init: Initialization,
    pub(super) relocations: Relocations,
    pub(super) areas: Areas<'s>,
    pub(super) contexts_read: u32,
    pub(super) notes: NotesSeen,
}

impl<'a, 's, D: FileData + ?Sized> Structure<'a, 's, D> {
    pub(super) fn new(
        file: &'a IgvmFile<'a>,
        data: &'a D,
        areas: &'s mut [AreaBlock],
        sink: &'a mut dyn FnMut(Finding),
    ) -> Self {
        let fixed = file.fixed();
        Self {
            file,
            data,
            sink,
            headers_end: fixed.variable_headers().end().max(fixed.len()),
            data_end: 0,
            section: HeaderSection::Platform,
            platforms: Platforms::new(),
            undeclared_seen: 0,
            init: Initialization::default(),
            relocations: Relocations::new(),
            areas: Areas::new(areas),
            contexts_read: 0,
            notes: NotesSeen::default(),
        }
    }

    pub(super) fn run(&mut self) -> Result<(), LoadError> {
        super::fixed::check(self.file, self.data, self.sink);
        let mut headers = self.file.headers();
        while let Some(header) = headers.next() {
            let value = header.value();
            // Nearly all headers of nearly all files.
            if let Value::PageData(page) = &value
                && self.is_plain_page(&header, page)
            {
                self.section = HeaderSection::Directive;
                let more =
                    headers.skip_pages(page, self.file.pages_after(page, GUEST_PHYSICAL_LIMIT));
                if page.file_offset != 0 {
                    let pages = u64::from(more).saturating_add(1);
                    let len = page_len(page).saturating_mul(pages);
                    let end = u64::from(page.file_offset).saturating_add(len);
                    self.data_end = self.data_end.max(end);
                }
                continue;
            }
            self.header(&header, &value)?;
        }
        if let Some(stop) = headers.stop() {
            self.partial(stop);
        }
        self.platforms_end();
        self.relocations_end();
        self.areas_end();
        self.tail();
        self.file_notes();
        Ok(())
    }

    /// Whether there is nothing at all to say about a page.
    #[inline]
    fn is_plain_page(&self, header: &Header<'_>, page: &IGVM_VHS_PAGE_DATA) -> bool {
        let len = page_len(page);
        let offset = u64::from(page.file_offset);
        let end = offset.saturating_add(len);
        let flags = page.flags;
        page.gpa & len.wrapping_sub(1) == 0
            && page.gpa <= GUEST_PHYSICAL_LIMIT.wrapping_sub(len)
            && page.compatibility_mask != 0
            && page.compatibility_mask & !self.platforms.declared == 0
            && !flags.is_2mb_page()
            && flags.reserved() == 0
            && page.data_type == IgvmPageDataType::NORMAL
            && page.reserved == 0
            && (offset == 0 || (offset >= self.headers_end && end <= self.file.file_len()))
            && !header.raw.optional
            && header.raw.padding.is_empty()
    }

    fn header(&mut self, header: &Header<'_>, value: &Value<'_>) -> Result<(), LoadError> {
        self.any_header(header, value);
        self.header_notes(header, value);
        match value {
            Value::SupportedPlatform(value) => self.platform(header, value),
            Value::GuestPolicy(value) => self.guest_policy(header, value),
            Value::RelocatableRegion(value) => self.relocatable_region(header, value),
            Value::PageTableRelocationRegion(value) => self.page_table_region(header, value),
            Value::CorimDocument(value) => self.corim_document(header, value),
            Value::CorimSignature(value) => self.corim_signature(header, value),
            Value::CcaPolicy(value) => self.cca_policy(header, value),
            Value::VersionString(text) => self.version_string(header, text),
            Value::ParameterArea(value) => self.parameter_area(header, value)?,
            Value::PageData(value) => self.page_data(header, value),
            Value::ParameterInsert(value) => self.parameter_insert(header, value),
            Value::VpContext(value) => self.vp_context(header, value),
            Value::RequiredMemory(value) => self.required_memory(header, value),
            Value::Parameter(kind, value) => self.parameter(header, *kind, value),
            Value::SnpIdBlock(value) => self.snp_id_block(header, &value.get()),
            Value::ErrorRange(value) => self.error_range(header, value),
            Value::VbsMeasurement(value) => {
                self.vbs_measurement(header, value.get().compatibility_mask);
            }
            Value::WrongLength { .. } | Value::Retired | Value::Unknown => {}
        }
        Ok(())
    }

    pub(super) fn report(&mut self, finding: Finding) {
        (self.sink)(finding);
    }

    /// A finding about a header as a whole.
    pub(super) fn fault(&mut self, header: &Header<'_>, detail: impl Into<Detail>) {
        self.report(Finding::new(detail).of(header));
    }
}
