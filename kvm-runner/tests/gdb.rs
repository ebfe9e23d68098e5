//! Debian's gdb at the machine.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod common;

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::binary::{self, Finished, finish_in_time, folder, kvm_runner};
use common::{guest_files, host, packaged};

/// More than any of these takes on a busy host.
const PATIENCE: Duration = Duration::from_secs(100);

/// The machine that waits for a debugger at a socket.
fn waiting(socket: &Path, arguments: &[&str]) -> Child {
    let mut command = kvm_runner();
    command.arg("boot").args(arguments).arg("--timeout=90");
    command.arg(format!("--gdb=unix:{}", socket.display()));
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let until = Instant::now() + PATIENCE;
    while !socket.exists() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

/// Debugs it with these commands; what gdb said, and what became of the run.
/// `None` where there is no KVM or no gdb, which is said.
fn debug(test: &str, arguments: &[&str], commands: &[&str]) -> Option<(String, Finished)> {
    host()?;
    let gdb = packaged("/usr/bin/gdb", "gdb")?;
    let folder = folder(test);
    let socket = folder.join("socket");
    let child = waiting(&socket, arguments);
    // What monitor commands say goes to standard error; here it is in its place.
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$@\" 2>&1", "sh"]).arg(gdb);
    command.args(["-batch", "-nx", "-ex", "set confirm off", "-ex", "set pagination off"]);
    command.arg("-ex").arg(format!("target remote {}", socket.display()));
    for text in commands {
        command.args(["-ex", text]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let said = finish_in_time(command.spawn().unwrap(), PATIENCE);
    let run = finish_in_time(child, PATIENCE);
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(!said.contains("Could not load XML"), "{said}");
    assert!(!socket.exists(), "the socket is left");
    Some((said, run))
}

/// That the lines are said, one after the other.
#[track_caller]
fn in_order(said: &str, lines: &[&str]) {
    let mut rest = said;
    for line in lines {
        let at = rest.find(line).unwrap_or_else(|| panic!("no {line:?}, or not there, in\n{said}"));
        rest = &rest[at + line.len()..];
    }
}

#[test]
fn long_mode_from_the_first_instruction_to_the_end() {
    let commands = [
        "printf \"at %x\\n\", $rip",
        "p/x $cs_attributes",
        "p $cr0",
        "p $efer",
        "stepi",
        "p/x $rsi",
        "break *0x10009",
        "continue",
        "p/x $rax",
        "x/2xb 0x10009",
        "monitor walk 0x10009",
        "monitor phys 0x10009 2",
        "continue",
        "p/x $rax",
        "delete",
        "hbreak *0x10021",
        "continue",
        "stepi",
        "printf \"behind out at %x\\n\", $rip",
        "set var $rsi = 0x10058",
        "delete",
        "continue",
    ];
    let Some((said, run)) = debug("gdb-long", &["--sample=hello-long64"], &commands) else {
        return;
    };
    in_order(
        &said,
        &[
            "at 10000",
            "0xa09b",
            "[ PE ET NE PG ]",
            "[ LME LMA ]",
            "0x10030",
            "Breakpoint 1, 0x0000000000010009",
            "= 0x48",
            "0x84\t0xc0",
            "physical 0x10009, in a page of 2 MiB",
            "84 c0",
            "Breakpoint 1, 0x0000000000010009",
            "= 0x4865",
            "Breakpoint 2, 0x0000000000010021",
            "behind out at 10022",
            "exited normally",
        ],
    );
    // "H", "e", and the rest of the line cut to its end.
    assert_eq!(run.stdout_of(0), "He\n");
}

/// In real mode RIP is not the linear address, by which breakpoints are set.
#[test]
fn real_mode_breakpoints_are_linear() {
    let commands = [
        "printf \"at %x:%x\\n\", $cs_base, $rip",
        "monitor code",
        "break *0xfffff006",
        "continue",
        "printf \"stands at %x\\n\", $rip",
        "continue",
        "p/x $rsi",
        "delete",
        "hbreak *0xfffff006",
        "continue",
        "p/x $rsi",
        "continue",
        "p/x $rsi",
        "delete",
        "continue",
    ];
    let Some((said, run)) = debug("gdb-real", &["--sample=hello-real-reset"], &commands) else {
        return;
    };
    in_order(
        &said,
        &[
            "at ffff0000:fff0",
            "e9 0d f0",
            "SIGTRAP",
            "stands at f006",
            "SIGTRAP",
            "= 0xf028",
            "SIGTRAP",
            "= 0xf029",
            "SIGTRAP",
            "= 0xf02a",
            "exited normally",
        ],
    );
    assert_eq!(run.stdout_of(0), "Hello from real mode at the reset vector!\n");
}

#[test]
fn protected_mode_registers_and_memory_can_be_changed() {
    let commands = [
        "p $cr0",
        "p/x $cs_limit",
        // Skips the program's first instruction, and gives ESI another text.
        "set var {char[4]}0x20000 = \"Hi\\n\"",
        "set var $rip = 0x10005",
        "set var $rsi = 0x20000",
        "info registers mxcsr fctrl",
        "continue",
    ];
    let arguments = ["--sample=hello-protected32"];
    let Some((said, run)) = debug("gdb-flat", &arguments, &commands) else { return };
    in_order(&said, &["[ PE ET NE ]", "0xffffffff", "0x1f80", "exited normally"]);
    assert_eq!(run.stdout_of(0), "Hi\n");
}

/// inc dword [0x3000]; jmp to it
const COUNT: [u8; 8] = [0xff, 0x05, 0x00, 0x30, 0x00, 0x00, 0xeb, 0xf8];
/// inc dword [0x3004]; jmp to it
const COUNT_TOO: [u8; 8] = [0xff, 0x05, 0x04, 0x30, 0x00, 0x00, 0xeb, 0xf8];

#[test]
fn processors_are_threads() {
    let guest = guest_files::flat32(&folder("gdb-two-guest"), &[&COUNT, &COUNT_TOO]);
    let commands = [
        "info threads",
        "thread 2",
        "stepi",
        "printf \"stepped %x %x\\n\", *(int*)0x3000, *(int*)0x3004",
        "break *0x11006 thread 2",
        "continue",
        "printf \"met %x\\n\", *(int*)0x3004",
        "continue",
        "printf \"met %x\\n\", *(int*)0x3004",
        "thread 1",
        "p/x $rip >= 0x10000 && $rip < 0x10008",
        "kill",
    ];
    let arguments = [guest.to_str().unwrap(), "--cpus=2"];
    let Some((said, run)) = debug("gdb-two", &arguments, &commands) else { return };
    in_order(
        &said,
        &[
            "processor 0, 32-bit protected mode",
            "processor 1, 32-bit protected mode",
            "stepped 0 1",
            "met 2",
            "met 3",
            "= 0x1",
        ],
    );
    assert!(run.stderr.contains("it was asked to stop"), "{}", run.stderr);
    assert_eq!(run.code, Some(0));
}

/// jmp 0x10000, from 0x11000
const JOIN: [u8; 5] = [0xe9, 0xfb, 0xef, 0xff, 0xff];

/// Whoever comes second to a breakpoint is told second, and both get past it.
#[test]
fn two_processors_meet_at_one_breakpoint() {
    let guest = guest_files::flat32(&folder("gdb-meet-guest"), &[&COUNT, &JOIN]);
    let mut commands = vec!["break *0x10006"];
    commands.extend(["continue"; 12]);
    commands.extend(["delete", "kill"]);
    let arguments = [guest.to_str().unwrap(), "--cpus=2"];
    let Some((said, run)) = debug("gdb-meet", &arguments, &commands) else { return };
    let met = |thread: u32| said.matches(&format!("Thread {thread} hit Breakpoint 1")).count();
    assert_eq!(met(1) + met(2), 12, "{said}");
    assert!(met(1) > 0 && met(2) > 0, "{said}");
    assert!(!said.contains("signal SIG"), "{said}");
    assert_eq!(run.code, Some(0));
}

/// mov al, 6; mov dx, 0xcf9; inc dword [0x3000]; cmp dword [0x3000], 3;
/// jae to the exit; out dx, al; exit: mov dx, 0x501; out dx, al
const RESET_TWICE: [u8; 26] = [
    0xb0, 0x06, 0x66, 0xba, 0xf9, 0x0c, 0xff, 0x05, 0x00, 0x30, 0x00, 0x00, 0x83, 0x3d, 0x00, 0x30,
    0x00, 0x00, 0x03, 0x73, 0x01, 0xee, 0x66, 0xba, 0x01, 0x05,
];

/// Memory that the file names is written again by a reset, and so is the code
/// under a breakpoint.
#[test]
fn breakpoints_survive_resets() {
    let program = [&RESET_TWICE[..], &[0xee]].concat();
    let guest = guest_files::flat32(&folder("gdb-reset-guest"), &[&program]);
    let count = "printf \"count %x\\n\", *(int*)0x3000";
    let commands = [
        "break *0x10006",
        "continue",
        count,
        "continue",
        count,
        "continue",
        count,
        "monitor reset",
        "maintenance flush register-cache",
        "printf \"at %x\\n\", $rip",
        "continue",
        count,
        "delete",
        "continue",
    ];
    let arguments = [guest.to_str().unwrap()];
    let Some((said, run)) = debug("gdb-reset", &arguments, &commands) else { return };
    in_order(
        &said,
        &["count 0", "count 1", "count 2", "the machine is reset", "at 10000", "count 2", "exited"],
    );
    assert_eq!(run.code, Some(0), "{}", run.stderr);
}

/// A packet as the protocol has it.
fn packet(body: &str) -> Vec<u8> {
    let sum = body.bytes().fold(0_u8, u8::wrapping_add);
    format!("${body}#{sum:02x}").into_bytes()
}

/// Without gdb: interrupting a guest that runs, noise, going without a word, and
/// coming again.
#[test]
fn a_running_machine_is_interrupted_and_debuggers_come_and_go() {
    use std::io::{Read, Write};
    if host().is_none() {
        return;
    }
    let folder = folder("gdb-by-hand");
    let guest = guest_files::flat32(&folder, &[&COUNT, &COUNT_TOO]);
    let socket = folder.join("socket");
    let child = waiting(&socket, &[guest.to_str().unwrap(), "--cpus=2"]);
    let connect = || {
        let stream = UnixStream::connect(&socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    };
    let until = |stream: &mut UnixStream, text: &str| {
        let (mut said, mut byte) = (Vec::new(), [0]);
        while !String::from_utf8_lossy(&said).contains(text) {
            assert_eq!(stream.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&said));
            said.push(byte[0]);
        }
        String::from_utf8_lossy(&said).into_owned()
    };
    let hex = |text: &str| text.bytes().map(|it| format!("{it:02x}")).collect::<String>();
    let mut first = connect();
    first.write_all(&packet("vCont;c")).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    first.write_all(&[3]).unwrap();
    until(&mut first, "T02");
    // In one breath: it is not lost that the interrupt was there already.
    first.write_all(&[packet("vCont;c"), vec![3]].concat()).unwrap();
    until(&mut first, "T02");
    // The second processor does one instruction: it is the one that stops.
    first.write_all(&packet("vCont;s:2")).unwrap();
    until(&mut first, "T05");
    drop(first);
    let mut noise = connect();
    noise.write_all(b"GET / HTTP/1.1\r\n\r\n$#$#00\x03\x03$vCont;s:0#ff").unwrap();
    drop(noise);
    // Who comes later is told where it stands, until that is no longer so.
    let mut later = connect();
    let info = packet(&format!("qRcmd,{}", hex("info")));
    later.write_all(&info).unwrap();
    let said = until(&mut later, "$OK#");
    assert!(!said.contains(&hex("before the first instruction")), "{said}");
    assert!(said.contains(&hex("processor 1 at ")), "{said}");
    later.write_all(&packet(&format!("qRcmd,{}", hex("reset")))).unwrap();
    until(&mut later, "$OK#");
    drop(later);
    let mut last = connect();
    last.write_all(&info).unwrap();
    let said = until(&mut last, "$OK#");
    assert!(said.contains(&hex("before the first instruction")), "{said}");
    last.write_all(&packet("m3000,4")).unwrap();
    until(&mut last, "#");
    last.write_all(&packet("k")).unwrap();
    let run = finish_in_time(child, PATIENCE);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(!run.stderr.contains("panicked"), "{}", run.stderr);
    assert!(!socket.exists());
}

#[test]
fn a_socket_that_is_there_is_not_taken() {
    if host().is_none() {
        return;
    }
    let taken = binary::write(&folder("gdb-taken"), "socket", b"mine");
    let argument = format!("--gdb=unix:{}", taken.display());
    let text = binary::run(["boot", "--sample=hello-long64", &argument]).refusal();
    assert!(text.contains("no debugger can connect"), "{text}");
    assert_eq!(std::fs::read(taken).unwrap(), b"mine");
}
