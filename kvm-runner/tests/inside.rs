//! Seeing inside: trace, breakpoints, report, dump.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod common;

use std::path::Path;
use std::process::Command;

use common::binary::{self, Finished, folder, listing};
use common::{guest_files, host, packaged};
use serde_json::Value;

fn boot(arguments: &[&str]) -> Finished {
    binary::run([&["boot", "--timeout=60"], arguments].concat())
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// Lines that somebody who reads the listing of the sample would write.
#[test]
fn a_trace_has_a_line_for_each_instruction() {
    if host().is_none() {
        return;
    }
    let trace = folder("trace").join("trace");
    let path = trace.to_str().unwrap();
    let output =
        boot(&["--sample=hello-long64", "--serial=none", "--trace", path, "--stop-after=14"]);
    assert!(output.stderr.contains("14 instructions were run, as asked"), "{}", output.stderr);
    assert_eq!(output.code, Some(0));
    let text = read(&trace);
    let lines: Vec<Vec<&str>> =
        text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines.len(), 14, "{text}");
    assert_eq!(
        lines[0].join(" "),
        "64 00010000 48 8d 35 29 00 00 00 lea rsi, [0x10030] rsi 0->10030"
    );
    assert_eq!(lines[1].join(" "), "64 00010007 8a 06 mov al, [rsi] rax 0->48");
    // An access to a device is one instruction, not half of it or two.
    assert_eq!(lines[12].join(" "), "64 00010021 ee out dx, al");
    assert_eq!(lines[13].join(" "), "64 00010022 eb e3 jmp short 0x10007");
}

/// sti; hlt; then the exit port. Nothing ends the HLT.
const HALT: [u8; 9] = [0xfb, 0xf4, 0x66, 0xba, 0x01, 0x05, 0xb0, 0x10, 0xee];

/// Where KVM interprets the guest, a single step goes over HLT without waiting.
#[test]
fn a_traced_guest_still_waits_in_hlt() {
    if host().is_none() {
        return;
    }
    let folder = folder("trace-hlt");
    let guest = guest_files::flat32(&folder, &[&HALT]);
    let trace = folder.join("trace");
    let arguments = [guest.to_str().unwrap(), "--trace", trace.to_str().unwrap(), "--timeout=1"];
    let output = binary::run([&["boot"], &arguments[..]].concat());
    assert_eq!(output.code, Some(3), "{}", output.stderr);
    assert!(output.stderr.contains("halted"), "{}", output.stderr);
    let text = read(&trace);
    assert!(text.lines().count() <= 2 && text.contains("sti"), "{text}");
}

/// cld; mov ecx, 0x100; mov edi, 0x3000; rep stosb; jmp $
const FILL: [u8; 15] =
    [0xfc, 0xb9, 0x00, 0x01, 0x00, 0x00, 0xbf, 0x00, 0x30, 0x00, 0x00, 0xf3, 0xaa, 0xeb, 0xfe];

#[test]
fn what_repeats_is_one_line_and_processors_are_told_apart() {
    if host().is_none() {
        return;
    }
    let folder = folder("trace-rep");
    let guest = guest_files::flat32(&folder, &[&FILL, &FILL]);
    let trace = folder.join("trace");
    let output = boot(&[
        guest.to_str().unwrap(),
        "--cpus=2",
        "--trace",
        trace.to_str().unwrap(),
        "--stop-after=1000",
    ]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let text = read(&trace);
    for processor in ["0", "1"] {
        let lines: Vec<_> = text.lines().filter(|line| line.starts_with(processor)).collect();
        assert_eq!(lines.len(), 5, "{text}");
        assert!(lines[3].contains(" steps rcx 100->0 rdi 3000->3100"), "{text}");
        assert!(lines[4].contains("jmp") && lines[4].ends_with("steps"), "{text}");
    }
}

#[test]
fn exits_are_traced_and_counted() {
    if host().is_none() {
        return;
    }
    let trace = folder("trace-exits").join("exits");
    let path = trace.to_str().unwrap();
    let output = boot(&[
        "--sample=hello-real16",
        "--serial=none",
        "--trace-exits",
        path,
        "--stop-after-exits=3",
    ]);
    assert!(output.stderr.contains("3 exits were run, as asked"), "{}", output.stderr);
    assert_eq!(read(&trace), "in 0x3fd -> 60\nout 0x3f8 <- 48\nin 0x3fd -> 60\n");
}

#[test]
fn a_trace_that_cannot_be_written_ends_the_run() {
    if host().is_none() {
        return;
    }
    let output = boot(&["--sample=hello-long64", "--serial=none", "--trace=/dev/full"]);
    assert_eq!(output.code, Some(2), "{}", output.stderr);
    assert!(output.stderr.contains("the trace could not be written"), "{}", output.stderr);
}

#[test]
fn a_breakpoint_ends_the_run_with_the_report() {
    if host().is_none() {
        return;
    }
    let json = folder("break").join("report.json");
    let output = boot(&[
        "--sample=hello-long64",
        "--break=0x10030",
        "--break=0x10021",
        "--json",
        json.to_str().unwrap(),
    ]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    for text in [
        "the breakpoint at 0x10021 was met",
        "registers, 64-bit mode",
        "cr0 80000031  PE ET NE PG",
        ">      0x10021  ee ",
        "       0x1001d  66 ba f8 03 ",
        "PML4E at     0x1000",
        "physical 0x10021, in a page of 2 MiB",
        "in 0x3fd -> 60",
    ] {
        assert!(output.stderr.contains(text), "no {text:?} in\n{}", output.stderr);
    }
    assert!(output.stderr.lines().all(|line| line.chars().count() <= 100), "{}", output.stderr);
    assert!(!output.stderr.contains('\x1b'), "colours in a pipe");
    let report: Value = serde_json::from_str(&read(&json)).unwrap();
    assert_eq!(report["schema"], 1);
    assert_eq!(report["stop"]["kind"], "breakpoint");
    let processor = &report["processors"][0];
    assert_eq!(processor["registers"]["cs"]["attributes"], "0xa09b");
    assert_eq!(processor["walk"]["physical"], "0x10021");
    let code = processor["code"].as_array().unwrap();
    let next = code.iter().find(|line| line["next"] == true).unwrap();
    assert_eq!((&next["bytes"], &next["text"]), (&"ee".into(), &"out dx, al".into()));
    assert_eq!(report["last_exits"][0]["port"], "0x3fd");
}

#[test]
fn a_failure_is_reported_in_full_and_a_good_end_in_two_lines() {
    if host().is_none() {
        return;
    }
    let folder = folder("report");
    // ud2, and no table to find its handler.
    let guest = guest_files::flat32(&folder, &[&[0x90, 0x0f, 0x0b]]);
    let failed = boot(&[guest.to_str().unwrap()]);
    assert_eq!(failed.code, Some(4), "{}", failed.stderr);
    assert!(failed.stderr.contains("\ncode\n"), "{}", failed.stderr);
    let good = boot(&["--sample=hello-long64"]);
    assert_eq!(good.stderr.lines().count(), 2, "{}", good.stderr);
}

#[test]
fn what_cannot_be_is_refused() {
    let five: Vec<_> = (0..5).map(|at| format!("--break={at}")).collect();
    let mut breaks = vec!["--sample=hello-long64"];
    breaks.extend(five.iter().map(String::as_str));
    let cases: [(&[&str], &str); 6] = [
        (&breaks, "4 breakpoints"),
        (&["--sample=hello-long64", "--json=-"], "give --serial none"),
        (&["--sample=hello-long64", "--gdb=udp:1"], "tcp:PORT or unix:PATH"),
        (&["--sample=hello-long64", "--gdb=tcp:0", "--trace=-"], "cannot be used with"),
        (&["--sample=hello-long64", "--stop-after=0"], "0 is not in"),
        (&["--sample=hello-long64", "--dump=/no/such/folder/x"], "cannot be written"),
    ];
    for (arguments, sentence) in cases {
        if arguments.iter().any(|argument| argument.starts_with("--dump")) && host().is_none() {
            continue;
        }
        let text = boot(arguments).refusal();
        assert!(text.contains(sentence), "{arguments:?}: {text}");
    }
}

/// Before anything is made or overwritten.
#[test]
fn outputs_that_would_spoil_something_are_refused() {
    let folder = folder("spoil");
    let guest = binary::write(&folder, "guest.igvm", &binary::sample("hello-long64"));
    let disk = binary::write(&folder, "disk.img", &[0x5a; 512]);
    binary::write(&folder, "old", b"old");
    std::fs::hard_link(folder.join("old"), folder.join("same")).unwrap();
    std::os::unix::fs::symlink("new", folder.join("link")).unwrap();
    let before = listing(&folder);
    let in_folder = |argument: &str| match argument.split_once('=') {
        Some((option, name)) if !["-", "stdio", "none"].contains(&name) => {
            format!("{option}={}", folder.join(name).display())
        }
        _ => argument.to_owned(),
    };
    let cases: [(&[&str], &str); 17] = [
        (&["--trace=-"], "give --serial none"),
        (&["--trace-exits=-"], "give --serial none"),
        (&["--serial=none", "--debugcon=stdio", "--trace=-"], "both go to standard output"),
        (&["--serial=none", "--trace=-", "--json=-"], "both go to standard output"),
        (&["--serial=new", "--trace=new"], "are the same file"),
        (&["--serial=new", "--trace=./new"], "are the same file"),
        (&["--serial=new", "--debugcon=link"], "are the same file"),
        (&["--serial=old", "--debugcon=old"], "are the same file"),
        (&["--serial=old", "--trace=same"], "are the same file"),
        (&["--trace=new", "--trace-exits=link"], "are the same file"),
        (&["--json=new", "--dump=new"], "are the same file"),
        (&["--serial=guest.igvm"], "which would be overwritten"),
        (&["--trace=guest.igvm"], "which would be overwritten"),
        (&["--dump=guest.igvm"], "which would be overwritten"),
        (&["--disk=disk.img", "--json=disk.img"], "which would be overwritten"),
        (&["--disk=disk.img,rw", "--debugcon=disk.img"], "each would spoil the other"),
        (&["--disk=guest.igvm,rw"], "which would be overwritten"),
    ];
    for (arguments, sentence) in cases {
        let arguments: Vec<_> = arguments.iter().map(|argument| in_folder(argument)).collect();
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let text = boot(&[&[guest.to_str().unwrap()], &arguments[..]].concat()).refusal();
        assert!(text.contains(sentence), "{arguments:?}: {text}");
        assert_eq!(listing(&folder), before, "{arguments:?}");
    }
    assert_eq!(std::fs::read(&guest).unwrap(), binary::sample("hello-long64"));
    assert_eq!(std::fs::read(&disk).unwrap(), [0x5a; 512]);
    assert_eq!(read(&folder.join("old")), "old");
    for dump in ["-", "/dev/null", folder.to_str().unwrap()] {
        let text = boot(&[guest.to_str().unwrap(), "--dump", dump]).refusal();
        assert!(text.contains("needs a regular file"), "{dump}: {text}");
    }
    if host().is_none() {
        return;
    }
    // What is mixed there is nobody's, and both traces fit into a file.
    let both = folder.join("both");
    let both = both.to_str().unwrap();
    let output = boot(&[
        guest.to_str().unwrap(),
        "--serial=/dev/null",
        "--debugcon=/dev/null",
        "--trace",
        both,
        "--trace-exits",
        both,
    ]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let text = read(Path::new(both));
    assert!(text.contains("out 0x3f8 <- 48\n") && text.contains("out dx, al"), "{text}");
}

/// The dump's memory is the guest's, and its registers are where gdb looks.
#[test]
fn a_dump_opens_in_gdb() {
    if host().is_none() {
        return;
    }
    let Some(gdb) = packaged("/usr/bin/gdb", "gdb") else { return };
    let folder = folder("dump");
    let dump = folder.join("core");
    let output = boot(&[
        "--sample=hello-long64",
        "--serial=none",
        "--break=0x10021",
        "--cpus=2",
        "--memory=5G",
        "--dump",
        dump.to_str().unwrap(),
    ]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert_eq!(listing(&folder), ["core"]);
    let gdb = Command::new(gdb)
        .args(["-batch", "-nx", "-ex", "info threads", "-ex", "p/x $rip", "-ex", "p/x $rax"])
        .args(["-ex", "x/s 0x10030", "-ex", "x/xb 0x11fffffff", "--core"])
        .arg(&dump)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&gdb.stdout);
    for text in ["LWP 2", "0x10021", "0x4848", "Hello from 64-bit mode", "0x11fffffff:\t0x00"] {
        assert!(
            said.contains(text),
            "no {text:?} in\n{said}{}",
            String::from_utf8_lossy(&gdb.stderr)
        );
    }
    use std::os::unix::fs::MetadataExt;
    let metadata = dump.metadata().unwrap();
    assert!(metadata.len() > 5 << 30 && metadata.blocks() * 512 < 1 << 20, "{metadata:?}");
}
