//! `state`: the machine that loading makes.

mod memory;
mod processors;
mod text;

use igvm_core::load::{Host, Machine, Problem, ProblemKind, Space};
use igvm_core::span::Span;
use serde::Serialize;

pub use memory::{AreaView, ExtentView, InsertionView, RegionView};
pub use processors::{OriginView, ProcessorView, RegistersView};

use super::fields::platform;
use super::number::Hex;
use crate::loaded::Problems;

/// The computed machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StateReport {
    /// The platform it was loaded for.
    pub platform: String,
    /// The platform's compatibility mask.
    pub compatibility_mask: Hex,
    /// The processors the host starts.
    pub processors: Vec<ProcessorView>,
    /// What the file put into guest memory, by address.
    pub memory: Vec<ExtentView>,
    /// All memory the guest has: the host's RAM and what the file made the
    /// loader create.
    pub guest_memory: Vec<RangeView>,
    /// The parameter areas, by index.
    pub parameter_areas: Vec<AreaView>,
    /// Memory that the file requires.
    pub required_memory: Vec<ExtentView>,
    /// Memory for reporting errors.
    pub error_ranges: Vec<ExtentView>,
    /// Relocatable regions.
    pub regions: Vec<RegionView>,
    /// Bytes that were written more than once.
    pub overlaps: Vec<OverlapView>,
    /// What else went wrong while loading.
    pub problems: Vec<ProblemView>,
    /// Overlaps and problems that are not listed, for there are too many.
    pub problems_not_listed: u64,
    /// Whether a problem forbids starting the machine.
    pub startable: bool,
}

/// A range of guest memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RangeView {
    /// First guest physical address.
    pub gpa: Hex,
    /// Bytes.
    pub length: Hex,
}

impl From<Span> for RangeView {
    fn from(span: Span) -> Self {
        Self { gpa: Hex(span.start), length: Hex(span.len) }
    }
}

/// Bytes that a later header wrote over an earlier one's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OverlapView {
    /// The first address; an offset in the area for an overlap in one.
    pub gpa: Hex,
    /// Bytes.
    pub length: Hex,
    /// The parameter area, by index, if it is not guest memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub area: Option<u32>,
    /// The header whose bytes are gone.
    pub earlier: u32,
    /// The header whose bytes stand.
    pub later: u32,
}

/// A problem with a directive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProblemView {
    /// The header; `null` if it is about the file or the host.
    pub header: Option<u32>,
    /// Its file offset.
    pub file_offset: Option<Hex>,
    /// What is wrong, in a sentence.
    pub sentence: String,
    /// Whether the machine must not be started.
    pub fatal: bool,
}

impl StateReport {
    /// Looks at a machine, the host it was loaded for and the problems of the
    /// load.
    pub fn new(machine: &Machine<'_>, host: &Host<'_>, problems: &Problems) -> Self {
        let extents = |space| machine.image().extents(space).map(ExtentView::from).collect();
        Self {
            memory: extents(Space::Guest),
            required_memory: extents(Space::Required),
            error_ranges: extents(Space::ErrorRange),
            ..Self::outline(machine, host, problems)
        }
    }

    /// The same without the extents: for who has the machine at hand, and it
    /// may have a million of them.
    pub fn outline(machine: &Machine<'_>, host: &Host<'_>, problems: &Problems) -> Self {
        let mut guest_memory = Vec::new();
        machine.memory_ranges(host, &mut |range| guest_memory.push(range.into()));
        let (overlaps, others): (Vec<&Problem>, _) = problems
            .kept
            .iter()
            .partition(|problem| matches!(problem.kind, ProblemKind::Overlap(_)));
        Self {
            platform: platform(machine.platform()),
            compatibility_mask: Hex(machine.compatibility_mask().into()),
            processors: machine.processors().iter().map(ProcessorView::from).collect(),
            memory: Vec::new(),
            guest_memory,
            parameter_areas: machine
                .areas()
                .iter()
                .map(|area| AreaView::new(area, machine))
                .collect(),
            required_memory: Vec::new(),
            error_ranges: Vec::new(),
            regions: machine.regions().iter().map(RegionView::from).collect(),
            overlaps: overlaps.into_iter().filter_map(OverlapView::of).collect(),
            problems: others.into_iter().map(ProblemView::from).collect(),
            problems_not_listed: problems.total - problems.kept.len() as u64,
            startable: machine.fatal_problems() == 0,
        }
    }
}

impl OverlapView {
    fn of(problem: &Problem) -> Option<Self> {
        let ProblemKind::Overlap(overlap) = problem.kind else { return None };
        Some(Self {
            gpa: Hex(overlap.span.start),
            length: Hex(overlap.span.len),
            area: match overlap.space {
                Space::Area(index) => Some(index),
                _ => None,
            },
            earlier: overlap.earlier.index,
            later: overlap.later.index,
        })
    }
}

impl From<&Problem> for ProblemView {
    fn from(problem: &Problem) -> Self {
        let header = problem.kind.is_of_header().then_some(problem.header);
        Self {
            header: header.map(|header| header.index),
            file_offset: header.map(|header| Hex(header.offset.into())),
            sentence: problem.kind.to_string(),
            fatal: problem.kind.is_fatal(),
        }
    }
}
