//! The machine as text.

use std::fmt;

use igvm_core::span::Span;
use igvm_core::x86::{Register, RegisterFile, RegisterValue};

use super::{AreaView, ExtentView, ProcessorView, StateReport};
use crate::report::number::Size;

/// Processors that are written out; the others are as the last of them.
const PROCESSORS_SHOWN: usize = 16;

impl fmt::Display for StateReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "platform {}, mask {}", self.platform, self.compatibility_mask)?;
        for processor in self.processors.iter().take(PROCESSORS_SHOWN) {
            writeln!(f)?;
            processor.fmt(f)?;
        }
        if self.processors.len() > PROCESSORS_SHOWN {
            let more = self.processors.len() - PROCESSORS_SHOWN;
            writeln!(f, "\nand {more} more processors (all of them in --json)")?;
        }
        section(f, "memory written by the file", &self.memory)?;
        section(f, "memory the file requires", &self.required_memory)?;
        section(f, "memory for errors", &self.error_ranges)?;
        if !self.parameter_areas.is_empty() {
            writeln!(f, "\nparameter areas")?;
            self.parameter_areas.iter().try_for_each(|area| area.fmt(f))?;
        }
        self.regions(f)?;
        writeln!(f, "\nguest memory")?;
        for range in &self.guest_memory {
            let span = Span::new(range.gpa.0, range.length.0);
            writeln!(f, "  {span}  {}", Size(span.len))?;
        }
        self.complaints(f)
    }
}

impl StateReport {
    fn regions(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.regions.is_empty() {
            writeln!(f, "\nrelocatable regions")?;
        }
        for region in &self.regions {
            let span = Span::new(region.gpa.0, region.length.0);
            write!(f, "  {span}  ")?;
            match region.loaded_at == region.gpa {
                true => write!(f, "not moved")?,
                false => write!(f, "loaded at {}", region.loaded_at)?,
            }
            let what = if region.page_tables { ", page tables" } else { "" };
            writeln!(f, "{what}, header {}", region.header)?;
        }
        Ok(())
    }

    fn complaints(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.overlaps.is_empty() {
            writeln!(f, "\noverlaps (the later header's bytes stand)")?;
        }
        for overlap in &self.overlaps {
            let span = Span::new(overlap.gpa.0, overlap.length.0);
            let place = match overlap.area {
                Some(area) => format!(" of parameter area {area}"),
                None => String::new(),
            };
            writeln!(f, "  {span}{place}  header {} over {}", overlap.later, overlap.earlier)?;
        }
        if !self.problems.is_empty() {
            writeln!(f, "\nproblems")?;
        }
        for problem in &self.problems {
            let grade = if problem.fatal { "error" } else { "note" };
            write!(f, "  {grade}: ")?;
            if let (Some(header), Some(offset)) = (problem.header, problem.file_offset) {
                write!(f, "header {header} at {offset}: ")?;
            }
            writeln!(f, "{}", problem.sentence)?;
        }
        if self.problems_not_listed > 0 {
            writeln!(f, "  and {} more", self.problems_not_listed)?;
        }
        Ok(())
    }
}

fn section(f: &mut fmt::Formatter<'_>, title: &str, extents: &[ExtentView]) -> fmt::Result {
    if extents.is_empty() {
        return Ok(());
    }
    writeln!(f, "\n{title}")?;
    extents.iter().try_for_each(|extent| writeln!(f, "  {extent}"))
}

impl fmt::Display for ExtentView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let span = Span::new(self.gpa.0, self.length.0);
        let headers = match self.last_header {
            Some(last) => format!("headers {} to {last}", self.header),
            None => format!("header {}", self.header),
        };
        write!(f, "{:<24}  {:<9}  {headers:<16}", span.to_string(), Size(span.len))?;
        match (self.file_offset, self.parameter) {
            (Some(offset), _) => write!(f, "  {} {offset}", self.source)?,
            (_, Some(parameter)) => write!(f, "  {parameter}")?,
            (None, None) if self.source == "zero" => write!(f, "  zeroes")?,
            (None, None) => write!(f, "  {}", self.source)?,
        }
        if let Some(area) = self.area {
            write!(f, ", through area {area}")?;
        }
        if let Some(data_type) = self.data_type {
            write!(f, ", {data_type}")?;
        }
        let marks = [(self.unmeasured, "unmeasured"), (self.shared, "shared")];
        marks.iter().filter(|(set, _)| *set).try_for_each(|(_, name)| write!(f, ", {name}"))
    }
}

impl fmt::Display for AreaView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  area {}, {}, header {}, ", self.index, Size(self.length.0), self.header)?;
        match self.inserted {
            Some(inserted) => {
                writeln!(f, "inserted at {} by header {}", inserted.gpa, inserted.header)?;
            }
            None => writeln!(f, "never inserted")?,
        }
        self.content.iter().try_for_each(|extent| writeln!(f, "    {extent}"))
    }
}

impl fmt::Display for ProcessorView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "processor {}: ", self.vp_index)?;
        match self.context_header {
            Some(header) => writeln!(f, "context from header {header}")?,
            None if self.start == "runs" => writeln!(f, "as after reset")?,
            None => return writeln!(f, "waits for a start-up interrupt"),
        }
        writeln!(f, "  {}", self.mode_because)?;
        registers(f, &self.registers)
    }
}

/// The register file in columns.
fn registers(f: &mut fmt::Formatter<'_>, registers: &RegisterFile) -> fmt::Result {
    let mut column = 0;
    for register in Register::ALL {
        match registers.get(register) {
            RegisterValue::Integer(value) => {
                let end = if column == 2 { "\n" } else { "" };
                write!(f, "  {:>9} {:#018x}{end}", register.name(), value)?;
                column = (column + 1) % 3;
            }
            RegisterValue::Segment(segment) => {
                start_line(f, &mut column)?;
                writeln!(
                    f,
                    "  {:>9} {:#06x}  base {:#018x}  limit {:#010x}  attributes {:#06x}",
                    register.name(),
                    segment.selector,
                    segment.base,
                    segment.limit,
                    segment.attributes
                )?;
            }
            RegisterValue::Table(table) => {
                start_line(f, &mut column)?;
                writeln!(
                    f,
                    "  {:>9}         base {:#018x}  limit {:#06x}",
                    register.name(),
                    table.base,
                    table.limit
                )?;
            }
        }
    }
    Ok(())
}

fn start_line(f: &mut fmt::Formatter<'_>, column: &mut usize) -> fmt::Result {
    if *column != 0 {
        writeln!(f)?;
        *column = 0;
    }
    Ok(())
}
