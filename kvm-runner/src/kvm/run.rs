//! Running the processors until something stops the machine.
//!
//! Each processor has a thread; the caller's thread keeps the time. HLT never
//! comes back from KVM here (its interrupt controllers wait for interrupts
//! themselves), so a signal ends every wait.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use kvm_bindings::{KVM_MP_STATE_HALTED, KVM_MP_STATE_UNINITIALIZED};
use kvm_ioctls::VcpuFd;
use vmm_sys_util::signal::{Killable, SIGRTMIN, register_signal_handler};

use super::exit::{self, Exit};
use super::stop::Emulation;
use super::vcpu::{self, Place};
use super::{Instruction, Machine, Report, Stop};
use crate::console::Console;
use crate::guest::BootError;
use crate::memory::GuestRam;
use igvm_devices::Devices;

/// RFLAGS.IF: interrupts are on.
const RFLAGS_IF: u64 = 1 << 9;

/// Why the machine stops, before it is known where it stands.
enum Cause {
    Stop(Stop),
    /// The awaited text, or a failure to write any.
    Console,
    /// KVM's interpreter gave up, at this code where KVM had it.
    Emulation {
        code: Vec<u8>,
    },
    Timeout(Duration),
}

/// What the threads share.
struct Shared {
    devices: Mutex<Devices>,
    memory: GuestRam,
    console: Console,
    /// Tells every processor to leave its loop.
    stopping: AtomicBool,
    first: Mutex<First>,
    changed: Condvar,
}

/// The first cause, and which processor had it; and whether a thread has left,
/// which without a cause it does only by a panic.
#[derive(Default)]
struct First {
    cause: Option<(u32, Cause)>,
    left: bool,
}

/// Locks whatever happened to its last holder: that thread's panic is passed on
/// when it is joined.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Stops the machine, unless it is stopping already.
    fn stop(&self, vp_index: u32, cause: Cause) {
        lock(&self.first).cause.get_or_insert((vp_index, cause));
        self.stopping.store(true, Ordering::Release);
        self.changed.notify_all();
    }

    /// Waits for a cause, or makes one when the time is up.
    fn wait(&self, limit: Option<Duration>) {
        let started = Instant::now();
        let mut first = lock(&self.first);
        while first.cause.is_none() && !first.left {
            first = match limit.map(|limit| limit.saturating_sub(started.elapsed())) {
                None => self.changed.wait(first).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => break,
                Some(rest) => {
                    self.changed.wait_timeout(first, rest).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        drop(first);
        self.stop(0, Cause::Timeout(limit.unwrap_or_default()));
    }
}

/// Says that a thread has left its loop, even by a panic.
struct Leaving<'a>(&'a Shared);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        lock(&self.0.first).left = true;
        self.0.changed.notify_all();
    }
}

impl Machine {
    /// Runs the machine until the guest ends it, fails, the console has seen
    /// what it waits for, or the time is up. The processors stand still then
    /// and can be read.
    ///
    /// # Errors
    /// Fails where the host has no thread or signal left.
    pub fn run(
        &mut self,
        devices: Devices,
        console: &Console,
        limit: Option<Duration>,
    ) -> Result<Report, BootError> {
        let failed = |what| move |source| BootError::Kvm { what, source };
        register_signal_handler(SIGRTMIN(), wake)
            .map_err(|errno| failed("have a signal to stop it")(errno.into()))?;
        let shared = Arc::new(Shared {
            devices: Mutex::new(devices),
            memory: GuestRam(self.memory.clone()),
            console: console.clone(),
            stopping: AtomicBool::new(false),
            first: Mutex::default(),
            changed: Condvar::new(),
        });
        let mut threads = Vec::with_capacity(self.processors.len());
        let mut error = None;
        for (vp_index, processor) in (0..).zip(std::mem::take(&mut self.processors)) {
            match spawn(processor, vp_index, Arc::clone(&shared)) {
                Ok(thread) => threads.push(thread),
                Err(source) => error = Some(failed("have a thread for a processor")(source)),
            }
        }
        if error.is_none() {
            shared.wait(limit);
        }
        shared.stopping.store(true, Ordering::Release);
        console.abandon();
        self.processors = join(threads);
        console.finish();
        match (error, lock(&shared.first).cause.take()) {
            (Some(error), _) => Err(error),
            (None, Some((vp_index, cause))) => Ok(self.report(vp_index, cause, console)),
            (None, None) => Ok(self.report(0, Cause::Timeout(Duration::ZERO), console)),
        }
    }

    /// What happened, now that nothing moves any more.
    fn report(&self, vp_index: u32, cause: Cause, console: &Console) -> Report {
        let processor = &self.processors[vp_index as usize];
        let registers = vcpu::read(processor).ok();
        let at = registers.map(|registers| {
            let linear = vcpu::linear_rip(&registers);
            let code = vcpu::code_at(processor, &self.memory, linear);
            let bitness = vcpu::bitness(&registers);
            (linear, Instruction::decode(&code, bitness, registers.rip))
        });
        let stop = match cause {
            Cause::Stop(stop) => stop,
            Cause::Console => match (console.seen(), console.failure()) {
                (None, Some((source, error))) => Stop::Output { source, error },
                (seen, _) => Stop::Until(seen.unwrap_or(crate::console::Source::Serial)),
            },
            Cause::Timeout(after) => Stop::Timeout { after, halted: self.halted_for_ever() },
            Cause::Emulation { code } => match registers {
                Some(registers) => self.emulation(processor, &registers, &code),
                None => Stop::Internal { suberror: kvm_bindings::KVM_INTERNAL_ERROR_EMULATION },
            },
        };
        let (linear, instruction) = at.unzip();
        Report { stop, vp_index, registers, linear, instruction: instruction.flatten() }
    }

    fn emulation(
        &self,
        processor: &VcpuFd,
        registers: &igvm_core::x86::RegisterFile,
        code: &[u8],
    ) -> Stop {
        let linear = vcpu::linear_rip(registers);
        let bitness = vcpu::bitness(registers);
        let in_memory = vcpu::code_at(processor, &self.memory, linear);
        let code = if code.is_empty() { &in_memory } else { code };
        Stop::Emulation(match Instruction::decode(code, bitness, registers.rip) {
            Some(instruction) => {
                Emulation::Instruction { instruction, linear, interprets: self.host.interprets() }
            }
            None => match vcpu::translate(processor, &self.memory, linear) {
                Place::Memory(gpa) | Place::NoMemory(gpa) => Emulation::NoMemory { linear, gpa },
                Place::Unmapped => Emulation::Unmapped { linear },
            },
        })
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
) -> std::io::Result<JoinHandle<VcpuFd>> {
    thread::Builder::new().name(format!("processor {vp_index}")).spawn(move || {
        let _leaving = Leaving(&shared);
        while !shared.stopping.load(Ordering::Acquire) {
            if let Some(cause) = step(&mut processor, &shared) {
                shared.stop(vp_index, cause);
            }
        }
        exit::settle(&mut processor);
        processor
    })
}

/// Waits for the threads, waking those that wait in KVM. A signal that comes
/// just before KVM_RUN is lost, hence more than one.
fn join(threads: Vec<JoinHandle<VcpuFd>>) -> Vec<VcpuFd> {
    const AGAIN: Duration = Duration::from_millis(1);
    let join = |thread: JoinHandle<VcpuFd>| {
        while !thread.is_finished() {
            // Fails only for a thread that is gone.
            let _gone = thread.kill(SIGRTMIN());
            if !thread.is_finished() {
                thread::park_timeout(AGAIN);
            }
        }
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    };
    threads.into_iter().map(join).collect()
}

/// One KVM_RUN and what it asks for.
fn step(processor: &mut VcpuFd, shared: &Shared) -> Option<Cause> {
    let memory = &mut shared.memory.clone();
    let stop = match exit::run(processor) {
        Exit::PortWrite { port, size, data } => {
            let mut devices = lock(&shared.devices);
            let ending = data.chunks(size).find_map(|chunk| devices.write(memory, port, chunk));
            drop(devices);
            if shared.console.ended() {
                return Some(Cause::Console);
            }
            Stop::Ended(ending?)
        }
        Exit::PortRead { port, size, data } => {
            let mut devices = lock(&shared.devices);
            data.chunks_mut(size).for_each(|chunk| devices.read(memory, port, chunk));
            return None;
        }
        Exit::MemoryRead { gpa, data } => {
            lock(&shared.devices).read_memory(memory, gpa, data);
            return None;
        }
        Exit::MemoryWrite { gpa, data } => {
            Stop::Ended(lock(&shared.devices).write_memory(memory, gpa, data)?)
        }
        Exit::Again | Exit::Halted => return None,
        Exit::TripleFault => Stop::TripleFault,
        Exit::Emulation { code } => return Some(Cause::Emulation { code }),
        Exit::Internal { suberror } => Stop::Internal { suberror },
        Exit::FailEntry { reason } => Stop::FailEntry { reason },
        Exit::Unexpected { reason } => Stop::Unexpected { reason },
        Exit::Failed { errno } => Stop::Failed { errno },
    };
    Some(Cause::Stop(stop))
}
