//! Contexts that start nowhere.

use super::base::{long, long_mapped, protected};
use super::{Broken, broken};

/// An address that is neither RAM of a small host nor written by the file.
const NOWHERE: u64 = 0x8000_0000;

/// A page table entry's no-execute bit, and the bit of EFER that enables it.
const NO_EXECUTE: u64 = 1 << 63;
const EFER_NXE: u64 = 1 << 11;

pub(super) const SAMPLES: &[Broken] = &[
    broken("entry.unmapped", || long(|context| context.rip = NOWHERE)),
    broken("entry.not-executable", || long_mapped(NO_EXECUTE, |context| context.efer |= EFER_NXE)),
    broken("entry.outside-memory", || protected(|context| context.rip = NOWHERE)),
    broken("entry.not-written", || protected(|context| context.rip = 0x2_0000)),
    broken("paging.root-not-written", || long(|context| context.cr3 = 0x5000)),
    broken("stack.unmapped", || long(|context| context.rsp = NOWHERE)),
    broken("stack.outside-memory", || protected(|context| context.rsp = NOWHERE)),
    broken("table.unmapped", || long(|context| context.gdtr_base = NOWHERE)),
    broken("table.outside-memory", || protected(|context| context.gdtr_base = NOWHERE)),
    broken("qemu.gs-base", || long(|context| context.gs_base = 0x8000)),
];
