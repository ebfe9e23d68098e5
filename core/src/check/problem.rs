//! Rules that loading shows: what directives do to each other and to the host.

use igvm_defs::IgvmPlatformType;

use super::area::fixed_len;
use super::finding::Finding;
use super::rule::rules;
use crate::load::{FixupFailure, Host, Problem, ProblemKind, RelocationRefusal, Space};
use crate::span::Span;
use crate::wire::ParameterKind;
use crate::x86;

rules! {
    /// What can go wrong while loading.
    enum LoadFault;

    Overlap { span: Span, earlier: u32 }
        Warning "memory.overlap"
        "Guest memory is written once."
        "QEMU 10.2.2: backends/igvm.c; SEV-SNP and TDX add a page once"
        => "header {earlier} wrote {span} before: the later bytes stand, and platforms that add \
            pages once refuse it";
    ParameterOverlap { span: Span, earlier: u32 }
        Warning "parameter.overlap"
        "Parameters of an area do not overlap."
        "igvm_defs: IGVM_VHS_PARAMETER"
        => "header {earlier} put its parameter at {span} of the area too: the later one stands";
    DoesNotFit { kind: ParameterKind, offset: u64, len: u64, area_len: u64 }
        Error "parameter.does-not-fit"
        "A parameter of the host fits into its area."
        "igvm_defs: IGVM_VHS_PARAMETER"
        => "{kind} takes {len} bytes with this host, at offset {offset:#x} of an area of \
            {area_len:#x} bytes: the load must fail";
    NotOffered { kind: ParameterKind }
        Note "parameter.not-offered"
        "The host has what the file asks for."
        "igvm_defs: IGVM_VHS_PARAMETER"
        => "this host has no {kind} to offer; the area keeps its initial bytes";
    Retired { index: u32, inserted: u32 }
        Error "area.retired"
        "A parameter area is not used after it was inserted."
        "igvm_defs: IGVM_VHS_PARAMETER_INSERT.parameter_area_index; igvm 0.5.0: InvalidParameterAreaIndex"
        => "parameter area {index} was inserted by header {inserted}, which retired its index";
    MemoryMissing { span: Span }
        Error "memory.missing"
        "The memory that the file requires is there."
        "igvm_defs: IGVM_VHS_REQUIRED_MEMORY"
        => "the guest needs memory at {span}, where this host has no RAM";
    MemoryCreated { span: Span }
        Note "memory.created"
        "The memory that the file requires is RAM of the host."
        "igvm_defs: IGVM_VHS_REQUIRED_MEMORY; QEMU 10.2.2 creates the memory"
        => "the guest needs memory at {span}, where this host has no RAM; it is created, as QEMU \
            does, while the specification wants the load to fail";
    ContextTwice { vp_index: u16, earlier: u32 }
        Error "context.twice"
        "A processor has one context on a platform."
        "igvm_defs: IGVM_VHS_VP_CONTEXT"
        => "processor {vp_index} had a context before, from header {earlier}; loaders differ in \
            which counts";
    NoProcessor { vp_index: u16, processors: u32 }
        Note "context.no-processor"
        "A context is for a processor that the host starts."
        "igvm_defs: IGVM_VHS_VP_CONTEXT.vp_index"
        => "a context for processor {vp_index}; this host starts {processors}";
    Unreadable { span: Span }
        Error "data.unreadable"
        "The data of a header can be read."
        "the file system"
        => "its data at file offsets {span} cannot be read";
    Refused { to: u64, why: RelocationRefusal }
        Error "relocation.refused"
        "A region can move to where the host wants it."
        "igvm_defs: IGVM_VHS_RELOCATABLE_REGION"
        => "the region cannot move to {to:#x}: {why}";
    TooManyRegions
        Warning "relocation.too-many"
        "A file has a handful of regions."
        "this loader keeps track of 64"
        => "the file has more regions than this loader keeps track of: this one stays where it is";
    MovedTooHigh { span: Span }
        Error "relocation.beyond-address-space"
        "A region that moves stays inside guest physical memory."
        "APM volume 2, \"Physical Address Space\""
        => "moved to {span}, it passes the 52 bits of a physical address";
    Fixup { linear: u64, why: FixupFailure }
        Error "relocation.page-tables"
        "The page tables can follow a region that moves."
        "igvm_defs: IGVM_VHS_PAGE_TABLE_RELOCATION"
        => "the page tables cannot follow the relocation at {linear:#x}: {why}";
}

/// The finding that belongs to a problem of the load for a platform; `None` if
/// the pass over the headers reports it, or if it is no fault of the file.
pub fn problem(host: &Host<'_>, platform: IgvmPlatformType, problem: &Problem) -> Option<Finding> {
    let header = problem.header;
    let finding = |fault: LoadFault| Finding::new(fault).at(header).platform(platform);
    let with_guest = |fault, span| finding(fault).guest(span);
    Some(match problem.kind {
        ProblemKind::Overlap(overlap) => {
            let (span, earlier) = (overlap.span, overlap.earlier.index);
            match overlap.space {
                Space::Area(_) => finding(LoadFault::ParameterOverlap { span, earlier }),
                _ => with_guest(LoadFault::Overlap { span, earlier }, span),
            }
        }
        ProblemKind::ParameterDoesNotFit { kind, offset, len, area_len } => {
            // What holds for every host was said of the header.
            if fixed_len(kind).is_some() || offset >= area_len {
                return None;
            }
            finding(LoadFault::DoesNotFit { kind, offset, len, area_len })
        }
        ProblemKind::ParameterNotOffered { kind } => finding(LoadFault::NotOffered { kind }),
        ProblemKind::AreaRetired { index, inserted } => {
            finding(LoadFault::Retired { index, inserted: inserted.index })
        }
        ProblemKind::MemoryMissing { span, created: false } => {
            with_guest(LoadFault::MemoryMissing { span }, span)
        }
        ProblemKind::MemoryMissing { span, created: true } => {
            with_guest(LoadFault::MemoryCreated { span }, span)
        }
        ProblemKind::ContextTwice { vp_index, earlier } => {
            finding(LoadFault::ContextTwice { vp_index, earlier: earlier.index })
                .processor(vp_index.into())
        }
        ProblemKind::ContextWithoutProcessor { vp_index, processors } => {
            finding(LoadFault::NoProcessor { vp_index, processors }).processor(vp_index.into())
        }
        ProblemKind::DataMissing { span, file_len } if span.end() <= file_len => {
            finding(LoadFault::Unreadable { span }).file(span)
        }
        ProblemKind::RegisterAdjusted { register: x86::Register::Rflags, from, .. } => {
            let was = match from {
                0 => x86::Problem::RflagsZero {},
                rflags => x86::Problem::RflagsFixedBitClear { rflags },
            };
            Finding::new(super::processor::ProcessorFault(was)).at(header).platform(platform)
        }
        ProblemKind::RelocationRefused { why: RelocationRefusal::TooMany, .. } => {
            finding(LoadFault::TooManyRegions)
        }
        ProblemKind::RelocationRefused { to, why } => finding(LoadFault::Refused { to, why }),
        ProblemKind::FixupFailed { linear, why } => finding(LoadFault::Fixup { linear, why }),
        ProblemKind::BeyondAddressSpace { span } if !host.relocations.is_empty() => {
            with_guest(LoadFault::MovedTooHigh { span }, span)
        }
        ProblemKind::NotX86 { .. }
        | ProblemKind::PageSize { .. }
        | ProblemKind::HeadersCutShort { .. }
        | ProblemKind::NotUnderstood { .. }
        | ProblemKind::ContextMissing
        | ProblemKind::WrongLength { .. }
        | ProblemKind::Unaligned { .. }
        | ProblemKind::BeyondAddressSpace { .. }
        | ProblemKind::DataMissing { .. }
        | ProblemKind::AreaTwice { .. }
        | ProblemKind::AreaUnknown { .. }
        | ProblemKind::ContextNotExpected
        | ProblemKind::ContextNotZero { .. }
        | ProblemKind::ContextNotX86
        | ProblemKind::ContextTooLong { .. }
        | ProblemKind::RegisterNotModelled { .. }
        | ProblemKind::RegisterAdjusted { .. } => return None,
    })
}
