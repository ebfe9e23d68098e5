//! Rules of the file data and of the guest addresses it goes to.

use super::finding::Finding;
use super::rule::rules;
use super::structure::Structure;
use crate::data::FileData;
use crate::file::Header;
use crate::load::GUEST_PHYSICAL_LIMIT;
use crate::span::Span;

rules! {
    /// What can be wrong with a range of the file or of the guest.
    enum DataFault;

    OutsideFile { data: Span, file_len: u64 }
        Error "data.outside-file"
        "The data of a header lies inside the file."
        "igvm_defs: file_offset; igvm 0.5.0: InvalidDataSize"
        => "its data should lie at file offsets {data}, but the file ends at {file_len:#x}";
    InsideHeaders { data: Span, headers_end: u64 }
        Error "data.inside-headers"
        "The data of a header lies behind the variable headers."
        "IGVM specification: file data follows the variable headers"
        => "its data at file offsets {data} begins inside the headers, which end at \
            {headers_end:#x}";
    BeyondAddressSpace { guest: Span }
        Error "memory.beyond-address-space"
        "Guest physical addresses have at most 52 bits."
        "APM volume 2, \"Physical Address Space\""
        => "the guest range {guest} passes the 52 bits of a physical address";
    Tail { tail: Span }
        Note "data.tail"
        "Some header refers to the end of the file data."
        "IGVM specification: file data is what headers refer to"
        => "no header refers to file offsets {tail}, the end of the file";
}

impl<D: FileData + ?Sized> Structure<'_, '_, D> {
    /// Data of `len` bytes at a `file_offset` that is not 0.
    pub(super) fn file_data(&mut self, header: &Header<'_>, file_offset: u32, len: u64) {
        let data = Span::new(file_offset.into(), len);
        let file_len = self.file.file_len();
        self.data_end = self.data_end.max(data.end());
        let fault = if data.start < self.headers_end {
            DataFault::InsideHeaders { data, headers_end: self.headers_end }
        } else if data.end() > file_len {
            DataFault::OutsideFile { data, file_len }
        } else {
            return;
        };
        self.fault(header, fault);
    }

    /// A range of guest physical memory.
    pub(super) fn guest_range(&mut self, header: &Header<'_>, gpa: u64, len: u64) {
        let guest = Span::new(gpa, len);
        if guest.checked_end().is_none_or(|end| end > GUEST_PHYSICAL_LIMIT) {
            let finding = Finding::new(DataFault::BeyondAddressSpace { guest });
            self.report(finding.of(header).guest(guest));
        }
    }

    /// The end of the file that nothing refers to.
    pub(super) fn tail(&mut self) {
        let tail = Span::between(self.data_end.max(self.headers_end), self.file.file_len());
        if !tail.is_empty() {
            self.report(Finding::new(DataFault::Tail { tail }).file(tail));
        }
    }
}
