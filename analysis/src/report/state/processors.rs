//! The processors of a machine.

use igvm_core::load::{Origin, Processor, Start};
use igvm_core::x86::{Mode, Register, RegisterFile, RegisterValue};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::report::number::Hex;

/// A processor before its first instruction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProcessorView {
    /// Its number.
    pub vp_index: u32,
    /// `real`, `protected16`, `protected32`, `compatibility` or `long64`.
    pub mode: &'static str,
    /// How the mode follows from the registers.
    pub mode_because: String,
    /// `runs`, or `waits-for-sipi`.
    pub start: &'static str,
    /// The VP_CONTEXT header; `null`: all registers are as after reset.
    pub context_header: Option<u32>,
    /// Its registers.
    #[serde(serialize_with = "registers")]
    pub registers: RegisterFile,
    /// Where the registers that the context sets stand in the file.
    #[serde(serialize_with = "by_name")]
    pub origins: Vec<(&'static str, OriginView)>,
}

/// The bytes of a register in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct OriginView {
    /// The VP_CONTEXT header.
    pub header: u32,
    /// File offset of the first byte.
    pub file_offset: Hex,
    /// Bytes.
    pub length: u64,
}

impl From<&Processor> for ProcessorView {
    fn from(processor: &Processor) -> Self {
        let origins = Register::ALL.into_iter().filter_map(|register| {
            let Origin::Context { header, file } = processor.origin(register) else { return None };
            let origin =
                OriginView { header: header.index, file_offset: Hex(file.start), length: file.len };
            Some((register.name(), origin))
        });
        Self {
            vp_index: processor.vp_index,
            mode: Mode::of(&processor.registers).name(),
            mode_because: Mode::because(&processor.registers).to_string(),
            start: match processor.start {
                Start::Runs => "runs",
                Start::WaitsForSipi => "waits-for-sipi",
            },
            context_header: processor.context.map(|header| header.index),
            registers: processor.registers,
            origins: origins.collect(),
        }
    }
}

impl ProcessorView {
    /// Where a register stands in the file, if the context sets it.
    pub fn origin(&self, register: Register) -> Option<&OriginView> {
        let is_it = |(name, _): &&(&str, OriginView)| *name == register.name();
        self.origins.iter().find(is_it).map(|(_, origin)| origin)
    }
}

fn by_name<S: Serializer>(
    origins: &[(&'static str, OriginView)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(origins.iter().map(|(name, origin)| (name, origin)))
}

/// A register value as JSON has it.
#[derive(Serialize)]
#[serde(untagged)]
enum ValueView {
    Integer(Hex),
    Segment { selector: Hex, base: Hex, limit: Hex, attributes: Hex },
    Table { base: Hex, limit: Hex },
}

impl From<RegisterValue> for ValueView {
    fn from(value: RegisterValue) -> Self {
        match value {
            RegisterValue::Integer(value) => Self::Integer(Hex(value)),
            RegisterValue::Segment(segment) => Self::Segment {
                selector: Hex(segment.selector.into()),
                base: Hex(segment.base),
                limit: Hex(segment.limit.into()),
                attributes: Hex(segment.attributes.into()),
            },
            RegisterValue::Table(table) => {
                Self::Table { base: Hex(table.base), limit: Hex(table.limit.into()) }
            }
        }
    }
}

/// A register file as JSON has it: every register by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegistersView(pub RegisterFile);

impl Serialize for RegistersView {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        registers(&self.0, serializer)
    }
}

fn registers<S: Serializer>(registers: &RegisterFile, serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(Register::ALL.len()))?;
    for register in Register::ALL {
        map.serialize_entry(register.name(), &ValueView::from(registers.get(register)))?;
    }
    map.end()
}
