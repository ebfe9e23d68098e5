//! `boot` from the outside: text, files and exit codes.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod common;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::binary::{self, Finished, folder, kvm_runner, sample};
use common::host;
use igvm_core::write::{FileBuilder, HeaderSpec, Version, wrap};

/// A wrapped firmware of one page whose reset vector jumps to this 16-bit code.
fn firmware(folder: &Path, code: &[u8]) -> PathBuf {
    let mut image = vec![0; 0x1000];
    image[..code.len()].copy_from_slice(code);
    image[0xff0..0xff3].copy_from_slice(&[0xe9, 0x0d, 0xf0]);
    let file = wrap::firmware(&image, wrap::Entry::Reset16).unwrap();
    binary::write(folder, "firmware.igvm", &file)
}

fn boot(arguments: &[&str]) -> Finished {
    binary::run([&["boot"], arguments].concat())
}

/// mov al, 'A'; mov dx, 0x3f8; out dx, al; mov dx, 0x402; out dx, al
const SAY_A: [u8; 10] = [0xb0, b'A', 0xba, 0xf8, 0x03, 0xee, 0xba, 0x02, 0x04, 0xee];
/// mov dx, 0x501; out dx, al
const EXIT: [u8; 4] = [0xba, 0x01, 0x05, 0xee];

#[test]
fn a_guest_that_ends_by_itself() {
    if host().is_none() {
        return;
    }
    let folder = folder("ends");
    let file = firmware(&folder, &[&SAY_A[..], &EXIT].concat());
    let output = boot(&[file.to_str().unwrap(), "--registers"]);
    let text = &output.stderr;
    assert!(text.contains("by the exit port, with value 0x41"), "{text}");
    assert!(text.contains("cs f000 base 00000000ffff0000"), "{text}");
    assert_eq!(output.stdout_of(0), "A");
}

/// The checksum is not what the guest runs on, but other loaders look at it.
#[test]
fn a_wrong_checksum_is_said_and_the_guest_runs() {
    if host().is_none() {
        return;
    }
    let mut file = sample("hello-real-reset");
    file[0x14] ^= 1;
    let path = binary::write(&folder("checksum"), "wrong.igvm", &file);
    let output = boot(&[path.to_str().unwrap()]);
    let text = &output.stderr;
    assert!(text.contains("other loaders may refuse this file: the checksum is"), "{text}");
    assert_eq!(output.stdout_of(0), "Hello from real mode at the reset vector!\n");
}

#[test]
fn output_before_a_timeout_is_kept() {
    if host().is_none() {
        return;
    }
    let folder = folder("timeout");
    let file = firmware(&folder, &[&SAY_A[..], &[0xfa, 0xf4]].concat());
    let (serial, debug) = (folder.join("serial"), folder.join("debug"));
    let output = boot(&[
        file.to_str().unwrap(),
        "--timeout=0.3",
        "--serial",
        serial.to_str().unwrap(),
        "--debugcon",
        debug.to_str().unwrap(),
    ]);
    let text = &output.stderr;
    assert!(text.contains("halted with interrupts off"), "{text}");
    assert_eq!(std::fs::read(serial).unwrap(), b"A");
    assert_eq!(std::fs::read(debug).unwrap(), b"A");
    assert_eq!(output.stdout_of(3), "");
}

#[test]
fn output_that_cannot_be_written_ends_the_run() {
    if host().is_none() {
        return;
    }
    let folder = folder("full");
    let file = firmware(&folder, &[&SAY_A[..], &[0xeb, 0xfe]].concat());
    let output = boot(&[file.to_str().unwrap(), "--serial=/dev/full", "--timeout=60"]);
    let text = output.refusal();
    assert!(text.contains("the serial output could not be written: No space left"), "{text}");
}

/// Neither a full pipe that nobody reads nor a guest that never stops writing
/// keeps the time from being up.
#[test]
fn output_that_nobody_reads_does_not_stop_the_clock() {
    if host().is_none() {
        return;
    }
    let folder = folder("unread");
    // mov dx, 0x402; cld; mov cx, 0xffff; rep outsb; jmp to the mov cx
    let code = [0xba, 0x02, 0x04, 0xfc, 0xb9, 0xff, 0xff, 0xf3, 0x6e, 0xeb, 0xf9];
    let file = firmware(&folder, &code);
    let started = Instant::now();
    let mut command = kvm_runner();
    command.arg("boot").arg(&file).args(["--debugcon=stdio", "--timeout=3"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let unread = child.stdout.take();
    while child.try_wait().unwrap().is_none() {
        if started.elapsed() > Duration::from_secs(60) {
            child.kill().unwrap();
            panic!("the run goes on and on");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let output = Finished::from(child.wait_with_output().unwrap());
    drop(unread);
    assert_eq!(output.code, Some(3), "{}", output.stderr);
    assert!(output.stderr.contains("the time was up after 3 s"), "{}", output.stderr);
}

/// No guest, no KVM, no output file: refused before anything of it is asked
/// for.
#[test]
fn bad_usage_and_bad_files_are_told_apart_from_guests() {
    let folder = folder("bad");
    let file = firmware(&folder, &EXIT);
    let file = file.to_str().unwrap();
    let empty = binary::write(&folder, "empty", &[]);
    let odd = binary::write(&folder, "odd", &[0; 100]);
    let never = folder.join("never");
    let never_argument = format!("--serial={}", never.display());
    let cases: [(&[&str], &str); 14] = [
        (&["/no/such/file"], "/no/such/file: there is no such file"),
        (&["/"], "this is a directory"),
        (&["/dev/zero"], "this is not a regular file"),
        (&[empty.to_str().unwrap()], "the file is empty"),
        (&[odd.to_str().unwrap(), &never_argument], "not an IGVM file"),
        (&[file, "--memory=5000", &never_argument], "not a multiple of 4 KiB"),
        (&[file, "--memory=99999999999999999999"], "give a number of bytes"),
        (&[file, "--cpus=0", &never_argument], "0 processors"),
        (&[file, "--cpus=4000000000"], "4000000000 processors"),
        (&[file, "--timeout=-1"], "give a number of seconds above zero"),
        (&[file, "--until="], "a value is required"),
        (&[], "--sample"),
        (&["--sample=no-such"], "hello-long64"),
        (&[file, "--sample=hello-long64"], "cannot be used with"),
    ];
    for (arguments, sentence) in cases {
        let text = boot(arguments).refusal();
        assert!(text.contains(sentence), "{arguments:?}: {text}");
        assert!(!never.exists(), "{arguments:?} left a file behind");
    }
}

#[test]
fn output_files_that_cannot_be_are_named() {
    if host().is_none() {
        return;
    }
    let text = boot(&["--sample=hello-long64", "--serial=/no/such/folder/x"]).refusal();
    assert!(text.contains("/no/such/folder/x cannot be written"), "{text}");
}

/// A file that must not be started is not, and the first reason is given in
/// full.
#[test]
fn files_that_must_not_be_started_are_refused() {
    let folder = folder("not-startable");
    let mut unknown = FileBuilder::new(Version::V2_X64);
    let native = igvm_core::defs::IgvmPlatformType::NATIVE;
    unknown.push(HeaderSpec::platform(native, 1)).unwrap();
    unknown.push(HeaderSpec::Raw { typ: 0x380, value: b"who knows" }).unwrap();
    let unknown = binary::write(&folder, "unknown", &unknown.finish());
    let mut cut = sample("hello-long64");
    cut.truncate(cut.len() - 1);
    let cut = binary::write(&folder, "cut", &cut);
    let moved = ["--sample=relocatable", "--relocate=0x200000=0x401000"];
    let lacking = ["--sample=parameters", "--memory=512K", "--required-memory=fail"];
    let never = folder.join("never");
    let serial = format!("--serial={}", never.display());
    let cases: [(&[&str], &str); 4] = [
        (&[unknown.to_str().unwrap()], "0x380"),
        (&[cut.to_str().unwrap()], "VP_CONTEXT 7"),
        (&moved, "RELOCATABLE_REGION 1"),
        (&lacking, "REQUIRED_MEMORY 7"),
    ];
    for (arguments, sentence) in cases {
        let text = boot(&[arguments, &[&serial]].concat()).refusal();
        assert!(text.contains(sentence), "{arguments:?}: {text}");
        assert!(text.contains(" at file offset 0x"), "{arguments:?}: {text}");
        assert!(!never.exists(), "{arguments:?} left a file behind");
    }
}
