//! What differs between two files and between the machines they make: by
//! meaning, not by byte.
//!
//! Both can be long: each comparison goes in steps and keeps the first few
//! things it finds; it counts the rest.

mod headers;
mod memory;
mod registers;
mod text;

use igvm_core::data::FileData;
use igvm_core::file::IgvmFile;
use igvm_core::load::{Host, Machine};
use serde::Serialize;

pub use headers::{ChangedHeader, FieldChange, HeaderDiff, HeaderRun, HeadersReport};
pub use memory::{Change, MemoryChange, MemoryDiff, MemoryReport};
pub use registers::{RegisterChange, RegistersReport, StartChange};

/// Things of each sort that are kept.
const KEPT: usize = 1000;

/// The first few of many things, and how many there are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Bounded<T> {
    /// The first ones.
    pub kept: Vec<T>,
    /// How many there are.
    pub total: u64,
}

impl<T> Default for Bounded<T> {
    fn default() -> Self {
        Self { kept: Vec::new(), total: 0 }
    }
}

impl<T> Bounded<T> {
    fn add(&mut self, thing: T) {
        self.total += 1;
        if self.kept.len() < KEPT {
            self.kept.push(thing);
        }
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }
}

/// One of two files.
#[derive(Debug)]
pub struct FileSide<'a, D: ?Sized> {
    /// Its headers.
    pub file: IgvmFile<'a>,
    /// Its bytes.
    pub data: &'a D,
    /// Only the headers that count for a platform with this compatibility
    /// mask, and as if they had no mask; `None` for all headers.
    pub mask: Option<u32>,
}

/// One of two machines.
#[derive(Debug)]
pub struct MachineSide<'a, D: ?Sized> {
    /// The machine.
    pub machine: &'a Machine<'a>,
    /// The host it was loaded for.
    pub host: Host<'a>,
    /// The bytes of its file.
    pub data: &'a D,
}

impl<D: ?Sized> Clone for FileSide<'_, D> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<D: ?Sized> Copy for FileSide<'_, D> {}

impl<D: ?Sized> Clone for MachineSide<'_, D> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<D: ?Sized> Copy for MachineSide<'_, D> {}

/// Where two runs of bytes differ first, as far as both go.
fn first_difference(before: &[u8], after: &[u8]) -> Option<usize> {
    before.iter().zip(after).position(|(before, after)| before != after)
}

/// Everything that differs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct DiffReport {
    /// The headers.
    pub headers: HeadersReport,
    /// The processors; `null` where there is no machine on one side.
    pub registers: Option<RegistersReport>,
    /// Guest memory; `null` where there is no machine on one side.
    pub memory: Option<MemoryReport>,
}

impl DiffReport {
    /// Compares two files, and their machines if there are two.
    pub fn new<D: FileData + ?Sized>(
        files: [FileSide<'_, D>; 2],
        machines: Option<[MachineSide<'_, D>; 2]>,
    ) -> Self {
        let [before, after] = files;
        let mut headers = HeaderDiff::default();
        while headers.step(before, after) {}
        let memory = machines.map(|[before, after]| {
            let mut memory = MemoryDiff::new(before, after, false);
            while memory.step(before, after) {}
            memory.into_report()
        });
        let registers =
            machines.map(|[before, after]| RegistersReport::new(before.machine, after.machine));
        Self { headers: headers.into_report(), registers, memory }
    }

    /// Whether nothing differs.
    pub fn is_same(&self) -> bool {
        self.headers.is_same()
            && self.registers.as_ref().is_none_or(RegistersReport::is_same)
            && self.memory.as_ref().is_none_or(MemoryReport::is_same)
    }
}
