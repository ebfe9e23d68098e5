//! The runner as a virtual machine monitor: beside Debian's QEMU on the same
//! KVM with the same firmware, and beside KVM itself.

use std::io::{self, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use igvm_core::write::wrap::{self, Entry};

use crate::boot::{self, QEMU};
use crate::report::{Aim, Quantity, Row};
use crate::rounds::{Rounds, Spread};

const ROUNDS: usize = 11;
const SEABIOS_ROUNDS: usize = 3;

/// SeaBIOS, from Debian's package.
const SEABIOS: &str = "/usr/share/seabios/bios-256k.bin";

/// What SeaBIOS writes on its debug port when it has found the disk.
const BOOTING: &str = "Booting from Hard Disk";

/// No SeaBIOS takes longer, even where KVM interprets it and others compute.
const PATIENCE: Duration = Duration::from_secs(120);

/// Everything that is measured with whole processes.
///
/// # Errors
/// A sentence about why it was not: no KVM, no QEMU, no SeaBIOS.
pub fn processes(runner: &Path, folder: &Path) -> Result<Vec<Row>, String> {
    let mut rows = hello(runner, folder)?;
    rows.push(seabios(runner, folder)?);
    Ok(rows)
}

fn unwritable(error: io::Error) -> String {
    format!("machines: {error}")
}

/// A firmware of 64 KiB that writes one byte and ends, from the start of the
/// process to that byte.
fn hello(runner: &Path, folder: &Path) -> Result<Vec<Row>, String> {
    const OTHER: &str = "QEMU, same firmware";
    let (firmware, file) = (folder.join("hello.bin"), folder.join("hello.igvm"));
    let image = boot::firmware();
    std::fs::write(&firmware, &image).map_err(unwritable)?;
    let wrapped = wrap::firmware(&image, Entry::Reset16).map_err(|error| error.to_string())?;
    std::fs::write(&file, wrapped).map_err(unwritable)?;
    let ours = || {
        let mut command = Command::new(runner);
        command.arg("boot").arg(&file).args(["--memory", "128M", "--serial", "none"]);
        command.args(["--debugcon", "stdio"]);
        ended(&mut command, 0)
    };
    let theirs = || ended(qemu(&firmware).args(["-device", "isa-debug-exit"]), boot::QEMU_EXIT);
    let mut first = Rounds::default();
    let (mut our_peak, mut their_peak) = (u64::MAX, u64::MAX);
    ours()?;
    theirs()?;
    for _ in 0..ROUNDS {
        let (ours, theirs) = (ours()?, theirs()?);
        first.push(ours.first, theirs.first);
        our_peak = our_peak.min(ours.peak);
        their_peak = their_peak.min(theirs.peak);
    }
    let peaks = Spread::of([our_peak as f64 / their_peak as f64]);
    Ok(vec![
        row("start to the guest's first byte", OTHER, &first, 0.2),
        Row::new("the same, peak memory", Quantity::Bytes(our_peak))
            .against(OTHER, Quantity::Bytes(their_peak), Some(peaks))
            .aim(Aim::Share(0.2)),
    ])
}

/// SeaBIOS with a disk, from the start of the process until it boots from it.
fn seabios(runner: &Path, folder: &Path) -> Result<Row, String> {
    let (disk, file) = (folder.join("disk.img"), folder.join("seabios.igvm"));
    let image = std::fs::read(SEABIOS)
        .map_err(|error| format!("SeaBIOS: {SEABIOS}: {error}; run: apt install seabios"))?;
    // A boot sector that halts.
    let mut sectors = vec![0; 64 << 10];
    sectors[..2].copy_from_slice(&[0xfa, 0xf4]);
    sectors[510..512].copy_from_slice(&[0x55, 0xaa]);
    std::fs::write(&disk, sectors).map_err(unwritable)?;
    let wrapped = wrap::firmware(&image, Entry::Reset16).map_err(|error| error.to_string())?;
    std::fs::write(&file, wrapped).map_err(unwritable)?;
    let mut all = Rounds::default();
    for _ in 0..SEABIOS_ROUNDS {
        let mut ours = Command::new(runner);
        ours.arg("boot").arg(&file).args(["--memory", "128M", "--serial", "none"]);
        ours.args(["--debugcon", "stdio", "--disk"]).arg(&disk);
        let mut theirs = qemu(Path::new(SEABIOS));
        let drive = format!("file={},format=raw,if=none,id=disk,readonly=on", disk.display());
        theirs.args(["-drive", &drive, "-device", "virtio-blk-pci,drive=disk"]);
        all.push(until(&mut ours, BOOTING)?, until(&mut theirs, BOOTING)?);
    }
    Ok(row("SeaBIOS to its boot from disk", "QEMU, same image", &all, 1.0))
}

fn row(what: &'static str, against: &'static str, all: &Rounds, aim: f64) -> Row {
    Row::new(what, Quantity::Seconds(all.ours().median))
        .against(against, Quantity::Seconds(all.theirs().median), Some(all.share()))
        .aim(Aim::Share(aim))
}

/// The same PC in QEMU: no device that was not asked for.
fn qemu(firmware: &Path) -> Command {
    let mut command = Command::new(QEMU);
    command
        .args(["-accel", "kvm", "-M", "q35", "-m", "128M", "-nodefaults", "-display", "none"])
        .args(["-chardev", "stdio,id=out", "-device", "isa-debugcon,iobase=0x402,chardev=out"])
        .arg("-bios")
        .arg(firmware);
    command
}

fn ended(command: &mut Command, code: i32) -> Result<boot::Run, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let run = boot::run(command).map_err(|error| format!("machines: {name}: {error}"))?;
    match run.status.code() {
        Some(found) if found == code => Ok(run),
        _ => Err(format!("machines: {name} ended with {}", run.status)),
    }
}

/// How long a command takes until it writes a text; it is ended then.
fn until(command: &mut Command, text: &str) -> Result<Duration, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let started = Instant::now();
    let mut child = command.spawn().map_err(|error| format!("machines: {name}: {error}"))?;
    let seen = wait_for(&mut child, text.as_bytes());
    let time = started.elapsed();
    let _gone = child.kill();
    child.wait().map_err(unwritable)?;
    match seen {
        true if time < PATIENCE => Ok(time),
        _ => Err(format!("machines: {name} did not write {text:?}")),
    }
}

fn wait_for(child: &mut Child, text: &[u8]) -> bool {
    let Some(mut output) = child.stdout.take() else { return false };
    let (mut said, mut piece) = (Vec::new(), [0; 4096]);
    while let Ok(len @ 1..) = output.read(&mut piece) {
        said.extend_from_slice(&piece[..len]);
        if said.windows(text.len()).any(|window| window == text) {
            return true;
        }
    }
    false
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub use in_process::in_process;

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod in_process {
    use std::sync::{Arc, Mutex};

    use igvm_analysis::document::Document;
    use igvm_analysis::host::HostTables;
    use igvm_analysis::loaded::LoadStorage;
    use igvm_core::defs::IgvmPlatformType;
    use igvm_core::load::Host as LoadHost;
    use igvm_core::write::{FileBuilder, HeaderSpec, Version, start};
    use kvm_runner::console::{Console, Destination};
    use kvm_runner::describe::description;
    use kvm_runner::guest::{BootError, Image};
    use kvm_runner::image::LoadedImage;
    use kvm_runner::kvm::{Access, Host, Machine, Pace, Processor, Stop, Watch};
    use kvm_runner::session::{Session, Settings};

    use super::{Aim, Duration, Instant, Quantity, Rounds, Row, row};
    use crate::large::PROGRAM;

    const ROUNDS: usize = 11;

    /// What is measured in this process.
    ///
    /// # Errors
    /// A sentence about why it was not: no KVM.
    pub fn in_process(tables: &HostTables) -> Result<Vec<Row>, String> {
        Ok(vec![round_trips(tables)?, reset(tables)?])
    }

    fn with_session<R>(
        file: Vec<u8>,
        tables: &HostTables,
        then: impl Fn(&mut Session<'_>) -> R,
    ) -> Result<R, String> {
        let document = Document::from_bytes(file).map_err(|error| error.to_string())?;
        let host: LoadHost<'_> = tables.host();
        let done = LoadStorage::new().load(
            &document.file(),
            &document,
            IgvmPlatformType::NATIVE,
            &host,
            |machine, _| -> Result<R, BootError> {
                let image = LoadedImage::new(&machine, &document, &host);
                let machine = Machine::new(Host::open()?, &image as &dyn Image, 1)?;
                let console = Console::new(Destination::Nowhere, Destination::Nowhere, None);
                let told = description(&host);
                let settings = Settings::default();
                let mut session = Session::new(machine, &image, &told, console, None, settings)?;
                Ok(then(&mut session))
            },
        );
        done.map_err(|error| error.to_string())?.map_err(|error| format!("machines: {error}"))
    }

    const TRIPS: u16 = 20_000;

    /// mov cx, TRIPS; again: out 0x80, al; loop again; then the exit port.
    fn trips() -> Vec<u8> {
        let [low, high] = TRIPS.to_le_bytes();
        vec![0xb9, low, high, 0xe6, 0x80, 0xe2, 0xfc, 0xba, 0x01, 0x05, 0xee, 0xf4]
    }

    fn real_mode_file(code: &[u8]) -> Vec<u8> {
        let mut file = FileBuilder::new(Version::V2_X64);
        let context = start::real16(0x800, 0, 0);
        for header in [
            HeaderSpec::platform(IgvmPlatformType::NATIVE, 1),
            HeaderSpec::page(0x8000, 1, code),
            HeaderSpec::native_context(1, &context),
        ] {
            file.push(header).expect("three headers in their order");
        }
        file.finish()
    }

    /// Port writes that nobody claims, out of the guest and back.
    fn round_trips(tables: &HostTables) -> Result<Row, String> {
        let mut all = Rounds::default();
        for _ in 0..=ROUNDS {
            let ours = with_session(real_mode_file(&trips()), tables, |session| {
                let started = Instant::now();
                let paused = session.resume(Pace::Free);
                let time = started.elapsed();
                paused.map(|paused| (time, paused.stop.exit_code()))
            })?;
            let (ours, code) = ours.map_err(|error| error.to_string())?;
            if code != 0 {
                return Err("machines: the guest of the round trips failed".to_owned());
            }
            all.push(ours, bare().map_err(|error| format!("machines: {error}"))?);
        }
        let row = row("20,000 port writes", "a bare KVM_RUN loop", &all, 1.2);
        Ok(row)
    }

    /// The same guest with nothing around it.
    fn bare() -> Result<Duration, Box<dyn std::error::Error>> {
        use kvm_ioctls::{Kvm, VcpuExit};
        use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

        let kvm = Kvm::new()?;
        let fd = kvm.create_vm()?;
        fd.set_tss_address(0xfeff_d000)?;
        fd.create_irq_chip()?;
        let memory = GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(0), 0x1_0000)])?;
        memory.write_slice(&trips(), GuestAddress(0x8000))?;
        let region = kvm_bindings::kvm_userspace_memory_region {
            memory_size: 0x1_0000,
            userspace_addr: memory.get_host_address(GuestAddress(0))? as u64,
            ..Default::default()
        };
        // SAFETY: the mapping outlives the virtual machine, dropped below.
        unsafe { fd.set_user_memory_region(region)? };
        let mut processor = fd.create_vcpu(0)?;
        let mut special = processor.get_sregs()?;
        special.cs.selector = 0x800;
        special.cs.base = 0x8000;
        processor.set_sregs(&special)?;
        let mut general = processor.get_regs()?;
        general.rip = 0;
        processor.set_regs(&general)?;
        let started = Instant::now();
        loop {
            match processor.run()? {
                VcpuExit::IoOut(0x80, _) => {}
                VcpuExit::IoOut(..) => break,
                exit => return Err(format!("a bare loop met {exit:?}").into()),
            }
        }
        let time = started.elapsed();
        drop((processor, fd));
        Ok(time)
    }

    /// Says when the guest's first port access came.
    struct First(Option<Instant>);

    impl Watch for First {
        fn exited(&mut self, _: &Access) -> Option<Stop> {
            self.0.get_or_insert_with(Instant::now);
            None
        }

        fn stepped(&mut self, _: &Processor<'_>) -> Option<Stop> {
            None
        }
    }

    /// From the decision to reset to the guest's first instructions, with a
    /// firmware of 4 MiB of which no page is like another.
    fn reset(tables: &HostTables) -> Result<Row, String> {
        const LEN: usize = 4 << 20;
        let mut firmware = crate::large::payload();
        firmware.truncate(LEN);
        firmware[LEN - 16..][..PROGRAM.len()].copy_from_slice(&PROGRAM);
        let file = super::wrap::firmware(&firmware, super::Entry::Reset16)
            .map_err(|error| error.to_string())?;
        let times = with_session(file, tables, |session| {
            let mut times = Vec::new();
            for _ in 0..=ROUNDS {
                let first = Arc::new(Mutex::new(First(None)));
                session.around.watch = Some(first.clone());
                let started = Instant::now();
                session.reset()?;
                session.resume(Pace::Free)?;
                let first = first.lock().ok().and_then(|first| first.0);
                times.extend(first.map(|first| first.duration_since(started).as_secs_f64()));
            }
            Ok::<_, BootError>(times)
        })?;
        let times = times.map_err(|error| format!("machines: {error}"))?;
        if times.len() <= ROUNDS {
            return Err("machines: a guest did not write after its reset".to_owned());
        }
        // The first round touches memory for the first time.
        let median = super::Spread::of(times.into_iter().skip(1)).median;
        Ok(Row::new("reset to the first instruction, 4 MiB", Quantity::Seconds(median))
            .aim(Aim::Below(Quantity::Seconds(0.005))))
    }
}
