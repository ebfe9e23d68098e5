//! Why the processors are to stop: their own reasons and other people's, in the
//! order they came.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::Stop;

/// What somebody outside of the guest wants of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Leave: the run ends.
    Quit,
    /// A signal came whose meaning is the end.
    End {
        /// Its number.
        signal: i32,
    },
    /// Reset the machine.
    Reset,
    /// Say where the processors are, and run on.
    Show,
    /// A debugger has something to say.
    Attention,
}

/// Stops the machine from any thread. A request that comes while nothing runs
/// stops the next run before its first instruction.
#[derive(Clone, Default)]
pub struct Control(Arc<State>);

#[derive(Default)]
struct State {
    /// Tells every processor to leave its loop.
    stopping: AtomicBool,
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Default)]
struct Inner {
    causes: VecDeque<(u32, Cause)>,
    /// A thread has left, which without a cause it does only by a panic.
    left: bool,
}

/// Why the machine stops, before it is known where it stands.
pub(super) enum Cause {
    Stop(Stop),
    /// The awaited text, or a failure to write any.
    Console,
    /// KVM's interpreter gave up, at this code where KVM had it.
    Emulation {
        code: Vec<u8>,
    },
}

impl Cause {
    /// Whether somebody wants the run to end.
    pub(super) fn is_end(&self) -> bool {
        matches!(self, Self::Stop(Stop::Requested(Request::Quit | Request::End { .. })))
    }
}

/// Locks whatever happened to its last holder: that thread's panic is passed on
/// when it is joined.
pub(super) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Control {
    /// Asks for something. The same twice before it is done is once.
    pub fn request(&self, request: Request) {
        self.stop(0, Cause::Stop(Stop::Requested(request)));
    }

    /// Stops the machine for a processor's reason.
    pub(super) fn stop(&self, vp_index: u32, cause: Cause) {
        let mut inner = lock(&self.0.inner);
        let same = |(_, queued): &(u32, Cause)| match (queued, &cause) {
            (Cause::Stop(Stop::Requested(queued)), Cause::Stop(Stop::Requested(new))) => {
                queued == new
            }
            _ => false,
        };
        if !inner.causes.iter().any(same) {
            inner.causes.push_back((vp_index, cause));
        }
        self.0.stopping.store(true, Ordering::Release);
        self.0.changed.notify_all();
    }

    /// Whether the processors should leave their loops.
    pub(super) fn is_stopping(&self) -> bool {
        self.0.stopping.load(Ordering::Acquire)
    }

    /// Lets processors run, unless there is a cause already, which is taken.
    pub(super) fn start(&self) -> Option<(u32, Cause)> {
        let mut inner = lock(&self.0.inner);
        inner.left = false;
        let cause = inner.causes.pop_front();
        self.0.stopping.store(cause.is_some(), Ordering::Release);
        cause
    }

    /// Waits for a cause until the deadline, then tells the processors to stop.
    pub(super) fn wait(&self, deadline: Option<Instant>) -> Option<(u32, Cause)> {
        let mut inner = lock(&self.0.inner);
        while inner.causes.is_empty() && !inner.left {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            inner = match left {
                None => self.0.changed.wait(inner).unwrap_or_else(PoisonError::into_inner),
                Some(left) if left.is_zero() => break,
                Some(left) => {
                    let waited = self.0.changed.wait_timeout(inner, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        self.0.stopping.store(true, Ordering::Release);
        inner.causes.pop_front()
    }

    /// Whether nobody waits for text any more that cannot be written: the time
    /// is up, or the run is to end.
    pub(super) fn is_over(&self, end: Option<Instant>) -> bool {
        end.is_some_and(|end| end <= Instant::now())
            || lock(&self.0.inner).causes.iter().any(|(_, cause)| cause.is_end())
    }

    /// The next thing that somebody outside asks for, taken: for whoever keeps
    /// the machine standing still.
    pub fn asked(&self) -> Option<Request> {
        let mut inner = lock(&self.0.inner);
        let asked = inner
            .causes
            .iter()
            .position(|(_, cause)| matches!(cause, Cause::Stop(Stop::Requested(_))))?;
        match inner.causes.remove(asked) {
            Some((_, Cause::Stop(Stop::Requested(request)))) => Some(request),
            _ => None,
        }
    }

    /// Forgets what processors had to say: they are reset. What people asked
    /// for stays.
    pub(super) fn forget_processors(&self) {
        let asked = |(_, cause): &(u32, Cause)| matches!(cause, Cause::Stop(Stop::Requested(_)));
        lock(&self.0.inner).causes.retain(asked);
    }

    /// For a thread that is about to end: says so, even by a panic.
    pub(super) fn leaving(&self) -> Leaving<'_> {
        Leaving(self)
    }
}

pub(super) struct Leaving<'a>(&'a Control);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        lock(&self.0.0.inner).left = true;
        self.0.0.changed.notify_all();
    }
}
