//! The commands that the README promises, tried.

use std::env;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::command::{Workplace, cargo};
use crate::step::{StepResult, Stop};

/// Builds and serves the page.
const MAIN_COMMAND: &str = "cargo xtask play";

/// Boots a built-in sample.
const BOOT_COMMAND: &str = "cargo run --release -p kvm-runner -- boot --sample hello-long64";

/// Passes every test: this program.
const TEST_COMMAND: &str = "cargo xtask test";

/// What `boot` exits with where KVM is missing or may not be used.
const EXIT_NO_KVM: i32 = 5;

/// The step.
pub(crate) fn run(place: &Workplace) -> StepResult {
    let path = place.root.join("README.md");
    let readme = fs::read_to_string(&path)
        .map_err(|error| Stop::Failed(format!("{} cannot be read: {error}", path.display())))?;
    let commands = shell_commands(&readme);
    for command in [MAIN_COMMAND, BOOT_COMMAND, TEST_COMMAND] {
        if !commands.contains(&command) {
            return Err(Stop::Failed(format!("no ```sh block of README.md has `{command}`")));
        }
    }
    play(place)?;
    let said = boot(place)?;
    Ok(format!("the page is served, and the sample says \"{said}\""))
}

/// The page must be there at the address that the command prints.
fn play(place: &Workplace) -> Result<(), Stop> {
    let port = free_port().map_err(|error| Stop::Failed(format!("no port is free: {error}")))?;
    let log = File::options().append(true).create(true).open(place.log());
    let log = log.map_err(|error| Stop::Failed(error.to_string()))?;
    let mut command = cargo();
    command.args(MAIN_COMMAND.split(' ').skip(1)).args(["--port", &port.to_string()]);
    command.current_dir(&place.root).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    // The server is a child of a child; together they are a group.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut served = command.spawn().map_err(|error| Stop::Failed(error.to_string()))?;
    let deadline = Instant::now() + PLAY_TIMEOUT;
    let answer = loop {
        match (page_at(port), served.try_wait()) {
            (Some(page), _) => break Ok(page),
            (None, Ok(Some(status))) => break Err(format!("it ended: {status}")),
            _ if Instant::now() > deadline => break Err("it serves nothing".to_owned()),
            _ => thread::sleep(Duration::from_millis(200)),
        }
    };
    let ended = if cfg!(unix) {
        place.run(Command::new("kill").args(["--", &format!("-{}", served.id())]))
    } else {
        served.kill().map_err(|error| Stop::Failed(error.to_string()))
    };
    let _ = served.wait();
    let page = answer.map_err(|reason| Stop::Failed(format!("`{MAIN_COMMAND}`: {reason}")))?;
    if !page.contains("<title>IGVM playground</title>") {
        return Err(Stop::Failed(format!("`{MAIN_COMMAND}` serves something else:\n{page}")));
    }
    ended
}

/// A build of the page from nothing, on a slow machine.
const PLAY_TIMEOUT: Duration = Duration::from_secs(20 * 60);

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

fn page_at(port: u16) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut page = String::new();
    stream.read_to_string(&mut page).ok()?;
    Some(page)
}

/// Boots the sample, and gives the line that its guest prints.
fn boot(place: &Workplace) -> Result<String, Stop> {
    if let Err(reason) = open_kvm() {
        return Err(without_kvm(reason));
    }
    let arguments = BOOT_COMMAND.split(' ').skip(1);
    let (output, code) = place.capture(cargo().args(arguments))?;
    match code {
        Some(0) => hello_line(&output).map(str::to_owned).ok_or_else(|| {
            Stop::Failed(format!("`{BOOT_COMMAND}` printed no line that says hello"))
        }),
        Some(EXIT_NO_KVM) => Err(without_kvm(format!(
            "`{BOOT_COMMAND}` found that KVM may not be used (exit code {EXIT_NO_KVM})"
        ))),
        Some(code) => Err(Stop::Failed(format!("`{BOOT_COMMAND}` failed: exit code {code}"))),
        None => Err(Stop::Failed(format!("`{BOOT_COMMAND}` was ended by a signal"))),
    }
}

/// The lines of the README's `sh` blocks, without comments.
fn shell_commands(readme: &str) -> Vec<&str> {
    let mut commands = Vec::new();
    let mut block = None;
    for line in readme.lines() {
        match (block, line.trim_start().strip_prefix("```")) {
            (None, Some(language)) => block = Some(language.trim()),
            (Some(_), Some(_)) => block = None,
            (Some("sh"), None) => {
                let command = line.split(" #").next().unwrap_or(line).trim();
                if !command.is_empty() && !command.starts_with('#') {
                    commands.push(command);
                }
            }
            _ => {}
        }
    }
    commands
}

/// The line by which the guest shows that it ran.
fn hello_line(output: &str) -> Option<&str> {
    output.lines().map(str::trim).find(|line| line.to_ascii_lowercase().starts_with("hello"))
}

/// Whether KVM can be opened, else why not and what to do.
fn open_kvm() -> Result<(), String> {
    let device = Path::new("/dev/kvm");
    if !device.exists() {
        return Err(
            "there is no /dev/kvm: load the kvm module, or run on a host that has it".into()
        );
    }
    match File::options().read(true).write(true).open(device) {
        Ok(_) => Ok(()),
        Err(error) => {
            Err(format!("/dev/kvm cannot be opened ({error}): join the group that owns it"))
        }
    }
}

/// A skip, or a failure where `REQUIRE_KVM=1` says that KVM must be there.
fn without_kvm(reason: String) -> Stop {
    match env::var("REQUIRE_KVM").as_deref() {
        Ok("1") => Stop::Failed(format!("{reason} (REQUIRE_KVM=1)")),
        _ => Stop::Skipped(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_stand_in_sh_blocks_only() {
        let readme = "\
Text with `cargo xtask bench`.
```sh
# comment
cargo run -- boot   # boots
  cargo xtask test
```
cargo no
```text
cargo neither
```
```sh
cargo doc
```
";
        assert_eq!(shell_commands(readme), ["cargo run -- boot", "cargo xtask test", "cargo doc"]);
    }

    #[test]
    fn the_guest_says_hello_at_the_start_of_a_line() {
        assert_eq!(hello_line("COM1:\r\nHello from long mode\r\n"), Some("Hello from long mode"));
        assert_eq!(hello_line("sample hello-long64 ended\n"), None);
    }
}
