//! The report for machines. `docs/seeing-inside.md` describes it.

use igvm_analysis::report::{Hex, RegistersView, WalkReport};
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use super::{CodeLine, Report, Standing};
use crate::kvm::{Access, Emulation, Place, Stop};
use igvm_devices::Ending;

/// Raised when a field changes its meaning or goes away.
const SCHEMA: u32 = 1;

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let processors: Vec<_> = self.processors.iter().map(StandingView::of).collect();
        let exits: Vec<_> =
            self.recent.iter().map(|(access, times)| ExitView::of(access, *times)).collect();
        let mut report = serializer.serialize_struct("Report", 5)?;
        report.serialize_field("schema", &SCHEMA)?;
        report.serialize_field("stop", &StopView::of(&self.stop))?;
        report.serialize_field("vp_index", &self.vp_index)?;
        report.serialize_field("processors", &processors)?;
        report.serialize_field("last_exits", &exits)?;
        report.end()
    }
}

#[derive(Serialize)]
struct StopView {
    kind: &'static str,
    sentence: String,
    exit_code: u8,
}

impl StopView {
    fn of(stop: &Stop) -> Self {
        Self { kind: kind(stop), sentence: stop.to_string(), exit_code: stop.exit_code() }
    }
}

/// One word for each kind of stop.
fn kind(stop: &Stop) -> &'static str {
    match stop {
        Stop::Ended(Ending::Exit { .. }) => "exit",
        Stop::Ended(Ending::Shutdown) => "shutdown",
        Stop::Ended(Ending::Reset { .. }) => "reset",
        Stop::Until(_) => "until",
        Stop::Timeout { .. } => "timeout",
        Stop::Requested(_) => "requested",
        Stop::Stepped => "stepped",
        Stop::Breakpoint(_) | Stop::SoftwareBreakpoint => "breakpoint",
        Stop::Enough { .. } => "enough",
        Stop::TripleFault => "triple-fault",
        Stop::Emulation(Emulation::NoMemory { .. }) => "no-memory",
        Stop::Emulation(Emulation::Unmapped { .. }) => "unmapped",
        Stop::Emulation(Emulation::Instruction { .. }) => "emulation",
        Stop::FailEntry { .. } => "fail-entry",
        Stop::Output { .. } | Stop::Trace { .. } => "output",
        Stop::Unexpected { .. } | Stop::Internal { .. } | Stop::Failed { .. } => "kvm",
    }
}

#[derive(Serialize)]
struct StandingView<'a> {
    vp_index: u32,
    activity: &'static str,
    mode: String,
    linear: Hex,
    registers: RegistersView,
    code: Vec<LineView<'a>>,
    walk: &'a WalkReport,
}

impl<'a> StandingView<'a> {
    fn of(standing: &'a Standing) -> Self {
        let line = |CodeLine { offset, instruction }: &'a CodeLine| LineView {
            linear: Hex(standing.linear.wrapping_add_signed(*offset)),
            bytes: instruction.hex().to_string(),
            text: &instruction.text,
            next: *offset == 0,
        };
        Self {
            vp_index: standing.vp_index,
            activity: standing.activity.name(),
            mode: standing.mode().to_string(),
            linear: Hex(standing.linear),
            registers: RegistersView(standing.registers),
            code: standing.code.iter().map(line).collect(),
            walk: &standing.walk,
        }
    }
}

#[derive(Serialize)]
struct LineView<'a> {
    linear: Hex,
    bytes: String,
    text: &'a str,
    next: bool,
}

#[derive(Serialize)]
struct ExitView {
    vp_index: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<Hex>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gpa: Option<Hex>,
    write: bool,
    size: u8,
    value: Hex,
    times: u64,
}

impl ExitView {
    fn of(access: &Access, times: u64) -> Self {
        let (port, gpa) = match access.place {
            Place::Port(port) => (Some(Hex(port.into())), None),
            Place::Memory(gpa) => (None, Some(Hex(gpa))),
        };
        Self {
            vp_index: access.vp_index,
            port,
            gpa,
            write: access.write,
            size: access.size,
            value: Hex(access.value),
            times,
        }
    }
}
