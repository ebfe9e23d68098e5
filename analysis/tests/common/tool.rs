//! Programs that know better than we do.
#![allow(unreachable_pub, reason = "tests of another crate use it too")]

use std::io::Write;
use std::process::Command;

/// What a tool prints; where it is not installed, a skip that is seen.
pub fn tool(command: &mut Command, package: &str) -> Option<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    match command.output() {
        Ok(output) => {
            let text = [output.stdout, output.stderr].concat();
            let text = String::from_utf8_lossy(&text).into_owned();
            assert!(output.status.success(), "{name}: {text}");
            Some(text)
        }
        Err(error) => {
            assert!(
                std::env::var_os("REQUIRE_PACKAGES").is_none(),
                "{name} (Debian package {package}): {error}"
            );
            let test = std::thread::current().name().unwrap_or_default().to_owned();
            let line = format!("SKIPPED {test}: {name} (Debian package {package}): {error}\n");
            eprint!("{line}");
            if let Some(path) = std::env::var_os("IGVM_TEST_SKIPS") {
                let mut skips =
                    std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
                skips.write_all(line.as_bytes()).unwrap();
            }
            None
        }
    }
}
