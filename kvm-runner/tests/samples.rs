//! Every built-in sample on a real KVM.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod common;

use common::binary::{self, folder};
use common::{Outcome, Run, host, run, with_loaded};
use igvm_analysis::document::Document;
use igvm_analysis::host::HostDescription;
use igvm_core::load::Relocation;
use igvm_core::span::Span;
use igvm_devices::Ending;
use igvm_samples::guest::EXIT_SUCCESS;
use kvm_runner::kvm::Stop;

const COMMAND_LINE: &str = "console=ttyS0 quiet";

/// All that a sample prints, with 3 processors and this command line.
fn prints(sample: &igvm_samples::Sample) -> String {
    match sample.name {
        "parameters" => format!("{}3, command line \"{COMMAND_LINE}\"\n", sample.prints),
        _ => sample.prints.to_owned(),
    }
}

/// From a file on disk and built in, through the binary: the line on COM1 and
/// nothing else, the exit port, exit code 0.
#[test]
fn every_sample_prints_its_line_and_ends() {
    if host().is_none() {
        return;
    }
    let folder = folder("samples");
    let ended = format!("the guest ended by the exit port, with value {EXIT_SUCCESS:#x}");
    for sample in igvm_samples::all() {
        let file = binary::write(&folder, sample.name, &(sample.build)());
        for from in [[file.to_str().unwrap()].as_slice(), &["--sample", sample.name]] {
            let machine = ["--cpus=3", "--append", COMMAND_LINE, "--timeout=120"];
            let boot = binary::run(["boot"].iter().chain(from).chain(&machine));
            assert!(boot.stderr.contains(&ended), "{}: {}", sample.name, boot.stderr);
            assert_eq!(boot.stdout_of(0), prints(sample), "{}", sample.name);
        }
    }
}

/// The regions of the sample `relocatable`.
const REGION: Span = Span::new(0x20_0000, 0x20_0000);
const TABLES: Span = Span::new(0x10_0000, 0x1_0000);

fn relocated(moves: &[(Span, u64)]) -> Option<Outcome> {
    let host = host()?;
    let document = Document::from_bytes(binary::sample("relocatable")).unwrap();
    let relocations: Vec<_> =
        moves.iter().map(|(region, to)| Relocation { from: region.start, to: *to }).collect();
    let description = HostDescription { relocations, ..HostDescription::default() };
    let host = std::cell::Cell::new(Some(host));
    Some(with_loaded(&document, description, |loaded| {
        let host = host.take().expect("loaded once");
        run(host, &loaded.image, loaded.host.ram, Run::default()).unwrap()
    }))
}

/// Wherever its regions go, in RAM or beyond it, the guest runs there and
/// prints.
#[test]
fn a_relocatable_guest_runs_wherever_it_is_put() {
    // Up to 1 GiB the page directory there is does; from there on the loader
    // adds tables. 0x7fe0_0000 is the last place that the sample allows.
    let targets = [0x20_0000, 0x40_0000, 0xfe0_0000, 0x3fe0_0000, 0x4000_0000, 0x7fe0_0000];
    // The tables move within the 2 MiB page that maps them, or by a multiple of
    // its size and take it along.
    let table_targets = [0x10_0000, 0x3_0000, 0x410_0000, 0x1_2350_0000];
    for to in targets {
        for tables_to in table_targets {
            let moves = [(REGION, to), (TABLES, tables_to)];
            let Some(outcome) = relocated(&moves) else { return };
            let stop = Stop::Ended(Ending::Exit { value: EXIT_SUCCESS.into() });
            let place = format!("{to:#x}, tables at {tables_to:#x}");
            assert_eq!(outcome.report.stop, stop, "{place}: {}", outcome.report);
            assert_eq!(outcome.serial, "Hello from wherever I was put!\n", "{place}");
            let registers = outcome.report.registers.unwrap();
            assert!(Span::new(to, REGION.len).contains(registers.rip), "{place}");
            assert!(Span::new(to, REGION.len).contains(registers.gdtr.base), "{place}");
            assert_eq!(registers.cr3, tables_to, "{place}");
        }
    }
}

#[test]
fn boot_takes_relocations() {
    if host().is_none() {
        return;
    }
    let moves = ["--relocate=0x200000=0x40000000", "--relocate=0x100000=0x50000"];
    let boot = binary::run(["boot", "--sample", "relocatable"].iter().chain(&moves));
    assert!(boot.stderr.contains("processor 0 at 0x400010"), "{}", boot.stderr);
    assert_eq!(boot.stdout_of(0), "Hello from wherever I was put!\n");
}
