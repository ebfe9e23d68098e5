//! `--disk`: Debian's SeaBIOS boots from it, a guest of ours is interrupted by
//! it, and what cannot be a disk is refused.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod common;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use common::binary::{self, Finished, folder};
use common::{Bits, Outcome, Run, flat, host, packaged, run_bits};
use iced_x86::IcedError;
use iced_x86::code_asm::{CodeAssembler, byte_ptr, dword_ptr, ptr, registers::*, word_ptr};
use igvm_core::write::wrap;
use igvm_core::x86::{RegisterFile, TableRegister};
use igvm_devices::{Disk, Ending};
use kvm_runner::disk::DiskFile;
use kvm_runner::kvm::Stop;

const FIRMWARE: [&str; 2] = ["/usr/share/seabios/bios.bin", "/usr/share/seabios/bios-256k.bin"];
const PACKAGE: &str = "seabios";

const SECTOR: usize = 512;
/// Fewer than a cylinder SeaBIOS cannot boot from.
const SECTORS: usize = 2048;
const TEXT: &[u8] = b"Hello from sector 1!\n";

fn assemble(
    bitness: u32,
    at: u64,
    code: impl FnOnce(&mut CodeAssembler) -> Result<(), IcedError>,
) -> Vec<u8> {
    let mut asm = CodeAssembler::new(bitness).unwrap();
    code(&mut asm).unwrap();
    asm.assemble(at).unwrap()
}

/// Writes AL to the exit port.
fn exit(asm: &mut CodeAssembler) -> Result<(), IcedError> {
    asm.mov(dx, 0x501)?;
    asm.out(dx, al)
}

/// A boot sector that prints sector 1 on COM1, writes it to sector 2 and ends
/// with what the BIOS says of that; 0xee if it cannot read.
fn boot_sector() -> Vec<u8> {
    const LOADED: i32 = 0x7c00;
    const READ_PACKET: i32 = LOADED + 0x180;
    const WRITE_PACKET: i32 = LOADED + 0x190;
    const BUFFER: i32 = 0x8000;
    let mut sector = assemble(16, LOADED as u64, |asm| {
        let (mut next, mut done, mut read) =
            (asm.create_label(), asm.create_label(), asm.create_label());
        asm.xor(ax, ax)?;
        asm.mov(ds, ax)?;
        asm.mov(ss, ax)?;
        asm.mov(sp, LOADED)?;
        // DL is the drive, since the BIOS jumped here.
        asm.mov(si, READ_PACKET)?;
        asm.mov(ah, 0x42)?;
        asm.int(0x13)?;
        asm.jnc(read)?;
        asm.mov(al, 0xee)?;
        exit(asm)?;
        asm.set_label(&mut read)?;
        asm.push(dx)?;
        // The BIOS writes its own text on COM1 with the timer's interrupts.
        asm.cli()?;
        asm.mov(si, BUFFER)?;
        asm.mov(dx, 0x3f8)?;
        asm.set_label(&mut next)?;
        asm.mov(al, byte_ptr(si))?;
        asm.test(al, al)?;
        asm.jz(done)?;
        asm.out(dx, al)?;
        asm.inc(si)?;
        asm.jmp(next)?;
        asm.set_label(&mut done)?;
        asm.pop(dx)?;
        asm.mov(si, WRITE_PACKET)?;
        asm.mov(ax, 0x4300)?;
        asm.int(0x13)?;
        asm.mov(al, ah)?;
        exit(asm)
    });
    assert!(sector.len() < 0x180);
    sector.resize(SECTOR, 0);
    for (packet, lba) in [(READ_PACKET, 1), (WRITE_PACKET, 2)] {
        let at = (packet - LOADED) as usize;
        // Length, one sector, buffer, sector number.
        sector[at..at + 9].copy_from_slice(&[16, 0, 1, 0, 0, 0x80, 0, 0, lba]);
    }
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    sector
}

fn image() -> Vec<u8> {
    let mut image = boot_sector();
    image.extend(TEXT);
    image.resize(SECTORS * SECTOR, 0);
    image
}

/// SeaBIOS in an IGVM file, booted from a disk.
fn boot(folder: &Path, firmware: &Path, disk: &str) -> Finished {
    let file = wrap::firmware(&std::fs::read(firmware).unwrap(), wrap::Entry::Reset16).unwrap();
    let file = binary::write(folder, "seabios.igvm", &file);
    binary::run(["boot", file.to_str().unwrap(), "--memory=64M", "--timeout=120", "--disk", disk])
}

/// The status that the boot sector ended with, of a run in which it printed
/// its text.
#[track_caller]
fn ended(run: Finished) -> String {
    let sentence = run.stderr.lines().next().unwrap_or_default().to_owned();
    let printed = run.stdout_of(0);
    assert!(printed.contains(std::str::from_utf8(TEXT).unwrap()), "{printed}");
    sentence.rsplit_once("with value ").unwrap_or_else(|| panic!("{sentence}")).1.to_owned()
}

#[test]
fn seabios_boots_from_a_disk_and_writes_it_only_if_it_may() {
    if host().is_none() {
        return;
    }
    for (name, firmware) in ["disk-128k", "disk-256k"].iter().zip(FIRMWARE) {
        let Some(firmware) = packaged(firmware, PACKAGE) else { return };
        let folder = folder(name);
        let path = binary::write(&folder, "disk.img", &image());
        let disk = path.to_str().unwrap();
        // The BIOS's "bad sector"; any status but 0 would do.
        assert_eq!(ended(boot(&folder, firmware, disk)), "0xc");
        assert_eq!(std::fs::read(&path).unwrap(), image());
        assert_eq!(ended(boot(&folder, firmware, &format!("{disk},rw"))), "0x0");
        let written = std::fs::read(&path).unwrap();
        assert_eq!(written[2 * SECTOR..3 * SECTOR], image()[SECTOR..2 * SECTOR]);
        assert_eq!(written[..2 * SECTOR], image()[..2 * SECTOR]);
    }
}

/// Two of the sectors of a disk.
struct Sectors(Arc<Mutex<Vec<u8>>>);

impl Disk for Sectors {
    fn size(&self) -> u64 {
        self.0.lock().unwrap().len() as u64
    }

    fn read_only(&self) -> bool {
        true
    }

    fn read_at(&mut self, offset: u64, bytes: &mut [u8]) -> std::io::Result<()> {
        bytes.copy_from_slice(&self.0.lock().unwrap()[offset as usize..][..bytes.len()]);
        Ok(())
    }

    fn write_at(&mut self, _: u64, _: &[u8]) -> std::io::Result<()> {
        Err(std::io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// How the guest below is to be interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Interrupt {
    /// By the pin, routed to ISA interrupt 11.
    Pin,
    /// By a message.
    Message,
}

/// ISA interrupt 11, with the second controller at 0x28.
const PIN_VECTOR: u8 = 0x2b;
const MESSAGE_VECTOR: u8 = 0x41;

const GDT: u64 = 0x2000;
const IDT: u64 = 0x2100;
const HANDLER: u64 = 0x2800;
/// How often the guest was interrupted.
const COUNT: i32 = 0x2ff0;
const TABLE: i32 = 0x3000;
const AVAILABLE: i32 = 0x3100;
const USED: i32 = 0x3200;
const HEADER: i32 = 0x4000;
const DATA: i32 = 0x4200;
const STATUS: i32 = 0x4100;

/// Where the guest puts the device's structures, table of messages; and the
/// interrupt controller.
const STRUCTURES: u32 = 0xe000_0000;
const ISR: u32 = STRUCTURES + 0x1000;
const NOTIFY: u32 = STRUCTURES + 0x3000;
const MESSAGES: u32 = 0xe010_0000;
const LOCAL_APIC: u32 = 0xfee0_0000;

/// CONFIG_ADDRESS of a register of 00:03.0 and of 00:1f.0.
const fn disk(register: u32) -> u32 {
    1 << 31 | 3 << 11 | register
}

const fn lpc(register: u32) -> u32 {
    1 << 31 | 0x1f << 11 | register
}

fn config(asm: &mut CodeAssembler, address: u32, value: u32) -> Result<(), IcedError> {
    asm.mov(eax, address)?;
    asm.mov(edx, 0xcf8)?;
    asm.out(dx, eax)?;
    asm.mov(eax, value)?;
    asm.mov(edx, 0xcfc)?;
    asm.out(dx, eax)
}

fn out(asm: &mut CodeAssembler, port: u32, value: u32) -> Result<(), IcedError> {
    asm.mov(edx, port)?;
    asm.mov(al, value)?;
    asm.out(dx, al)
}

fn store(asm: &mut CodeAssembler, address: u32, value: u32) -> Result<(), IcedError> {
    asm.mov(dword_ptr(address), value)
}

/// Finds the MSI-X capability, switches it on and gives the first vector its
/// message.
fn enable_messages(asm: &mut CodeAssembler) -> Result<(), IcedError> {
    let (mut next, mut found) = (asm.create_label(), asm.create_label());
    config(asm, disk(0x34), 0)?;
    asm.in_(eax, dx)?;
    asm.movzx(ebx, al)?;
    asm.set_label(&mut next)?;
    asm.lea(eax, ptr(ebx + disk(0)))?;
    asm.mov(edx, 0xcf8)?;
    asm.out(dx, eax)?;
    asm.mov(edx, 0xcfc)?;
    asm.in_(eax, dx)?;
    asm.cmp(al, 0x11)?;
    asm.je(found)?;
    asm.movzx(ebx, ah)?;
    asm.jmp(next)?;
    asm.set_label(&mut found)?;
    asm.or(eax, 1 << 31)?;
    asm.out(dx, eax)?;
    store(asm, MESSAGES, LOCAL_APIC)?;
    store(asm, MESSAGES + 4, 0)?;
    store(asm, MESSAGES + 8, MESSAGE_VECTOR.into())?;
    store(asm, MESSAGES + 12, 0)?;
    // The local APIC takes interrupts once it is on.
    store(asm, LOCAL_APIC + 0xf0, 0x1ff)
}

/// Routes PIRQH to ISA interrupt 11, level triggered, and lets only that in.
fn route_pin(asm: &mut CodeAssembler) -> Result<(), IcedError> {
    config(asm, lpc(0x68), 0x0b80_8080)?;
    for (port, value) in [
        (0x20, 0x11),
        (0x21, 0x20),
        (0x21, 0x04),
        (0x21, 0x01),
        (0xa0, 0x11),
        (0xa1, 0x28),
        (0xa1, 0x02),
        (0xa1, 0x01),
        (0x4d1, 0x08),
        (0x21, 0xfb),
        (0xa1, 0xf7),
    ] {
        out(asm, port, value)?;
    }
    Ok(())
}

/// A guest that reads a sector and sleeps until it is interrupted; it ends with
/// the number of interrupts.
fn sleeper(interrupt: Interrupt) -> Bits {
    let code = assemble(32, 0x7c00, |asm| {
        config(asm, disk(0x10), STRUCTURES)?;
        config(asm, disk(0x14), 0)?;
        config(asm, disk(0x18), MESSAGES)?;
        config(asm, disk(0x04), 0b110)?;
        match interrupt {
            Interrupt::Pin => route_pin(asm)?,
            Interrupt::Message => enable_messages(asm)?,
        }
        let set_status =
            |asm: &mut CodeAssembler, status: u32| asm.mov(byte_ptr(STRUCTURES + 20), status);
        set_status(asm, 3)?;
        // Version 1, and nothing else.
        store(asm, STRUCTURES + 8, 1)?;
        store(asm, STRUCTURES + 12, 1)?;
        set_status(asm, 11)?;
        asm.mov(word_ptr(STRUCTURES + 24), 4)?;
        asm.mov(word_ptr(STRUCTURES + 26), 0)?;
        for (field, address) in [(32, TABLE), (40, AVAILABLE), (48, USED)] {
            store(asm, STRUCTURES + field, address as u32)?;
        }
        asm.mov(word_ptr(STRUCTURES + 28), 1)?;
        set_status(asm, 15)?;
        asm.mov(word_ptr(NOTIFY), 0)?;
        asm.sti()?;
        asm.hlt()
    });
    let handler = assemble(32, HANDLER, |asm| {
        asm.inc(byte_ptr(COUNT))?;
        match interrupt {
            Interrupt::Pin => {
                // Reading says what it was, and lowers the line.
                asm.mov(al, byte_ptr(ISR))?;
                asm.mov(byte_ptr(COUNT + 1), al)?;
                out(asm, 0xa0, 0x20)?;
                out(asm, 0x20, 0x20)?;
            }
            Interrupt::Message => store(asm, LOCAL_APIC + 0xb0, 0)?,
        }
        // There is no way back: interpreting KVMs have no IRET. Were the line
        // still high, this would never end.
        asm.add(esp, 12)?;
        asm.sti()?;
        for _ in 0..8 {
            asm.nop()?;
        }
        asm.cli()?;
        asm.mov(al, byte_ptr(COUNT))?;
        exit(asm)
    });
    let registers = RegisterFile {
        gdtr: TableRegister { base: GDT, limit: 23 },
        idtr: TableRegister { base: IDT, limit: 0x7ff },
        ..flat()
    };
    let gate = (HANDLER | 8 << 16 | 0x8e00 << 32).to_le_bytes().to_vec();
    let descriptor = |gpa: i32, len: u8, flags: u8, next: u8| {
        [&(gpa as u64).to_le_bytes()[..], &[len, 2 * (len == 0) as u8, 0, 0, flags, 0, next, 0]]
            .concat()
    };
    let table =
        [descriptor(HEADER, 16, 1, 1), descriptor(DATA, 0, 3, 2), descriptor(STATUS, 1, 2, 0)];
    let mut bits = Bits::new(registers, &code);
    bits.pieces.extend([
        (GDT + 8, 0x00cf_9b00_0000_ffff_u64.to_le_bytes().to_vec()),
        (GDT + 16, 0x00cf_9300_0000_ffff_u64.to_le_bytes().to_vec()),
        (IDT + 8 * u64::from(PIN_VECTOR), gate.clone()),
        (IDT + 8 * u64::from(MESSAGE_VECTOR), gate),
        (HANDLER, handler),
        (TABLE as u64, table.concat()),
        (AVAILABLE as u64, vec![0, 0, 1, 0, 0, 0]),
        // Read sector 1.
        (HEADER as u64, vec![0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]),
        (STATUS as u64, vec![0xee]),
    ]);
    bits
}

#[test]
fn a_guest_sleeps_until_the_disk_interrupts_it() {
    for interrupt in [Interrupt::Pin, Interrupt::Message] {
        let Some(host) = host() else { return };
        let disk: Box<dyn Disk> = Box::new(Sectors(Arc::new(Mutex::new(image()))));
        let outcome =
            run_bits(host, &sleeper(interrupt), Run { disk: Some(disk), ..Run::default() });
        let memory = |at: i32, len: usize| read(&outcome, at as u64, len);
        assert_eq!(memory(STATUS, 1), [0], "{interrupt:?}: {}", outcome.report);
        assert_eq!(memory(DATA, SECTOR), image()[SECTOR..2 * SECTOR]);
        let once = Stop::Ended(Ending::Exit { value: 1 });
        assert_eq!(outcome.report.stop, once, "{interrupt:?}: {}", outcome.report);
        assert_eq!(memory(COUNT + 1, 1), [(interrupt == Interrupt::Pin) as u8]);
    }
}

fn read(outcome: &Outcome, gpa: u64, len: usize) -> Vec<u8> {
    use vm_memory::{Bytes, GuestAddress};
    let mut bytes = vec![0; len];
    outcome.machine.memory().read_slice(&mut bytes, GuestAddress(gpa)).unwrap();
    bytes
}

/// The sentence for a disk that is none.
#[track_caller]
fn refused(disk: &Path, suffix: &str) -> String {
    let mut argument = disk.as_os_str().to_owned();
    argument.push(suffix);
    let arguments = ["boot".as_ref(), "--sample=hello-long64".as_ref(), "--disk".as_ref()];
    binary::run(arguments.into_iter().chain([argument.as_os_str()])).refusal()
}

#[test]
fn what_cannot_be_a_disk_is_refused() {
    if host().is_none() {
        return;
    }
    let folder = folder("no-disk");
    let odd = binary::write(&folder, "odd.img", &[0; 1000]);
    assert!(refused(&odd, "").contains("has 1000 bytes, which is not a number of sectors of 512"));
    let empty = binary::write(&folder, "empty.img", &[]);
    assert!(refused(&empty, "").contains("has 0 bytes"));
    assert!(refused(&folder, "").contains("neither a regular file nor a block device"));
    assert!(refused(Path::new("/dev/zero"), ",rw").contains("neither a regular file"));
    let missing = folder.join("missing.img");
    assert!(refused(&missing, ",rw").contains("cannot be opened for writing: No such file"));
    assert!(!missing.exists(), "and not made");
    assert!(refused(Path::new(""), ",rw").contains("give a file or a block device"));
}

/// One may write, or several read.
#[test]
fn an_image_in_use_is_refused() {
    if host().is_none() {
        return;
    }
    let folder = folder("in-use");
    let path: PathBuf = binary::write(&folder, "disk.img", &image());
    let writer = DiskFile::open(&path, true).unwrap();
    for suffix in ["", ",rw"] {
        let sentence = refused(&path, suffix);
        assert!(sentence.contains("by another process"), "{sentence}");
    }
    drop(writer);
    let reader = DiskFile::open(&path, false).unwrap();
    assert!(refused(&path, ",rw").contains("in use by another process"));
    let other = DiskFile::open(&path, false).unwrap();
    drop((reader, other));
    DiskFile::open(&path, true).unwrap();
}

/// The file is the disk: no more, no less, and nothing is kept back.
#[test]
fn a_disk_file_is_read_and_written_in_place() {
    let path = binary::write(&folder("in-place"), "disk,rw", &image());
    let mut disk = DiskFile::open(&path, true).unwrap();
    assert_eq!((disk.size(), disk.read_only()), ((SECTORS * SECTOR) as u64, false));
    disk.write_at(3 * SECTOR as u64, &[7; SECTOR]).unwrap();
    assert_eq!(std::fs::read(&path).unwrap()[3 * SECTOR..4 * SECTOR], [7; SECTOR]);
    disk.flush().unwrap();
    // Somebody cuts the file off while the guest runs.
    File::options().write(true).open(&path).unwrap().set_len(SECTOR as u64).unwrap();
    assert!(disk.read_at(3 * SECTOR as u64, &mut [0; SECTOR]).is_err());
    drop(disk);
    let mut disk = DiskFile::open(&path, false).unwrap();
    assert!(disk.read_only());
    assert!(disk.write_at(0, &[0; SECTOR]).is_err());
    disk.flush().unwrap();
}
