//! `walk`: a linear address through the page tables of the boot processor.

use std::fmt;

use igvm_core::x86::RegisterFile;
use igvm_core::x86::paging::{self, Entry, PhysicalMemory};
use serde::Serialize;

use super::number::{Hex, Size};

/// A page walk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WalkReport {
    /// The address asked for.
    pub linear: Hex,
    /// The paging mode in words.
    pub paging: String,
    /// Each entry met, the root's first.
    pub entries: Vec<EntryView>,
    /// The guest physical address, `null` if it leads nowhere.
    pub physical: Option<Hex>,
    /// Bytes of the page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_length: Option<Hex>,
    /// Rights of all entries together: `rwxs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rights: Option<String>,
    /// Why it leads nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// An entry of a page table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EntryView {
    /// `PML5E`, `PML4E`, `PDPTE`, `PDE`, `PTE`.
    pub level: &'static str,
    /// Where it stands in guest physical memory.
    pub gpa: Hex,
    /// Its bits.
    pub value: Hex,
    /// The bits set, by name.
    pub flags: Vec<&'static str>,
}

impl WalkReport {
    /// Walks to `linear`.
    pub fn new(
        registers: &RegisterFile,
        memory: &(impl PhysicalMemory + ?Sized),
        linear: u64,
    ) -> Self {
        let walk = paging::walk(registers, memory, linear);
        let found = walk.result.ok();
        Self {
            linear: Hex(linear),
            paging: walk.mode.to_string(),
            entries: walk.entries.iter().map(EntryView::from).collect(),
            physical: found.map(|found| Hex(found.physical)),
            page_length: found.map(|found| Hex(found.page_len)),
            rights: found.map(|found| found.rights.to_string()),
            fault: walk.result.err().map(|fault| fault.to_string()),
        }
    }
}

impl From<&Entry> for EntryView {
    fn from(entry: &Entry) -> Self {
        Self {
            level: entry.level.name(),
            gpa: Hex(entry.gpa),
            value: Hex(entry.raw),
            flags: entry.flags().collect(),
        }
    }
}

impl fmt::Display for WalkReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "linear {}, {}", self.linear, self.paging)?;
        for entry in &self.entries {
            write!(f, "  {:<5} at {:>10}  {:>18}", entry.level, entry.gpa, entry.value)?;
            for (at, flag) in entry.flags.iter().enumerate() {
                write!(f, "{}{flag}", if at == 0 { "  " } else { " " })?;
            }
            writeln!(f)?;
        }
        match (&self.physical, &self.fault) {
            (Some(physical), _) => {
                write!(f, "physical {physical}")?;
                if let (Some(length), Some(rights)) = (self.page_length, &self.rights)
                    && !self.entries.is_empty()
                {
                    write!(f, ", in a page of {}, {rights}", Size(length.0))?;
                }
                writeln!(f)
            }
            (None, Some(fault)) => writeln!(f, "leads nowhere: {fault}"),
            (None, None) => Ok(()),
        }
    }
}
