//! All mappings of the page tables, in linear order.

use heapless::Vec;

use crate::x86::RegisterFile;
use crate::x86::mode::sign_extended;

use super::format::Format;
use super::walk::read_entry;
use super::{EntryKind, Level, PhysicalMemory, Rights};

/// Bytes of a table that are read at once.
const CHUNK: usize = 512;

/// A run of linear addresses that lead to a run of physical ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapping {
    /// First linear address.
    pub linear: u64,
    /// First guest physical address.
    pub physical: u64,
    /// Bytes.
    pub len: u64,
    /// What all entries on the way allow.
    pub rights: Rights,
}

impl Mapping {
    /// This one with `next` appended, if that goes on where this one ends, in
    /// both address spaces and with the same rights.
    fn joined(self, next: Self) -> Option<Self> {
        let follows = self.linear.checked_add(self.len) == Some(next.linear)
            && self.physical.checked_add(self.len) == Some(next.physical)
            && self.rights == next.rights;
        follows.then_some(Self { len: self.len.saturating_add(next.len), ..self })
    }
}

/// Lists every page that the tables map, in ascending linear order.
///
/// Tables may name each other or themselves, so that a few pages of memory
/// describe up to 2^45 mappings: the iterator looks at `budget` entries and
/// then ends, see [`Mappings::exhausted`]. A full table costs 512 (1024 with
/// 32-bit paging, 4 for the PDPTEs of PAE), present or not;
/// [`Mappings::DEFAULT_BUDGET`] is enough for any sane guest.
///
/// Without paging there is one mapping: 4 GiB, each address to itself.
pub fn mappings<'m, M: PhysicalMemory + ?Sized>(
    registers: &RegisterFile,
    memory: &'m M,
    budget: u64,
) -> Mappings<'m, M> {
    let format = Format::of(registers);
    let mut stack = Vec::new();
    let identity = match format.top() {
        Some(level) => {
            let root = format.root(registers.cr3);
            let _ = stack.push(Table::new(level, root, 0, Rights::ALL));
            None
        }
        None => Some(Mapping { linear: 0, physical: 0, len: 1 << 32, rights: Rights::ALL }),
    };
    Mappings { format, memory, budget, broken: 0, stack, identity }
}

/// Iterator over all mappings, see [`mappings`].
#[derive(Debug)]
pub struct Mappings<'m, M: ?Sized> {
    format: Format,
    memory: &'m M,
    budget: u64,
    broken: u64,
    /// The tables on the way from the top to where the iterator is.
    stack: Vec<Table, 5>,
    /// What is there without paging.
    identity: Option<Mapping>,
}

/// A table half read.
#[derive(Debug)]
struct Table {
    level: Level,
    gpa: u64,
    /// Linear address that entry 0 stands for.
    linear: u64,
    /// What the entries above allow.
    rights: Rights,
    /// The next entry to look at.
    next: u16,
    /// The bytes around that entry.
    chunk: [u8; CHUNK],
    /// Whether `chunk` could be read. Where it could not, a part of it is
    /// outside memory, and entries are read one by one.
    whole: bool,
}

impl Table {
    fn new(level: Level, gpa: u64, linear: u64, rights: Rights) -> Self {
        Self { level, gpa, linear, rights, next: 0, chunk: [0; CHUNK], whole: false }
    }

    /// The bits of entry `next`, `None` where there is no memory.
    fn entry(&mut self, format: &Format, memory: &(impl PhysicalMemory + ?Sized)) -> Option<u64> {
        let len = format.entry_len();
        let offset = usize::from(self.next).wrapping_mul(len);
        let at = offset % CHUNK;
        if at == 0 {
            let table_len = usize::from(format.entries(self.level)).saturating_mul(len);
            let wanted = self.chunk.get_mut(..table_len.min(CHUNK))?;
            self.whole = memory.read(self.gpa | offset as u64, wanted).is_ok();
        }
        if !self.whole {
            return read_entry(format, memory, format.entry_gpa(self.gpa, self.next)).ok();
        }
        let mut entry = [0; 8];
        entry.get_mut(..len)?.copy_from_slice(self.chunk.get(at..)?.get(..len)?);
        Some(u64::from_le_bytes(entry))
    }
}

impl<'m, M: PhysicalMemory + ?Sized> Mappings<'m, M> {
    /// Enough entries for 8192 full tables: 16 GiB in 4 KiB pages.
    pub const DEFAULT_BUDGET: u64 = 1 << 22;

    /// Whether the budget is spent while tables are left: there may be more
    /// mappings than were listed. Final once the iterator has ended.
    pub fn exhausted(&self) -> bool {
        self.budget == 0 && !self.stack.is_empty()
    }

    /// Entries passed over so far because reserved bits are set in them or
    /// because they lie outside memory.
    pub fn broken(&self) -> u64 {
        self.broken
    }

    /// Joins mappings that go on where the one before ends.
    pub fn merged(self) -> Merged<'m, M> {
        Merged { mappings: self, pending: None }
    }

    /// Looks at the next entry of the table on top of the stack.
    fn step(&mut self) -> Option<Mapping> {
        let format = self.format;
        let table = self.stack.last_mut()?;
        let raw = table.entry(&format, self.memory);
        let (level, index, above) = (table.level, table.next, table.rights);
        let linear = table.linear | u64::from(index).wrapping_shl(format.shift(level));
        let gpa = format.entry_gpa(table.gpa, index);
        table.next = index.saturating_add(1);
        if table.next == format.entries(level) {
            self.stack.pop();
        }
        let Some(raw) = raw else {
            self.broken = self.broken.saturating_add(1);
            return None;
        };
        let entry = format.decode(level, gpa, raw);
        let rights = above.and(entry.rights);
        match (entry.kind, level.below()) {
            (EntryKind::Page { gpa: physical, len }, _) => {
                let linear = match format.mode.linear_bits() {
                    32 => linear,
                    bits => sign_extended(linear, bits),
                };
                return Some(Mapping { linear, physical, len, rights });
            }
            (EntryKind::Table { gpa }, Some(below)) => {
                // One table a level, five levels: there is always room.
                let _ = self.stack.push(Table::new(below, gpa, linear, rights));
            }
            (EntryKind::Reserved { .. }, _) => self.broken = self.broken.saturating_add(1),
            (EntryKind::Table { .. }, None) | (EntryKind::NotPresent, _) => {}
        }
        None
    }
}

impl<M: PhysicalMemory + ?Sized> Iterator for Mappings<'_, M> {
    type Item = Mapping;

    fn next(&mut self) -> Option<Mapping> {
        if let Some(identity) = self.identity.take() {
            return Some(identity);
        }
        while !self.stack.is_empty() {
            self.budget = self.budget.checked_sub(1)?;
            if let Some(mapping) = self.step() {
                return Some(mapping);
            }
        }
        None
    }
}

/// Iterator over joined mappings, see [`Mappings::merged`].
#[derive(Debug)]
pub struct Merged<'m, M: ?Sized> {
    mappings: Mappings<'m, M>,
    pending: Option<Mapping>,
}

impl<M: PhysicalMemory + ?Sized> Merged<'_, M> {
    /// See [`Mappings::exhausted`].
    pub fn exhausted(&self) -> bool {
        self.mappings.exhausted()
    }

    /// See [`Mappings::broken`].
    pub fn broken(&self) -> u64 {
        self.mappings.broken()
    }
}

impl<M: PhysicalMemory + ?Sized> Iterator for Merged<'_, M> {
    type Item = Mapping;

    fn next(&mut self) -> Option<Mapping> {
        for mapping in self.mappings.by_ref() {
            match self.pending {
                None => self.pending = Some(mapping),
                Some(run) => match run.joined(mapping) {
                    Some(joined) => self.pending = Some(joined),
                    None => return self.pending.replace(mapping),
                },
            }
        }
        self.pending.take()
    }
}
