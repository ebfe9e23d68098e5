//! What differs, as text.

use std::fmt;

use super::registers::in_words;
use super::{Bounded, Change, DiffReport, HeaderRun, HeadersReport, MemoryReport, RegistersReport};
use crate::report::Size;

impl fmt::Display for DiffReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.headers.fmt(f)?;
        if let Some(registers) = &self.registers {
            registers.fmt(f)?;
        }
        if let Some(memory) = &self.memory {
            memory.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for HeadersReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_same() {
            return writeln!(f, "headers: the same");
        }
        let counts = self.headers;
        writeln!(
            f,
            "headers: {} removed, {} added, {} changed, {} the same",
            counts.removed, counts.added, counts.changed, counts.same
        )?;
        for field in &self.fixed {
            writeln!(f, "  fixed header: {} {} -> {}", field.name, field.before, field.after)?;
        }
        let run = |f: &mut fmt::Formatter<'_>, sign, run: &HeaderRun| {
            write!(f, "{sign} {} {} {}", run.header, run.name, run.summary)?;
            match run.count {
                1 => writeln!(f),
                count => writeln!(f, ", and {} more pages", count - 1),
            }
        };
        self.removed.kept.iter().try_for_each(|removed| run(f, '-', removed))?;
        more(f, &self.removed)?;
        self.added.kept.iter().try_for_each(|added| run(f, '+', added))?;
        more(f, &self.added)?;
        for changed in &self.changed.kept {
            let (before, after) = (changed.before, changed.after);
            write!(f, "~ {before} -> {after} {} {}", changed.name, changed.summary)?;
            match changed.count {
                1 => writeln!(f)?,
                count => writeln!(f, ", and {} more pages", count - 1)?,
            }
            for field in &changed.fields {
                writeln!(f, "    {}: {} -> {}", field.name, field.before, field.after)?;
            }
            if let Some(at) = changed.data {
                writeln!(f, "    data differ from byte {at} on")?;
            }
        }
        more(f, &self.changed)
    }
}

impl fmt::Display for RegistersReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_same() {
            return writeln!(f, "processors: the same");
        }
        let [before, after] = self.processors;
        writeln!(f, "processors: {before} -> {after}, {}", differ(self.changed.total, "register"))?;
        for start in &self.starts.kept {
            let word = |runs| if runs { "runs" } else { "waits for a start-up interrupt" };
            let (before, after) = (word(!start.runs), word(start.runs));
            writeln!(f, "  processor {}: {before} -> {after}", start.vp_index)?;
        }
        more(f, &self.starts)?;
        for change in &self.changed.kept {
            let (before, after) = (in_words(change.before), in_words(change.after));
            writeln!(f, "  {}.{}: {before} -> {after}", change.vp_index, change.register)?;
        }
        more(f, &self.changed)
    }
}

impl fmt::Display for MemoryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_same() {
            true => writeln!(f, "memory: the same")?,
            false => writeln!(f, "memory: {}", differ(self.changes.total, "range"))?,
        }
        for change in &self.changes.kept {
            let (span, bytes) = (change.span(), Size(change.bytes));
            match change.change {
                Change::Content => writeln!(f, "~ {span}  {}", differ(change.bytes, "byte"))?,
                Change::OnlyBefore => writeln!(f, "- {span}  {bytes}")?,
                Change::OnlyAfter => writeln!(f, "+ {span}  {bytes}")?,
            }
        }
        more(f, &self.changes)?;
        if self.other_source > 0 {
            let bytes = Size(self.other_source);
            writeln!(f, "  {bytes} are the same, but come from elsewhere")?;
        }
        if self.unreadable > 0 {
            writeln!(f, "  {} cannot be read, and were not compared", Size(self.unreadable))?;
        }
        Ok(())
    }
}

/// "1 byte differs", "3 bytes differ".
fn differ(number: u64, what: &str) -> String {
    match number {
        1 => format!("1 {what} differs"),
        _ => format!("{number} {what}s differ"),
    }
}

fn more<T>(f: &mut fmt::Formatter<'_>, things: &Bounded<T>) -> fmt::Result {
    match things.total - things.kept.len() as u64 {
        0 => Ok(()),
        more => writeln!(f, "  and {more} more"),
    }
}
