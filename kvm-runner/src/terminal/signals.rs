//! Signals that ask a run for something.

use std::io;
use std::thread;

use crate::kvm::{Control, Request};

const ASKING: [libc::c_int; 6] =
    [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT, libc::SIGUSR1, libc::SIGUSR2];

/// From now on SIGINT, SIGTERM, SIGHUP and SIGQUIT end the run, SIGUSR1 resets
/// the machine and SIGUSR2 shows where it stands. To be called before other
/// threads start: they leave these signals to one of their own.
///
/// # Errors
/// Fails where the host has no thread left.
pub fn listen(control: Control) -> io::Result<()> {
    // SAFETY: the set is initialised by the first call, and all pointers are to
    // it.
    let set = unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in ASKING {
            libc::sigaddset(&raw mut set, signal);
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
        set
    };
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let mut signal = 0;
        // SAFETY: both pointers are valid. It fails only for a set that no
        // signal can be in.
        while unsafe { libc::sigwait(&raw const set, &raw mut signal) } == 0 {
            control.request(match signal {
                libc::SIGUSR1 => Request::Reset,
                libc::SIGUSR2 => Request::Show,
                signal => Request::End { signal },
            });
        }
    })?;
    Ok(())
}
