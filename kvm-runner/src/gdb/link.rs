//! The debugger's connection.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gdbstub::conn::Connection;

use super::Address;
use crate::guest::BootError;
use crate::whole::folder_of;

/// A debugger that does not read for so long is gone.
const WRITE_PATIENCE: Duration = Duration::from_secs(10);

/// Waits for debuggers. A socket in the file system goes with it.
pub struct Server {
    listener: Listener,
    /// Whoever waits for the debugger while the machine runs is woken by it.
    /// Made here because the sandbox leaves no way to make one later.
    pub(super) wake: (PipeReader, PipeWriter),
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

impl Server {
    /// Listens, and says on standard error how to connect.
    ///
    /// # Errors
    /// Fails where the port is taken or the socket cannot be made.
    pub fn open(address: &Address) -> Result<Self, BootError> {
        let failed = |place: String| {
            move |error| BootError::Image(format!("no debugger can connect to {place}: {error}"))
        };
        let wake = std::io::pipe().map_err(BootError::system("have a pipe"))?;
        let (listener, target) = match address {
            Address::Tcp(port) => {
                let failed = failed(format!("port {port}"));
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).map_err(&failed)?;
                let port = listener.local_addr().map_err(failed)?.port();
                (Listener::Tcp(listener), format!(":{port}"))
            }
            Address::Unix(path) => {
                let failed = failed(path.display().to_string());
                let listener = UnixListener::bind(path).map_err(&failed)?;
                let server = Listener::Unix(listener, path.clone());
                // For this user alone, as a guest's memory is.
                let mode = std::fs::Permissions::from_mode(0o600);
                std::fs::set_permissions(path, mode).map_err(failed)?;
                (server, path.display().to_string())
            }
        };
        eprintln!("kvm-runner: waiting for a debugger: gdb -ex 'target remote {target}'");
        Ok(Self { listener, wake })
    }

    /// Where the socket is that will be removed.
    pub fn folder(&self) -> Option<&Path> {
        match &self.listener {
            Listener::Tcp(_) => None,
            Listener::Unix(_, path) => Some(folder_of(path)),
        }
    }

    /// The next debugger, if one comes in time.
    ///
    /// # Errors
    /// Fails where the host does.
    pub(super) fn accept(&self, patience: Duration) -> io::Result<Option<Link>> {
        let descriptor = match &self.listener {
            Listener::Tcp(listener) => listener.as_fd(),
            Listener::Unix(listener, _) => listener.as_fd(),
        };
        if !wait(&[descriptor], libc::POLLIN, Some(patience))? {
            return Ok(None);
        }
        let socket = match &self.listener {
            Listener::Tcp(listener) => {
                let (socket, _) = listener.accept()?;
                socket.set_nonblocking(true)?;
                OwnedFd::from(socket)
            }
            Listener::Unix(listener, _) => {
                let (socket, _) = listener.accept()?;
                socket.set_nonblocking(true)?;
                OwnedFd::from(socket)
            }
        };
        Ok(Some(Link { socket: File::from(socket), read: Vec::new(), next: 0, out: Vec::new() }))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Self::Unix(_, path) = self {
            // Somebody else may have removed it.
            let _gone = std::fs::remove_file(path);
        }
    }
}

/// A debugger.
pub(super) struct Link {
    socket: File,
    /// What it has said, and how far that is read.
    read: Vec<u8>,
    next: usize,
    /// What it has not been sent yet: packets go together, before anybody waits
    /// for an answer.
    out: Vec<u8>,
}

impl Link {
    /// Its next byte, if one comes in time.
    ///
    /// # Errors
    /// Fails where it has gone.
    pub(super) fn next(&mut self, patience: Duration) -> io::Result<Option<u8>> {
        if self.next == self.read.len() {
            self.send()?;
            if !wait(&[self.socket.as_fd()], libc::POLLIN, Some(patience))? {
                return Ok(None);
            }
            self.read.resize(4096, 0);
            let read = self.socket.read(&mut self.read);
            self.read.truncate(*read.as_ref().unwrap_or(&0));
            self.next = 0;
            match read {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) if is_temporary(&error) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        let byte = self.read.get(self.next).copied();
        self.next += 1;
        Ok(byte)
    }

    /// Whether it has said something that is not read yet.
    pub(super) fn has_said(&self) -> bool {
        self.next < self.read.len()
    }

    /// Its socket, to wait for it.
    pub(super) fn descriptor(&mut self) -> io::Result<OwnedFd> {
        self.send()?;
        self.socket.as_fd().try_clone_to_owned()
    }

    /// Shows a text to its user: a packet `O`, which may come while the machine
    /// runs ("Stop Reply Packets" in GDB's manual).
    pub(super) fn say(&mut self, text: &str) {
        let body: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
        let body = format!("O{body}");
        let sum = body.bytes().fold(0_u8, u8::wrapping_add);
        self.out.extend(format!("${body}#{sum:02x}").into_bytes());
    }

    fn send(&mut self) -> io::Result<()> {
        let out = std::mem::take(&mut self.out);
        let mut rest = &out[..];
        while !rest.is_empty() {
            match self.socket.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_temporary(&error) => {
                    if !wait(&[self.socket.as_fd()], libc::POLLOUT, Some(WRITE_PATIENCE))? {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // The last word. Whoever has gone does not hear it.
        let _gone = self.send();
    }
}

fn is_temporary(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

impl Connection for Link {
    type Error = io::Error;

    fn write(&mut self, byte: u8) -> io::Result<()> {
        self.out.push(byte);
        Ok(())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Waits until one of these is ready for what is asked, or has gone; `false`
/// where the time was up or a signal came before.
pub(super) fn wait(
    descriptors: &[BorrowedFd<'_>],
    events: libc::c_short,
    patience: Option<Duration>,
) -> io::Result<bool> {
    let mut polled: Vec<_> = descriptors
        .iter()
        .map(|fd| libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 })
        .collect();
    let millis = patience.map_or(-1, |patience| patience.as_millis().min(i32::MAX as u128) as i32);
    // SAFETY: the list has as many entries as it says, and outlives the call.
    let ready = unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, millis) };
    match ready {
        0 => Ok(false),
        ready if ready > 0 => Ok(true),
        _ => match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::Interrupted => Ok(false),
            error => Err(error),
        },
    }
}
