//! What `boot` refuses before the first instruction.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use std::path::Path;
use std::process::Command;

use igvm_core::defs::{IGVM_VHS_PARAMETER_INSERT, IgvmPlatformType};
use igvm_core::write::{Data, FileBuilder, HeaderSpec, Version};

/// Exit code and sentence.
fn boot(name: &str, file: FileBuilder, arguments: &[&str]) -> (Option<i32>, String) {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, file.finish()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_kvm-runner"));
    let output = command.arg("boot").arg(path).args(arguments).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn another_platform_than_native() {
    let mut file = FileBuilder::new(Version::V2_X64);
    file.push(HeaderSpec::platform(IgvmPlatformType::VSM_ISOLATION, 1)).unwrap();
    file.push(HeaderSpec::page(0, 1, b"page")).unwrap();
    let (code, text) = boot("vsm.igvm", file, &["--platform", "vsm"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("only the native platform can be booted"), "{text}");
}

/// A hundred bytes that ask for 256 GiB.
#[test]
fn memory_without_measure() {
    let mut file = FileBuilder::new(Version::V2_X64);
    file.push(HeaderSpec::platform(IgvmPlatformType::NATIVE, 1)).unwrap();
    let number_of_bytes = 256 << 30;
    let area = HeaderSpec::ParameterArea { index: 0, number_of_bytes, initial: Data::Zero };
    file.push(area).unwrap();
    let insert =
        IGVM_VHS_PARAMETER_INSERT { gpa: 1 << 40, compatibility_mask: 1, parameter_area_index: 0 };
    file.push(HeaderSpec::ParameterInsert(insert)).unwrap();
    let (code, text) = boot("area.igvm", file, &[]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("wants 0x4000000000 bytes of memory"), "{text}");
}

/// One of two outputs cannot be opened: what the other holds stays.
#[test]
fn an_output_that_cannot_be_written_spares_the_other() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("outputs");
    std::fs::create_dir_all(&folder).unwrap();
    let kept = folder.join("serial.txt");
    std::fs::write(&kept, "kept").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_kvm-runner"));
    command.args(["boot", "--sample", "hello-long64", "--serial"]).arg(&kept);
    let output = command.arg("--debugcon").arg(&folder).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    // 5: there is no KVM here, so the outputs were not even looked at.
    assert!(matches!(output.status.code(), Some(2 | 5)), "{text}");
    assert_eq!(std::fs::read(&kept).unwrap(), b"kept");
}
