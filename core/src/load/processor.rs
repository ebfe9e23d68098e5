//! The processors of a machine, and where each register value comes from.

use crate::file::HeaderRef;
use crate::span::Span;
use crate::x86::{Register, RegisterFile};

/// A processor before its first instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Processor {
    /// Its number, 0 for the boot processor.
    pub vp_index: u32,
    /// Its registers.
    pub registers: RegisterFile,
    /// The VP_CONTEXT header that they come from; `None`: all from reset.
    pub context: Option<HeaderRef>,
    /// How it starts.
    pub start: Start,
    origins: [Origin; Register::ALL.len()],
}

/// How a processor starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With its first instruction, from its registers.
    Runs,
    /// It waits for a start-up interrupt (INIT, SIPI).
    WaitsForSipi,
}

/// Where a register's value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The processor's state after reset.
    Reset,
    /// The context.
    Context {
        /// The VP_CONTEXT header.
        header: HeaderRef,
        /// The bytes in the file.
        file: Span,
    },
}

impl Processor {
    /// A processor as reset leaves it. Number 0 is the boot processor and runs.
    pub const fn reset(vp_index: u32) -> Self {
        let boot = vp_index == 0;
        Self {
            vp_index,
            registers: RegisterFile::reset(boot),
            context: None,
            start: if boot { Start::Runs } else { Start::WaitsForSipi },
            origins: [Origin::Reset; Register::ALL.len()],
        }
    }

    /// Where the value of a register comes from.
    pub fn origin(&self, register: Register) -> Origin {
        self.origins.get(register.index()).copied().unwrap_or(Origin::Reset)
    }

    pub(crate) fn set_origin(&mut self, register: Register, origin: Origin) {
        if let Some(slot) = self.origins.get_mut(register.index()) {
            *slot = origin;
        }
    }
}

impl Default for Processor {
    fn default() -> Self {
        Self::reset(0)
    }
}
