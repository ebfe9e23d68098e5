//! What was measured, as a table for people and as JSON.

use std::fmt;

use serde::Serialize;

use crate::rounds::Spread;

/// A quantity with its unit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// Time.
    Seconds(f64),
    /// Memory.
    Bytes(u64),
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MIB: f64 = (1 << 20) as f64;
        f.pad(&match *self {
            Self::Seconds(time) if time < 1.0 => format!("{:.2} ms", time * 1e3),
            Self::Seconds(time) => format!("{time:.2} s"),
            Self::Bytes(bytes) if bytes < 1 << 20 => format!("{} KiB", bytes.div_ceil(1 << 10)),
            Self::Bytes(bytes) => format!("{:.1} MiB", bytes as f64 / MIB),
        })
    }
}

/// What a measurement should come to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Aim {
    /// The other way takes at least this many times as long: what must be, and
    /// what would be good.
    Faster {
        /// What must be.
        must: f64,
        /// What would be good.
        good: f64,
    },
    /// Ours takes at most this much of the other way's time.
    Share(f64),
    /// Ours stays below this.
    Below(Quantity),
}

impl fmt::Display for Aim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&match self {
            Self::Faster { must, good } => format!(">= {must} (good: {good})"),
            Self::Share(share) => format!("<= {share}"),
            Self::Below(quantity) => format!("< {quantity}"),
        })
    }
}

/// One measurement.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// What was done.
    pub what: &'static str,
    /// What ours takes.
    pub ours: Quantity,
    /// What the other way takes.
    pub theirs: Option<Quantity>,
    /// What the other way is.
    pub against: Option<&'static str>,
    /// The ratio of the two, round by round: above 1 where it is a speed-up,
    /// else ours as a share of the other way's.
    pub ratio: Option<Spread>,
    /// What it should come to.
    pub aim: Option<Aim>,
    /// Whether it does.
    pub ok: Option<bool>,
}

impl Row {
    /// A measurement of ours alone.
    pub fn new(what: &'static str, ours: Quantity) -> Self {
        Self { what, ours, theirs: None, against: None, ratio: None, aim: None, ok: None }
    }

    /// The same beside another way.
    #[must_use]
    pub fn against(
        mut self,
        against: &'static str,
        theirs: Quantity,
        ratio: Option<Spread>,
    ) -> Self {
        self.against = Some(against);
        self.theirs = Some(theirs);
        self.ratio = ratio;
        self
    }

    /// The same with an aim. The median decides.
    #[must_use]
    pub fn aim(mut self, aim: Aim) -> Self {
        self.aim = Some(aim);
        self.ok = match (aim, self.ratio, self.ours) {
            (Aim::Faster { must, .. }, Some(ratio), _) => Some(ratio.median >= must),
            (Aim::Share(share), Some(ratio), _) => Some(ratio.median <= share),
            (Aim::Below(Quantity::Bytes(limit)), _, Quantity::Bytes(ours)) => Some(ours < limit),
            (Aim::Below(Quantity::Seconds(limit)), _, Quantity::Seconds(ours)) => {
                Some(ours < limit)
            }
            _ => None,
        };
        self
    }

    fn cells(&self) -> [String; 7] {
        let theirs = self.theirs.map(|theirs| theirs.to_string());
        let digits = |value: f64| if value < 10.0 { 2 } else { 0 };
        let ratio = self.ratio.map(|Spread { median, min, max }| {
            format!("{median:.*} ({min:.*} to {max:.*})", digits(median), digits(min), digits(max))
        });
        let verdict = match self.ok {
            Some(true) => "ok",
            Some(false) => "SHORT",
            None => "",
        };
        [
            self.what.to_owned(),
            self.ours.to_string(),
            theirs.unwrap_or_default(),
            self.against.unwrap_or_default().to_owned(),
            ratio.unwrap_or_default(),
            self.aim.map(|aim| aim.to_string()).unwrap_or_default(),
            verdict.to_owned(),
        ]
    }
}

/// All measurements of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Load averages of the last minute, before and after.
    pub load: [f64; 2],
    /// The measurements.
    pub rows: Vec<Row>,
    /// What was not measured, and why.
    pub skipped: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["what", "ours", "theirs", "theirs is", "ratio", "aim", ""].map(String::from);
        let lines: Vec<[String; 7]> =
            std::iter::once(head).chain(self.rows.iter().map(Row::cells)).collect();
        let width = |column: usize| lines.iter().map(|line| line[column].len()).max().unwrap_or(0);
        let widths: [usize; 7] = std::array::from_fn(width);
        for line in &lines {
            let mut text = String::new();
            for (nth, (cell, width)) in line.iter().zip(widths).enumerate() {
                // Numbers to the right, words to the left.
                text += &match nth {
                    1 | 2 => format!("{cell:>width$}  "),
                    _ => format!("{cell:<width$}  "),
                };
            }
            writeln!(f, "{}", text.trim_end())?;
        }
        for skipped in &self.skipped {
            writeln!(f, "skipped: {skipped}")?;
        }
        let [before, after] = self.load;
        writeln!(f, "load average {before:.2} before, {after:.2} after")?;
        if before.max(after) > 1.5 {
            // The benchmark itself makes a load of 1.
            writeln!(f, "other programs were running: times are too long, ratios less certain")?;
        }
        Ok(())
    }
}

/// The load average of the last minute; NaN where the system does not say.
pub fn load_average() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_decides() {
        let spread = Spread { median: 1.2, min: 1.0, max: 9.0 };
        let row = Row::new("copy", Quantity::Seconds(0.1));
        let row = row.against("memcpy", Quantity::Seconds(0.1), Some(spread));
        assert_eq!(row.clone().aim(Aim::Share(1.3)).ok, Some(true));
        assert_eq!(row.clone().aim(Aim::Share(1.1)).ok, Some(false));
        assert_eq!(row.aim(Aim::Faster { must: 50.0, good: 100.0 }).ok, Some(false));
    }

    #[test]
    fn a_quantity_must_stay_below_its_limit() {
        let mib = |count: u64| Quantity::Bytes(count << 20);
        let row = Row::new("peak memory", mib(300));
        assert_eq!(row.clone().aim(Aim::Below(mib(300))).ok, Some(false));
        assert_eq!(row.aim(Aim::Below(mib(301))).ok, Some(true));
    }
}
