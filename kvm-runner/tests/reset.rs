//! A reset: after it a machine does what it did the first time, wherever it
//! stood; and only what the image names has changed back.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod common;
#[path = "reset/looks.rs"]
mod looks;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{Bits, Buffer, PATIENCE, host, with_loaded};
use iced_x86::IcedError;
use iced_x86::code_asm::{CodeAssembler, byte_ptr, dword_ptr, ptr, registers::*};
use igvm_analysis::document::Document;
use igvm_analysis::host::{HostDescription, HostTables};
use igvm_core::defs::{IGVM_VHS_PARAMETER_INSERT, IgvmPlatformType};
use igvm_core::load;
use igvm_core::span::Span;
use igvm_core::wire::ParameterKind;
use igvm_core::write::{Data, FileBuilder, HeaderSpec, Version, start};
use igvm_core::x86::{Register, RegisterFile};
use igvm_devices::Ending;
use kvm_runner::console::{Console, Destination};
use kvm_runner::describe::description;
use kvm_runner::guest::Image;
use kvm_runner::kvm::{Access, Deadline, Machine, Pace, Place, Processor, Stop, Watch};
use kvm_runner::session::{OnFailure, Session, Settings};
use looks::{changed, looks_then_changes, put, shown};
use vm_memory::{Bytes, GuestAddress};

/// What a guest counts up, in memory that its image names.
const COUNTER: u64 = 0x8000;
/// A descriptor table without a descriptor.
const NO_TABLE: u64 = 0x8010;
/// Memory that no image here names.
const UNNAMED: u64 = 0xa000;
/// There is no memory from here on.
const NOTHING: u32 = 0x2_0000;
const RAM: Span = Span::new(0, NOTHING as u64);
/// Where the accesses go that the test stops at.
const PROBE: u16 = 0x80;

/// The ways to leave the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    Halt,
    Out,
    In,
    MemoryRead,
    MemoryWrite,
    Shutdown,
    InternalError,
}

const LAST: [Last; 7] = [
    Last::Halt,
    Last::Out,
    Last::In,
    Last::MemoryRead,
    Last::MemoryWrite,
    Last::Shutdown,
    Last::InternalError,
];

fn assemble(
    bitness: u32,
    code: impl FnOnce(&mut CodeAssembler) -> Result<(), IcedError>,
) -> Vec<u8> {
    let mut asm = CodeAssembler::new(bitness).unwrap();
    code(&mut asm).unwrap();
    asm.assemble(0x7c00).unwrap()
}

/// Changes memory, the stack, registers, interrupt controllers and the timer,
/// prints, and leaves the guest in one way.
fn program(
    asm: &mut CodeAssembler,
    bitness: u32,
    last: Last,
    vector: bool,
) -> Result<(), IcedError> {
    asm.inc(byte_ptr(COUNTER))?;
    asm.mov(al, byte_ptr(COUNTER))?;
    put(asm)?;
    looks_then_changes(asm, bitness, vector)?;
    asm.mov(ebx, 0x1234_5678)?;
    asm.mov(esi, 0x1111)?;
    match bitness {
        64 => asm.mov(cr2, rbx)?,
        _ => asm.mov(cr2, ebx)?,
    }
    match last {
        Last::Halt => {
            asm.cli()?;
            asm.hlt()
        }
        Last::Out => asm.out(i32::from(PROBE), al),
        Last::In => asm.in_(al, i32::from(PROBE)),
        Last::Shutdown => {
            asm.lidt(ptr(NO_TABLE))?;
            if bitness == 16 {
                // Real mode always finds a vector.
                asm.mov(eax, cr0)?;
                asm.or(al, 1)?;
                asm.mov(cr0, eax)?;
            }
            asm.ud2()
        }
        Last::MemoryRead | Last::MemoryWrite if bitness == 16 => {
            asm.mov(ax, 0x2000)?;
            asm.mov(es, eax)?;
            match last {
                Last::MemoryRead => asm.mov(ebp, dword_ptr(0x10).es()),
                _ => asm.mov(dword_ptr(0x10).es(), ebx),
            }
        }
        Last::MemoryRead => asm.mov(ebp, dword_ptr(NOTHING + 0x10)),
        Last::MemoryWrite => asm.mov(dword_ptr(NOTHING + 0x10), ebx),
        Last::InternalError if bitness == 16 => {
            asm.push(0x2000)?;
            asm.push(0)?;
            asm.retf()
        }
        Last::InternalError => {
            asm.mov(eax, NOTHING)?;
            match bitness {
                64 => asm.jmp(rax),
                _ => asm.jmp(eax),
            }
        }
    }
}

fn guest(bitness: u32, code: Vec<u8>) -> Bits {
    let mut bits = match bitness {
        16 => Bits::real_mode(&code),
        32 => Bits::flat(&code),
        _ => common::long(&code),
    };
    if bitness == 64 {
        // The local APIC's 2 MiB, through a page directory of their own.
        bits.pieces.push((0x2018, 0x4003_u64.to_le_bytes().to_vec()));
        bits.pieces.push((0x4fb8, 0xfee0_0093_u64.to_le_bytes().to_vec()));
    }
    bits.memory = vec![RAM];
    bits.pieces.push((COUNTER, vec![b'0']));
    bits.pieces.push((NO_TABLE, vec![0; 10]));
    bits
}

/// Stops at an access to [`PROBE`] or to [`NOTHING`].
struct AtProbe;

impl Watch for AtProbe {
    fn exited(&mut self, access: &Access) -> Option<Stop> {
        let probed = match access.place {
            Place::Port(port) => port == PROBE,
            Place::Memory(gpa) => gpa >= NOTHING.into(),
        };
        probed.then_some(Stop::Enough { count: 1, instructions: false })
    }

    fn stepped(&mut self, _: &Processor<'_>) -> Option<Stop> {
        None
    }
}

/// A session and what the guest writes to the debug port.
fn session<'a>(
    host: kvm_runner::kvm::Host,
    image: &'a dyn Image,
    processors: u32,
    settings: Settings,
) -> (Session<'a>, Buffer) {
    let debug = Buffer::default();
    let writer = Box::new(debug.clone());
    (session_into(host, image, processors, settings, writer), debug)
}

fn session_into<'a>(
    host: kvm_runner::kvm::Host,
    image: &'a dyn Image,
    processors: u32,
    settings: Settings,
    debug: Box<dyn std::io::Write + Send>,
) -> Session<'a> {
    let console = Console::new(Destination::Nowhere, Destination::Writer(debug), None);
    let tables = HostTables::new(HostDescription { processors, ..HostDescription::default() });
    let description = description(&load::Host { ram: &[RAM], ..tables.unwrap().host() });
    let machine = Machine::new(host, image, processors).unwrap();
    Session::new(machine, image, &description, console, None, settings).unwrap()
}

/// All that the image names, and all registers.
fn state(session: &Session<'_>, bits: &Bits) -> (RegisterFile, Vec<Vec<u8>>) {
    let named = bits.pieces.iter().map(|(gpa, piece)| {
        let mut bytes = vec![0; piece.len()];
        session.machine.memory().read_slice(&mut bytes, GuestAddress(*gpa)).unwrap();
        bytes
    });
    (session.machine.processor(0).unwrap().registers().unwrap(), named.collect())
}

#[track_caller]
fn same(first: &RegisterFile, second: &RegisterFile, what: &str) {
    for register in Register::ALL {
        assert_eq!(first.get(register), second.get(register), "{what}: {register}");
    }
}

/// The second run after any stop is the first once more: the stop, the
/// registers, the memory that the image names, the text and every access.
#[test]
fn a_second_run_is_the_first_whatever_stopped_it() {
    for bitness in [16, 32, 64] {
        for last in LAST {
            let Some(host) = host() else { return };
            let what = format!("{last:?} in {bitness}-bit code");
            // SSE is beyond a KVM that interprets the guest.
            let vector = host.interprets() == Some(false);
            let code = assemble(bitness, |asm| program(asm, bitness, last, vector));
            let bits = guest(bitness, code);
            let (mut session, debug) = session(host, &bits, 1, Settings::default());
            session.around.watch = Some(Arc::new(Mutex::new(AtProbe)));
            let fresh = state(&session, &bits);
            let patience = if last == Last::Halt { Duration::from_millis(100) } else { PATIENCE };
            let mut runs = vec![];
            for _ in 0..3 {
                let at = Some(Instant::now() + patience);
                let deadline = Deadline { at, end: at };
                let resumed = session.machine.resume(&session.around, Pace::Free, deadline);
                let mut stop = resumed.unwrap().stop;
                if let Stop::Timeout { after, .. } = &mut stop {
                    *after = patience;
                }
                let accesses = session.machine.recent().iter().copied().collect::<Vec<_>>();
                runs.push((stop, state(&session, &bits), accesses));
                session.reset().unwrap();
                let again = state(&session, &bits);
                same(&again.0, &fresh.0, &what);
                assert_eq!(again.1, fresh.1, "{what}");
            }
            let text = debug.text();
            let looks = changed(bitness, vector);
            let (first, _) = text.split_at(1 + 2 * looks.len());
            for (at, (name, changed)) in looks.into_iter().enumerate() {
                let is = |run: usize| &text[run * first.len() + 1 + 2 * at..][..2];
                assert_ne!(is(0), shown(changed), "{what}: {name}");
                for run in 1..3 {
                    assert_eq!(is(run), is(0), "{what}: {name}, run {run}");
                }
            }
            assert_eq!(text, first.repeat(3), "{what}");
            expect_stop(&runs[0].0, last, &what);
            for (stop, (registers, memory), accesses) in &runs[1..] {
                assert_eq!(stop, &runs[0].0, "{what}");
                same(registers, &runs[0].1.0, &what);
                assert_eq!(memory, &runs[0].1.1, "{what}");
                assert_eq!(accesses, &runs[0].2, "{what}");
            }
        }
    }
}

#[track_caller]
fn expect_stop(stop: &Stop, last: Last, what: &str) {
    let expected = match last {
        Last::Halt => matches!(stop, Stop::Timeout { halted: true, .. }),
        Last::Shutdown => matches!(stop, Stop::TripleFault),
        Last::InternalError => matches!(stop, Stop::Emulation(_)),
        _ => matches!(stop, Stop::Enough { .. }),
    };
    assert!(expected, "{what}: {stop}");
}

/// Prints C if a mark is not yet in memory that no image names, else W; makes
/// the mark; then `reset` or, when warm, the exit port.
fn mark(
    asm: &mut CodeAssembler,
    reset: impl FnOnce(&mut CodeAssembler) -> Result<(), IcedError>,
) -> Result<(), IcedError> {
    let mut warm = asm.create_label();
    asm.cmp(byte_ptr(UNNAMED), 0x5a)?;
    asm.je(warm)?;
    asm.mov(byte_ptr(UNNAMED), 0x5a)?;
    asm.mov(al, i32::from(b'C'))?;
    put(asm)?;
    reset(asm)?;
    asm.set_label(&mut warm)?;
    asm.mov(al, i32::from(b'W'))?;
    put(asm)?;
    asm.mov(dx, 0x501)?;
    asm.mov(al, 0x10)?;
    asm.out(dx, al)
}

fn out(asm: &mut CodeAssembler, port: u16, value: u8) -> Result<(), IcedError> {
    asm.mov(dx, i32::from(port))?;
    asm.mov(al, i32::from(value))?;
    asm.out(dx, al)?;
    asm.hlt()
}

/// Every way in which a guest resets a PC, and the mark it finds after it.
#[test]
fn a_guest_finds_its_mark_in_memory_that_the_image_does_not_name() {
    let triple = OnFailure::Reset;
    for (port, value) in [(0xcf9, 0x06), (0x64, 0xfe), (0x92, 0x01), (0, 0)] {
        let Some(host) = host() else { return };
        let code = assemble(32, |asm| {
            asm.inc(byte_ptr(COUNTER))?;
            asm.mov(al, byte_ptr(COUNTER))?;
            put(asm)?;
            mark(asm, |asm| match port {
                0 => {
                    asm.lidt(ptr(NO_TABLE))?;
                    asm.ud2()
                }
                port => out(asm, port, value),
            })
        });
        let bits = guest(32, code);
        let settings =
            Settings { limit: Some(PATIENCE), on_triple_fault: triple, ..Settings::default() };
        let (mut session, debug) = session(host, &bits, 1, settings);
        let report = session.run(|_| {}).unwrap();
        assert_eq!(report.stop, Stop::Ended(Ending::Exit { value: 0x10 }), "{port:#x}: {report}");
        assert_eq!((debug.text().as_str(), session.resets()), ("1C1W", 1), "{port:#x}");
    }
}

#[test]
fn a_reset_that_is_not_wanted_ends_the_run() {
    let Some(host) = host() else { return };
    let bits = guest(32, assemble(32, |asm| mark(asm, |asm| out(asm, 0xcf9, 0x06))));
    let settings =
        Settings { limit: Some(PATIENCE), on_reset: OnFailure::Stop, ..Settings::default() };
    let (mut session, debug) = session(host, &bits, 1, settings);
    let report = session.run(|_| {}).unwrap();
    assert_eq!(report.stop, Stop::Ended(Ending::Reset { port: 0xcf9 }));
    assert_eq!(debug.text(), "C");
}

/// The second processor waits for its SIPI again: were it to run on, its letter
/// would come before anybody has called it.
#[test]
fn other_processors_wait_again() {
    let code = assemble(32, |asm| {
        let (mut called, mut resets) = (asm.create_label(), asm.create_label());
        // INIT and SIPI to all others, to page 6.
        asm.mov(dword_ptr(0xfee0_0300_u32), 0xc4500)?;
        asm.mov(dword_ptr(0xfee0_0300_u32), 0xc4606)?;
        asm.set_label(&mut called)?;
        asm.cmp(byte_ptr(COUNTER), i32::from(b'1'))?;
        asm.jne(called)?;
        asm.mov(al, i32::from(b'B'))?;
        put(asm)?;
        asm.inc(byte_ptr(UNNAMED))?;
        asm.cmp(byte_ptr(UNNAMED), 4)?;
        asm.jne(resets)?;
        out(asm, 0x501, 0x10)?;
        asm.set_label(&mut resets)?;
        out(asm, 0xcf9, 0x06)
    });
    let second = {
        let mut asm = CodeAssembler::new(16).unwrap();
        asm.mov(al, i32::from(b'A')).unwrap();
        put(&mut asm).unwrap();
        asm.inc(byte_ptr(COUNTER)).unwrap();
        // Busy: a reset must stop it.
        let mut busy = asm.create_label();
        asm.set_label(&mut busy).unwrap();
        asm.in_(al, i32::from(PROBE)).unwrap();
        asm.jmp(busy).unwrap();
        asm.assemble(0).unwrap()
    };
    let Some(host) = host() else { return };
    let mut bits = guest(32, code);
    bits.pieces.push((0x6000, second));
    let settings = Settings { limit: Some(PATIENCE), ..Settings::default() };
    let (mut session, debug) = session(host, &bits, 2, settings);
    let report = session.run(|_| {}).unwrap();
    assert_eq!(report.stop, Stop::Ended(Ending::Exit { value: 0x10 }), "{report}");
    assert_eq!((debug.text().as_str(), session.resets()), ("ABABABAB", 3));
}

/// Resets at moments that nobody chose, under a guest that reads and writes
/// ports and memory without end.
#[test]
fn a_reset_at_any_moment_is_a_reset() {
    for bitness in [16, 32, 64] {
        let Some(host) = host() else { return };
        let code = assemble(bitness, |asm| {
            asm.inc(byte_ptr(COUNTER))?;
            asm.mov(al, byte_ptr(COUNTER))?;
            put(asm)?;
            asm.mov(ebx, 0x1234)?;
            let mut again = asm.create_label();
            asm.set_label(&mut again)?;
            asm.mov(al, 0)?;
            asm.out(i32::from(PROBE), al)?;
            asm.in_(eax, i32::from(PROBE))?;
            match bitness {
                16 => {
                    asm.mov(dx, 0x2000)?;
                    asm.mov(es, edx)?;
                    asm.mov(ecx, dword_ptr(0).es())?;
                    asm.mov(dword_ptr(0).es(), ebx)?;
                }
                _ => {
                    asm.mov(ecx, dword_ptr(NOTHING))?;
                    asm.mov(dword_ptr(NOTHING), ebx)?;
                }
            }
            asm.jmp(again)
        });
        let bits = guest(bitness, code);
        let settings = Settings {
            limit: Some(Duration::from_millis(400)),
            reset_every: Some(Duration::from_millis(7)),
            ..Settings::default()
        };
        let (mut session, debug) = session(host, &bits, 1, settings);
        let report = session.run(|_| {}).unwrap();
        assert!(matches!(report.stop, Stop::Timeout { halted: false, .. }), "{report}");
        let resets = session.resets();
        assert!(resets >= 10, "{resets}");
        // A reset may come before the first letter.
        let text = debug.text();
        assert!(text.len() > 3 && text.bytes().all(|byte| byte == b'1'), "{text}");
    }
}

/// A reset that is due waits for the reader of the guest's text. Given up, the
/// text would be lost and the run would end.
#[test]
fn a_due_reset_waits_for_the_reader() {
    let Some(host) = host() else { return };
    let code = assemble(32, |asm| {
        let mut again = asm.create_label();
        asm.mov(dx, 0x402)?;
        asm.mov(al, i32::from(b'x'))?;
        asm.set_label(&mut again)?;
        asm.out(dx, al)?;
        asm.jmp(again)
    });
    let bits = guest(32, code);
    let settings = Settings {
        limit: Some(Duration::from_secs(2)),
        reset_every: Some(Duration::from_millis(50)),
        ..Settings::default()
    };
    // A socket is full after some hundred bytes that came one by one.
    let (mut reader, writer) = std::os::unix::net::UnixStream::pair().unwrap();
    let reading = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(500));
        std::io::copy(&mut reader, &mut std::io::sink()).unwrap()
    });
    let mut session = session_into(host, &bits, 1, settings, Box::new(writer));
    let report = session.run(|_| {}).unwrap();
    assert!(matches!(report.stop, Stop::Timeout { .. }), "{report}");
    assert!(session.resets() > 3, "{}", session.resets());
    drop(session);
    assert!(reading.join().unwrap() > 0);
}

/// The time between two resets starts anew with every reset, also the guest's.
#[test]
fn the_guest_s_own_resets_do_not_put_off_the_periodic_ones() {
    const OWN: u64 = 20;
    let Some(host) = host() else { return };
    let code = assemble(32, |asm| {
        let mut busy = asm.create_label();
        asm.cmp(byte_ptr(UNNAMED), OWN as i32)?;
        asm.je(busy)?;
        asm.inc(byte_ptr(UNNAMED))?;
        out(asm, 0xcf9, 0x06)?;
        asm.set_label(&mut busy)?;
        asm.in_(al, i32::from(PROBE))?;
        asm.jmp(busy)
    });
    let bits = guest(32, code);
    let settings = Settings {
        limit: Some(Duration::from_secs(2)),
        reset_every: Some(Duration::from_millis(100)),
        ..Settings::default()
    };
    let (mut session, _) = session(host, &bits, 1, settings);
    let report = session.run(|_| {}).unwrap();
    assert!(matches!(report.stop, Stop::Timeout { .. }), "{report}");
    assert!(session.resets() > OWN, "{}", session.resets());
}

/// What a file names is written again: pages, pages of zeroes, and parameter
/// areas with what the file and the loader put into them.
#[test]
fn what_the_file_names_is_written_again() {
    let Some(host) = host() else { return };
    let document = Document::from_bytes(file_that_looks_at_itself()).unwrap();
    let host = std::cell::Cell::new(Some(host));
    with_loaded(&document, HostDescription::default(), |loaded| {
        let settings = Settings { limit: Some(PATIENCE), ..Settings::default() };
        let host = host.take().expect("loaded once");
        let (mut session, debug) = session(host, &loaded.image, 1, settings);
        let report = session.run(|_| {}).unwrap();
        assert_eq!(report.stop, Stop::Ended(Ending::Exit { value: 0x10 }), "{report}");
        // Page, zeroes, initial data of the area, number of processors.
        assert_eq!(debug.text(), "D0P1CD0P1W");
    });
}

const PAGE: u64 = 0x8000;
const ZEROES: u64 = 0x9000;
const AREA: u64 = 0xb000;
const VP_COUNT: u64 = 8;

fn file_that_looks_at_itself() -> Vec<u8> {
    let code = assemble(16, |asm| {
        for (place, add) in [(PAGE, 0), (ZEROES, b'0'), (AREA, 0), (AREA + VP_COUNT, b'0')] {
            asm.mov(al, byte_ptr(place))?;
            asm.add(al, i32::from(add))?;
            put(asm)?;
            asm.mov(byte_ptr(place), 0x7e)?;
        }
        mark(asm, |asm| out(asm, 0xcf9, 0x06))
    });
    let mut low = vec![0; 0xc00];
    low.extend(code);
    let mut file = FileBuilder::new(Version::V2_X64);
    let mut push = |header| file.push(header).unwrap();
    push(HeaderSpec::platform(IgvmPlatformType::NATIVE, 1));
    push(HeaderSpec::page(0x7000, 1, &low));
    push(HeaderSpec::page(PAGE, 1, b"D"));
    push(HeaderSpec::zero_page(ZEROES, 1));
    push(HeaderSpec::ParameterArea {
        index: 0,
        number_of_bytes: 0x1000,
        initial: Data::Bytes(b"P"),
    });
    push(HeaderSpec::parameter(ParameterKind::VpCount, 0, VP_COUNT as u32));
    push(HeaderSpec::ParameterInsert(IGVM_VHS_PARAMETER_INSERT {
        gpa: AREA,
        compatibility_mask: 1,
        parameter_area_index: 0,
    }));
    push(HeaderSpec::native_context(1, &start::real16(0, 0x7c00, 0x7000)));
    file.finish()
}
