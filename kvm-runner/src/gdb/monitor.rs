//! GDB's `monitor` commands.

use std::fmt::Write;

use igvm_analysis::number::{number, size};
use igvm_analysis::report::WalkReport;
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend};

use super::debugger::Debugger;
use crate::guest::BootError;
use crate::kvm::{Paused, Processor, Stop, Style};
use crate::memory::LiveMemory;

/// Bytes that are shown at once, at most.
const SHOWN_MAX: u64 = 4096;
/// Instructions that are shown at once, at most.
const CODE_MAX: u64 = 256;

const HELP: &str = "\
info              why the machine stands, with registers, code, page walk and exits
phys ADDR [LEN]   memory by guest physical address
walk LINEAR       a linear address through the page tables as they are now
code [LINEAR [N]] instructions in the processor's own mode, from RIP or elsewhere
exits             the last exits
reset             resets the machine; breakpoints stay
help              this
";

/// What a command has to say; of the processor that stopped last where it is
/// about one.
pub(super) fn answer(debugger: &mut Debugger<'_, '_>, command: &str) -> Result<String, BootError> {
    let words: Vec<_> = command.split_whitespace().collect();
    let answer = match words[..] {
        ["info"] => Ok(info(debugger)),
        ["phys", address] => physical(debugger, address, "64"),
        ["phys", address, len] => physical(debugger, address, len),
        ["walk", linear] => walk(debugger, linear),
        ["code"] => code(debugger, None, "10"),
        ["code", linear] => code(debugger, Some(linear), "10"),
        ["code", linear, count] => code(debugger, Some(linear), count),
        ["exits"] => Ok(exits(debugger)),
        ["reset"] => {
            debugger.reset()?;
            Ok("the machine is reset; gdb shows the registers of before until `maintenance \
                flush register-cache`\n"
                .to_owned())
        }
        ["help"] | [] => Ok(HELP.to_owned()),
        [word, ..] => Err(format!("`{word}` is no command, or wants something else\n{HELP}")),
    };
    // What is wrong with a command is for its author's eyes, and no failure.
    Ok(answer.unwrap_or_else(|sentence| format!("{}\n", sentence.trim_end())))
}

fn stands<'a>(debugger: &'a Debugger<'_, '_>) -> Result<Processor<'a>, String> {
    let processor = debugger.session.machine.processor(debugger.focus);
    processor.ok_or_else(|| "there is no such processor".to_owned())
}

fn info(debugger: &Debugger<'_, '_>) -> String {
    let stop = debugger.stop.clone().unwrap_or(Stop::Stepped);
    let paused = Paused { stop, vp_index: debugger.focus };
    let report = debugger.session.machine.report(paused);
    let text = format!("{}\n", report.full(Style::Plain, false));
    match debugger.stop {
        Some(_) => text,
        // Nothing has run: the reason would be none.
        None => format!(
            "before the first instruction\n{}",
            text.split_once('\n').map_or("", |(_, rest)| rest)
        ),
    }
}

fn physical(debugger: &Debugger<'_, '_>, address: &str, len: &str) -> Result<String, String> {
    let (gpa, len) = (number(address)?, size(len)?.min(SHOWN_MAX));
    let memory = debugger.session.machine.memory();
    let mut out = String::new();
    let mut row = [0; 16];
    for at in (0..len).step_by(row.len()) {
        let Some(start) = gpa.checked_add(at) else { break };
        let row = &mut row[..(len - at).min(16) as usize];
        if !memory.check_range(GuestAddress(start), row.len())
            || memory.read_slice(row, GuestAddress(start)).is_err()
        {
            // Nothing can go wrong with a String, here and below.
            let _ok = writeln!(out, "{start:#x}: the machine has no memory here");
            break;
        }
        let _ok = write!(out, "{start:#012x} ");
        for byte in &*row {
            let _ok = write!(out, " {byte:02x}");
        }
        let text: String = row
            .iter()
            .map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { '.' })
            .collect();
        let _ok = writeln!(out, "{:pad$}  {text}", "", pad = 3 * (16 - row.len()));
    }
    Ok(out)
}

fn walk(debugger: &Debugger<'_, '_>, linear: &str) -> Result<String, String> {
    let linear = number(linear)?;
    let registers = stands(debugger)?.registers().map_err(|error| error.to_string())?;
    let memory = LiveMemory(debugger.session.machine.memory());
    Ok(WalkReport::new(&registers, &memory, linear).to_string())
}

fn code(debugger: &Debugger<'_, '_>, linear: Option<&str>, count: &str) -> Result<String, String> {
    let processor = stands(debugger)?;
    let registers = processor.main_registers().map_err(|error| error.to_string())?;
    let rip = Processor::linear_rip(&registers);
    let linear = linear.map_or(Ok(rip), number)?;
    let count = number(count)?.clamp(1, CODE_MAX) as usize;
    let lines = processor.code_around(&registers, linear, 0, count - 1);
    if lines.is_empty() {
        return Err(format!("no code can be read at {linear:#x}"));
    }
    let mut out = String::new();
    for line in lines {
        let at = linear.wrapping_add_signed(line.offset);
        let mark = if at == rip { ">" } else { " " };
        let instruction = &line.instruction;
        let _ok =
            writeln!(out, "{mark} {at:>#12x}  {:<31} {}", instruction.hex(), instruction.text);
    }
    Ok(out)
}

fn exits(debugger: &Debugger<'_, '_>) -> String {
    let recent = debugger.session.machine.recent();
    let mut out = String::new();
    for (access, times) in recent.iter() {
        let _ok = writeln!(out, "processor {}: {access}, {times} times", access.vp_index);
    }
    if out.is_empty() { "no exits yet\n".to_owned() } else { out }
}
