//! What the supervision of devices needs of its surroundings: time, chance, threads; and how long it waits before it tries again.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::time::{Duration, Instant, SystemTime};

/// Wait before the first try.
const RETRY_FIRST: Duration = Duration::from_secs(1);
/// Longest wait between tries; each is twice as long as the one before.
const RETRY_LONGEST: Duration = Duration::from_mins(5);

/// Time, chance and threads. Tests have their own.
pub(super) trait Host: Send + Sync {
    /// The time, to measure with.
    fn now(&self) -> Instant;
    /// The time of day, to tell people.
    fn time(&self) -> SystemTime;
    /// A number from 0 to 1.
    fn chance(&self) -> f64;
    /// Runs a job that may never end on a thread of its own.
    fn spawn(&self, name: &str, job: Box<dyn FnOnce() + Send>) -> io::Result<()>;
}

/// The operating system.
pub(super) struct System;

impl Host for System {
    fn now(&self) -> Instant {
        Instant::now()
    }
    fn time(&self) -> SystemTime {
        SystemTime::now()
    }
    fn chance(&self) -> f64 {
        // Seeded anew each time; 32 bits are enough to keep nodes out of step.
        let random = RandomState::new().hash_one(0_u8) >> 32;
        f64::from(u32::try_from(random).unwrap_or(u32::MAX)) / f64::from(u32::MAX)
    }
    fn spawn(&self, name: &str, job: Box<dyn FnOnce() + Send>) -> io::Result<()> {
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(job)
            .map(drop)
    }
}

/// Wait after so many failed attempts: from half of the step to all of it, by chance, so that many nodes don't try at once.
pub(super) fn wait(attempts: u32, chance: f64) -> Duration {
    let doubled = 1_u32
        .checked_shl(attempts)
        .and_then(|times| RETRY_FIRST.checked_mul(times))
        .unwrap_or(RETRY_LONGEST);
    doubled
        .min(RETRY_LONGEST)
        .mul_f64(0.5 + 0.5 * chance.clamp(0.0, 1.0))
}

#[cfg(test)]
#[path = "host_tests.rs"]
mod tests;
