//! `boot` from the outside: text, files and exit codes.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod common;

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use common::host;
use igvm_core::write::wrap;

/// A folder of its own for each test.
fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// A wrapped firmware of one page whose reset vector jumps to this 16-bit code.
fn firmware(folder: &std::path::Path, code: &[u8]) -> PathBuf {
    let mut image = vec![0; 0x1000];
    image[..code.len()].copy_from_slice(code);
    image[0xff0..0xff3].copy_from_slice(&[0xe9, 0x0d, 0xf0]);
    let path = folder.join("firmware.igvm");
    std::fs::write(&path, wrap::firmware(&image, wrap::Entry::Reset16).unwrap()).unwrap();
    path
}

fn boot(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kvm-runner"));
    command.arg("boot").args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn code_and_text(output: &Output) -> (i32, String) {
    (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
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
    let (code, text) = code_and_text(&output);
    assert_eq!(code, 0, "{text}");
    assert_eq!(output.stdout, b"A");
    assert!(text.contains("by the exit port, with value 0x41"), "{text}");
    assert!(text.contains("cs f000 base 00000000ffff0000"), "{text}");
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
    let (code, text) = code_and_text(&output);
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("halted with interrupts off"), "{text}");
    assert_eq!(std::fs::read(serial).unwrap(), b"A");
    assert_eq!(std::fs::read(debug).unwrap(), b"A");
    assert!(output.stdout.is_empty());
}

#[test]
fn output_that_cannot_be_written_ends_the_run() {
    if host().is_none() {
        return;
    }
    let folder = folder("full");
    let file = firmware(&folder, &[&SAY_A[..], &[0xeb, 0xfe]].concat());
    let output = boot(&[file.to_str().unwrap(), "--serial=/dev/full", "--timeout=60"]);
    let (code, text) = code_and_text(&output);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("the serial output could not be written: No space left"), "{text}");
}

#[test]
fn bad_usage_and_bad_files_are_told_apart_from_guests() {
    if host().is_none() {
        return;
    }
    let folder = folder("bad");
    let file = firmware(&folder, &EXIT);
    let file = file.to_str().unwrap();
    let (empty, odd) = (folder.join("empty"), folder.join("odd"));
    std::fs::write(&empty, []).unwrap();
    std::fs::write(&odd, [0; 100]).unwrap();
    let never = folder.join("never");
    let never_argument = format!("--serial={}", never.display());
    let cases: [(&[&str], &str); 12] = [
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
        (&[file, "--serial=/no/such/folder/x"], "/no/such/folder/x cannot be written"),
    ];
    for (arguments, sentence) in cases {
        let (code, text) = code_and_text(&boot(arguments));
        assert_eq!(code, 2, "{arguments:?}: {text}");
        assert!(text.contains(sentence), "{arguments:?}: {text}");
        assert!(!never.exists(), "{arguments:?} left a file behind");
    }
}
