//! The runner at a terminal: keys, signals, and the terminal afterwards.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod common;

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::{binary, host};
use iced_x86::code_asm::{CodeAssembler, registers::*};
use igvm_core::defs::IgvmPlatformType;
use igvm_core::write::{FileBuilder, HeaderSpec, Version, start};

/// A guest that says `?`, repeats what is typed, and ends at a `q`.
fn echoing() -> Vec<u8> {
    let mut asm = CodeAssembler::new(16).unwrap();
    let mut program = || {
        let (mut wait, mut put) = (asm.create_label(), asm.create_label());
        asm.mov(al, i32::from(b'?'))?;
        asm.set_label(&mut put)?;
        asm.mov(dx, 0x3f8)?;
        asm.out(dx, al)?;
        asm.set_label(&mut wait)?;
        asm.mov(dx, 0x3fd)?;
        asm.in_(al, dx)?;
        asm.test(al, 1)?;
        asm.je(wait)?;
        asm.mov(dx, 0x3f8)?;
        asm.in_(al, dx)?;
        asm.cmp(al, i32::from(b'q'))?;
        asm.jne(put)?;
        asm.mov(dx, 0x501)?;
        asm.out(dx, al)
    };
    program().unwrap();
    let code = asm.assemble(0).unwrap();
    let mut file = FileBuilder::new(Version::V2_X64);
    file.push(HeaderSpec::platform(IgvmPlatformType::NATIVE, 1)).unwrap();
    file.push(HeaderSpec::page(0x8000, 1, &code)).unwrap();
    file.push(HeaderSpec::native_context(1, &start::real16(0x800, 0, 0x8000))).unwrap();
    file.finish()
}

/// Both ends of a terminal.
struct Terminal {
    /// The person's.
    person: File,
    /// The program's.
    program: OwnedFd,
}

impl Terminal {
    fn new() -> Self {
        let (mut person, mut program) = (0, 0);
        let none = std::ptr::null_mut();
        // SAFETY: both pointers are valid, the rest is not wanted.
        let opened = unsafe {
            libc::openpty(&raw mut person, &raw mut program, none, none.cast(), none.cast())
        };
        assert_eq!(opened, 0, "{}", io::Error::last_os_error());
        // SAFETY: both were just opened.
        unsafe {
            Self { person: File::from_raw_fd(person), program: OwnedFd::from_raw_fd(program) }
        }
    }

    /// Input, output, local and control modes.
    fn modes(&self) -> [u32; 4] {
        // SAFETY: all zeroes is a valid `termios`.
        let mut modes: libc::termios = unsafe { std::mem::zeroed() };
        // SAFETY: the descriptor is open, the pointer valid.
        let got = unsafe { libc::tcgetattr(self.program.as_raw_fd(), &raw mut modes) };
        assert_eq!(got, 0, "{}", io::Error::last_os_error());
        [modes.c_iflag, modes.c_oflag, modes.c_lflag, modes.c_cflag]
    }

    fn is_raw(&self) -> bool {
        self.modes()[2] & (libc::ICANON | libc::ECHO | libc::ISIG) == 0
    }

    /// Starts the runner at this terminal; its messages go elsewhere.
    fn boot(&self, file: &Path, messages: impl Into<Stdio>) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kvm-runner"));
        command.arg("boot").arg(file).stderr(messages);
        command.stdin(Stdio::from(self.program.try_clone().unwrap()));
        command.stdout(Stdio::from(self.program.try_clone().unwrap()));
        // SAFETY: system calls only.
        unsafe {
            command.pre_exec(|| {
                libc::setsid();
                libc::ioctl(0, libc::TIOCSCTTY, 0);
                // Whoever started the tests may ignore some (nohup, for one).
                for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM] {
                    libc::signal(signal, libc::SIG_DFL);
                }
                Ok(())
            });
        }
        command.spawn().unwrap()
    }

    /// Reads until the text ends so.
    fn read_until(&mut self, end: &str) -> String {
        let mut text = Vec::new();
        while !text.ends_with(end.as_bytes()) {
            let mut byte = [0];
            self.person.read_exact(&mut byte).unwrap();
            text.extend(byte);
        }
        String::from_utf8(text).unwrap()
    }

    fn type_in(&mut self, text: &str) {
        self.person.write_all(text.as_bytes()).unwrap();
    }
}

const PATIENCE: Duration = Duration::from_secs(60);

#[track_caller]
fn eventually(what: &str, mut happens: impl FnMut() -> bool) {
    let started = Instant::now();
    while !happens() {
        assert!(started.elapsed() < PATIENCE, "{what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Waits for the end; kills what does not end.
#[track_caller]
fn end_of(mut child: Child) -> ExitStatus {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if started.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("the runner does not end");
        }
        thread::sleep(Duration::from_millis(2));
    }
}

fn prepared(test: &str) -> Option<(PathBuf, PathBuf, Terminal)> {
    host()?;
    let folder = binary::folder(test);
    let file = binary::write(&folder, "echo.igvm", &echoing());
    Some((file, folder.join("messages"), Terminal::new()))
}

#[test]
fn keys_reach_the_guest_and_some_are_ours() {
    let Some((file, messages, mut terminal)) = prepared("keys") else { return };
    let before = terminal.modes();
    let child = terminal.boot(&file, File::create(&messages).unwrap());
    terminal.read_until("?");
    assert!(terminal.is_raw());
    terminal.type_in("ab\x03\x01\x01c");
    assert_eq!(terminal.read_until("c"), "ab\x03\x01c");
    let said = |text: &str| std::fs::read_to_string(&messages).unwrap().contains(text);
    terminal.type_in("\x01s");
    eventually("it shows where it stands", || said("its state was asked for\nprocessor 0 at 0x80"));
    terminal.type_in("\x01h\x01r");
    // After the reset the guest speaks first.
    terminal.read_until("?");
    terminal.type_in("d");
    terminal.read_until("d");
    assert_eq!(std::fs::read_to_string(&messages).unwrap().matches("Ctrl-A x leaves").count(), 2);
    terminal.type_in("\x01x");
    assert_eq!(end_of(child).code(), Some(0));
    assert!(said("it was asked to stop"));
    assert_eq!(terminal.modes(), before);
}

#[test]
fn a_guest_that_ends_leaves_the_terminal_as_it_was() {
    let Some((file, messages, mut terminal)) = prepared("ends") else { return };
    let before = terminal.modes();
    let child = terminal.boot(&file, File::create(&messages).unwrap());
    terminal.read_until("?");
    terminal.type_in("q");
    assert_eq!(end_of(child).code(), Some(0));
    assert_eq!(terminal.modes(), before);
}

/// Whatever signal, whenever.
#[test]
fn a_signal_at_any_moment_leaves_the_terminal_as_it_was() {
    let Some((file, messages, _)) = prepared("signals") else { return };
    let signals = [libc::SIGTERM, libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGKILL];
    for (signal, round) in signals.into_iter().flat_map(|signal| (0..6).map(move |n| (signal, n))) {
        let terminal = Terminal::new();
        let before = terminal.modes();
        let child = terminal.boot(&file, File::create(&messages).unwrap());
        thread::sleep(Duration::from_millis(round * round * 3));
        if round == 5 {
            eventually("the terminal is taken", || terminal.is_raw());
        }
        send(&child, signal);
        let status = end_of(child);
        // Before it listens, the signal does what signals do.
        let ended = status.signal() == Some(signal) || status.code() == Some(128 | signal);
        assert!(ended, "signal {signal}, round {round}: {status}");
        assert!(round < 5 || signal == libc::SIGKILL || status.code().is_some(), "{status}");
        eventually("the terminal is as it was", || terminal.modes() == before);
    }
}

/// A reset from outside, as often as it is asked for.
#[test]
fn a_signal_resets_the_machine() {
    let Some((file, messages, mut terminal)) = prepared("reset") else { return };
    let child = terminal.boot(&file, File::create(&messages).unwrap());
    for _ in 0..3 {
        terminal.read_until("?");
        send(&child, libc::SIGUSR1);
    }
    terminal.read_until("?");
    terminal.type_in("q");
    assert_eq!(end_of(child).code(), Some(0));
}

/// What comes by a pipe is the guest's to the last byte, and arrives without
/// the pipe's end.
#[test]
fn a_pipe_is_typed_as_it_is() {
    let Some((file, ..)) = prepared("pipe") else { return };
    let mut child = binary::kvm_runner()
        .arg("boot")
        .arg(&file)
        .arg("--timeout=60")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let text: String = (0..2000).map(|n| char::from(b'A' + n as u8 % 26)).collect();
    let typed = format!("\x01x{text}q");
    let mut input = child.stdin.take().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| input.write_all(typed.as_bytes()));
        let mut output = String::new();
        child.stdout.take().unwrap().read_to_string(&mut output).unwrap();
        assert_eq!(output, format!("?\x01x{text}"));
    });
    drop(input);
    assert_eq!(end_of(child).code(), Some(0));
}

/// A pipe that takes nothing until it is read.
fn fill(mut pipe: &io::PipeWriter) {
    let set = |flags: libc::c_int| {
        // SAFETY: the descriptor is open.
        assert_eq!(unsafe { libc::fcntl(pipe.as_raw_fd(), libc::F_SETFL, flags) }, 0);
    };
    set(libc::O_NONBLOCK);
    while pipe.write(b".").is_ok() {}
    set(0);
}

fn send(child: &Child, signal: libc::c_int) {
    // SAFETY: the child is ours and has not been waited for.
    unsafe { libc::kill(child.id() as libc::pid_t, signal) };
}

/// Nobody reads the report: it waits to be written, and a signal ends that.
#[test]
fn a_signal_ends_what_follows_the_run() {
    let Some((_, messages, _)) = prepared("after-the-run") else { return };
    let (_reader, writer) = io::pipe().unwrap();
    fill(&writer);
    let child = binary::kvm_runner()
        .args(["boot", "--sample=hello-long64", "--serial=none", "--json=-"])
        .stdout(writer)
        .stderr(File::create(&messages).unwrap())
        .spawn()
        .unwrap();
    let said = || std::fs::read_to_string(&messages).unwrap();
    eventually("the run is over", || said().contains("kvm-runner: the guest"));
    send(&child, libc::SIGTERM);
    assert_eq!(end_of(child).code(), Some(128 | libc::SIGTERM), "{}", said());
}

/// Nobody reads where it stands: the first signal waits for the run, the second
/// does not. What comes at once is no second: `timeout` sends its signal twice.
#[test]
fn a_second_signal_ends_what_the_first_does_not() {
    let Some((file, _, mut terminal)) = prepared("second-signal") else { return };
    let before = terminal.modes();
    let (_reader, writer) = io::pipe().unwrap();
    let mut child = terminal.boot(&file, writer.try_clone().unwrap());
    terminal.read_until("?");
    assert!(terminal.is_raw());
    fill(&writer);
    send(&child, libc::SIGUSR2);
    thread::sleep(Duration::from_millis(200));
    for _ in 0..2 {
        send(&child, libc::SIGTERM);
        thread::sleep(Duration::from_millis(10));
    }
    thread::sleep(Duration::from_millis(1000));
    assert_eq!(child.try_wait().unwrap(), None);
    send(&child, libc::SIGINT);
    assert_eq!(end_of(child).code(), Some(128 | libc::SIGINT));
    assert_eq!(terminal.modes(), before);
}
