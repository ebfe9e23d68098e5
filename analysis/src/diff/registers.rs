//! The processors of two machines.

use igvm_core::load::{Machine, Start};
use igvm_core::x86::{Register, RegisterValue};
use serde::{Serialize, Serializer};

use super::Bounded;

/// What differs between the processors of two machines.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RegistersReport {
    /// Processors of either machine.
    pub processors: [u32; 2],
    /// Processors that both have and that start in another way.
    pub starts: Bounded<StartChange>,
    /// Registers of processors that both have.
    pub changed: Bounded<RegisterChange>,
}

/// A processor that runs in one machine and waits in the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct StartChange {
    /// The processor.
    pub vp_index: u32,
    /// Whether it runs at once in the second machine; in the first it does not.
    pub runs: bool,
}

/// A register with two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RegisterChange {
    /// The processor.
    pub vp_index: u32,
    /// The register.
    #[serde(serialize_with = "name")]
    pub register: Register,
    /// Its value in the first machine.
    #[serde(serialize_with = "value")]
    pub before: RegisterValue,
    /// Its value in the second.
    #[serde(serialize_with = "value")]
    pub after: RegisterValue,
}

impl RegistersReport {
    /// Compares the processors that both machines have.
    pub fn new(before: &Machine<'_>, after: &Machine<'_>) -> Self {
        let [before, after] = [before.processors(), after.processors()];
        let processors = [before.len() as u32, after.len() as u32];
        let mut report = Self { processors, ..Self::default() };
        for (before, after) in before.iter().zip(after) {
            let vp_index = after.vp_index;
            if before.start != after.start {
                report.starts.add(StartChange { vp_index, runs: after.start == Start::Runs });
            }
            for register in Register::ALL {
                let (before, after) =
                    (before.registers.get(register), after.registers.get(register));
                if before != after {
                    report.changed.add(RegisterChange { vp_index, register, before, after });
                }
            }
        }
        report
    }

    /// Whether both machines start the same processors in the same way.
    pub fn is_same(&self) -> bool {
        let [before, after] = self.processors;
        before == after && self.starts.is_empty() && self.changed.is_empty()
    }
}

fn name<S: Serializer>(register: &Register, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(register.name())
}

fn value<S: Serializer>(value: &RegisterValue, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&in_words(*value))
}

/// A value in one line.
pub(super) fn in_words(value: RegisterValue) -> String {
    match value {
        RegisterValue::Integer(value) => format!("{value:#x}"),
        RegisterValue::Segment(segment) => format!(
            "selector {:#x} base {:#x} limit {:#x} attributes {:#x}",
            segment.selector, segment.base, segment.limit, segment.attributes
        ),
        RegisterValue::Table(table) => format!("base {:#x} limit {:#x}", table.base, table.limit),
    }
}
