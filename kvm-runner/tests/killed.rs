//! The runner is killed, at moments that nobody chose: no file is half written.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod common;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::binary::{folder, kvm_runner, listing, write};
use common::{PATIENCE, host, packaged};
use iced_x86::IcedError;
use iced_x86::code_asm::{CodeAssembler, registers::*, word_ptr};
use igvm_core::defs::IgvmPlatformType;
use igvm_core::write::{FileBuilder, HeaderSpec, Version, start as context, wrap};

/// What was in a file before.
const OLD: &[u8] = b"what somebody wants to keep";
const SECTOR: usize = 512;

fn assemble(at: u64, code: impl FnOnce(&mut CodeAssembler) -> Result<(), IcedError>) -> Vec<u8> {
    let mut asm = CodeAssembler::new(16).unwrap();
    code(&mut asm).unwrap();
    asm.assemble(at).unwrap()
}

/// A guest that writes the alphabet on COM1, again and again.
fn talkative() -> Vec<u8> {
    let code = assemble(0, |asm| {
        let (mut again, mut next) = (asm.create_label(), asm.create_label());
        asm.mov(dx, 0x3f8)?;
        asm.set_label(&mut again)?;
        asm.mov(al, i32::from(b'a'))?;
        asm.set_label(&mut next)?;
        asm.out(dx, al)?;
        asm.inc(al)?;
        asm.cmp(al, i32::from(b'z'))?;
        asm.jbe(next)?;
        asm.jmp(again)
    });
    let mut file = FileBuilder::new(Version::V2_X64);
    file.push(HeaderSpec::platform(IgvmPlatformType::NATIVE, 1)).unwrap();
    file.push(HeaderSpec::page(0x8000, 1, &code)).unwrap();
    file.push(HeaderSpec::native_context(1, &context::real16(0x800, 0, 0x8000))).unwrap();
    file.finish()
}

fn is_alphabet(text: &[u8]) -> bool {
    text.iter().zip((b'a'..=b'z').cycle()).all(|(byte, letter)| *byte == letter)
}

/// Spread over `most`, and the same in each run of the test.
fn moment(round: u32, most: Duration) -> Duration {
    most * (round * 7919 % 1009) / 1009
}

/// A process that is killed when nobody wants it any more, a test that fails
/// included.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ended = self.0.kill().and_then(|()| self.0.wait());
    }
}

fn start(command: &mut Command) -> Killed {
    Killed(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}

/// From the first instruction of the runner to long after the first of the
/// guest.
#[test]
fn output_is_as_it_was_or_a_beginning() {
    if host().is_none() {
        return;
    }
    let folder = folder("killed-output");
    let guest = write(&folder, "guest.igvm", &talkative());
    let image: Vec<u8> = (0..64 * SECTOR).map(|at| at as u8).collect();
    let [read_only, writable] = ["read-only", "writable"].map(|name| write(&folder, name, &image));
    let (mut kept, mut begun) = (0, 0);
    for round in 0..40 {
        let serial = write(&folder, "serial", OLD);
        let debug = write(&folder, "debug", OLD);
        let mut command = kvm_runner();
        command.arg("boot").arg(&guest).arg("--serial").arg(&serial).arg("--debugcon").arg(&debug);
        // By turns: the guest has one disk.
        match round % 2 {
            0 => command.arg("--disk").arg(&read_only),
            _ => command.arg(format!("--disk={},rw", writable.display())),
        };
        let child = start(command.env("TMPDIR", &folder));
        if round % 4 == 3 {
            eventually(|| len(&serial) > OLD.len());
        }
        thread::sleep(moment(round, Duration::from_millis(50)));
        drop(child);
        let text = std::fs::read(&serial).unwrap();
        match text == OLD {
            true => kept += 1,
            false => assert!(is_alphabet(&text), "{}", String::from_utf8_lossy(&text)),
        }
        begun += usize::from(text != OLD && !text.is_empty());
        let text = std::fs::read(&debug).unwrap();
        assert!(text == OLD || text.is_empty(), "{}", String::from_utf8_lossy(&text));
        for disk in [&read_only, &writable] {
            assert!(std::fs::read(disk).unwrap() == image, "{}", disk.display());
        }
        let names = ["debug", "guest.igvm", "read-only", "serial", "writable"];
        assert_eq!(listing(&folder), names, "round {round}");
    }
    // Both were met: before it began, and in the middle.
    assert!(kept > 0 && begun > 0, "{kept} {begun}");
}

fn len(path: &Path) -> usize {
    std::fs::metadata(path).unwrap().len() as usize
}

#[track_caller]
fn eventually(mut happens: impl FnMut() -> bool) {
    let started = Instant::now();
    while !happens() {
        assert!(started.elapsed() < PATIENCE, "nothing happens");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Where the boot sector writes, and how many sectors at once.
const WRITTEN_FROM: usize = 8;
const WRITTEN: usize = 8;

/// A boot sector that fills sectors with a number, says so on COM1 when the
/// BIOS has written them, and goes on with the next number.
fn boot_sector() -> Vec<u8> {
    const BUFFER: u16 = 0x8000;
    const PACKET: u16 = 0x600;
    let code = assemble(0x7c00, |asm| {
        let (mut again, mut halt) = (asm.create_label(), asm.create_label());
        asm.cld()?;
        asm.xor(bx, bx)?;
        asm.mov(ds, bx)?;
        asm.mov(es, bx)?;
        // The disk address packet: its length, how many, where, from where on.
        let buffer = [0x10, WRITTEN as u16, BUFFER, 0, WRITTEN_FROM as u16, 0, 0, 0];
        for (nth, word) in (0_u16..).zip(buffer) {
            asm.mov(word_ptr(PACKET + nth * 2), i32::from(word))?;
        }
        asm.set_label(&mut again)?;
        asm.inc(bx)?;
        asm.mov(di, i32::from(BUFFER))?;
        asm.mov(cx, (WRITTEN * SECTOR / 2) as i32)?;
        asm.mov(ax, bx)?;
        asm.rep().stosw()?;
        asm.mov(si, i32::from(PACKET))?;
        asm.mov(ax, 0x4300)?;
        asm.push(bx)?;
        asm.push(dx)?;
        asm.int(0x13)?;
        asm.pop(dx)?;
        asm.pop(bx)?;
        asm.jc(halt)?;
        asm.push(dx)?;
        asm.mov(dx, 0x3f8)?;
        asm.mov(al, i32::from(b'#'))?;
        asm.out(dx, al)?;
        asm.pop(dx)?;
        asm.jmp(again)?;
        asm.set_label(&mut halt)?;
        asm.hlt()?;
        asm.jmp(halt)
    });
    let mut sector = code;
    sector.resize(SECTOR - 2, 0);
    sector.extend([0x55, 0xaa]);
    sector
}

/// The number that a sector is full of.
#[track_caller]
fn number(sector: &[u8]) -> usize {
    let first = &sector[..2];
    assert!(sector.chunks(2).all(|pair| pair == first), "half written: {sector:x?}");
    u16::from_le_bytes([first[0], first[1]]).into()
}

/// Every sector has been written as a whole or not at all, the last request
/// alone may be there in part, and what the guest was told is written is there.
#[test]
fn a_disk_holds_what_the_guest_was_told_it_holds() {
    if host().is_none() {
        return;
    }
    let Some(bios) = packaged("/usr/share/seabios/bios.bin", "seabios") else { return };
    let folder = folder("killed-disk");
    let bios = std::fs::read(bios).unwrap();
    let file = wrap::firmware(&bios, wrap::Entry::Reset16).unwrap();
    let firmware = write(&folder, "firmware.igvm", &file);
    let mut image = boot_sector();
    // Some cylinders: SeaBIOS reads the first sector by its place on a cylinder.
    image.resize(4 << 20, 0);
    for round in 1..4 {
        let disk = write(&folder, "disk", &image);
        let serial = write(&folder, "serial", b"");
        let mut command = kvm_runner();
        command.arg("boot").arg(&firmware).arg("--serial").arg(&serial);
        command.arg(format!("--disk={},rw", disk.display()));
        let child = start(command.env("TMPDIR", &folder));
        // SeaBIOS writes there, too, but no such sign.
        let told = || std::fs::read(&serial).unwrap().iter().filter(|byte| **byte == b'#').count();
        eventually(|| told() > 1);
        thread::sleep(moment(round, Duration::from_millis(40)));
        drop(child);
        let told = told();
        let after = std::fs::read(&disk).unwrap();
        let (from, to) = (WRITTEN_FROM * SECTOR, (WRITTEN_FROM + WRITTEN) * SECTOR);
        let numbers: Vec<_> = after[from..to].chunks(SECTOR).map(number).collect();
        let newer = numbers.iter().take_while(|number| **number == told + 1).count();
        assert!(numbers[newer..].iter().all(|number| *number == told), "{told}: {numbers:?}");
        assert!(after[..from] == image[..from] && after[to..] == image[to..], "round {round}");
        assert_eq!(listing(&folder), ["disk", "firmware.igvm", "serial"], "round {round}");
    }
}

/// `wrap` writes a file that is the old one until it is the new one.
#[test]
fn a_result_is_whole_or_not_there() {
    let folder = folder("killed-result");
    let image: Vec<u8> = (0..8_u32 << 20).map(|at| (at >> 12) as u8 ^ at as u8).collect();
    let image = write(&folder, "image", &image);
    let wrapped = |out: &Path| {
        let mut command = kvm_runner();
        command.arg("wrap").arg("--firmware").arg(&image).arg("--out").arg(out);
        start(&mut command)
    };
    let whole: PathBuf = folder.join("whole");
    assert!(wrapped(&whole).0.wait().unwrap().success());
    let whole = std::fs::read(whole).unwrap();
    for round in 0..30 {
        let out = write(&folder, "out", OLD);
        let child = wrapped(&out);
        thread::sleep(moment(round, Duration::from_millis(60)));
        drop(child);
        let is = std::fs::read(&out).unwrap();
        assert!(is == OLD || is == whole, "round {round}: {} bytes", is.len());
        for name in listing(&folder) {
            // What was not complete is seen to be.
            let partial = name.starts_with(".kvm-runner-");
            assert!(partial || ["image", "out", "whole"].contains(&name.as_str()), "{name}");
        }
    }
}
