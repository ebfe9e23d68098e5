//! How a processor starts: what its first instruction and its first push meet.

use std::fmt;

use igvm_core::x86::bits::{cr0, cr4};
use igvm_core::x86::paging::{Entry, Fault, Translation};
use igvm_core::x86::{Mode, RegisterFile};

use super::document::Document;
use super::machine::{Loaded, linear_entry};

/// A linear address and what is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The address.
    pub linear: u64,
    /// Where the page tables lead to.
    pub result: Result<Translation, Fault>,
    /// The entries met on the way; none without paging.
    pub entries: Vec<Entry>,
    /// What memory is there; `None` where the address leads nowhere.
    pub memory: Option<Memory>,
}

/// What memory is at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// A header, by index, writes it.
    Written(u32),
    /// The guest has it, and no header writes it.
    Unwritten,
    /// The guest has none.
    Missing,
}

/// Why the first instruction cannot run, or cannot be what somebody wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// Its address leads nowhere.
    Fault(Fault),
    /// There is no memory.
    Missing,
    /// No header writes the memory.
    Unwritten,
    /// XD is set in this entry.
    NotExecutable(Entry),
    /// CR4.SMEP is set, and the page is for user code.
    UserPage,
    /// The processor starts at privilege level 3, and this entry is for the
    /// supervisor.
    SupervisorPage(Entry),
}

impl fmt::Display for Obstacle {
    /// The end of a sentence about the address, without a full stop.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fault(fault) => write!(f, "that address leads nowhere: {fault}"),
            Self::Missing => f.write_str("the guest has no memory there"),
            Self::Unwritten => {
                f.write_str("no header writes that memory, so the processor would run zeroes")
            }
            Self::NotExecutable(entry) => write!(
                f,
                "that page is not executable: XD is set in its {}, and EFER.NXE gives it effect",
                entry.level
            ),
            Self::UserPage => f.write_str(
                "that page is for user code, which CR4.SMEP keeps the supervisor from running",
            ),
            Self::SupervisorPage(entry) => write!(
                f,
                "the processor starts at privilege level 3, and U/S is clear in the {} of that page",
                entry.level
            ),
        }
    }
}

/// How a processor starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The first instruction.
    pub entry: Place,
    /// Why it cannot run, if it cannot.
    pub obstacle: Option<Obstacle>,
    /// Where the stack pointer points.
    pub stack: Place,
    /// Where the first push writes.
    pub push: Place,
    /// Whether that page may be written, as far as page tables decide.
    pub push_allowed: bool,
}

impl Start {
    /// Looks with the eyes of a processor; `None` for one that the host does
    /// not start.
    pub fn new(document: &Document, loaded: &Loaded, vp_index: u32) -> Option<Self> {
        let registers = loaded.registers(vp_index)?;
        let place = |linear| place(document, loaded, vp_index, linear);
        let entry = place(linear_entry(registers))?;
        let push = place(stack_linear(registers, push_len(registers)))?;
        let is_writable = push.result.is_ok_and(|found| found.rights.writable);
        Some(Self {
            obstacle: obstacle(registers, &entry),
            entry,
            stack: place(stack_linear(registers, 0))?,
            push_allowed: is_writable || registers.cr0 & cr0::WP == 0,
            push,
        })
    }
}

fn place(document: &Document, loaded: &Loaded, vp_index: u32, linear: u64) -> Option<Place> {
    let walk = loaded.translate(document, vp_index, linear)?;
    let memory = walk.result.ok().map(|found| match loaded.extent_at(found.physical) {
        Some(extent) => Memory::Written(extent.writer_at(found.physical).index),
        None if loaded.is_memory(found.physical) => Memory::Unwritten,
        None => Memory::Missing,
    });
    Some(Place { linear, result: walk.result, entries: walk.entries.to_vec(), memory })
}

fn obstacle(registers: &RegisterFile, entry: &Place) -> Option<Obstacle> {
    let found = match entry.result {
        Ok(found) => found,
        Err(fault) => return Some(Obstacle::Fault(fault)),
    };
    let first = |wanted: fn(&Entry) -> bool| entry.entries.iter().copied().find(wanted);
    if let Some(entry) = first(|entry| !entry.rights.executable) {
        return Some(Obstacle::NotExecutable(entry));
    }
    let is_user = Mode::of(registers) != Mode::Real && registers.ss.dpl() == 3;
    if is_user && let Some(entry) = first(|entry| !entry.rights.user) {
        return Some(Obstacle::SupervisorPage(entry));
    }
    let is_paged = !entry.entries.is_empty();
    if is_paged && !is_user && found.rights.user && registers.cr4 & cr4::SMEP != 0 {
        return Some(Obstacle::UserPage);
    }
    match entry.memory {
        Some(Memory::Missing) => Some(Obstacle::Missing),
        Some(Memory::Unwritten) => Some(Obstacle::Unwritten),
        _ => None,
    }
}

/// Bytes that a push writes.
const fn push_len(registers: &RegisterFile) -> u64 {
    Mode::of(registers).bitness() as u64 / 8
}

/// SS and so many bytes below the stack pointer, which has as many bits as the
/// mode and SS.B say.
const fn stack_linear(registers: &RegisterFile, below: u64) -> u64 {
    let pointer = registers.rsp.wrapping_sub(below);
    match Mode::of(registers) {
        Mode::Long64 => pointer,
        _ => {
            let bits = if registers.ss.default_big() { 0xffff_ffff } else { 0xffff };
            registers.ss.base.wrapping_add(pointer & bits) & 0xffff_ffff
        }
    }
}
