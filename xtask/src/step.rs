//! Named steps, run one after the other, and what came of them.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use crate::command::Workplace;

/// Why a step ended early, in one sentence.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Something is wrong.
    Failed(String),
    /// Something is missing, and with it this step.
    Skipped(String),
}

/// What a step ends with. A step that passed may say what it has seen.
pub(crate) type StepResult = Result<String, Stop>;

/// One step.
pub(crate) struct Step {
    /// What `--only` takes.
    pub(crate) name: &'static str,
    /// What it does, in a few words.
    pub(crate) what: &'static str,
    /// Does it.
    pub(crate) run: Box<dyn Fn(&Workplace) -> StepResult>,
}

/// What came of a step.
pub(crate) struct Report {
    name: &'static str,
    result: StepResult,
    time: Duration,
}

/// Lines of a log that are shown when its step fails.
const LOG_TAIL: usize = 80;

/// Runs every step, whatever became of those before it, with a line for each.
pub(crate) fn run_all(steps: &[Step], place: &mut Workplace) -> Vec<Report> {
    let width = steps.iter().map(|step| step.what.len()).max().unwrap_or(0);
    let mut reports = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        print!("[{}/{}] {:8} {:width$}  ", index + 1, steps.len(), step.name, step.what);
        // The line is finished when the step is; show its start until then.
        let _ = io::stdout().flush();
        let start = Instant::now();
        let result = match place.open_log(step.name) {
            Ok(()) => (step.run)(place),
            Err(error) => {
                let log = place.log().display();
                Err(Stop::Failed(format!("the log {log} cannot be written: {error}")))
            }
        };
        let report = Report { name: step.name, result, time: start.elapsed() };
        println!("{:7} {:>8}", report.outcome(), duration(report.time));
        match &report.result {
            Err(Stop::Failed(reason)) => println!("{}", failure(reason, place)),
            Err(Stop::Skipped(reason)) => println!("      {reason}"),
            Ok(_) => {}
        }
        reports.push(report);
    }
    reports
}

/// The reason of a failure and the end of the step's log.
fn failure(reason: &str, place: &Workplace) -> String {
    let log = place.log_text();
    let lines: Vec<&str> = log.lines().collect();
    let hidden = lines.len().saturating_sub(LOG_TAIL);
    let mut text = format!("      {reason}");
    if hidden > 0 {
        let _ = write!(text, "\n      | ({hidden} lines before this are in the log)");
    }
    for line in &lines[hidden..] {
        let _ = write!(text, "\n      | {line}");
    }
    let _ = write!(text, "\n      Log: {}", place.log().display());
    text
}

impl Report {
    fn outcome(&self) -> &'static str {
        match self.result {
            Ok(_) => "passed",
            Err(Stop::Failed(_)) => "FAILED",
            Err(Stop::Skipped(_)) => "skipped",
        }
    }

    /// Whether the step failed.
    pub(crate) fn failed(&self) -> bool {
        matches!(self.result, Err(Stop::Failed(_)))
    }
}

/// A table of the steps, the tests that skipped themselves inside them, and as
/// last line the counts of steps.
pub(crate) fn summary(reports: &[Report], skipped_tests: &[String]) -> String {
    let mut text = String::from("\nSummary\n");
    for report in reports {
        let (Ok(note) | Err(Stop::Failed(note) | Stop::Skipped(note))) = &report.result;
        let line = format!(
            "  {:8} {:8} {:>8}  {note}",
            report.name,
            report.outcome(),
            duration(report.time)
        );
        let _ = writeln!(text, "{}", line.trim_end());
    }
    if !skipped_tests.is_empty() {
        let _ = writeln!(text, "\nTests that were skipped inside a step");
        for test in skipped_tests {
            let _ = writeln!(text, "  {test}");
        }
    }
    let failed = reports.iter().filter(|report| report.failed()).count();
    let passed = reports.iter().filter(|report| report.result.is_ok()).count();
    let skipped = reports.len() - failed - passed;
    let _ = write!(text, "\n{passed} passed, {failed} failed, {skipped} skipped");
    text
}

fn duration(time: Duration) -> String {
    match time.as_secs() {
        0..60 => format!("{:.1} s", time.as_secs_f64()),
        seconds => format!("{} m {:02} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(name: &'static str, result: StepResult) -> Report {
        Report { name, result, time: Duration::from_millis(1240) }
    }

    #[test]
    fn the_counts_of_steps_stand_alone_on_the_last_line() {
        let reports = [
            report("fmt", Ok(String::new())),
            report("clippy", Err(Stop::Failed("`cargo clippy` failed".into()))),
            report("doc", Ok("12 crates".into())),
            report("fuzz", Err(Stop::Skipped("there is no nightly toolchain".into()))),
        ];
        let text = summary(&reports, &["boot_hello: no /dev/kvm".into()]);
        assert_eq!(text.lines().last(), Some("2 passed, 1 failed, 1 skipped"));
        assert!(text.contains("\n  clippy   FAILED      1.2 s  `cargo clippy` failed\n"), "{text}");
        assert!(text.contains("skipped     1.2 s  there is no nightly toolchain\n"), "{text}");
        assert!(text.contains("\n  boot_hello: no /dev/kvm\n"), "{text}");
    }

    #[test]
    fn a_minute_is_shown_as_one() {
        assert_eq!(duration(Duration::from_millis(59_940)), "59.9 s");
        assert_eq!(duration(Duration::from_secs(65)), "1 m 05 s");
    }
}
