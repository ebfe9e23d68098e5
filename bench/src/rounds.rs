//! Timing two ways of doing a thing in turn, so that what else the machine does
//! meets both.

use std::hint::black_box;
use std::time::{Duration, Instant};

use serde::Serialize;

/// Times of two ways, round by round.
#[derive(Debug, Default, Clone)]
pub struct Rounds {
    ours: Vec<f64>,
    theirs: Vec<f64>,
}

/// A median and the range around it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// The middle value.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// Of at least one value.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (values[0], values[values.len() - 1]);
        Self { median: values[values.len() / 2], min, max }
    }
}

impl Rounds {
    /// Runs the two in turn, this often. One more round comes first and does
    /// not count.
    pub fn run<A, B>(
        rounds: usize,
        mut ours: impl FnMut() -> A,
        mut theirs: impl FnMut() -> B,
    ) -> Self {
        let mut all = Self::default();
        for _ in 0..=rounds {
            all.push(time(&mut ours), time(&mut theirs));
        }
        all.ours.remove(0);
        all.theirs.remove(0);
        all
    }

    /// Adds a round.
    pub fn push(&mut self, ours: Duration, theirs: Duration) {
        self.ours.push(ours.as_secs_f64());
        self.theirs.push(theirs.as_secs_f64());
    }

    /// Seconds of our way.
    pub fn ours(&self) -> Spread {
        Spread::of(self.ours.iter().copied())
    }

    /// Seconds of the other way.
    pub fn theirs(&self) -> Spread {
        Spread::of(self.theirs.iter().copied())
    }

    /// How many times longer the other way takes, round by round.
    pub fn speedup(&self) -> Spread {
        Spread::of(self.ours.iter().zip(&self.theirs).map(|(ours, theirs)| theirs / ours))
    }

    /// How much of the other way's time ours takes, round by round.
    pub fn share(&self) -> Spread {
        Spread::of(self.ours.iter().zip(&self.theirs).map(|(ours, theirs)| ours / theirs))
    }
}

/// How long one run takes. What it returns is dropped after that.
fn time<R>(work: &mut impl FnMut() -> R) -> Duration {
    let started = Instant::now();
    let result = black_box(work());
    let time = started.elapsed();
    drop(result);
    time
}
