//! Running the processors until something stops them.
//!
//! Each processor has a thread while the machine runs; the caller's thread keeps
//! the time. When one stops, all do, and their threads end: between two runs the
//! machine stands still. HLT never comes back from KVM here (its interrupt
//! controllers wait for interrupts themselves), so a signal ends every wait.

use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use igvm_devices::Devices;
use kvm_bindings::{
    KVM_MP_STATE_HALTED, KVM_MP_STATE_RUNNABLE, KVM_MP_STATE_UNINITIALIZED, kvm_mp_state,
};
use kvm_ioctls::VcpuFd;
use vmm_sys_util::signal::{Killable, SIGRTMIN, register_signal_handler};

use super::control::{Cause, lock};
use super::debug::Event;
use super::exit::{self, Exit};
use super::stop::Emulation;
use super::{
    Access, Control, Debug, Instruction, Machine, Place, Processor, Recent, Stop, Translation,
    Watch,
};
use crate::console::{Console, Source};
use crate::guest::BootError;
use crate::memory::GuestRam;

/// INT3 and INT1, which a debugger puts into code.
const TRAPS: [u8; 2] = [0xcc, 0xf1];
/// HLT.
const HLT: u8 = 0xf4;

/// RFLAGS.IF: interrupts are on.
const RFLAGS_IF: u64 = 1 << 9;

/// What is around the processors while they run.
#[derive(Clone)]
pub struct Around {
    /// The devices.
    pub devices: Arc<Mutex<Devices>>,
    /// Where the guest's text goes.
    pub console: Console,
    /// Stops the machine.
    pub control: Control,
    /// Who is told what happens.
    pub watch: Option<Arc<Mutex<dyn Watch>>>,
}

/// How the processors run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// All of them, as fast as they can.
    Free,
    /// All of them, each stopping after every instruction to tell the
    /// [`Watch`].
    EveryInstruction,
    /// One of them does one instruction while the others stand still.
    OneInstruction {
        /// Which.
        vp_index: u32,
    },
    /// One of them as fast as it can, while the others stand still.
    Alone {
        /// Which.
        vp_index: u32,
    },
}

impl Pace {
    /// Whether this processor moves at all.
    pub(crate) fn moves(self, vp_index: u32) -> bool {
        match self {
            Self::Free | Self::EveryInstruction => true,
            Self::OneInstruction { vp_index: one } | Self::Alone { vp_index: one } => {
                one == vp_index
            }
        }
    }

    /// Whether those that move do so one instruction at a time.
    fn steps(self) -> bool {
        matches!(self, Self::EveryInstruction | Self::OneInstruction { .. })
    }
}

/// Until when the processors run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Deadline {
    /// They stop then. Text that is on its way to a reader still gets there.
    pub at: Option<Instant>,
    /// Nobody waits for a reader any more.
    pub end: Option<Instant>,
}

/// Why a run stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paused {
    /// Why.
    pub stop: Stop,
    /// The processor that stopped it; the first where it was none.
    pub vp_index: u32,
}

/// What the threads share.
struct Shared {
    around: Around,
    memory: GuestRam,
    recent: Arc<Mutex<Recent>>,
    debug: Debug,
}

impl Machine {
    /// Runs the machine until the guest ends it, fails, the console has seen
    /// what it waits for, somebody asks for it, or the deadline is over. The
    /// processors stand still then, can be read, changed and resumed.
    ///
    /// # Errors
    /// Fails where the host has no thread or signal left, or no such debug
    /// registers.
    pub fn resume(
        &mut self,
        around: &Around,
        pace: Pace,
        deadline: Deadline,
    ) -> Result<Paused, BootError> {
        let started = Instant::now();
        let cause = match around.control.start() {
            Some(cause) => Some(cause),
            None => self.run_threads(around, pace, deadline)?,
        };
        let (vp_index, cause) = cause.unwrap_or_else(|| {
            let after =
                deadline.at.map_or(Duration::ZERO, |at| at.saturating_duration_since(started));
            (0, Cause::Stop(Stop::Timeout { after, halted: self.halted_for_ever() }))
        });
        Ok(Paused { stop: self.stop_of(vp_index, cause, &around.console), vp_index })
    }

    fn run_threads(
        &mut self,
        around: &Around,
        pace: Pace,
        deadline: Deadline,
    ) -> Result<Option<(u32, Cause)>, BootError> {
        let started = Instant::now();
        let failed = |what| move |source| BootError::Kvm { what, source };
        register_signal_handler(SIGRTMIN(), wake)
            .map_err(|errno| failed("have a signal to stop it")(errno.into()))?;
        let step = pace.steps();
        for processor in &self.processors {
            if step || self.debug != Debug::default() || self.debugged {
                let applied = self.debug.apply(processor, step);
                applied.map_err(BootError::kvm("watch a processor"))?;
            }
        }
        self.debugged = step || self.debug != Debug::default();
        let shared = Arc::new(Shared {
            around: around.clone(),
            memory: GuestRam(self.memory.clone()),
            recent: Arc::clone(&self.recent),
            debug: self.debug.clone(),
        });
        let mut still: Vec<_> = (0..).zip(std::mem::take(&mut self.processors)).collect();
        if matches!(pace, Pace::Free | Pace::EveryInstruction) {
            // Who starts last may be stopped before it has run: by turns.
            let turn = self.runs.checked_rem(still.len()).unwrap_or(0);
            still.rotate_left(turn);
            self.runs = self.runs.wrapping_add(1);
        }
        let mut processors: Vec<_> = Vec::with_capacity(still.len());
        let mut error = None;
        for (vp_index, processor) in still {
            let thread = match pace.moves(vp_index) {
                false => Ok(processor),
                true => Err(spawn(processor, vp_index, Arc::clone(&shared), pace)),
            };
            processors.push((vp_index, thread));
        }
        let threadless = processors.iter().any(|(_, thread)| matches!(thread, Err(Err(_))));
        let cause = around.control.wait(if threadless { Some(started) } else { deadline.at });
        let quit = cause.as_ref().is_some_and(|(_, cause)| cause.is_end());
        let over = || around.console.interrupt(quit || around.control.is_over(deadline.end));
        let mut joined = Vec::with_capacity(processors.len());
        for (vp_index, thread) in processors {
            match thread {
                Ok(still) => joined.push((vp_index, still)),
                Err(Ok(thread)) => joined.push((vp_index, join(thread, over))),
                Err(Err(source)) => error = Some(failed("have a thread for a processor")(source)),
            }
        }
        joined.sort_by_key(|(vp_index, _)| *vp_index);
        self.processors = joined.into_iter().map(|(_, processor)| processor).collect();
        around.console.interrupt(false);
        error.map_or(Ok(cause), Err)
    }

    /// What happened, now that nothing moves any more.
    fn stop_of(&self, vp_index: u32, cause: Cause, console: &Console) -> Stop {
        match cause {
            Cause::Stop(stop) => stop,
            Cause::Console => match (console.seen(), console.failure()) {
                (None, Some((source, error))) => Stop::Output { source, error },
                (seen, _) => Stop::Until(seen.unwrap_or(Source::Serial)),
            },
            Cause::Emulation { code } => self
                .processor(vp_index)
                .and_then(|processor| self.emulation(&processor, &code))
                .unwrap_or(Stop::Internal { suberror: kvm_bindings::KVM_INTERNAL_ERROR_EMULATION }),
        }
    }

    fn emulation(&self, processor: &Processor<'_>, code: &[u8]) -> Option<Stop> {
        let registers = processor.registers().ok()?;
        let linear = Processor::linear_rip(&registers);
        let bitness = Processor::bitness(&registers);
        let in_memory = processor.code_at(linear);
        let code = if code.is_empty() { &in_memory } else { code };
        Some(Stop::Emulation(match Instruction::decode(code, bitness, registers.rip) {
            Some(instruction) => {
                Emulation::Instruction { instruction, linear, interprets: self.host.interprets() }
            }
            None => match processor.translate(linear) {
                Translation::Memory(gpa) | Translation::NoMemory(gpa) => {
                    Emulation::NoMemory { linear, gpa }
                }
                Translation::Unmapped => Emulation::Unmapped { linear },
            },
        }))
    }

    /// Whether no processor will ever run again: each waits for a SIPI that
    /// nobody sends, or for an interrupt that it has switched off.
    fn halted_for_ever(&self) -> bool {
        let state = |processor: &VcpuFd| processor.get_mp_state().map(|state| state.mp_state);
        let mut any_halted = false;
        self.processors.iter().all(|processor| match state(processor) {
            Ok(KVM_MP_STATE_UNINITIALIZED) => true,
            Ok(KVM_MP_STATE_HALTED) => {
                any_halted = true;
                processor.get_regs().is_ok_and(|regs| regs.rflags & RFLAGS_IF == 0)
            }
            _ => false,
        }) && any_halted
    }
}

/// The handler of the signal that ends a wait; that it was called is enough.
extern "C" fn wake(_: libc::c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {}

fn spawn(
    mut processor: VcpuFd,
    vp_index: u32,
    shared: Arc<Shared>,
    pace: Pace,
) -> std::io::Result<JoinHandle<VcpuFd>> {
    thread::Builder::new().name(format!("processor {vp_index}")).spawn(move || {
        let control = &shared.around.control;
        let _leaving = control.leaving();
        let mut steps = shared.start(&processor, vp_index, pace);
        while !control.is_stopping() {
            if let Some(cause) = shared.run(&mut processor, vp_index, &mut steps) {
                control.stop(vp_index, cause);
            }
        }
        exit::settle(&mut processor);
        processor
    })
}

/// Waits for a thread, waking it where it waits in KVM. A signal that comes just
/// before KVM_RUN is lost, hence more than one. `again` is called before each.
fn join(thread: JoinHandle<VcpuFd>, again: impl Fn()) -> VcpuFd {
    const AGAIN: Duration = Duration::from_millis(1);
    while !thread.is_finished() {
        again();
        // Fails only for a thread that is gone.
        let _gone = thread.kill(SIGRTMIN());
        if !thread.is_finished() {
            thread::park_timeout(AGAIN);
        }
    }
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// A processor's way through its instructions, where it takes them one by one.
struct Steps {
    pace: Pace,
    /// Linear address of the instruction that is next.
    at: Option<u64>,
    /// An access of the instruction has been answered. KVM finishes it with the
    /// next KVM_RUN and forgets that it was to be the only one: it is made to
    /// come back before it begins another.
    answered: bool,
}

impl Shared {
    /// Before the first KVM_RUN.
    fn start(&self, processor: &VcpuFd, vp_index: u32, pace: Pace) -> Steps {
        let stands = Processor { fd: processor, memory: &self.memory.0, vp_index };
        if let Some(watch) = &self.around.watch {
            lock(watch).resumed(&stands);
        }
        let registers = pace.steps().then(|| stands.registers().ok()).flatten();
        let at = registers.map(|registers| Processor::linear_rip(&registers));
        Steps { pace, at, answered: false }
    }

    /// One KVM_RUN and what it asks for.
    fn run(&self, processor: &mut VcpuFd, vp_index: u32, steps: &mut Steps) -> Option<Cause> {
        let memory = &mut self.memory.clone();
        let answered = std::mem::take(&mut steps.answered);
        processor.set_kvm_immediate_exit(answered.into());
        let exit = exit::run(processor);
        steps.answered = steps.pace.steps() && exit.is_access();
        let stop = match exit {
            Exit::PortWrite { port, size, data } => {
                let mut devices = lock(&self.around.devices);
                let ending = data.chunks(size).find_map(|chunk| devices.write(memory, port, chunk));
                drop(devices);
                let told = self.tell(vp_index, Place::Port(port), true, data.chunks(size));
                if self.around.console.ended() {
                    return Some(Cause::Console);
                }
                ending.map(Stop::Ended).or(told)?
            }
            Exit::PortRead { port, size, data } => {
                let mut devices = lock(&self.around.devices);
                data.chunks_mut(size).for_each(|chunk| devices.read(memory, port, chunk));
                drop(devices);
                self.tell(vp_index, Place::Port(port), false, data.chunks(size))?
            }
            Exit::MemoryRead { gpa, data } => {
                lock(&self.around.devices).read_memory(memory, gpa, data);
                self.tell(vp_index, Place::Memory(gpa), false, [&*data])?
            }
            Exit::MemoryWrite { gpa, data } => {
                let ending = lock(&self.around.devices).write_memory(memory, gpa, data);
                let told = self.tell(vp_index, Place::Memory(gpa), true, [data]);
                ending.map(Stop::Ended).or(told)?
            }
            Exit::Debug(event) => self.debugged(processor, vp_index, event, steps)?,
            Exit::Again if answered => self.finished(processor, vp_index, steps)?,
            Exit::Again | Exit::Halted => return None,
            Exit::TripleFault => Stop::TripleFault,
            Exit::Emulation { code } => match self.at_trap(processor, vp_index) {
                true => Stop::SoftwareBreakpoint,
                false => return Some(Cause::Emulation { code }),
            },
            Exit::Internal { suberror } => Stop::Internal { suberror },
            Exit::FailEntry { reason } => Stop::FailEntry { reason },
            Exit::Unexpected { reason } => Stop::Unexpected { reason },
            Exit::Failed { errno } => Stop::Failed { errno },
        };
        Some(Cause::Stop(stop))
    }

    /// Remembers accesses and tells them to whoever watches.
    fn tell<'a>(
        &self,
        vp_index: u32,
        place: Place,
        write: bool,
        data: impl IntoIterator<Item = &'a [u8]>,
    ) -> Option<Stop> {
        let mut stop = None;
        for data in data {
            let access = Access::new(vp_index, place, write, data);
            lock(&self.recent).push(access);
            if let Some(watch) = &self.around.watch {
                stop = stop.or(lock(watch).exited(&access));
            }
        }
        stop
    }

    /// Whether a processor stands at a trap that is to come to us. A KVM that
    /// interprets the guest does not know the instruction, and says so instead.
    fn at_trap(&self, processor: &VcpuFd, vp_index: u32) -> bool {
        let stands = Processor { fd: processor, memory: &self.memory.0, vp_index };
        let registers = self.debug.software.then(|| stands.main_registers().ok()).flatten();
        registers.is_some_and(|registers| {
            let code = stands.code_at(Processor::linear_rip(&registers));
            code.first().is_some_and(|first| TRAPS.contains(first))
        })
    }

    /// An access of an instruction is done, and so may be the instruction.
    fn finished(&self, processor: &VcpuFd, vp_index: u32, steps: &mut Steps) -> Option<Stop> {
        let stands = Processor { fd: processor, memory: &self.memory.0, vp_index };
        let pc = Processor::linear_rip(&stands.main_registers().ok()?);
        match steps.at {
            // Not yet: INS and OUTS come here once for each item.
            Some(at) if at == pc => None,
            _ => self.debugged(processor, vp_index, Event::Step { pc }, steps),
        }
    }

    fn debugged(
        &self,
        processor: &VcpuFd,
        vp_index: u32,
        event: Event,
        steps: &mut Steps,
    ) -> Option<Stop> {
        let stands = Processor { fd: processor, memory: &self.memory.0, vp_index };
        let tell = || {
            let watch = self.around.watch.as_ref().filter(|_| steps.pace == Pace::EveryInstruction);
            watch.and_then(|watch| lock(watch).stepped(&stands))
        };
        match event {
            Event::Software => Some(Stop::SoftwareBreakpoint),
            Event::Hardware { at, stepped } => {
                let told = if stepped { tell() } else { None };
                let met = self.debug.hardware.get(usize::from(at));
                told.or(Some(met.map_or(Stop::Stepped, |met| Stop::Breakpoint(*met))))
            }
            Event::Step { pc } => {
                let told = tell();
                if let Some(before) = steps.at.replace(pc)
                    && pc == before.wrapping_add(1)
                    && stands.code_at(before).first() == Some(&HLT)
                {
                    halt(processor);
                }
                match steps.pace {
                    Pace::EveryInstruction => told,
                    _ => Some(Stop::Stepped),
                }
            }
        }
    }
}

/// Makes a processor wait for an interrupt that has just stepped over HLT. Where
/// KVM interprets the guest, a single step swallows the waiting.
fn halt(processor: &VcpuFd) {
    if processor.get_mp_state().is_ok_and(|state| state.mp_state == KVM_MP_STATE_RUNNABLE) {
        // Fails for no processor of a machine with interrupt controllers.
        let _refused = processor.set_mp_state(kvm_mp_state { mp_state: KVM_MP_STATE_HALTED });
    }
}
