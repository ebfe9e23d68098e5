//! The measurements, one function each.

use std::hint::black_box;
use std::path::Path;

use igvm_analysis::document::Document;
use igvm_analysis::host::HostTables;
use igvm_analysis::loaded::LoadStorage;
use igvm_core::defs::IgvmPlatformType;
use igvm_core::file::IgvmFile;
use igvm_core::load::Space;

use crate::boot::{self, QEMU, QEMU_EXIT};
use crate::checked::{CheckStorage, decode, reference};
use crate::heap::{self, Heap};
use crate::report::{Aim, Quantity, Row};
use crate::rounds::{Rounds, Spread};

const REFERENCE: &str = "igvm 0.5.0, new_from_binary";
const ROUNDS: usize = 21;

/// Decoding and checking against the reference reader; decoding alone; the
/// checksum alone, which every reader that looks at it pays.
pub fn reading(bytes: &[u8], host: &HostTables) -> Vec<Row> {
    let mut storage = CheckStorage::new();
    let file = IgvmFile::parse(bytes).expect("the file was written by the writer");
    let against = |what, all: &Rounds| {
        let theirs = Quantity::Seconds(all.theirs().median);
        let ours = Quantity::Seconds(all.ours().median);
        Row::new(what, ours).against(REFERENCE, theirs, Some(all.speedup()))
    };
    let theirs = || reference(black_box(bytes));
    let check = || storage.decode_and_check(black_box(bytes), host);
    vec![
        against("decode and check", &Rounds::run(ROUNDS, check, theirs))
            .aim(Aim::Faster { must: 50.0, good: 100.0 }),
        against("decode alone", &Rounds::run(ROUNDS, || decode(black_box(bytes)), theirs)),
        against(
            "the headers' CRC-32 alone",
            &Rounds::run(ROUNDS, || black_box(&file).compute_checksum(), theirs),
        ),
    ]
}

/// Decoding and checking of the file whose pages no extent joins.
pub fn reading_scattered(bytes: &[u8], host: &HostTables) -> Row {
    let mut storage = CheckStorage::new();
    let check = || storage.decode_and_check(black_box(bytes), host);
    let all = Rounds::run(ROUNDS, check, || reference(black_box(bytes)));
    Row::new("decode and check, pages scattered", Quantity::Seconds(all.ours().median)).against(
        REFERENCE,
        Quantity::Seconds(all.theirs().median),
        Some(all.speedup()),
    )
}

/// What a load allocates, storage included.
pub fn load_heap(bytes: &[u8], host: &HostTables) -> Heap {
    let file = IgvmFile::parse(bytes).expect("the file was written by the writer");
    let load = || {
        LoadStorage::new().load(
            &file,
            bytes,
            IgvmPlatformType::NATIVE,
            &host.host(),
            |machine, _| {
                assert_eq!(machine.fatal_problems(), 0, "the file can be started");
            },
        )
    };
    let (loaded, heap) = heap::measure(load);
    loaded.expect("the file is for the native platform");
    heap
}

/// The memory of the image.
pub fn image_size(what: &'static str, bytes: &[u8], host: &HostTables) -> Row {
    Row::new(what, Quantity::Bytes(load_heap(bytes, host).peak))
}

/// Copying the image, byte by byte of what it writes, against memcpy of the
/// payload. The destination is there beforehand.
pub fn copying(bytes: &[u8], payload: &[u8], host: &HostTables) -> Row {
    let file = IgvmFile::parse(bytes).expect("the file was written by the writer");
    let host = host.host();
    let mut ours = vec![1; payload.len()];
    let mut theirs = vec![2; payload.len()];
    let all = LoadStorage::new()
        .load(&file, bytes, IgvmPlatformType::NATIVE, &host, |machine, _| {
            let memory = machine.memory(bytes, &host);
            let copy = || {
                for extent in machine.image().extents(Space::Guest) {
                    let to = &mut ours[extent.span.start as usize..][..extent.span.len as usize];
                    memory.fill(extent, to).expect("the file is in memory");
                }
            };
            Rounds::run(ROUNDS, copy, || theirs.copy_from_slice(black_box(payload)))
        })
        .expect("the file is for the native platform");
    assert!(ours == payload, "the image is the payload");
    share("copy the image, file in memory", "memcpy", &all)
}

/// As the runner does it: from the file on disk (its cache is warm) into guest
/// memory, against memcpy of the payload into the same memory.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub fn filling(path: &Path, payload: &[u8], host: &HostTables) -> Row {
    use kvm_runner::guest::Image;
    use kvm_runner::image::LoadedImage;
    use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

    let document = Document::open(path).expect("the file was written before");
    let host = host.host();
    let guest =
        GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(0), crate::large::RAM as usize)])
            .expect("there is memory for a guest");
    let all = LoadStorage::new()
        .load(&document.file(), &document, IgvmPlatformType::NATIVE, &host, |machine, _| {
            let image = LoadedImage::new(&machine, &document, &host);
            let copy = || image.fill(&guest).expect("the file can be read");
            let memcpy = || {
                guest.write_slice(black_box(payload), GuestAddress(0)).expect("it is in memory");
            };
            Rounds::run(ROUNDS, copy, memcpy)
        })
        .expect("the file is for the native platform");
    share("copy the image, file on disk (page cache)", "memcpy", &all)
}

fn share(what: &'static str, against: &'static str, all: &Rounds) -> Row {
    Row::new(what, Quantity::Seconds(all.ours().median))
        .against(against, Quantity::Seconds(all.theirs().median), Some(all.share()))
        .aim(Aim::Share(1.3))
}

/// What QEMU 10.2.2 took to start a file of this size as IGVM, on another
/// machine of this kind. Debian 12 has no QEMU that knows IGVM; what is measured
/// beside ours does less.
const QEMU_IGVM_SECONDS: f64 = 1.0;

/// Starting the machine of the file in our runner, and its payload in QEMU.
///
/// # Errors
/// A sentence about why it was not measured: no KVM, no QEMU.
pub fn booting(runner: &Path, folder: &Path) -> Result<Vec<Row>, String> {
    const OTHER: &str = "QEMU's loader device, same payload";
    const MIB: u64 = 1 << 20;
    let ours = || run_as(&mut boot::runner(runner, &folder.join(LARGE)), 0);
    let theirs =
        || run_as(&mut boot::qemu(&folder.join(FIRMWARE), &folder.join(PAYLOAD)), QEMU_EXIT);
    let (mut first, mut whole) = (Rounds::default(), Rounds::default());
    let (mut our_peak, mut their_peak) = (0, 0);
    ours()?;
    theirs()?;
    for _ in 0..ROUNDS {
        let (ours, theirs) = (ours()?, theirs()?);
        first.push(ours.first, theirs.first);
        whole.push(ours.whole, theirs.whole);
        our_peak = our_peak.max(ours.peak);
        their_peak = their_peak.max(theirs.peak);
    }
    let seconds = |spread: Spread| Quantity::Seconds(spread.median);
    Ok(vec![
        Row::new("boot to the first instruction", seconds(first.ours()))
            .against(OTHER, seconds(first.theirs()), Some(first.share()))
            .aim(Aim::Below(Quantity::Seconds(QEMU_IGVM_SECONDS / 5.0))),
        Row::new("boot until the process is gone", seconds(whole.ours())).against(
            OTHER,
            seconds(whole.theirs()),
            Some(whole.share()),
        ),
        Row::new("boot, peak memory", Quantity::Bytes(our_peak))
            .against(OTHER, Quantity::Bytes(their_peak), None)
            .aim(Aim::Below(Quantity::Bytes(300 * MIB))),
    ])
}

fn run_as(command: &mut std::process::Command, code: i32) -> Result<boot::Run, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let run = boot::run(command).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound if name == QEMU => {
            format!("boot: there is no {QEMU}; run: apt install qemu-system-x86")
        }
        _ => format!("boot: {name} cannot be run: {error}"),
    })?;
    match run.status.code() {
        Some(found) if found == code => Ok(run),
        Some(5) if code == 0 => Err("boot: KVM is missing or may not be used".into()),
        _ => Err(format!("boot: {name} ended with {} instead of code {code}", run.status)),
    }
}

/// The large file, in the folder of prepared files.
pub const LARGE: &str = "large.igvm";
/// Its pages, in one piece.
pub const PAYLOAD: &str = "payload.bin";
/// QEMU's firmware.
pub const FIRMWARE: &str = "firmware.bin";
