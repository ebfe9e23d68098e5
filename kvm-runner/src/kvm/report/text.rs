//! The report for people: aligned, in at most 100 columns.

use std::fmt;
use std::io::IsTerminal;

use igvm_core::x86::bits::{self, set_names};
use igvm_core::x86::{Register, RegisterFile, RegisterValue};

use super::{CodeLine, Report, Standing};
use crate::kvm::vcpu::Activity;

/// Processors that are written out; of the others there is a line each.
const PROCESSORS_SHOWN: usize = 4;
/// Lines for the others, at most.
const PROCESSORS_LISTED: usize = 16;

/// Whether the text is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Letters alone.
    Plain,
    /// With the colours of a terminal.
    Coloured,
}

impl Style {
    /// What standard error is for: colours on a terminal, unless `NO_COLOR` is
    /// set (no-color.org) or the terminal has none.
    pub fn of_stderr() -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        match std::io::stderr().is_terminal() && !set("NO_COLOR") && !dumb {
            true => Self::Coloured,
            false => Self::Plain,
        }
    }

    /// The text in bold letters.
    pub fn bold(self, text: impl fmt::Display) -> impl fmt::Display {
        self.paint("1", text)
    }

    fn bright(self, text: impl fmt::Display) -> impl fmt::Display {
        self.paint("1;33", text)
    }

    fn dim(self, text: impl fmt::Display) -> impl fmt::Display {
        self.paint("2", text)
    }

    fn paint(self, code: &'static str, text: impl fmt::Display) -> impl fmt::Display {
        fmt::from_fn(move |f| match self {
            Self::Plain => write!(f, "{text}"),
            Self::Coloured => write!(f, "\x1b[{code}m{text}\x1b[0m"),
        })
    }
}

impl Report {
    /// All there is to say, the processor that stopped first. `every_register`
    /// instead of those that people look at.
    pub fn full(&self, style: Style, every_register: bool) -> impl fmt::Display {
        fmt::from_fn(move |f| {
            write!(f, "{self}")?;
            let mut shown: Vec<_> = self.processors.iter().collect();
            shown.sort_by_key(|standing| standing.vp_index != self.vp_index);
            let several = shown.len() > 1;
            for (at, standing) in shown.iter().take(PROCESSORS_SHOWN).enumerate() {
                let name = if several { standing.name() } else { String::new() };
                registers(f, style, standing, &name, every_register)?;
                code(f, style, standing, &name)?;
                if at == 0 {
                    walk(f, style, standing)?;
                }
            }
            others(f, style, &shown)?;
            exits(f, style, self)
        })
    }

    /// Every register of every processor, for `--registers`.
    pub fn registers(&self) -> impl fmt::Display {
        fmt::from_fn(move |f| {
            if self.processors.is_empty() {
                return f.write_str("KVM does not tell the registers");
            }
            for standing in &self.processors {
                if self.processors.len() > 1 {
                    writeln!(f, "processor {}, {}", standing.vp_index, standing.state())?;
                }
                all(f, &standing.registers)?;
            }
            Ok(())
        })
    }
}

impl Standing {
    fn name(&self) -> String {
        format!(" of processor {}", self.vp_index)
    }

    /// What it does, and in which mode.
    pub fn state(&self) -> impl fmt::Display {
        fmt::from_fn(|f| match self.activity {
            Activity::Runs => write!(f, "{}", self.mode()),
            waits => write!(f, "{}, {waits}", self.mode()),
        })
    }
}

fn section(f: &mut fmt::Formatter<'_>, style: Style, title: impl fmt::Display) -> fmt::Result {
    write!(f, "\n\n{}", style.bold(title))
}

fn registers(
    f: &mut fmt::Formatter<'_>,
    style: Style,
    standing: &Standing,
    name: &str,
    every: bool,
) -> fmt::Result {
    section(f, style, format_args!("registers{name}, {}", standing.state()))?;
    if every {
        writeln!(f)?;
        return fmt::from_fn(|f| all(f, &standing.registers))
            .to_string()
            .trim_end()
            .lines()
            .enumerate()
            .try_for_each(|(at, line)| write!(f, "{}{line}", if at == 0 { "" } else { "\n" }));
    }
    short(f, style, &standing.registers)
}

/// What people look at: general registers, flags and control registers with
/// their bits, segments.
fn short(f: &mut fmt::Formatter<'_>, style: Style, file: &RegisterFile) -> fmt::Result {
    const GENERAL: usize = 16;
    for (at, register) in Register::ALL.into_iter().take(GENERAL).enumerate() {
        if let RegisterValue::Integer(value) = file.get(register) {
            write!(f, "{}{register:>5} {value:016x}", if at % 4 == 0 { "\n" } else { "" })?;
        }
    }
    for (register, value, width) in [
        (Register::Rip, file.rip, 16),
        (Register::Rflags, file.rflags, 8),
        (Register::Cr0, file.cr0, 8),
        (Register::Cr2, file.cr2, 8),
        (Register::Cr3, file.cr3, 8),
        (Register::Cr4, file.cr4, 8),
        (Register::Efer, file.efer, 8),
    ] {
        // A bit that is always 1 says nothing.
        let named = set_names(bits::names(register), value);
        let names: Vec<_> = named.filter(|name| *name != "1").collect();
        let line = matches!(register, Register::Rip | Register::Cr2);
        let end = if register == Register::Cr3 { "" } else { "\n" };
        write!(
            f,
            "{}{register:>6} {value:0width$x}",
            if line || end == "\n" { "\n" } else { " " }
        )?;
        if !names.is_empty() {
            write!(f, "  {}", style.dim(names.join(" ")))?;
        }
    }
    for (register, segment) in [
        (Register::Cs, file.cs),
        (Register::Ss, file.ss),
        (Register::Ds, file.ds),
        (Register::Es, file.es),
        (Register::Fs, file.fs),
        (Register::Gs, file.gs),
        (Register::Tr, file.tr),
    ] {
        write!(
            f,
            "\n{register:>6} {:04x} base {:016x} limit {:08x} attributes {:04x}",
            segment.selector, segment.base, segment.limit, segment.attributes
        )?;
    }
    for (register, table) in [(Register::Gdtr, file.gdtr), (Register::Idtr, file.idtr)] {
        write!(f, "\n{register:>6}      base {:016x} limit {:04x}", table.base, table.limit)?;
    }
    Ok(())
}

fn code(f: &mut fmt::Formatter<'_>, style: Style, standing: &Standing, name: &str) -> fmt::Result {
    section(f, style, format_args!("code{name}"))?;
    if standing.code.is_empty() {
        return write!(f, "\n  no code can be read at {:#x}", standing.linear);
    }
    for CodeLine { offset, instruction } in &standing.code {
        let linear = standing.linear.wrapping_add_signed(*offset);
        let line = format!("{linear:>#12x}  {:<31} {}", instruction.hex(), instruction.text);
        match offset {
            0 => write!(f, "\n{}", style.bright(format_args!("> {line}")))?,
            _ => write!(f, "\n  {line}")?,
        }
    }
    Ok(())
}

fn walk(f: &mut fmt::Formatter<'_>, style: Style, standing: &Standing) -> fmt::Result {
    section(f, style, "page walk of the instruction")?;
    standing.walk.to_string().lines().try_for_each(|line| write!(f, "\n  {line}"))
}

fn others(f: &mut fmt::Formatter<'_>, style: Style, shown: &[&Standing]) -> fmt::Result {
    let Some(others) = shown.get(PROCESSORS_SHOWN..).filter(|others| !others.is_empty()) else {
        return Ok(());
    };
    section(f, style, "the other processors")?;
    for standing in others.iter().take(PROCESSORS_LISTED) {
        write!(f, "\n  {:>3} at {:#x}, {}", standing.vp_index, standing.linear, standing.state())?;
        if let Some(instruction) = standing.instruction() {
            write!(f, ": {instruction}")?;
        }
    }
    match others.len().saturating_sub(PROCESSORS_LISTED) {
        0 => Ok(()),
        more => write!(f, "\n  and {more} more (all of them in --json)"),
    }
}

fn exits(f: &mut fmt::Formatter<'_>, style: Style, report: &Report) -> fmt::Result {
    if report.recent.iter().next().is_none() {
        return Ok(());
    }
    section(f, style, "the last exits, the latest at the end")?;
    for (access, times) in report.recent.iter() {
        write!(f, "\n  ")?;
        if report.processors.len() > 1 {
            write!(f, "{:>3} ", access.vp_index)?;
        }
        write!(f, "{access}")?;
        if *times > 1 {
            write!(f, "  {}", style.dim(format_args!("{times} times")))?;
        }
    }
    Ok(())
}

/// Every register, four integers a line.
fn all(f: &mut fmt::Formatter<'_>, file: &RegisterFile) -> fmt::Result {
    const INTEGERS_A_LINE: usize = 4;
    let mut on_line = 0;
    for register in Register::ALL {
        let value = file.get(register);
        if !matches!(value, RegisterValue::Integer(_)) && on_line != 0 {
            on_line = 0;
            writeln!(f)?;
        }
        match value {
            RegisterValue::Integer(value) => {
                // Four of the longest names would not fit into 100 columns.
                write!(f, "{:>7} {value:016x}", short_name(register))?;
                on_line = (on_line + 1) % INTEGERS_A_LINE;
                if on_line == 0 {
                    writeln!(f)?;
                }
            }
            RegisterValue::Segment(segment) => writeln!(
                f,
                "{register:>7} {:04x} base {:016x} limit {:08x} attributes {:04x}",
                segment.selector, segment.base, segment.limit, segment.attributes
            )?,
            RegisterValue::Table(table) => {
                writeln!(
                    f,
                    "{register:>7}      base {:016x} limit {:04x}",
                    table.base, table.limit
                )?;
            }
        }
    }
    Ok(())
}

fn short_name(register: Register) -> &'static str {
    match register {
        Register::ApicBase => "apic",
        register => register.name(),
    }
}
