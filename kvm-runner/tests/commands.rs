//! The commands that need no KVM, from the outside: what they print, what they
//! write, what they refuse, and how they end.

mod common;

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::Stdio;

use common::binary::{self, Finished, folder, kvm_runner, listing, run, sample};
use common::skip;
use igvm_core::write::{Data, FileBuilder, HeaderSpec, Version};

/// Every command that reads an IGVM file, with what it needs beside it.
const READERS: [&[&str]; 4] = [&["inspect"], &["check"], &["state"], &["walk", "0x10000"]];

/// A reader with the file in its place, in front of other arguments.
fn read(reader: &[&str], file: &Path) -> Finished {
    let (command, rest) = reader.split_first().unwrap();
    run([command, file.to_str().unwrap()].iter().chain(rest))
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn what_is_no_igvm_file_is_refused_in_a_sentence() {
    let folder = folder("refused");
    let long64 = sample("hello-long64");
    let mut cases = vec![
        (folder.join("missing"), "there is no such file"),
        (folder.join("no/such/folder/x"), "there is no such file"),
        (binary::write(&folder, "empty", &[]), "the file is empty"),
        (folder.clone(), "this is a directory"),
        (binary::write(&folder, "zeroes", &[0; 4096]), "not an IGVM file"),
        (binary::write(&folder, "text", b"IGVMIGVMIGVMIGVMIGVMIGVM"), "version"),
    ];
    for len in [1, 3, 4, 7, 8, 23, 24, 31] {
        let cut = binary::write(&folder, &format!("cut-{len}"), &long64[..len]);
        cases.push((cut, "inside the fixed header"));
    }
    if cfg!(unix) {
        cases.push(("/dev/zero".into(), "not a regular file"));
    }
    for (file, sentence) in cases {
        for reader in READERS {
            let refusal = read(reader, &file).refusal();
            let start = format!("kvm-runner: {}: ", file.display());
            assert!(refusal.starts_with(&start), "{reader:?}: {refusal}");
            assert!(refusal.contains(sentence), "{reader:?}: {refusal}");
            assert_eq!(refusal.lines().count(), 1, "{refusal}");
        }
    }
}

/// A file that ends too early is shown as far as it goes, and `check` says that
/// it does.
#[test]
fn a_truncated_file_is_shown_as_far_as_it_goes() {
    let folder = folder("truncated");
    let long64 = sample("hello-long64");
    let data = 0x118;
    for len in [32, 33, 39, 40, 56, 57, 100, data - 1, data, data + 1, 0x4000, long64.len() - 1] {
        let file = binary::write(&folder, "cut.igvm", &long64[..len]);
        let inspect = read(&["inspect"], &file).stdout_of(0);
        assert!(
            inspect.contains(&format!("the fixed header says the file has {:#x}", long64.len()))
        );
        assert_eq!(inspect.contains(", cut short: the file ends at 0x"), len < data, "{inspect}");
        let check = read(&["check"], &file).stdout_of(1);
        assert!(check.contains("broken: "), "{len}: {check}");
        for reader in [READERS[2], READERS[3]] {
            let shown = read(reader, &file);
            match shown.code {
                Some(2) => drop(shown.refusal()),
                code => assert!(matches!(code, Some(0 | 1)), "{len}: {}", shown.stderr),
            }
        }
    }
}

/// Sizes that nobody has are numbers like any other: they choose neither time
/// nor memory.
#[test]
fn huge_sizes_cost_nothing() {
    let folder = folder("huge");
    let mut headers = sample("hello-long64");
    headers[12..20].copy_from_slice(&[0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    let areas = {
        let mut file = FileBuilder::new(Version::V2_X64);
        let native = igvm_core::defs::IgvmPlatformType::NATIVE;
        file.push(HeaderSpec::platform(native, 1)).unwrap();
        let initial = Data::Zero;
        let number_of_bytes = 1 << 60;
        file.push(HeaderSpec::ParameterArea { index: 0, number_of_bytes, initial }).unwrap();
        let insert = igvm_core::defs::IGVM_VHS_PARAMETER_INSERT {
            gpa: 0x1000,
            compatibility_mask: 1,
            parameter_area_index: 0,
        };
        file.push(HeaderSpec::ParameterInsert(insert)).unwrap();
        file.finish()
    };
    for (name, bytes) in [("headers", headers), ("areas", areas)] {
        let file = binary::write(&folder, name, &bytes);
        for reader in READERS {
            let (command, rest) = reader.split_first().unwrap();
            let arguments = [&[command, path(&file)], rest].concat();
            // 256 MiB of address space, where there is a way to say so.
            let mut limited = match cfg!(unix) {
                true => within("ulimit -v 262144", &arguments),
                false => {
                    let mut command = kvm_runner();
                    command.args(arguments);
                    command
                }
            };
            let ended = Finished::from(limited.output().unwrap());
            match ended.code {
                Some(2) => drop(ended.refusal()),
                code => assert!(matches!(code, Some(0 | 1)), "{name}: {}", ended.stderr),
            }
        }
        assert_eq!(read(&["check"], &file).code, Some(1), "{name}");
    }
}

/// The binary under limits of the shell.
fn within(limits: &str, arguments: &[&str]) -> std::process::Command {
    let mut command = std::process::Command::new("sh");
    command.args(["-c", &format!("{limits}; exec \"$0\" \"$@\"")]);
    command.arg(env!("CARGO_BIN_EXE_kvm-runner")).args(arguments).stdin(Stdio::null());
    command
}

#[test]
fn exit_codes_are_the_documented_ones() {
    let folder = folder("codes");
    let good = binary::write(&folder, "good.igvm", &sample("hello-long64"));
    let mut broken = sample("hello-long64");
    broken[20] ^= 1;
    let broken = binary::write(&folder, "broken.igvm", &broken);
    let sound = read(&["check"], &good).stdout_of(0);
    assert!(sound.contains("sound: no errors"), "{sound}");
    let unsound = read(&["check"], &broken).stdout_of(1);
    assert!(unsound.contains("checksum"), "{unsound}");
    read(&["inspect"], &broken).stdout_of(0);
    let mapped = read(&["walk", "0x10123"], &good).stdout_of(0);
    assert!(mapped.contains("physical 0x10123"), "{mapped}");
    let unmapped = read(&["walk", "0x40000000"], &good).stdout_of(1);
    assert!(unmapped.contains("leads nowhere"), "{unmapped}");
    let same = run(["diff", path(&good), path(&good)]).stdout_of(0);
    assert_eq!(same, "headers: the same\nprocessors: the same\nmemory: the same\n");
    let mut changed = sample("hello-long64");
    changed[0x4200] ^= 1;
    let changed = binary::write(&folder, "changed.igvm", &changed);
    let differs = run(["diff", path(&good), path(&changed)]).stdout_of(1);
    assert!(differs.contains("memory: 1 range differs"), "{differs}");
    let missing = run(["diff", path(&good), "nowhere.igvm"]).refusal();
    assert!(missing.contains("there is no such file"), "{missing}");
    let other = read(&["state", "--platform=tdx"], &good).refusal();
    assert!(other.contains("does not support tdx; it has native"), "{other}");
}

#[test]
fn bad_usage_is_explained() {
    let file = binary::write(&folder("usage"), "good.igvm", &sample("hello-long64"));
    let file = path(&file);
    let cases: [(&[&str], &str); 14] = [
        (&[], "Usage: "),
        (&["frobnicate"], "unrecognized subcommand 'frobnicate'"),
        (&["inspect"], "<FILE>"),
        (&["walk", file], "<LINEAR>"),
        (&["walk", file, "12z"], "give a number, in decimal or as 0x1000"),
        (&["state", file, "--memory=1X"], "give a number of bytes, or of K, M, G or T"),
        (&["state", file, "--memory=0"], "a machine without memory cannot start"),
        (&["state", file, "--cpus=5000"], "5000 processors: give 1 to 4096"),
        (&["state", file, "--append=\u{e9}"], "IGVM's command line is ASCII"),
        (&["state", file, "--platform=vax"], "there are native, "),
        (&["state", file, "--relocate=5"], "give two addresses"),
        (&["state", file, "--read=0x1000"], "give an address and a length"),
        (&["state", file, "--read=0xfffffffffffff000:8K"], "ends beyond the last address"),
        (&["state", file, "--out=x"], "--read"),
    ];
    for (arguments, sentence) in cases {
        let refusal = run(arguments).refusal();
        assert!(refusal.contains(sentence), "{arguments:?}: {refusal}");
    }
}

#[test]
fn guest_memory_is_read_only_where_the_guest_has_some() {
    let folder = folder("outside");
    let file = binary::write(&folder, "good.igvm", &sample("hello-long64"));
    let out = folder.join("out");
    for range in ["0x10000000:1", "0xfffffff:2", "0:257M", "0xfffffffffffff000:1"] {
        let read = format!("--read={range}");
        let refusal = run(["state", path(&file), &read, "--out", path(&out)]).refusal();
        assert!(refusal.contains("the guest has no memory all over 0x"), "{range}: {refusal}");
        assert!(!out.exists(), "{range}");
    }
    for range in ["0:0", "0xfffffff:1", "0:256M"] {
        let read = format!("--read={range}");
        run(["state", path(&file), &read, "--out", path(&out)]).stdout_of(0);
    }
    assert_eq!(std::fs::metadata(out).unwrap().len(), 256 << 20);
}

/// `state --read` and `wrap`, with `--out` at this place.
fn writers(folder: &Path, out: &Path) -> [Vec<String>; 2] {
    let igvm = binary::write(folder, "good.igvm", &sample("hello-long64"));
    // No two pages alike: they would be stored once.
    let image: Vec<u8> = (1..=8).flat_map(|page| [page; 0x1000]).collect();
    let image = binary::write(folder, "image.bin", &image);
    let state = ["state", path(&igvm), "--read=0:64K", "--out", path(out)];
    let wrap = ["wrap", "--firmware", path(&image), "--out", path(out)];
    [state, wrap].map(|arguments| arguments.map(str::to_owned).to_vec())
}

#[test]
fn results_that_cannot_be_written_are_refused_in_a_sentence() {
    let folder = folder("unwritable");
    for arguments in writers(&folder, &folder.join("no/such/folder/out")) {
        let refusal = run(&arguments).refusal();
        assert!(refusal.contains("out cannot be written: No such file"), "{refusal}");
    }
    for arguments in writers(&folder, &folder) {
        let refusal = run(&arguments).refusal();
        assert!(refusal.contains("is a directory; name a file in it"), "{refusal}");
    }
    if cfg!(target_os = "linux") {
        for arguments in writers(&folder, Path::new("/dev/full")) {
            let refusal = run(&arguments).refusal();
            assert!(refusal.contains("No space left"), "{refusal}");
        }
    }
    assert_eq!(listing(&folder), ["good.igvm", "image.bin"]);
}

/// A result is whole or not there: what was there before stays.
#[cfg(unix)]
#[test]
fn a_write_that_fails_midway_leaves_nothing_behind() {
    let folder = folder("midway");
    let out = folder.join("out");
    for before in [None, Some(b"what was there before")] {
        if let Some(before) = before {
            std::fs::write(&out, before).unwrap();
        }
        for arguments in writers(&folder, &out) {
            let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
            // No file may grow beyond a few kilobytes; the signal that would
            // end the process is an error instead.
            let mut command = within("trap '' XFSZ; ulimit -f 8", &arguments);
            let refusal = Finished::from(command.output().unwrap()).refusal();
            assert!(refusal.contains("File too large"), "{refusal}");
            assert_eq!(std::fs::read(&out).ok().as_deref(), before.map(|text| &text[..]));
            let mut expected = vec!["good.igvm", "image.bin"];
            expected.extend(before.map(|_| "out"));
            assert_eq!(listing(&folder), expected);
        }
    }
    // And the whole results, over what was there.
    for arguments in writers(&folder, &out) {
        assert_eq!(run(&arguments).stdout_of(0), "");
        assert!(std::fs::metadata(&out).unwrap().len() >= 0x8000);
    }
    assert_eq!(listing(&folder), ["good.igvm", "image.bin", "out"]);
}

#[test]
fn firmware_that_is_none_is_refused_in_a_sentence() {
    let folder = folder("firmware");
    let out = folder.join("out");
    let large = folder.join("large");
    std::fs::File::create(&large).unwrap().set_len(1 << 40).unwrap();
    let cases = [
        (folder.join("missing"), "No such file"),
        (folder.clone(), "is a directory; name a firmware image"),
        (binary::write(&folder, "empty", &[]), "empty"),
        (binary::write(&folder, "odd", &[0x90; 5000]), "4096"),
        (binary::write(&folder, "blank", &[0; 0x2000]), "zero"),
        (large, "at most 16777216"),
    ];
    for (image, sentence) in cases {
        let wrap = run(["wrap", "--firmware", path(&image), "--out", path(&out)]);
        let refusal = wrap.refusal();
        assert!(refusal.contains(sentence), "{refusal}");
        assert!(!out.exists(), "{refusal}");
    }
}

/// A reader that has read enough is no error.
#[test]
fn a_closed_pipe_ends_quietly() {
    let file = binary::write(&folder("pipe"), "good.igvm", &sample("parameters"));
    let commands: [&[&str]; 7] = [
        &["inspect", path(&file)],
        &["inspect", path(&file), "--json"],
        &["check", path(&file)],
        &["state", path(&file)],
        &["state", path(&file), "--read=0:1M"],
        &["walk", path(&file), "0"],
        &["completions", "bash"],
    ];
    for arguments in commands {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ended = kvm_runner().args(arguments).stdout(writer).output().unwrap();
        assert_eq!(ended.status.code(), Some(0), "{arguments:?}");
        assert_eq!(String::from_utf8_lossy(&ended.stderr), "", "{arguments:?}");
    }
}

/// As `| head -1` does: reads a line of what fills a pipe, and goes.
#[test]
fn head_gets_its_line() {
    let file = binary::write(&folder("head"), "good.igvm", &sample("hello-long64"));
    let mut command = kvm_runner();
    command.args(["state", path(&file), "--json", "--cpus=500"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "{\n");
    let mut complaint = String::new();
    child.stderr.take().unwrap().read_to_string(&mut complaint).unwrap();
    assert_eq!((child.wait().unwrap().code(), complaint.as_str()), (Some(0), ""));
}

#[test]
fn every_command_has_help() {
    let main = run(["--help"]).stdout_of(0);
    assert!(main.contains("Examples:\n  kvm-runner boot --sample hello-long64\n"), "{main}");
    for command in ["inspect", "check", "state", "walk", "diff", "wrap", "boot", "completions"] {
        assert!(main.contains(&format!("\n  {command} ")), "{main}");
        for help in [[command, "--help"], [command, "-h"], ["help", command]] {
            let text = run(help).stdout_of(0);
            assert!(text.contains(&format!("Usage: kvm-runner {command} ")), "{text}");
        }
    }
    assert!(run(["--version"]).stdout_of(0).starts_with("kvm-runner "));
}

#[test]
fn completions_are_scripts() {
    for shell in ["bash", "zsh", "fish"] {
        let script = run(["completions", shell]).stdout_of(0);
        for word in ["kvm-runner", "inspect", "debugcon", "hello-long64"] {
            assert!(script.contains(word), "{shell}: no {word}");
        }
    }
    let script = binary::write(
        &folder("completions"),
        "kvm-runner.bash",
        run(["completions", "bash"]).stdout_of(0).as_bytes(),
    );
    match std::process::Command::new("bash").arg("-n").arg(script).output() {
        Ok(parsed) => {
            assert!(parsed.status.success(), "{parsed:?}");
            assert!(parsed.stderr.is_empty(), "{parsed:?}");
        }
        Err(error) => skip(format!("there is no bash to read its completions: {error}")),
    }
}
