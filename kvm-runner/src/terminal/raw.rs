//! A terminal that hands over every key, and back to what it was on every way
//! out: returning, a panic, a signal, and the one that nobody can catch.

use std::io::{self, IsTerminal};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// A terminal, and how it was found.
#[derive(Clone, Copy)]
pub struct Before {
    terminal: RawFd,
    modes: libc::termios,
}

impl Before {
    /// Puts the terminal back.
    pub fn restore(&self) {
        // SAFETY: the descriptor is that of standard input. Should it fail, the
        // terminal is gone.
        unsafe { libc::tcsetattr(self.terminal, libc::TCSANOW, &raw const self.modes) };
    }
}

/// The terminal of standard input without line editing, echo and signal keys.
/// Dropping it puts the terminal back.
///
/// SIGKILL drops nothing. So a second process stands by that does nothing but
/// wait until this one is gone, and then puts the terminal back.
pub struct RawTerminal {
    before: Before,
    guardian: libc::pid_t,
    /// Closed when this process is gone, whichever way.
    alive: Option<OwnedFd>,
}

impl RawTerminal {
    /// Takes the terminal, if standard input is one. To be called while this
    /// process has a single thread.
    ///
    /// # Errors
    /// Fails where the system refuses a process or the terminal its setting;
    /// it is as before then.
    pub fn take() -> io::Result<Option<Self>> {
        let input = io::stdin();
        if !input.is_terminal() {
            return Ok(None);
        }
        let terminal = input.as_raw_fd();
        // SAFETY: all zeroes is a valid `termios`.
        let mut before: libc::termios = unsafe { std::mem::zeroed() };
        // SAFETY: the descriptor is open, the pointer valid.
        checked(unsafe { libc::tcgetattr(terminal, &raw mut before) })?;
        let (guardian, alive) = stand_by(terminal, &before)?;
        let mut raw = before;
        let before = Before { terminal, modes: before };
        let taken = Self { before, guardian, alive: Some(alive) };
        // SAFETY: the pointer is to a valid `termios`.
        unsafe { libc::cfmakeraw(&raw mut raw) };
        // Line feeds of guests and of our own messages still start a line.
        raw.c_oflag |= libc::OPOST;
        // SAFETY: as above.
        checked(unsafe { libc::tcsetattr(terminal, libc::TCSANOW, &raw const raw) })?;
        Ok(Some(taken))
    }

    /// How the terminal was found, for whoever ends this process without
    /// dropping anything.
    pub fn before(&self) -> Before {
        self.before
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        self.before.restore();
        // Now the guardian does the same once more and goes.
        self.alive = None;
        // SAFETY: our own child; its status is not wanted.
        unsafe { libc::waitpid(self.guardian, std::ptr::null_mut(), 0) };
    }
}

fn checked(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Starts the process that puts the terminal back when this one is gone.
fn stand_by(terminal: RawFd, before: &libc::termios) -> io::Result<(libc::pid_t, OwnedFd)> {
    let mut ends = [0; 2];
    // SAFETY: the array has room for both ends.
    checked(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) })?;
    // SAFETY: both were just opened and belong to nobody else.
    let [read, write] = ends.map(|end| unsafe { OwnedFd::from_raw_fd(end) });
    // SAFETY: the child calls nothing but system calls, and never returns.
    match checked(unsafe { libc::fork() })? {
        0 => guard(terminal, before, read.as_raw_fd()),
        guardian => Ok((guardian, write)),
    }
}

/// The guardian: waits for the end of the pipe.
fn guard(terminal: RawFd, before: &libc::termios, pipe: RawFd) -> ! {
    // SAFETY: system calls only, with descriptors that are this process's own
    // copies and pointers to its own memory.
    unsafe {
        // What ends the other process does not end this one; and setting the
        // terminal from the background stops nobody.
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT, libc::SIGTTOU] {
            libc::signal(signal, libc::SIG_IGN);
        }
        // It keeps no file open, and no lock: only the terminal and the pipe.
        let (first, second) = if terminal < pipe { (terminal, pipe) } else { (pipe, terminal) };
        for (from, to) in [(0, first - 1), (first + 1, second - 1), (second + 1, RawFd::MAX)] {
            if from <= to {
                libc::syscall(libc::SYS_close_range, from, to, 0);
            }
        }
        let mut byte = 0_u8;
        while libc::read(pipe, (&raw mut byte).cast(), 1) < 0
            && *libc::__errno_location() == libc::EINTR
        {}
        libc::tcsetattr(terminal, libc::TCSANOW, before);
        libc::_exit(0)
    }
}
