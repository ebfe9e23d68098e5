//! The page tables of a processor, opened along one linear address: of each
//! table on the way every entry, equal neighbours folded. Tables that name each
//! other in circles cost no more than others, for one way has five at most.

use std::cell::{Cell, RefCell};

use igvm_core::x86::bits::cr4;
use igvm_core::x86::paging::{
    Entry, EntryKind, Fault, Level, Mapping, PhysicalMemory, Rights, Unreadable, Walk, mappings,
    walk,
};
use igvm_core::x86::{PagingMode, Register, RegisterFile, RegisterValue};

use super::goto::address;

/// Entries that are looked at for the list of ranges.
const BUDGET: u64 = 1 << 17;

/// Ranges that are listed.
const RANGES_MAX: usize = 256;

/// Runs of a table that are shown on each side of the way.
const RUNS_BESIDE: usize = 40;

/// A table on the way to an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// What its entries are called.
    pub level: Level,
    /// Where it stands in guest physical memory, or should.
    pub gpa: u64,
    /// Its entries, by index.
    pub runs: Vec<Run>,
    /// Runs that are not shown, before and behind those that are.
    pub hidden: (usize, usize),
}

/// Consecutive entries that say the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Index of the first.
    pub first: u16,
    /// How many.
    pub count: u16,
    /// The linear address that the first stands for.
    pub linear: u64,
    /// Bytes of linear addresses that each stands for.
    pub span: u64,
    /// The first entry; `None` where there is no memory for it.
    pub entry: Option<Entry>,
    /// What the entries down to this one allow.
    pub rights: Rights,
    /// How far what they lead to moves from one to the next.
    pub step: u64,
    /// Whether the way goes through it.
    pub on_the_way: bool,
}

impl Run {
    /// Appends the next entry, if that says the same of the next addresses.
    fn join(&mut self, next: &Self) -> bool {
        let step = match (self.entry, next.entry) {
            _ if self.on_the_way || next.on_the_way => None,
            // Between the halves of the address space.
            _ if self.last().wrapping_add(1) != next.linear => None,
            (None, None) => Some(0),
            (Some(this), Some(next)) => self.step_to(&this, &next),
            _ => None,
        };
        if let Some(step) = step {
            self.count += 1;
            self.step = step;
        }
        step.is_some()
    }

    fn step_to(&self, this: &Entry, next: &Entry) -> Option<u64> {
        let (gpa, other, natural) = match (this.kind, next.kind) {
            (EntryKind::NotPresent, EntryKind::NotPresent) => return Some(0),
            (EntryKind::Reserved { .. }, EntryKind::Reserved { .. }) => {
                return (this.raw == next.raw).then_some(0);
            }
            (EntryKind::Table { gpa }, EntryKind::Table { gpa: other }) => (gpa, other, 1 << 12),
            (EntryKind::Page { gpa, len }, EntryKind::Page { gpa: other, .. }) => (gpa, other, len),
            _ => return None,
        };
        let step = if self.count > 1 { self.step } else { other.wrapping_sub(gpa) };
        let follows = gpa.wrapping_add(step.wrapping_mul(self.count.into())) == other;
        let same_flags = this.raw & !gpa == next.raw & !other;
        (follows && same_flags && (step == 0 || step == natural)).then_some(step)
    }

    /// The last linear address.
    pub fn last(&self) -> u64 {
        self.linear.wrapping_add(self.span.wrapping_mul(self.count.into())).wrapping_sub(1)
    }
}

/// The tables on the way to a linear address, from the top. None without
/// paging, and none for what is no address of the paging mode.
pub fn tables(registers: &RegisterFile, memory: &impl PhysicalMemory, linear: u64) -> Vec<Table> {
    let memory = Cached { memory, pages: RefCell::default() };
    let mode = PagingMode::of(registers);
    if !mode.is_address(linear) {
        return Vec::new();
    }
    let way = walk(registers, &memory, linear);
    let mut tables = Vec::new();
    for (depth, level) in levels(mode).iter().copied().enumerate() {
        let table = table(registers, &memory, &way, depth, level);
        tables.push(table);
        if !way.entries.get(depth).is_some_and(|e| matches!(e.kind, EntryKind::Table { .. })) {
            break;
        }
    }
    tables
}

/// One table, read by walking to each of its entries.
fn table(
    registers: &RegisterFile,
    memory: &impl PhysicalMemory,
    way: &Walk,
    depth: usize,
    level: Level,
) -> Table {
    let shift = shift(way.mode, level);
    let entries = entries(way.mode, level);
    let start = way.linear & !(u64::from(entries) << shift).wrapping_sub(1);
    let chosen = (way.linear >> shift) as u16 & (entries - 1);
    let mut runs: Vec<Run> = Vec::new();
    for index in 0..entries {
        let linear = canonical(way.mode, start | u64::from(index) << shift);
        let walk = walk(registers, &Fused { memory, reads: Cell::new(depth + 1) }, linear);
        let above = walk.entries.iter().take(depth + 1);
        let run = Run {
            first: index,
            count: 1,
            linear,
            span: 1 << shift,
            entry: walk.entries.get(depth).copied(),
            rights: above.fold(Rights::ALL, |rights, entry| rights.and(entry.rights)),
            step: 0,
            on_the_way: index == chosen,
        };
        if !runs.last_mut().is_some_and(|last| last.join(&run)) {
            runs.push(run);
        }
    }
    let entry = match way.result {
        Err(Fault::Unreadable { gpa, .. }) => way.entries.get(depth).map_or(gpa, |entry| entry.gpa),
        _ => way.entries.get(depth).map_or(0, |entry| entry.gpa),
    };
    let gpa = entry.saturating_sub(u64::from(chosen) * entry_len(way.mode));
    let hidden = cut(&mut runs);
    Table { level, gpa, runs, hidden }
}

/// Leaves the runs around the way.
fn cut(runs: &mut Vec<Run>) -> (usize, usize) {
    let chosen = runs.iter().position(|run| run.on_the_way).unwrap_or(0);
    let end = (chosen + 1 + RUNS_BESIDE).min(runs.len());
    let start = chosen.saturating_sub(RUNS_BESIDE);
    let behind = runs.len() - end;
    runs.truncate(end);
    runs.drain(..start);
    (start, behind)
}

/// The levels of a paging mode, from the top.
const fn levels(mode: PagingMode) -> &'static [Level] {
    use Level::{Pde, Pdpte, Pml4e, Pml5e, Pte};
    match mode {
        PagingMode::None => &[],
        PagingMode::Bits32 => &[Pde, Pte],
        PagingMode::Pae => &[Pdpte, Pde, Pte],
        PagingMode::Level4 => &[Pml4e, Pdpte, Pde, Pte],
        PagingMode::Level5 => &[Pml5e, Pml4e, Pdpte, Pde, Pte],
    }
}

/// An entry of a level stands for two to this many bytes.
const fn shift(mode: PagingMode, level: Level) -> u32 {
    match (level, mode) {
        (Level::Pte, _) => 12,
        (Level::Pde, PagingMode::Bits32) => 22,
        (Level::Pde, _) => 21,
        (Level::Pdpte, _) => 30,
        (Level::Pml4e, _) => 39,
        (Level::Pml5e, _) => 48,
    }
}

/// Entries of a table.
const fn entries(mode: PagingMode, level: Level) -> u16 {
    match (mode, level) {
        (PagingMode::Bits32, _) => 1024,
        (PagingMode::Pae, Level::Pdpte) => 4,
        _ => 512,
    }
}

/// Bytes of an entry.
const fn entry_len(mode: PagingMode) -> u64 {
    if matches!(mode, PagingMode::Bits32) { 4 } else { 8 }
}

/// Which entry of a table a linear address selects.
pub const fn index(mode: PagingMode, level: Level, linear: u64) -> u16 {
    (linear >> shift(mode, level)) as u16 & (entries(mode, level) - 1)
}

/// The address with its uppermost bit copied into those above, in long mode.
const fn canonical(mode: PagingMode, linear: u64) -> u64 {
    match mode.linear_bits() {
        32 => linear & 0xffff_ffff,
        bits => (linear << (64 - bits)).cast_signed().wrapping_shr(64 - bits).cast_unsigned(),
    }
}

/// Memory that can be read so many times: one entry a level, and no further
/// down.
struct Fused<'m, M> {
    memory: &'m M,
    reads: Cell<usize>,
}

impl<M: PhysicalMemory> PhysicalMemory for Fused<'_, M> {
    fn read(&self, gpa: u64, buf: &mut [u8]) -> Result<(), Unreadable> {
        self.reads.set(self.reads.get().checked_sub(1).ok_or(Unreadable)?);
        self.memory.read(gpa, buf)
    }
}

/// Memory of which the pages asked for are kept, at most five: a table is read
/// once, not once for every entry.
struct Cached<'m, M> {
    memory: &'m M,
    pages: RefCell<Vec<(u64, Page)>>,
}

/// The bytes of a page, if all of it is memory.
type Page = Option<Box<[u8; PAGE]>>;

const PAGE: usize = 4096;

impl<M: PhysicalMemory> PhysicalMemory for Cached<'_, M> {
    fn read(&self, gpa: u64, buf: &mut [u8]) -> Result<(), Unreadable> {
        let (start, offset) = (gpa & !(PAGE as u64 - 1), gpa as usize % PAGE);
        let mut pages = self.pages.borrow_mut();
        let at = pages.iter().position(|(page, _)| *page == start).unwrap_or_else(|| {
            let mut bytes = Box::new([0; PAGE]);
            let read = self.memory.read(start, bytes.as_mut_slice());
            pages.push((start, read.is_ok().then_some(bytes)));
            pages.len() - 1
        });
        match &pages[at].1 {
            Some(page) if offset + buf.len() <= PAGE => {
                buf.copy_from_slice(&page[offset..offset + buf.len()]);
                Ok(())
            }
            // A part of the page is outside memory.
            _ => self.memory.read(gpa, buf),
        }
    }
}

/// Merged ranges of linear addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ranges {
    /// By linear address.
    pub list: Vec<Mapping>,
    /// Whether there are more than are listed.
    pub more: bool,
    /// Whether the tables are so many that not all were looked at.
    pub exhausted: bool,
    /// Entries that lead nowhere because of reserved bits or missing memory.
    pub broken: u64,
}

/// What the page tables map, merged.
pub fn ranges(registers: &RegisterFile, memory: &impl PhysicalMemory) -> Ranges {
    let mut merged = mappings(registers, memory, BUDGET).merged();
    let list = merged.by_ref().take(RANGES_MAX).collect();
    let more = merged.next().is_some();
    Ranges { list, more, exhausted: merged.exhausted() && !more, broken: merged.broken() }
}

/// A linear address that leads to a physical one, the same number if that does.
pub fn linear_of(registers: &RegisterFile, memory: &impl PhysicalMemory, gpa: u64) -> Option<u64> {
    let identity = walk(registers, memory, gpa).result.ok();
    if identity.is_some_and(|found| found.physical == gpa) {
        return Some(gpa);
    }
    mappings(registers, memory, BUDGET).find_map(|mapping| {
        let into = gpa.checked_sub(mapping.physical)?;
        (into < mapping.len).then(|| mapping.linear.wrapping_add(into))
    })
}

/// Why linear addresses become physical ones in this way, as a sentence without
/// a full stop.
pub fn because(registers: &RegisterFile) -> &'static str {
    match PagingMode::of(registers) {
        PagingMode::None => "CR0.PG is clear",
        PagingMode::Bits32 if registers.cr4 & cr4::PSE != 0 => {
            "CR0.PG is set, CR4.PAE and EFER.LME are clear; CR4.PSE allows pages of 4 MiB"
        }
        PagingMode::Bits32 => "CR0.PG is set, CR4.PAE and EFER.LME are clear",
        PagingMode::Pae => "CR0.PG and CR4.PAE are set and EFER.LME is clear",
        PagingMode::Level4 | PagingMode::Level5 if registers.cr4 & cr4::PAE == 0 => {
            "CR0.PG and EFER.LME are set; CR4.PAE should be, too, and the processor refuses this"
        }
        PagingMode::Level4 => "CR0.PG, CR4.PAE and EFER.LME are set and CR4.LA57 is clear",
        PagingMode::Level5 => "CR0.PG, CR4.PAE, EFER.LME and CR4.LA57 are set",
    }
}

/// A linear address as people type it: in hexadecimal, or by the name of a
/// register that holds one.
pub fn typed_address(text: &str, registers: Option<&RegisterFile>) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    if let Some(register) = Register::by_name(&text) {
        return match registers?.get(register) {
            RegisterValue::Integer(value) => Some(value),
            RegisterValue::Segment(segment) => Some(segment.base),
            RegisterValue::Table(table) => Some(table.base),
        };
    }
    address(&text)
}

#[cfg(test)]
mod tests;
