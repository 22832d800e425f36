//! Guard against climbing: whoever holds a scanner's certificate and comes nearer to somebody's palm step by step is held up long before
//! it arrives. Sees scores and subjects, no signature.
//!
//! A scanner is told decisions alone, so that all a climber can do is try small changes of a probe that nearly matches. Each of them is a
//! near miss: a best score below the threshold, with a false match rate of at most `NEAR_FACTOR` times that of the threshold. At a gate near misses are
//! of many people; those of a climber are of one. So they are counted by scanner and subject, and beyond the limit that scanner is told
//! nothing about that subject, not even a match, until time has passed. Everybody else goes on through the same gate.
//! But that it is told nothing tells a climber that it is near, as an answer would. So a scanner that goes on is told nothing about anybody.

use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock, MonotonicClock, Reference};
use governor::{Quota, RateLimiter};
use moka::sync::Cache;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::quota::Limiter;
use super::threshold;
use crate::matcher::node::NodeError;
use crate::model::id::SubjectId;
use crate::model::principal::{Principal, Role};
use crate::model::signature::Dimension;
use crate::telemetry;

/// How many times as frequent a false match at the score of a near miss is as at the threshold.
const NEAR_FACTOR: f64 = 100.0;
/// How frequent it is at most: a search for near misses finds hardly more rows than one for matches. A tenant with so low a threshold
/// that a false match is more frequent has no near misses.
const NEAR_FMR_MAX: f64 = 1e-5;
/// Scanners and subjects that are counted at once.
const COUNTED_MAX: u64 = 100_000;

/// For how many times `guard.seconds` it is remembered that a scanner was told nothing.
const LOCK_REMEMBERED: u32 = 6;

/// When a scanner is held up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GuardConfig {
    /// Near misses of one scanner with one subject within `seconds`; 0 counts none.
    pub near_misses_max: u32,
    /// In seconds.
    pub seconds: u64,
}

impl Default for GuardConfig {
    fn default() -> Self {
        Self {
            near_misses_max: 10,
            seconds: 600,
        }
    }
}

/// Who comes near whom. A scanner's principal names its tenant.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Pair {
    scanner: Principal,
    subject: SubjectId,
}

/// Near misses of a pair.
struct Climb<C: Clock> {
    rate: Limiter<C>,
    held: Mutex<Hold<C>>,
}

/// How a scanner is held up for a subject.
struct Hold<C: Clock> {
    /// Until when it is told nothing about the subject.
    until: Option<C::Instant>,
    /// Tries that were refused, since it last kept away for as long as near misses are counted.
    refused: u32,
}

/// The near misses of all scanners.
pub(super) struct Guard<C: Clock = MonotonicClock> {
    quota: Option<Quota>,
    near_misses_max: u32,
    window: Duration,
    clock: C,
    climbs: Cache<Pair, Arc<Climb<C>>>,
    /// Scanners that are told nothing at all, and those that were lately.
    scanners: Cache<Principal, Lock<C::Instant>>,
}

/// How a scanner is held up for everybody.
#[derive(Clone, Copy)]
struct Lock<I> {
    until: I,
    length: Duration,
}

/// The score from which on a candidate below `threshold` is a near miss.
pub(super) fn near_threshold(threshold: f32, dim: Dimension) -> f32 {
    threshold::looser(threshold, NEAR_FACTOR, NEAR_FMR_MAX, dim)
}

impl Guard {
    pub(super) fn new(config: GuardConfig) -> Self {
        Self::with_clock(config, MonotonicClock)
    }
}

impl<C: Clock + Clone + Send + Sync + 'static> Guard<C>
where
    C::Instant: Send + Sync,
{
    fn with_clock(config: GuardConfig, clock: C) -> Self {
        let window = Duration::from_secs(config.seconds);
        let quota = std::num::NonZeroU32::new(config.near_misses_max)
            .and_then(|max| Some(Quota::with_period(window / max.get())?.allow_burst(max)));
        Self {
            quota,
            near_misses_max: config.near_misses_max,
            window,
            clock,
            climbs: Cache::builder()
                .max_capacity(COUNTED_MAX)
                .time_to_idle(window)
                .build(),
            scanners: Cache::builder()
                .max_capacity(COUNTED_MAX)
                // Far longer than one lasts, so that whoever waits does not begin with a short one soon.
                .time_to_live(window * LOCK_REMEMBERED)
                .build(),
        }
    }

    /// Refuses a scanner that is told nothing, whatever it asks.
    pub(super) fn enter(&self, caller: &Principal) -> Result<(), NodeError> {
        if !self.watches(caller) {
            return Ok(());
        }
        let now = self.clock.now();
        match self.scanners.get(caller).filter(|lock| now < lock.until) {
            Some(lock) => Err(self.held(lock.until.duration_since(now).into())),
            None => Ok(()),
        }
    }

    /// Whether near misses of this caller are counted: of those who are told decisions alone.
    pub(super) fn watches(&self, caller: &Principal) -> bool {
        self.quota.is_some() && caller.role() == Role::Scanner
    }

    /// Counts a near miss, and refuses what the caller is not to be told. `near` says that the score is below the threshold.
    pub(super) fn look(&self, caller: &Principal, subject: &SubjectId, near: bool) -> Result<(), NodeError> {
        let Some(quota) = self.quota.filter(|_| self.watches(caller)) else {
            return Ok(());
        };
        let pair = Pair {
            scanner: caller.clone(),
            subject: subject.clone(),
        };
        let climb = if near {
            metrics::counter!(telemetry::NEAR_MISSES).increment(1);
            self.climbs.get_with(pair, || {
                Arc::new(Climb {
                    rate: RateLimiter::direct_with_clock(quota, self.clock.clone()),
                    held: Mutex::new(Hold {
                        until: None,
                        refused: 0,
                    }),
                })
            })
        } else {
            match self.climbs.get(&pair) {
                Some(climb) => climb,
                None => return Ok(()),
            }
        };
        let mut held = climb.held.lock();
        let now = self.clock.now();
        if let Some(until) = held.until.filter(|until| now < *until) {
            held.refused += 1;
            if held.refused >= self.near_misses_max {
                held.refused = 0;
                self.lock(caller, now);
                report(
                    caller,
                    "it goes on though it is told nothing about that subject: all its calls are refused for a while",
                );
            }
            return Err(self.held(until.duration_since(now).into()));
        }
        if !near {
            return Ok(());
        }
        climb.rate.check().map_err(|refused| {
            held.until = Some(refused.earliest_possible());
            report(
                caller,
                "near misses of one subject again and again: somebody may be climbing",
            );
            self.held(refused.wait_time_from(now))
        })
    }

    /// Tells a scanner nothing at all, at first for as long as about one subject, and twice as long each time that it comes to that again: a person whose
    /// palm has changed closes a gate for a short time alone.
    fn lock(&self, scanner: &Principal, now: C::Instant) {
        let first = self.window / self.near_misses_max.max(1);
        let before = self.scanners.get(scanner);
        let length = before.map_or(first, |lock| (lock.length * 2).min(self.window));
        let until = now + length.into();
        self.scanners.insert(scanner.clone(), Lock { until, length });
    }

    fn held(&self, retry_after: Duration) -> NodeError {
        NodeError::Exhausted {
            limit: "guard.near_misses_max",
            value: self.near_misses_max.into(),
            retry_after,
        }
    }
}

fn report(scanner: &Principal, what: &'static str) {
    tracing::warn!(scanner = scanner.path(), what, "a scanner is held up");
    metrics::counter!(telemetry::CLIMBS).increment(1);
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
