//! Signals that ask a run for something.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::Before;
use crate::kvm::{Control, Request};

const ASKING: [libc::c_int; 6] =
    [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT, libc::SIGUSR1, libc::SIGUSR2];

/// What comes so soon after a signal that means the end is the same: timeout(1)
/// sends it to its child and to the group, a closed terminal hangs up twice.
const SAME: Duration = Duration::from_millis(500);

/// Says that the run is over.
pub struct Over(Arc<AtomicBool>);

impl Over {
    /// From now on nobody does what a signal asks for: one that means the end
    /// ends the process at once.
    pub fn say(self) {
        self.0.store(true, Ordering::Release);
    }
}

/// From now on SIGINT, SIGTERM, SIGHUP and SIGQUIT end the run, SIGUSR1 resets
/// the machine and SIGUSR2 shows where it stands. A second signal that means
/// the end, or the first once the run is over, ends the process whatever it is
/// waiting for, and puts the terminal back. A signal that is ignored stays so.
/// To be called before other threads start: they leave these signals to one of
/// their own.
///
/// # Errors
/// Fails where the host has no thread left.
pub fn listen(control: Control, terminal: Option<Before>) -> io::Result<Over> {
    // SAFETY: the set is initialised by the first call, and all pointers are to
    // it.
    let set = unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in ASKING.into_iter().filter(|signal| !is_ignored(*signal)) {
            libc::sigaddset(&raw mut set, signal);
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
        set
    };
    let over = Arc::new(AtomicBool::new(false));
    let said = Over(Arc::clone(&over));
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let mut signal = 0;
        let mut asked: Option<Instant> = None;
        // SAFETY: both pointers are valid. It fails only for a set that no
        // signal can be in.
        while unsafe { libc::sigwait(&raw const set, &raw mut signal) } == 0 {
            match signal {
                libc::SIGUSR1 => control.request(Request::Reset),
                libc::SIGUSR2 => control.request(Request::Show),
                _ if asked.is_some_and(|asked| asked.elapsed() < SAME) => {}
                signal if asked.is_some() || over.load(Ordering::Acquire) => end(signal, terminal),
                signal => {
                    asked = Some(Instant::now());
                    control.request(Request::End { signal });
                }
            }
        }
    })?;
    Ok(said)
}

/// Whether whoever started this program wants a signal to do nothing: nohup(1)
/// does with SIGHUP, a shell in a script with SIGINT for what runs beside it.
fn is_ignored(signal: libc::c_int) -> bool {
    // SAFETY: all zeroes is a valid `sigaction`; the call only fills it in.
    let (told, action) = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        (libc::sigaction(signal, std::ptr::null(), &raw mut action), action)
    };
    told == 0 && action.sa_sigaction == libc::SIG_IGN
}

/// The end, as a shell shows it of a program that a signal has ended.
fn end(signal: libc::c_int, terminal: Option<Before>) -> ! {
    if let Some(terminal) = terminal {
        terminal.restore();
    }
    // SAFETY: nothing of Rust runs after it.
    unsafe { libc::_exit(128 + signal) }
}
