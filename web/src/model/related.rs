//! One selection, everywhere: what a selected thing is in the other panes.

use igvm_analysis::report::OriginView;
use igvm_core::file::{Header, page_len};
use igvm_core::load::Space;
use igvm_core::span::Span;
use igvm_core::wire::Value;
use igvm_core::x86::Register;

use super::document::Document;
use super::focus::{Focus, Selection};
use super::machine::Loaded;

/// What belongs to the selection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Related {
    /// The header that is selected or that wrote it.
    pub header: Option<u32>,
    /// The guest memory that is selected or written.
    pub guest: Option<Span>,
    /// The bytes of the file that it comes from.
    pub file: Option<Span>,
    /// The register.
    pub register: Option<(u32, Register)>,
    /// The linear address, if one is selected.
    pub linear: Option<u64>,
}

impl Related {
    /// Finds what belongs to the selection of a focus.
    pub fn new(document: &Document, loaded: Option<&Loaded>, focus: &Focus) -> Self {
        match focus.selection {
            None => Self::default(),
            Some(Selection::Header(index)) => of_header(document, loaded, index),
            Some(Selection::Register(vp_index, register)) => {
                of_register(loaded, vp_index, register)
            }
            Some(Selection::Guest(gpa)) => of_guest(loaded, gpa),
            Some(Selection::File(offset)) => of_file(document, loaded, offset),
            Some(Selection::Linear(linear)) => {
                let walk =
                    loaded.and_then(|loaded| loaded.translate(document, focus.vp_index(), linear));
                let found = walk.and_then(|walk| walk.result.ok());
                let guest = found.map(|found| of_guest(loaded, found.physical));
                Self { linear: Some(linear), ..guest.unwrap_or_default() }
            }
        }
    }
}

fn of_guest(loaded: Option<&Loaded>, gpa: u64) -> Related {
    let extent = loaded.and_then(|loaded| loaded.extent_at(gpa));
    let file =
        extent.and_then(|extent| Some(extent.file_span()?.start + (gpa - extent.span.start)));
    Related {
        header: extent.map(|extent| extent.writer_at(gpa).index),
        guest: Some(Span::new(gpa, 1)),
        file: file.map(|offset| Span::new(offset, 1)),
        ..Related::default()
    }
}

fn of_header(document: &Document, loaded: Option<&Loaded>, index: u32) -> Related {
    let Some(header) = document.header(index) else { return Related::default() };
    Related {
        header: Some(index),
        guest: guest_range(&header, loaded),
        file: Some(header.range()),
        ..Related::default()
    }
}

/// The guest memory that a header is about.
pub fn guest_range(header: &Header<'_>, loaded: Option<&Loaded>) -> Option<Span> {
    Some(match header.value() {
        Value::PageData(page) => Span::new(page.gpa, page_len(&page)),
        Value::RequiredMemory(required) => Span::new(required.gpa, required.number_of_bytes.into()),
        Value::ErrorRange(range) => Span::new(range.gpa, range.size_bytes.into()),
        Value::RelocatableRegion(region) => {
            Span::new(region.relocation_region_gpa, region.relocation_region_size)
        }
        Value::PageTableRelocationRegion(region) => Span::new(region.gpa, region.size),
        Value::ParameterInsert(insert) => {
            let mut areas = loaded?.state.parameter_areas.iter();
            let area = areas.find(|area| area.index == insert.parameter_area_index)?;
            Span::new(insert.gpa, area.length.0)
        }
        _ => return None,
    })
}

fn of_register(loaded: Option<&Loaded>, vp_index: u32, register: Register) -> Related {
    let origin = loaded
        .and_then(|loaded| loaded.processor(vp_index))
        .and_then(|processor| processor.origin(register));
    Related {
        header: origin.map(|origin| origin.header),
        guest: None,
        file: origin.map(|origin| Span::new(origin.file_offset.0, origin.length)),
        register: Some((vp_index, register)),
        linear: None,
    }
}

/// Bytes of a header, or data that an extent of guest memory comes from.
fn of_file(document: &Document, loaded: Option<&Loaded>, offset: u64) -> Related {
    let file = Some(Span::new(offset, 1));
    if let Some(header) = document.header_at(offset) {
        return Related { header: Some(header.index), file, ..Related::default() };
    }
    let guest = loaded.and_then(|loaded| {
        loaded.extents(Space::Guest).find_map(|extent| {
            let into = offset.checked_sub(extent.file_span()?.start)?;
            (into < extent.span.len).then(|| extent.span.start + into)
        })
    });
    match guest {
        Some(gpa) => Related { file, ..of_guest(loaded, gpa) },
        None => Related { file, ..of_context(loaded, offset).unwrap_or_default() },
    }
}

/// The register whose value stands at this offset of the file.
fn of_context(loaded: Option<&Loaded>, offset: u64) -> Option<Related> {
    loaded?.state.processors.iter().find_map(|processor| {
        let holds =
            |origin: &OriginView| Span::new(origin.file_offset.0, origin.length).contains(offset);
        let (name, origin) = processor.origins.iter().find(|(_, origin)| holds(origin))?;
        Some(Related {
            header: Some(origin.header),
            register: Some((processor.vp_index, Register::by_name(name)?)),
            ..Related::default()
        })
    })
}

#[cfg(test)]
mod tests {
    use igvm_analysis::host::HostDescription;

    use super::*;
    use crate::model::focus::Subject;
    use crate::model::machine::first_platform;

    #[test]
    fn a_byte_is_followed_in_every_direction() {
        let bytes = (igvm_samples::by_name("hello-long64").unwrap().build)();
        let len = bytes.len() as u64;
        let document =
            Document::open(Subject::Sample("hello-long64".into()), len, Box::new(bytes)).unwrap();
        let platform = first_platform(&document).unwrap();
        let loaded = Loaded::new(&document, platform, &HostDescription::default()).unwrap();
        let related =
            |selection| Related::new(&document, Some(&loaded), &Focus::default().on(selection));

        // 0x1000..0x4000 is one extent of the headers 1 to 3, from file 0x118.
        let guest = related(Selection::Guest(0x2010));
        assert_eq!(guest.header, Some(2));
        assert_eq!(guest.file, Some(Span::new(0x1128, 1)));
        let file = related(Selection::File(0x1128));
        assert_eq!((file.header, file.guest), (Some(2), Some(Span::new(0x2010, 1))));
        let linear = related(Selection::Linear(0x2010));
        assert_eq!((linear.header, linear.linear), (Some(2), Some(0x2010)));
        let header = related(Selection::Header(2));
        assert_eq!(header.guest, Some(Span::new(0x2000, 0x1000)));
        let register = related(Selection::Register(0, Register::Rip));
        assert_eq!(register.header, Some(7));
        let byte = register.file.unwrap().start;
        let back = related(Selection::File(byte + 1));
        assert_eq!((back.header, back.register), (Some(7), Some((0, Register::Rip))));
        for hostile in [
            Selection::Header(u32::MAX),
            Selection::Register(u32::MAX, Register::Cs),
            Selection::Guest(u64::MAX),
            Selection::File(u64::MAX),
            Selection::Linear(u64::MAX),
        ] {
            assert_eq!(related(hostile).header, None);
        }
    }
}
