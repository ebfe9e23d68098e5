//! The devices' time: the host's.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use igvm_devices::Clock;

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
