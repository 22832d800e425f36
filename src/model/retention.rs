//! Who is due to be erased: a retention and a moment. Compares times; erases nobody.

use std::time::Duration;

use super::policy::Retention;
use super::timestamp::Timestamp;

/// How far the time of a subject's last interaction may be behind on disk, so that not every use writes it. Nobody is due before it has
/// passed as well.
pub const LAST_USED_SLACK: Duration = Duration::from_hours(1);

/// A retention, and the time of who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// What makes a subject due.
    pub retention: Retention,
    /// Now.
    pub as_of: Timestamp,
}

impl Due {
    /// The same by the earlier of two clocks, so that one that is ahead makes nobody due.
    #[must_use]
    pub fn no_later_than(self, now: Timestamp) -> Self {
        Self {
            as_of: self.as_of.min(now),
            ..self
        }
    }

    /// Consents that ended by this time are due; `None` where that makes nobody due.
    pub fn consent_ended_by(&self) -> Option<Timestamp> {
        self.retention.consent_end.then_some(self.as_of)
    }

    /// Subjects whose last interaction on disk was by this time are due; `None` where that makes nobody due.
    pub fn idle_since(&self) -> Option<Timestamp> {
        let days = self.retention.idle_days_max?;
        let idle = Duration::from_hours(24).saturating_mul(days) + LAST_USED_SLACK;
        Some(self.as_of.minus(idle))
    }
}

#[cfg(test)]
#[path = "retention_tests.rs"]
mod tests;
