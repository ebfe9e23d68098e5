//! The command lines that boot a file on a described host.

use igvm_analysis::host::HostDescription;
use igvm_core::load::{Relocation, RequiredMemoryPolicy};

/// The command line of this project's own runner.
pub fn kvm_runner(host: &HostDescription, file: &str) -> String {
    let mut line =
        format!("kvm-runner boot --cpus {} --memory {}", host.processors, size(host.memory));
    if !host.command_line.is_empty() {
        line += &format!(" --append={}", quoted(&host.command_line));
    }
    if host.required_memory == RequiredMemoryPolicy::Fail {
        line += " --required-memory fail";
    }
    for Relocation { from, to } in &host.relocations {
        line += &format!(" --relocate {from:#x}={to:#x}");
    }
    line + " " + &quoted(&path(file))
}

/// QEMU's. What it has no option for, the host's command line and relocation,
/// is not in it.
pub fn qemu(host: &HostDescription, file: &str) -> String {
    // A comma ends a value; two are one.
    let object = format!("igvm-cfg,id=igvm0,file={}", path(file).replace(',', ",,"));
    format!(
        "qemu-system-x86_64 -accel kvm -cpu host -smp {} -m {} -object {} -machine \
         q35,igvm-cfg=igvm0 -nographic",
        host.processors,
        size(host.memory),
        quoted(&object)
    )
}

/// `256M`: the largest unit without a rest.
fn size(bytes: u64) -> String {
    let units = [(30, 'G'), (20, 'M'), (10, 'K')];
    let unit = units.into_iter().find(|(shift, _)| bytes.is_multiple_of(1 << shift));
    unit.map_or_else(|| bytes.to_string(), |(shift, unit)| format!("{}{unit}", bytes >> shift))
}

/// A name that cannot be taken for an option.
fn path(file: &str) -> String {
    if file.starts_with('-') { format!("./{file}") } else { file.to_owned() }
}

/// One word for a shell, whatever is in it. What cannot be seen is written as
/// bash, zsh and today's POSIX have it.
fn quoted(word: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || "-_./=,:+@%".contains(c);
    let is_seen = |c: char| c.is_ascii_graphic() || c == ' ' || c.is_alphanumeric();
    if !word.is_empty() && word.chars().all(is_bare) {
        return word.to_owned();
    }
    if word.chars().all(is_seen) {
        return format!("'{}'", word.replace('\'', r"'\''"));
    }
    let mut text = String::from("$'");
    for c in word.chars() {
        match c {
            '\'' | '\\' => text.extend(['\\', c]),
            c if is_seen(c) => text.push(c),
            c => {
                let mut utf8 = [0; 4];
                text.extend(c.encode_utf8(&mut utf8).bytes().map(|byte| format!("\\{byte:03o}")));
            }
        }
    }
    text + "'"
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_host_stands_in_the_line() {
        let usual = HostDescription::default();
        assert_eq!(kvm_runner(&usual, "a.igvm"), "kvm-runner boot --cpus 1 --memory 256M a.igvm");
        let host = HostDescription {
            processors: 4,
            memory: 8 << 30,
            command_line: "console=ttyS0 it's".into(),
            required_memory: RequiredMemoryPolicy::Fail,
            relocations: vec![Relocation { from: 0x10_0000, to: 0x4000_0000 }],
        };
        assert_eq!(
            kvm_runner(&host, "my file"),
            r"kvm-runner boot --cpus 4 --memory 8G --append='console=ttyS0 it'\''s' --required-memory fail --relocate 0x100000=0x40000000 'my file'"
        );
        assert!(
            qemu(&host, "-a,b").contains(" -smp 4 -m 8G -object igvm-cfg,id=igvm0,file=./-a,,b ")
        );
        assert_eq!(size(0x101_000), "1028K");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn a_shell_reads_what_was_meant(word in "[^\0]{0,24}") {
            let script = format!("printf %s {}", quoted(&word));
            prop_assert!(!script.contains(char::is_control));
            let output = Command::new("bash").args(["-c", &script]).output().unwrap();
            prop_assert_eq!(String::from_utf8_lossy(&output.stdout), word);
        }
    }
}
