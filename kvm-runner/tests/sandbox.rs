//! What a process that has confined itself can no longer do, and what a hostile
//! guest gets from the devices.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod common;

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::{Bits, Run, binary, host, run_bits};
use iced_x86::code_asm::{CodeAssembler, dword_ptr, registers::*};
use igvm_core::defs::IgvmPlatformType;
use igvm_core::span::Span;
use igvm_core::write::{FileBuilder, HeaderSpec, Version, start};
use igvm_devices::Ending;
use kvm_runner::kvm::Stop;
use kvm_runner::sandbox::{Names, STOPPED, confine, has_landlock};
use kvm_runner::whole::WholeFile;

/// Names the hole that a copy of this program tries, and the folder it may use.
const HOLE: &str = "IGVM_TEST_HOLE";
const FOLDER: &str = "IGVM_TEST_FOLDER";

/// Runs this program again, confined, to try one hole. A folder is where it may
/// give files a name.
fn tried(hole: &str, folder: Option<&Path>) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "confined", "--nocapture", "--test-threads=1"]).env(HOLE, hole);
    if let Some(folder) = folder {
        command.env(FOLDER, folder);
    }
    command.output().unwrap()
}

/// Not a test by itself: what [`tried`] runs.
#[test]
fn confined() {
    let Ok(hole) = std::env::var(HOLE) else { return };
    let folder = std::env::var_os(FOLDER).map(PathBuf::from);
    let before = Before {
        file: File::open("/etc/passwd").unwrap(),
        // As a dump is: open, and without a name.
        new: folder.as_deref().map(|folder| {
            let name = if hole == "a file in place of another" { "old" } else { "new" };
            WholeFile::create(&folder.join(name)).unwrap()
        }),
        parent: std::os::unix::process::parent_id() as libc::pid_t,
    };
    let watched = folder.is_none() || has_landlock();
    let names = confine(folder.as_deref().as_slice()).unwrap();
    assert_eq!(names, if watched { Names::InFolders } else { Names::Anywhere });
    match try_hole(&hole, folder.as_deref(), before) {
        Ok(()) => println!("\nDONE"),
        Err(error) => println!("\nREFUSED {error:?}"),
    }
    // The harness would do more than a run needs.
    // SAFETY: ends the process.
    unsafe { libc::_exit(0) }
}

/// What it had before it was confined.
struct Before {
    file: File,
    new: Option<WholeFile>,
    parent: libc::pid_t,
}

fn try_hole(hole: &str, folder: Option<&Path>, mut before: Before) -> io::Result<()> {
    let checked = |result: i64| match result {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    };
    let outside = |name| folder.unwrap().parent().unwrap().join(name);
    match hole {
        "nothing" => Ok(()),
        "an open file" => before.file.read_to_string(&mut String::new()).map(drop),
        "a thread" => std::thread::Builder::new().spawn(|| ())?.join().map_err(|_| panic!()),
        "a new file" | "a file in place of another" => {
            let mut new = before.new.unwrap();
            new.file.set_len(1 << 20)?;
            new.file.set_len(0)?;
            new.file.write_all(b"new")?;
            new.finish()
        }
        "a renamed file" => fs::rename(folder.unwrap().join("old"), folder.unwrap().join("new")),
        "a removed file" => fs::remove_file(folder.unwrap().join("old")),
        "a file moved out" => fs::rename(folder.unwrap().join("old"), outside("old")),
        "a file removed elsewhere" => fs::remove_file(outside("outside")),
        "reading a neighbour" => fs::read(folder.unwrap().join("old")).map(drop),
        "writing a neighbour" => {
            File::options().write(true).open(folder.unwrap().join("old")).map(drop)
        }
        "making a file" => File::create(folder.unwrap().join("made")).map(drop),
        "reading a file" => fs::read("/etc/passwd").map(drop),
        "the working folder" => std::env::current_dir().map(drop),
        "a connection" => TcpStream::connect("127.0.0.1:9").map(drop),
        // SAFETY: these do what they say, or end the process.
        hole => checked(unsafe {
            match hole {
                "a program" => {
                    libc::execv(c"/bin/true".as_ptr(), [std::ptr::null()].as_ptr()).into()
                }
                "a process" => libc::fork().into(),
                "another's signal" => libc::kill(before.parent, 0).into(),
                "tracing" => libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0),
                "typing" => libc::ioctl(0, libc::TIOCSTI, c"x".as_ptr()).into(),
                "a user" => libc::setuid(65534).into(),
                "a module" => libc::syscall(libc::SYS_init_module, 0, 0, 0),
                "code" => {
                    let (anonymous, all) = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, 7);
                    let none = std::ptr::null_mut();
                    libc::mmap(none, 4096, all, anonymous, -1, 0) as i64
                }
                hole => panic!("no such hole: {hole}"),
            }
        }),
    }
}

#[test]
fn a_confined_process_can_do_what_a_run_needs_and_no_more() {
    let folder = binary::folder("confined");
    let inner = folder.join("inner");
    fs::create_dir(&inner).unwrap();
    let text = |hole, folder: Option<&Path>| {
        let output = tried(hole, folder);
        let text = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        (output.status.code(), text)
    };
    for hole in ["nothing", "an open file", "a thread"] {
        let (code, text) = text(hole, None);
        assert!(code == Some(0) && text.contains("DONE"), "{hole}: {code:?} {text}");
    }
    for hole in ["reading a file", "a connection", "the working folder"] {
        let (code, text) = text(hole, None);
        assert!(text.contains("PermissionDenied"), "{hole}: {code:?} {text}");
    }
    // In the folder: names, and nothing of what is in the files.
    let with_folder = |hole, there: &[&str], content: &str| {
        let _none = fs::remove_file(inner.join("new"));
        fs::write(inner.join("old"), "old").unwrap();
        fs::write(folder.join("outside"), "text").unwrap();
        let (code, text) = text(hole, Some(&inner));
        assert_eq!(binary::listing(&inner), there, "{hole}: {text}");
        if let [name, ..] = there {
            assert_eq!(fs::read_to_string(inner.join(name)).unwrap(), content, "{hole}");
        }
        assert_eq!(binary::listing(&folder), ["inner", "outside"], "{hole}: {text}");
        (code, text)
    };
    for (hole, there, content) in [
        ("a new file", &["new", "old"][..], "new"),
        ("a file in place of another", &["old"], "new"),
        ("a renamed file", &["new"], "old"),
        ("a removed file", &[], ""),
    ] {
        let (code, text) = with_folder(hole, there, content);
        assert!(code == Some(0) && text.contains("DONE"), "{hole}: {code:?} {text}");
    }
    for hole in ["reading a neighbour", "writing a neighbour", "making a file"] {
        let (code, text) = with_folder(hole, &["old"], "old");
        assert!(code == Some(0) && text.contains("PermissionDenied"), "{hole}: {code:?} {text}");
    }
    if has_landlock() {
        for hole in ["a file moved out", "a file removed elsewhere"] {
            let (code, text) = with_folder(hole, &["old"], "old");
            assert!(code == Some(0) && text.contains("REFUSED"), "{hole}: {code:?} {text}");
        }
    } else {
        common::skip("this kernel has no Landlock");
    }
    let stopped = [
        ("a program", libc::SYS_execve),
        ("a process", libc::SYS_clone),
        ("another's signal", libc::SYS_kill),
        ("tracing", libc::SYS_ptrace),
        ("typing", libc::SYS_ioctl),
        ("a user", libc::SYS_setuid),
        ("a module", libc::SYS_init_module),
        ("code", libc::SYS_mmap),
    ];
    for (hole, call) in stopped {
        let (code, text) = text(hole, None);
        assert_eq!(code, Some(STOPPED), "{hole}: {text}");
        assert!(text.contains("the sandbox stopped system call"), "{hole}: {text}");
        assert!(text.contains(&format!(" {call}: a mistake")), "{hole}: {text}");
    }
}

/// A file whose guest does nothing for ever.
fn endless() -> Vec<u8> {
    let mut file = FileBuilder::new(Version::V2_X64);
    file.push(HeaderSpec::platform(IgvmPlatformType::NATIVE, 1)).unwrap();
    file.push(HeaderSpec::page(0x8000, 1, &[0xeb, 0xfe])).unwrap();
    file.push(HeaderSpec::native_context(1, &start::real16(0x800, 0, 0x8000))).unwrap();
    file.finish()
}

/// Every thread of a running machine is confined, and can gain nothing.
#[test]
fn a_run_is_confined() {
    if host().is_none() {
        return;
    }
    let folder = binary::folder("run-confined");
    let file = binary::write(&folder, "loop.igvm", &endless());
    for (options, seccomp, privileges) in [(&[][..], "2", "1"), (&["--no-sandbox"][..], "0", "0")] {
        let mut child = binary::kvm_runner()
            .arg("boot")
            .arg(&file)
            .args(["--reset-every", "0.05", "--cpus", "2", "--serial", "none", "--timeout", "60"])
            .args(options)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let status = PathBuf::from(format!("/proc/{}/task", child.id()));
        let threads = || -> Vec<String> {
            let Ok(tasks) = fs::read_dir(&status) else { return vec![] };
            tasks
                .filter_map(|task| fs::read_to_string(task.ok()?.path().join("status")).ok())
                .collect()
        };
        let started = Instant::now();
        // What is read while a thread starts may be of before: all of them
        // first, and then all of them at one time.
        let mut all = 0;
        let running = loop {
            let running = threads();
            let named = |name: &str| {
                running.iter().any(|status| status.starts_with(&format!("Name:\t{name}\n")))
            };
            all += usize::from(["signals", "processor 0", "processor 1"].into_iter().all(named));
            if all == 2 {
                break running;
            }
            assert!(started.elapsed() < Duration::from_secs(60), "{running:?}");
            assert_eq!(child.try_wait().unwrap(), None);
        };
        assert!(running.len() >= 4, "{running:?}");
        for status in running {
            assert!(status.contains(&format!("Seccomp:\t{seccomp}\n")), "{status}");
            assert!(status.contains(&format!("NoNewPrivs:\t{privileges}\n")), "{status}");
        }
        // SAFETY: the child is ours and has not been waited for.
        unsafe { libc::kill(child.id() as libc::pid_t, libc::SIGTERM) };
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said.contains("without the sandbox"), !options.is_empty(), "{said}");
    }
}

/// A guest that writes whatever to wherever, as fast as it can. In the end the
/// machine still answers, and memory that no device was told of is as it was.
#[test]
fn a_guest_that_tries_everything_gets_nowhere() {
    /// Not the exit port, nor those that reset: the guest would be gone.
    const PORTS: [u16; 12] =
        [0x402, 0x3f8, 0x3fb, 0x70, 0x71, 0x510, 0x514, 0x518, 0xcf8, 0xcfc, 0x608, 0xb2];
    const WITNESS: u64 = 0x1_8000;
    let Some(host) = host() else { return };
    let mut asm = CodeAssembler::new(32).unwrap();
    let mut program = || {
        let mut again = asm.create_label();
        asm.mov(esi, 0x1234_5678)?;
        asm.mov(edi, 6000)?;
        asm.set_label(&mut again)?;
        for port in PORTS {
            asm.imul_3(esi, esi, 1_664_525)?;
            asm.add(esi, 1_013_904_223)?;
            asm.mov(edx, i32::from(port))?;
            asm.mov(eax, esi)?;
            match port {
                // fw_cfg: any low half of an address, and then a start.
                0x70 | 0x71 | 0x3f8 | 0x3fb | 0x402 | 0xb2 => asm.out(dx, al)?,
                0x510 => asm.out(dx, ax)?,
                _ => asm.out(dx, eax)?,
            }
            asm.in_(eax, dx)?;
        }
        // Configuration space and whatever else may be in memory.
        asm.mov(ebx, esi)?;
        asm.and(ebx, 0x0fff_fffc)?;
        asm.mov(dword_ptr(ebx + 0xb000_0000_u32 as i32), esi)?;
        asm.mov(eax, dword_ptr(ebx + 0xb000_0000_u32 as i32))?;
        asm.dec(edi)?;
        asm.jne(again)?;
        asm.mov(dx, 0x501)?;
        asm.mov(al, 0x10)?;
        asm.out(dx, al)
    };
    program().unwrap();
    let mut bits = Bits::flat(&asm.assemble(0x7c00).unwrap());
    bits.memory = vec![Span::new(0, 0x2_0000)];
    bits.pieces.push((WITNESS, vec![0xa5; 0x1000]));
    let outcome = run_bits(host, &bits, Run::default());
    assert_eq!(
        outcome.report.stop,
        Stop::Ended(Ending::Exit { value: 0x10 }),
        "{}",
        outcome.report
    );
    let mut witness = vec![0; 0x1000];
    let memory = outcome.machine.memory();
    vm_memory::Bytes::read_slice(memory, &mut witness, vm_memory::GuestAddress(WITNESS)).unwrap();
    assert!(witness.iter().all(|byte| *byte == 0xa5), "a device wrote where nobody told it to");
}
