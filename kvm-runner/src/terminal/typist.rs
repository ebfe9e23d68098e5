//! Standard input to the guest's serial port.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::{Arc, Mutex, TryLockError};
use std::thread;
use std::time::Duration;

use igvm_devices::Devices;

use super::{HELP, Key, Keys};
use crate::kvm::{Control, Request};

/// Types at the serial port.
pub struct Typist {
    devices: Arc<Mutex<Devices>>,
    control: Control,
    keys: Option<Keys>,
    /// Standard input without Rust's buffer: what that holds back, nobody who
    /// waits for the descriptor would hear of.
    input: File,
}

impl Typist {
    /// Starts to hand over standard input. Where it is a terminal, some keys
    /// are ours; anything else arrives byte by byte.
    ///
    /// # Errors
    /// Fails where the host has no thread or no descriptor left.
    pub fn start(devices: Arc<Mutex<Devices>>, control: Control) -> io::Result<()> {
        let keys = io::stdin().is_terminal().then(Keys::default);
        let input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        let typist = Self { devices, control, keys, input };
        // It ends with the process: nobody can take a read of a terminal back.
        thread::Builder::new().name("typist".to_owned()).spawn(move || typist.run())?;
        Ok(())
    }

    fn run(mut self) {
        // Not more than this waits for a guest that does not read. What a
        // person types beyond that is lost; a pipe waits.
        const MOST: usize = 4096;
        let mut text = [0; 256];
        let mut waiting = VecDeque::new();
        loop {
            self.hand_over(&mut waiting);
            if self.keys.is_none() && waiting.len() >= MOST {
                thread::sleep(AGAIN);
                continue;
            }
            if !self.has_input(!waiting.is_empty()) {
                continue;
            }
            match self.input.read(&mut text) {
                Ok(len @ 1..) => {
                    waiting.extend(text[..len].iter().filter_map(|byte| self.typed(*byte)));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => break,
            }
            waiting.truncate(MOST);
        }
        while !waiting.is_empty() {
            self.hand_over(&mut waiting);
            thread::sleep(AGAIN);
        }
    }

    fn typed(&mut self, byte: u8) -> Option<u8> {
        let Some(keys) = &mut self.keys else { return Some(byte) };
        match keys.typed(byte)? {
            Key::Guest(byte) => return Some(byte),
            Key::Leave => self.control.request(Request::Quit),
            Key::Reset => self.control.request(Request::Reset),
            Key::Show => self.control.request(Request::Show),
            Key::Help => eprintln!("\nkvm-runner: {HELP}"),
        }
        None
    }

    /// Hands over what the port has room for. It holds a few bytes; the guest
    /// must read them before there is room for more.
    fn hand_over(&self, waiting: &mut VecDeque<u8>) {
        if !waiting.is_empty() {
            // A guest may keep the devices busy; our own keys do not wait for it.
            let mut devices = match self.devices.try_lock() {
                Ok(devices) => devices,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => return,
            };
            let taken = devices.serial_input(waiting.make_contiguous());
            waiting.drain(..taken);
        }
    }

    /// Waits for input, but not long if something else waits as well.
    fn has_input(&self, hurry: bool) -> bool {
        let fd = self.input.as_raw_fd();
        let mut input = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        let timeout = if hurry { AGAIN.as_millis() as libc::c_int } else { -1 };
        // SAFETY: the pointer is to one structure, as the count says.
        unsafe { libc::poll(&raw mut input, 1, timeout) > 0 }
    }
}

/// How long a full port is left alone.
const AGAIN: Duration = Duration::from_millis(2);
