//! A session that moves as a debugger says.

use std::io;
use std::time::Duration;

use gdbstub::common::Signal;
use gdbstub::stub::state_machine::GdbStubStateMachine;
use gdbstub::stub::{DisconnectReason, GdbStub, MultiThreadStopReason};

use super::Server;
use super::debugger::{Debugger, Next, thread_id};
use super::link::Link;
use crate::guest::BootError;
use crate::kvm::{Paused, Report, Request, Stop};
use crate::session::Session;

/// How often somebody who waits looks up.
const GLANCE: Duration = Duration::from_millis(50);
/// Bytes of the longest packet.
const PACKET: usize = 32 << 10;

/// How a debugger left.
enum Parting {
    /// The run is over.
    Over(Paused),
    /// It let the machine go.
    Detached,
    /// It has gone without a word.
    Lost,
}

/// Waits for a debugger, and runs the session as it says; to its end when it
/// lets go. If it goes without a word, the machine stands still until another
/// one comes. `show` is given the report when somebody asks for it.
///
/// # Errors
/// Fails where the host does.
pub fn run(
    session: &mut Session<'_>,
    server: &Server,
    mut show: impl FnMut(&Report),
) -> Result<Report, BootError> {
    session.begin();
    // One for all that connect: who comes later wants to know, too, why the
    // machine stands.
    let mut debugger = Debugger::new(session, &server.wake);
    loop {
        let link = match accept(&mut debugger, server, &mut show)? {
            Ok(link) => link,
            Err(paused) => return Ok(debugger.session.end(paused)),
        };
        let parting = converse(&mut debugger, link, &mut show)?;
        debugger.leave();
        match parting {
            Parting::Over(paused) => return Ok(debugger.session.end(paused)),
            Parting::Detached => {
                eprintln!("kvm-runner: the debugger has let go, the machine goes on");
                return debugger.session.run_on(show);
            }
            Parting::Lost => eprintln!(
                "kvm-runner: the debugger has gone without a word; the machine stands still until \
                 another one connects"
            ),
        }
    }
}

/// The next debugger, or the end if there is none before that.
fn accept(
    debugger: &mut Debugger<'_, '_>,
    server: &Server,
    show: &mut impl FnMut(&Report),
) -> Result<Result<Link, Paused>, BootError> {
    loop {
        let link = server
            .accept(GLANCE)
            .map_err(BootError::system("have a connection for the debugger"))?;
        if let Some(link) = link {
            return Ok(Ok(link));
        }
        if let Some(paused) = meanwhile(debugger, show)? {
            return Ok(Err(paused));
        }
    }
}

/// What others want while the machine stands still: the end of the run, maybe.
fn meanwhile(
    debugger: &mut Debugger<'_, '_>,
    show: &mut impl FnMut(&Report),
) -> Result<Option<Paused>, BootError> {
    let asked = debugger.session.around.control.asked();
    match asked {
        Some(end @ (Request::Quit | Request::End { .. })) => {
            return Ok(Some(Paused { stop: Stop::Requested(end), vp_index: 0 }));
        }
        Some(Request::Reset) => debugger.reset()?,
        Some(Request::Show) => {
            let stop = Stop::Requested(Request::Show);
            show(&debugger.session.machine.report(Paused { stop, vp_index: 0 }));
        }
        Some(Request::Attention) | None => {}
    }
    Ok(debugger.session.overdue().map(|stop| Paused { stop, vp_index: 0 }))
}

/// One debugger, from its first word to its last.
fn converse(
    debugger: &mut Debugger<'_, '_>,
    link: Link,
    show: &mut impl FnMut(&Report),
) -> Result<Parting, BootError> {
    let mut over = None;
    match conversation(debugger, link, show, &mut over) {
        Ok(parting) => Ok(parting),
        Err(Failure::Host(error)) => Err(error),
        Err(Failure::Link(_)) if over.is_some() => Ok(over.map_or(Parting::Lost, Parting::Over)),
        Err(Failure::Link(None)) => Ok(Parting::Lost),
        Err(Failure::Link(Some(why))) => {
            eprintln!("kvm-runner: the debugger cannot be understood: {why}");
            Ok(Parting::Lost)
        }
    }
}

/// Why a conversation broke off.
enum Failure {
    /// The debugger has gone, or said something that is no GDB.
    Link(Option<String>),
    /// The host's fault.
    Host(BootError),
}

impl From<io::Error> for Failure {
    fn from(_: io::Error) -> Self {
        Self::Link(None)
    }
}

impl From<BootError> for Failure {
    fn from(error: BootError) -> Self {
        Self::Host(error)
    }
}

type StubError = gdbstub::stub::GdbStubError<BootError, io::Error>;

impl From<StubError> for Failure {
    fn from(error: StubError) -> Self {
        if error.is_connection_error() {
            return Self::Link(None);
        }
        let sentence = error.to_string();
        match error.into_target_error() {
            Some(error) => Self::Host(error),
            None => Self::Link(Some(sentence)),
        }
    }
}

fn conversation(
    debugger: &mut Debugger<'_, '_>,
    link: Link,
    show: &mut impl FnMut(&Report),
    over: &mut Option<Paused>,
) -> Result<Parting, Failure> {
    let stub = GdbStub::builder(link).packet_buffer_size(PACKET).build();
    let stub = stub.map_err(|error| Failure::Link(Some(error.to_string())))?;
    let mut state = stub.run_state_machine(debugger)?;
    loop {
        state = match state {
            GdbStubStateMachine::Idle(mut gdb) => match gdb.borrow_conn().next(GLANCE)? {
                Some(byte) => gdb.incoming_data(debugger, byte)?,
                None => match meanwhile(debugger, show)? {
                    Some(paused) => return Ok(Parting::Over(paused)),
                    None => gdb.into(),
                },
            },
            GdbStubStateMachine::Running(mut gdb) => {
                let paused = match gdb.borrow_conn().has_said() {
                    true => None,
                    false => Some(debugger.resume(gdb.borrow_conn().descriptor()?)?),
                };
                let next = paused.clone().map(|paused| debugger.after(paused, &mut *show));
                match (next.transpose()?, paused) {
                    (Some(Next::Tell(reason)), Some(paused)) => {
                        tell_why(gdb.borrow_conn(), &paused.stop, reason);
                        gdb.report_stop(debugger, reason)?
                    }
                    (Some(Next::End(reason)), Some(paused)) => {
                        tell_why(gdb.borrow_conn(), &paused.stop, reason);
                        *over = Some(paused);
                        gdb.report_stop(debugger, reason)?
                    }
                    _ => match gdb.borrow_conn().next(Duration::ZERO)? {
                        Some(byte) => gdb.incoming_data(debugger, byte)?,
                        None => gdb.into(),
                    },
                }
            }
            GdbStubStateMachine::CtrlCInterrupt(gdb) => {
                debugger.stop = Some(Stop::Requested(Request::Attention));
                let tid = thread_id(debugger.focus);
                let reason =
                    MultiThreadStopReason::SignalWithThread { tid, signal: Signal::SIGINT };
                gdb.interrupt_handled(debugger, Some(reason))?
            }
            GdbStubStateMachine::Disconnected(gdb) => {
                return Ok(match (over.take(), gdb.get_reason()) {
                    (Some(paused), _) => Parting::Over(paused),
                    (None, DisconnectReason::Disconnect) => Parting::Detached,
                    (None, _) => {
                        let stop = Stop::Requested(Request::Quit);
                        Parting::Over(Paused { stop, vp_index: debugger.focus })
                    }
                });
            }
        };
    }
}

/// Tells the debugger's user what a signal alone does not.
fn tell_why(link: &mut Link, stop: &Stop, reason: MultiThreadStopReason<u64>) {
    let is_signal = matches!(reason, MultiThreadStopReason::SignalWithThread { .. });
    let is_breakpoint = matches!(stop, Stop::Breakpoint(_) | Stop::SoftwareBreakpoint);
    if *stop != Stop::Stepped && (is_signal || !is_breakpoint) {
        link.say(&format!("kvm-runner: {stop}\n"));
    }
}
