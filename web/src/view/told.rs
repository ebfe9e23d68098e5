//! What the guest is told: the parameters in each area, in words.

use igvm_analysis::report::Size;
use igvm_core::defs::MemoryMapEntryType;
use igvm_core::load::{Area, Extent, Source, Space};
use igvm_core::span::Span;
use igvm_core::wire::ParameterKind;
use maud::{Markup, html};

use super::View;
use super::parts::{by_host, count, guest, header, hex};
use crate::model::focus::{Pane, Selection};
use crate::model::machine::Loaded;

/// Areas, parameters in an area and entries of a table that are written out.
const AREAS_SHOWN: usize = 64;
const PARAMETERS_SHOWN: usize = 64;
const ENTRIES_SHOWN: usize = 64;

/// Bytes of a parameter that are looked at.
const BYTES_MAX: u64 = 256 << 10;

/// Every parameter area with what the host put into it.
pub(super) fn told(view: View<'_>, loaded: &Loaded) -> Markup {
    let areas = loaded.state.parameter_areas.len();
    html! {
        @if areas == 0 { p.empty { "The file has no parameter areas: the guest is told nothing, and must find out by itself." } }
        @for area in loaded.machine().areas().iter().take(AREAS_SHOWN) { (one_area(view, loaded, area)) }
        @if areas > AREAS_SHOWN { p.dim { "and " (count((areas - AREAS_SHOWN) as u64, "area")) " more" } }
    }
}

fn one_area(view: View<'_>, loaded: &Loaded, area: &Area) -> Markup {
    let headers = view.focus.in_pane(Pane::Headers);
    let parameters = loaded.extents(area.space()).filter_map(|extent| match extent.source {
        Source::Parameter { kind, offset: 0 } => Some((kind, extent)),
        _ => None,
    });
    let parameters: Vec<_> = parameters.take(PARAMETERS_SHOWN).collect();
    html! {
        section.area aria-label={ "Parameter area " (area.index) } {
            h3 {
                "Area " (area.index) ", " (Size(area.len)) ", "
                @match area.inserted {
                    Some(inserted) => { "at " (guest(view.focus, inserted.gpa)) " by " (header(&headers, inserted.header.index)) }
                    None => strong.bad { "never inserted: the guest does not see it" },
                }
            }
            @if parameters.is_empty() { p.dim { "The host puts nothing into it." } }
            dl.told {
                @for (kind, extent) in parameters {
                    @let gpa = area.inserted.map(|inserted| inserted.gpa + extent.span.start);
                    @let changed = gpa.zip(view.changes).is_some_and(|(gpa, changes)| changes.touches(Span::new(gpa, extent.span.len)));
                    dt {
                        code { (kind) }
                        @if changed { (by_host()) }
                        div.dim {
                            @match gpa {
                                Some(gpa) => { (guest(view.focus, gpa)) " · " a href=(view.focus.in_pane(Pane::Hex).on(Selection::Guest(gpa)).href()) { "hex" } }
                                None => { "offset " (hex(extent.span.start)) }
                            }
                            " · " (header(&headers, extent.writer.index))
                        }
                    }
                    dd { (in_words(view, loaded, kind, extent)) }
                }
            }
        }
    }
}

/// The bytes as they stand in the area.
fn in_words(view: View<'_>, loaded: &Loaded, kind: ParameterKind, extent: &Extent) -> Markup {
    let Space::Area(_) = extent.space else { return Markup::default() };
    let mut bytes = vec![0; extent.span.len.min(BYTES_MAX) as usize];
    let read = loaded.with_memory(view.document, |memory| {
        memory.read_space(extent.space, extent.span.start, &mut bytes).is_ok()
    });
    if !read {
        return html! { span.bad { "The browser cannot read these bytes." } };
    }
    let bytes = bytes.as_slice();
    match kind {
        ParameterKind::VpCount => {
            html! { (count(u64::from(u32_at(bytes, 0)), "processor")) }
        }
        ParameterKind::EnvironmentInfo => {
            let value = u32_at(bytes, 0);
            html! { (hex(value.into())) ", " @if value & 1 == 0 { "memory starts out private" } @else { "memory starts out shared with the host" } }
        }
        ParameterKind::MmioRanges => ranges(view, bytes),
        ParameterKind::MemoryMap => memory_map(view, bytes),
        ParameterKind::CommandLine => {
            let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
            let text = String::from_utf8_lossy(&bytes[..end]);
            html! { @if end == 0 { span.dim { "empty" } } @else { code { (text) } span.dim { ", " (count(end as u64, "letter")) } } }
        }
        ParameterKind::Srat | ParameterKind::Madt | ParameterKind::Slit | ParameterKind::Pptt => {
            acpi(bytes)
        }
        ParameterKind::DeviceTree => html! {
            "device tree of " (Size(big_u32_at(bytes, 4).into()))
            @if big_u32_at(bytes, 0) != 0xd00d_feed { ", " strong.bad { "without the magic number" } }
        },
    }
}

fn ranges(view: View<'_>, bytes: &[u8]) -> Markup {
    html! {
        ul {
            @for range in bytes.chunks_exact(16) {
                @let span = pages(range);
                li {
                    @if span.is_empty() { span.dim { "no range" } }
                    @else { (super::parts::guest_span(view.focus, span)) ", " (Size(span.len)) }
                }
            }
        }
    }
}

fn memory_map(view: View<'_>, bytes: &[u8]) -> Markup {
    let entries: Vec<&[u8]> =
        bytes.chunks_exact(24).take_while(|entry| !pages(entry).is_empty()).collect();
    html! {
        ul {
            @for entry in entries.iter().take(ENTRIES_SHOWN) {
                @let span = pages(entry);
                li {
                    (super::parts::guest_span(view.focus, span)) ", " (Size(span.len)) ", "
                    (entry_type(u16::from_le_bytes([entry[16], entry[17]])))
                }
            }
        }
        @if entries.len() > ENTRIES_SHOWN { p.dim { "and " (entries.len() - ENTRIES_SHOWN) " more" } }
    }
}

fn entry_type(typ: u16) -> &'static str {
    match MemoryMapEntryType(typ) {
        MemoryMapEntryType::MEMORY => "memory",
        MemoryMapEntryType::PLATFORM_RESERVED => "reserved by the platform",
        MemoryMapEntryType::PERSISTENT => "persistent memory",
        MemoryMapEntryType::VTL2_PROTECTABLE => "VTL2 protectable",
        _ => "of a type that the specification does not list",
    }
}

/// A system description table (ACPI 6.5, section 5.2.6).
fn acpi(bytes: &[u8]) -> Markup {
    let signature = String::from_utf8_lossy(bytes.get(..4).unwrap_or(&[])).into_owned();
    let len = u32_at(bytes, 4) as usize;
    let table = bytes.get(..len);
    let sum = table.map(|table| table.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)));
    html! {
        "ACPI table " code { (signature) } ", " (Size(len as u64)) ", revision " (bytes.get(8).copied().unwrap_or(0))
        @if let Some(table) = table.filter(|_| signature == "APIC") { ", " (count(local_apics(table), "local APIC")) }
        @match sum {
            Some(0) => ", checksum correct",
            Some(_) => { ", " strong.bad { "wrong checksum" } }
            None => { ", " strong.bad { "cut short" } }
        }
    }
}

/// The processors of a MADT: structures of type 0 and 9 behind its 44 bytes.
fn local_apics(table: &[u8]) -> u64 {
    let mut rest = table.get(44..).unwrap_or(&[]);
    let mut found = 0;
    while let [typ, len, ..] = rest {
        found += u64::from(matches!(typ, 0 | 9));
        rest = rest.get(usize::from(*len).max(2)..).unwrap_or(&[]);
    }
    found
}

/// Number of the first page, number of pages.
fn pages(entry: &[u8]) -> Span {
    let number = |at: usize| u64::from(u32_at(entry, at)) | u64::from(u32_at(entry, at + 4)) << 32;
    Span::new(number(0).saturating_mul(4096), number(8).saturating_mul(4096))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let word = bytes.get(at..).and_then(|rest| rest.first_chunk());
    word.map_or(0, |word| u32::from_le_bytes(*word))
}

fn big_u32_at(bytes: &[u8], at: usize) -> u32 {
    u32_at(bytes, at).swap_bytes()
}
