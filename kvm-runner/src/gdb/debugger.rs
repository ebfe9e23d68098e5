//! The machine as the debugger moves it.

use std::collections::{BTreeMap, VecDeque};
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, OwnedFd};
use std::thread;
use std::time::Duration;

use gdbstub::common::{Signal, Tid};
use gdbstub::stub::MultiThreadStopReason;
use gdbstub::target::ext::breakpoints::WatchKind;
use igvm_core::x86::Mode;

use super::breakpoints::{Breakpoints, Trap};
use super::link;
use crate::guest::BootError;
use crate::kvm::{Emulation, Pace, Paused, Processor, Report, Request, Stop, Trigger};
use crate::session::Session;

/// How the machine is to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Resumption {
    /// A processor that does one instruction.
    pub(super) step: Option<u32>,
    /// A processor that goes on.
    pub(super) go: Option<u32>,
    /// No other goes on.
    pub(super) locked: bool,
}

/// A session under a debugger.
pub(super) struct Debugger<'s, 'i> {
    pub(super) session: &'s mut Session<'i>,
    /// See [`Server`](super::Server).
    wake: &'s (PipeReader, PipeWriter),
    pub(super) breakpoints: Breakpoints,
    pub(super) resumption: Resumption,
    /// The processor that stopped last, by whose page tables breakpoints are
    /// found.
    pub(super) focus: u32,
    /// Whether this host's KVM interprets the guest.
    interprets: bool,
    /// Why the machine stands; `None` before its first instruction, also after a
    /// reset.
    pub(super) stop: Option<Stop>,
    /// Processors that stand at a breakpoint which the debugger knows of, with
    /// its linear address: they get past it when they go on.
    told: BTreeMap<u32, u64>,
}

/// What follows a stop of the machine.
pub(super) enum Next {
    /// The debugger is told.
    Tell(MultiThreadStopReason<u64>),
    /// The machine goes on.
    GoOn,
    /// The run is over; the debugger is told this.
    End(MultiThreadStopReason<u64>),
}

impl<'s, 'i> Debugger<'s, 'i> {
    pub(super) fn new(session: &'s mut Session<'i>, wake: &'s (PipeReader, PipeWriter)) -> Self {
        let interprets = session.machine.interprets();
        Self {
            session,
            wake,
            interprets,
            breakpoints: Breakpoints::default(),
            resumption: Resumption::default(),
            focus: 0,
            stop: None,
            told: BTreeMap::new(),
        }
    }

    /// A processor, by GDB's number for its thread, which counts from 1.
    pub(super) fn processor(&self, tid: Tid) -> Option<Processor<'_>> {
        self.session.machine.processor(u32::try_from(tid.get() - 1).ok()?)
    }

    /// Runs the machine as it was asked for, until it stops, or the debugger
    /// says something.
    pub(super) fn resume(&mut self, debugger: OwnedFd) -> Result<Paused, BootError> {
        let pace = match self.resumption {
            Resumption { step: Some(vp_index), .. } => Pace::OneInstruction { vp_index },
            Resumption { go: Some(vp_index), locked: true, .. } => Pace::Alone { vp_index },
            _ => Pace::Free,
        };
        let (moving, staying): (BTreeMap<_, _>, _) =
            std::mem::take(&mut self.told).into_iter().partition(|(at, _)| pace.moves(*at));
        self.told = staying;
        // A single step gets past a breakpoint by itself.
        let past = moving.into_iter().filter(|_| !matches!(pace, Pace::OneInstruction { .. }));
        let mut past: VecDeque<_> = past.collect();
        while let Some((vp_index, linear)) = past.pop_front() {
            if !self.breakpoints.stops_at(linear) || self.at(vp_index) != Some(linear) {
                continue;
            }
            let paused = self.run(&debugger, Pace::OneInstruction { vp_index })?;
            if paused.stop != Stop::Stepped {
                // Somebody else has something to say first.
                past.push_front((vp_index, linear));
                self.told.extend(past);
                return Ok(paused);
            }
        }
        self.run(&debugger, pace)
    }

    /// One run. Breakpoints on instructions are out of the way of a single one:
    /// it is the one that the debugger wants.
    fn run(&mut self, debugger: &OwnedFd, pace: Pace) -> Result<Paused, BootError> {
        let all = !matches!(pace, Pace::OneInstruction { .. });
        self.session.machine.debug = self.breakpoints.debug(all);
        let memory = self.session.machine.memory().clone();
        let patches = all.then(|| self.breakpoints.patch(&memory, self.trap()));
        let (mut awake, mut wake) = (&self.wake.0, &self.wake.1);
        let control = self.session.around.control.clone();
        let (paused, woken) = thread::scope(|scope| {
            scope.spawn(|| {
                let (debugger, awake) = (debugger.as_fd(), awake.as_fd());
                let read = libc::POLLIN;
                while let Ok(false) = link::wait(&[debugger, awake], read, None) {}
                if link::wait(&[debugger], read, Some(Duration::ZERO)).unwrap_or(true) {
                    control.request(Request::Attention);
                }
            });
            let paused = self.session.resume(pace);
            (paused, wake.write_all(&[0]))
        });
        drop(patches);
        woken
            .and_then(|()| awake.read_exact(&mut [0]))
            .map_err(BootError::system("wake the thread that listens to the debugger"))?;
        paused
    }

    /// What stops a processor like the one that stopped last.
    fn trap(&self) -> Trap {
        let processor = self.session.machine.processor(self.focus);
        let registers = processor.and_then(|processor| processor.main_registers().ok());
        match registers.is_some_and(|registers| Mode::of(&registers) == Mode::Real) {
            true if self.interprets => Trap::Int1,
            _ => Trap::Int3,
        }
    }

    /// The linear address at which a processor stands.
    fn at(&self, vp_index: u32) -> Option<u64> {
        let registers = self.session.machine.processor(vp_index)?.main_registers().ok()?;
        Some(Processor::linear_rip(&registers))
    }

    /// What follows a stop; `show` gets the report where somebody has asked for
    /// it.
    pub(super) fn after(
        &mut self,
        paused: Paused,
        mut show: impl FnMut(&Report),
    ) -> Result<Next, BootError> {
        let Paused { stop, vp_index } = paused.clone();
        let tid = thread_id(vp_index);
        let signal = |signal| MultiThreadStopReason::SignalWithThread { tid, signal };
        match &stop {
            Stop::Requested(Request::Attention) => return Ok(Next::GoOn),
            Stop::Requested(Request::Show) => {
                show(&self.session.machine.report(paused));
                return Ok(Next::GoOn);
            }
            stop if self.session.goes_on(stop) => {
                self.reset()?;
                // Who wanted one instruction does not get a run.
                return Ok(match self.resumption.step {
                    None => Next::GoOn,
                    Some(_) => Next::Tell(signal(Signal::SIGTRAP)),
                });
            }
            _ => {}
        }
        self.focus = vp_index;
        let at = self.at(vp_index).unwrap_or_default();
        let next = match &stop {
            Stop::Stepped => Next::Tell(signal(Signal::SIGTRAP)),
            Stop::SoftwareBreakpoint if self.breakpoints.is_software(at) => {
                Next::Tell(self.met(vp_index, at, MultiThreadStopReason::SwBreak(tid)))
            }
            // It was taken away while this processor stood there.
            Stop::SoftwareBreakpoint if !self.is_trap(vp_index, at) => return Ok(Next::GoOn),
            Stop::SoftwareBreakpoint => Next::Tell(signal(Signal::SIGTRAP)),
            Stop::Breakpoint(met) => match met.trigger {
                Trigger::Execute => {
                    Next::Tell(self.met(vp_index, at, MultiThreadStopReason::HwBreak(tid)))
                }
                Trigger::Write(_) => Next::Tell(watched(tid, WatchKind::Write, met.linear)),
                Trigger::Access(_) => Next::Tell(watched(tid, WatchKind::ReadWrite, met.linear)),
            },
            Stop::Ended(_)
            | Stop::Until(_)
            | Stop::Timeout { .. }
            | Stop::Output { .. }
            | Stop::Trace { .. }
            | Stop::Enough { .. }
            | Stop::Requested(_) => Next::End(MultiThreadStopReason::Exited(stop.exit_code())),
            Stop::Emulation(Emulation::Instruction { .. }) => Next::Tell(signal(Signal::SIGILL)),
            Stop::Emulation(_) => Next::Tell(signal(Signal::SIGSEGV)),
            Stop::TripleFault
            | Stop::FailEntry { .. }
            | Stop::Unexpected { .. }
            | Stop::Internal { .. }
            | Stop::Failed { .. } => Next::Tell(signal(Signal::SIGABRT)),
        };
        self.stop = Some(stop);
        Ok(next)
    }

    /// A processor stands at a breakpoint. GDB looks for it at RIP, which is not
    /// the linear address in a segment with a base, and would ignore a
    /// breakpoint that it does not find: there it is a plain trap.
    fn met(
        &mut self,
        vp_index: u32,
        linear: u64,
        reason: MultiThreadStopReason<u64>,
    ) -> MultiThreadStopReason<u64> {
        self.told.insert(vp_index, linear);
        let processor = self.session.machine.processor(vp_index);
        let registers = processor.and_then(|processor| processor.main_registers().ok());
        match registers.is_some_and(|registers| registers.rip == linear) {
            true => reason,
            false => {
                let (tid, signal) = (thread_id(vp_index), Signal::SIGTRAP);
                MultiThreadStopReason::SignalWithThread { tid, signal }
            }
        }
    }

    /// Whether the guest's own code has a trap here.
    fn is_trap(&self, vp_index: u32, linear: u64) -> bool {
        let processor = self.session.machine.processor(vp_index);
        let first = processor.and_then(|it| it.code_at(linear).first().copied());
        [Trap::Int3, Trap::Int1].into_iter().any(|trap| first == Some(trap as u8))
    }

    /// Resets the machine. Breakpoints stay: they are put in with the next run.
    pub(super) fn reset(&mut self) -> Result<(), BootError> {
        self.told.clear();
        self.stop = None;
        self.session.reset()
    }

    /// Takes every trace of this debugger out of the machine. Why that stands,
    /// and where, is for the next one.
    pub(super) fn leave(&mut self) {
        self.breakpoints = Breakpoints::default();
        self.resumption = Resumption::default();
        self.told.clear();
        self.session.machine.debug = crate::kvm::Debug::default();
    }
}

fn watched(tid: Tid, kind: WatchKind, addr: u64) -> MultiThreadStopReason<u64> {
    MultiThreadStopReason::Watch { tid, kind, addr }
}

/// GDB's number for a processor.
pub(super) fn thread_id(vp_index: u32) -> Tid {
    NonZeroUsize::MIN.saturating_add(vp_index as usize)
}
