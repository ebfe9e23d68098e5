//! Time, injected: devices that ask for it can be tested.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What the devices know of time.
pub trait Clock: Send {
    /// Time since the machine started; never runs backwards.
    fn uptime(&self) -> Duration;

    /// Time since 1970-01-01 00:00 UTC.
    fn utc(&self) -> Duration;
}

/// The host's clocks.
#[derive(Debug)]
pub struct HostClock {
    started: Instant,
}

impl HostClock {
    /// A clock whose uptime starts now.
    pub fn new() -> Self {
        Self { started: Instant::now() }
    }
}

impl Default for HostClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for HostClock {
    fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    fn utc(&self) -> Duration {
        // A host clock before 1970 is a host without a clock.
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }
}
