//! Two files, or one for two platforms, compared in steps.

use igvm_analysis::diff::{
    Bounded, FileSide, HeaderDiff, HeadersReport, MachineSide, MemoryDiff, MemoryReport,
    RegistersReport,
};
use igvm_analysis::host::HostDescription;
use igvm_analysis::report::{FindingView, FindingsReport};
use igvm_core::defs::IgvmPlatformType;
use igvm_core::platform::platform_name;

use super::blocks::Blocks;
use super::focus::{Focus, Other, Subject};
use super::machine::{Loaded, findings, first_platform};
use super::opened::Opened;

/// Bytes of both files that are read before the next look at the clock.
const CHUNK: u64 = 1 << 20;

/// What a comparison is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    subject: Subject,
    platform: Option<IgvmPlatformType>,
    host: HostDescription,
    other: Other,
}

impl About {
    /// What a focus asks to compare.
    pub fn of(focus: &Focus) -> Option<Self> {
        Some(Self {
            subject: focus.subject.clone()?,
            platform: focus.platform,
            host: focus.host.clone(),
            other: focus.with.clone()?,
        })
    }
}

/// A comparison: the other side came before, this side after.
pub struct Comparison {
    about: About,
    /// The other side's machine; `None` where its file has no platform.
    machine: Option<Loaded>,
    /// Why the other side has no machine.
    no_machine: Option<String>,
    /// Findings about this side that the other has not.
    new_findings: Vec<FindingView>,
    /// Findings about the other side that this has not.
    old_findings: Vec<FindingView>,
    bytes: Bytes,
    headers: HeaderDiff,
    memory: Option<MemoryDiff>,
    registers: Option<RegistersReport>,
    same_memory_map: bool,
    stage: Stage,
    stopped: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Bytes,
    Headers,
    Memory,
    Done,
}

/// How far the bytes of the two files are known to be the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bytes {
    SameUpTo(u64),
    Same,
    Differ(u64),
}

impl Comparison {
    /// Nothing compared yet but the processors.
    pub fn new(about: About, this: &Opened, other: &Opened) -> Self {
        let is_one_file = this.document.subject == other.document.subject;
        let (machine, no_machine) = match load(&about, other) {
            Ok(machine) => (machine, None),
            Err(why) => (None, Some(why)),
        };
        let machines = machine.as_ref().zip(this.loaded.as_ref());
        let others = match is_one_file {
            true => this.findings.clone(),
            false => findings(&other.document, &about.host),
        };
        let of = |report: &FindingsReport, loaded: Option<&Loaded>| {
            let name = loaded.map(|loaded| loaded.state.platform.clone());
            let mut findings = report.findings.clone();
            if is_one_file {
                findings.retain(|one| one.platform.is_none() || one.platform == name);
            }
            findings
        };
        let before = of(&others, machine.as_ref());
        let after = of(&this.findings, this.loaded.as_ref());
        Self {
            new_findings: without(&after, &before),
            old_findings: without(&before, &after),
            bytes: if is_one_file { Bytes::Same } else { Bytes::SameUpTo(0) },
            headers: HeaderDiff::default(),
            memory: machines.map(|(before, after)| {
                let (before, after) = (side(before, other), side(after, this));
                MemoryDiff::new(before, after, is_one_file)
            }),
            registers: machines
                .map(|(before, after)| RegistersReport::new(before.machine(), after.machine())),
            same_memory_map: machines.is_none_or(|(before, after)| {
                before.state.guest_memory == after.state.guest_memory
            }),
            stage: if is_one_file { Stage::Headers } else { Stage::Bytes },
            stopped: false,
            about,
            machine,
            no_machine,
        }
    }

    /// Whether this is the comparison of these two.
    pub fn is_about(&self, about: &About) -> bool {
        self.about == *about
    }

    /// Whether one file is compared with itself, for two platforms.
    pub fn is_one_file(&self) -> bool {
        self.about.subject == self.about.other.subject
    }

    /// Compares a little; false when nothing is left to do.
    pub fn step(&mut self, this: &Opened, other: &Opened) -> bool {
        if self.stopped || self.stage == Stage::Done {
            return false;
        }
        match self.stage {
            Stage::Bytes => self.step_bytes(this.document.data(), other.document.data()),
            Stage::Headers => {
                let [before, after] = self.files(this, other);
                if !self.headers.step(before, after) {
                    self.stage = Stage::Memory;
                }
            }
            _ => {
                let machines = self.machine.as_ref().zip(this.loaded.as_ref());
                let more = match (&mut self.memory, machines) {
                    (Some(memory), Some((before, after))) => {
                        memory.step(side(before, other), side(after, this))
                    }
                    _ => false,
                };
                if !more {
                    self.stage = Stage::Done;
                }
            }
        }
        self.stage != Stage::Done
    }

    fn step_bytes(&mut self, this: &Blocks, other: &Blocks) {
        let Bytes::SameUpTo(at) = self.bytes else {
            self.stage = Stage::Headers;
            return;
        };
        let len = this.len().min(other.len());
        let chunk = CHUNK.min(len - at) as usize;
        let (mut first, mut second) = (vec![0; chunk], vec![0; chunk]);
        let read = this.read_direct(at, &mut first) && other.read_direct(at, &mut second);
        let differ = first.iter().zip(&second).position(|(first, second)| first != second);
        self.bytes = match differ {
            _ if !read => Bytes::Differ(at),
            Some(byte) => Bytes::Differ(at + byte as u64),
            None if chunk > 0 => Bytes::SameUpTo(at + chunk as u64),
            None if this.len() != other.len() => Bytes::Differ(at),
            None => Bytes::Same,
        };
    }

    fn files<'a>(&self, this: &'a Opened, other: &'a Opened) -> [FileSide<'a, Blocks>; 2] {
        let mask = |loaded: Option<&Loaded>| {
            loaded
                .map(|loaded| loaded.machine().compatibility_mask())
                .filter(|_| self.is_one_file())
        };
        let file = |opened: &'a Opened, mask| FileSide {
            file: opened.document.file(),
            data: opened.document.data(),
            mask,
        };
        let masks = [mask(self.machine.as_ref()), mask(this.loaded.as_ref())];
        let masks = if masks.contains(&None) { [None; 2] } else { masks };
        [file(other, masks[0]), file(this, masks[1])]
    }

    /// How much is done, of 1; `None` when all is.
    pub fn progress(&self, this: &Opened, other: &Opened) -> Option<f64> {
        let part = match (self.stage, self.bytes) {
            (Stage::Done, _) => return None,
            _ if self.stopped => return None,
            (Stage::Bytes, Bytes::SameUpTo(at)) => {
                0.3 * at as f64 / this.document.data().len().max(1) as f64
            }
            (Stage::Bytes, _) => 0.3,
            (Stage::Headers, _) => 0.3 + 0.3 * self.headers.progress(self.files(this, other)),
            (Stage::Memory, _) => {
                0.6 + 0.4 * self.memory.as_ref().map_or(1.0, MemoryDiff::progress)
            }
        };
        Some(part)
    }

    /// Keeps what was found, and looks no further.
    pub fn stop(&mut self) {
        self.stopped |= self.stage != Stage::Done;
    }

    /// Whether it was stopped before its end.
    pub fn is_incomplete(&self) -> bool {
        self.stopped
    }

    /// Whether everything was looked at.
    pub fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    /// The other side's machine.
    pub fn machine(&self) -> Option<&Loaded> {
        self.machine.as_ref()
    }

    /// Why the other side has no machine.
    pub fn no_machine(&self) -> Option<&str> {
        self.no_machine.as_deref()
    }

    /// The headers that differ, as far as is known.
    pub fn headers(&self) -> &HeadersReport {
        self.headers.report()
    }

    /// The memory that differs, as far as is known.
    pub fn memory(&self) -> Option<&MemoryReport> {
        self.memory.as_ref().map(MemoryDiff::report)
    }

    /// The registers that differ.
    pub fn registers(&self) -> Option<&RegistersReport> {
        self.registers.as_ref()
    }

    /// Findings about this side alone, and about the other alone.
    pub fn findings(&self) -> [&[FindingView]; 2] {
        [&self.new_findings, &self.old_findings]
    }

    /// Whether both guests have the same memory, whatever is in it.
    pub fn has_same_memory_map(&self) -> bool {
        self.same_memory_map
    }

    /// Whether both make the very same machine; only known at the end.
    pub fn is_same_machine(&self) -> bool {
        let memory = self.memory().is_some_and(MemoryReport::is_same);
        let registers = self.registers.as_ref().is_some_and(RegistersReport::is_same);
        self.is_done() && memory && registers && self.same_memory_map
    }

    /// Whether the files are the same, byte by byte.
    pub fn is_same_bytes(&self) -> bool {
        self.bytes == Bytes::Same
    }

    /// The first byte that the files do not share.
    pub fn first_byte(&self) -> Option<u64> {
        match self.bytes {
            Bytes::Differ(at) => Some(at),
            _ => None,
        }
    }
}

/// A machine as the analysis compares it.
pub(super) fn side<'a>(loaded: &'a Loaded, opened: &'a Opened) -> MachineSide<'a, Blocks> {
    MachineSide { machine: loaded.machine(), host: loaded.host(), data: opened.document.data() }
}

fn load(about: &About, other: &Opened) -> Result<Option<Loaded>, String> {
    let platform = about.other.platform.or_else(|| first_platform(&other.document));
    let Some(platform) = platform else { return Ok(None) };
    let name = platform_name(platform).unwrap_or("of this number");
    Loaded::new(&other.document, platform, &about.host)
        .map(Some)
        .map_err(|error| format!("It cannot be loaded for the platform {name}: {error}."))
}

/// The findings that `others` do not have, each as often as it is more often
/// here.
fn without(findings: &[FindingView], others: &[FindingView]) -> Vec<FindingView> {
    fn key(finding: &FindingView) -> (&str, &str) {
        (finding.rule, &finding.sentence)
    }
    let mut left: Vec<(&str, &str)> = others.iter().map(key).collect();
    left.sort_unstable();
    // How many of the equal ones that start here have found their like.
    let mut used = vec![0; left.len()];
    let mut is_new = |finding: &&FindingView| {
        let first = left.partition_point(|other| *other < key(finding));
        let Some(used) = used.get_mut(first) else { return true };
        let next = first + *used;
        *used += 1;
        left.get(next) != Some(&key(finding))
    };
    findings.iter().filter(|finding| is_new(finding)).cloned().collect()
}

/// How many things a list keeps to itself.
pub fn hidden<T>(things: &Bounded<T>, shown: usize) -> u64 {
    things.total - things.kept.len().min(shown) as u64
}
