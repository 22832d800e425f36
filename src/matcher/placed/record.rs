//! What is remembered of one node's calls: how long it takes, and whether it is worth asking first. Calls nobody.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::model::id::TenantId;

/// Latencies that are remembered.
const RECENT_MAX: usize = 128;
/// With fewer of them nothing is known.
const RECENT_MIN: usize = 16;
/// A call that has taken longer than so many of a hundred recent ones is worth asking somebody else.
const PERCENTILE: usize = 95;
/// When to ask somebody else where nothing is known.
pub const HEDGE_UNKNOWN: Duration = Duration::from_millis(50);
/// Somebody else is never asked earlier: what a fast node takes more is the scheduler's.
pub const HEDGE_MIN: Duration = Duration::from_millis(2);
/// And never later, whatever its recent calls took: they end with their callers' deadlines, and what hangs must not make the next ones wait longer.
pub const HEDGE_MAX: Duration = Duration::from_secs(1);
/// Calls in a row that a node left unanswered, after which others are asked first.
pub const MISSES_MAX: u32 = 3;
/// How often such a node is asked first all the same, to see whether it is back.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long others are asked first for a tenant whose node answered with an error; twice as long after each further one in a row.
pub const FAULT_FOR: Duration = LOOK_EVERY;
/// And no longer than that.
pub const FAULT_FOR_MAX: Duration = Duration::from_secs(64);
/// Tenants whose errors are remembered. Of more, those whose time is over are forgotten, or else the next one is not remembered.
const FAULTS_MAX: usize = 1_024;

/// Whether a node is asked before others that hold the same: the least comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// It left calls unanswered, or answered with errors, and it is time to see whether it is back.
    Look,
    /// Like all others.
    Well,
    /// It left calls unanswered, or answered with errors.
    Poor,
}

/// The last latencies of a node in a ring, and the calls that it left unanswered.
///
/// One percentile of what is recent is all that is asked for. The ring has it exactly, in 512 bytes, and forgets by itself; a histogram forgets nothing unless two of them take turns, and has kilobytes for
/// each of up to 4,096 nodes. Calls for many parts and for few stand in it together, as they are asked.
pub(super) struct Record {
    /// In microseconds.
    recent: Vec<u32>,
    next: usize,
    misses: u32,
    look_at: Option<Instant>,
    /// Until when it counts that it was late with what it alone was asked.
    late_until: Option<Instant>,
    /// Of tenants for which it answered with an error.
    faults: HashMap<TenantId, Fault>,
}

struct Fault {
    /// How long it counts.
    lasts: Duration,
    until: Instant,
}

impl Record {
    pub(super) fn new() -> Self {
        Self {
            recent: Vec::new(),
            next: 0,
            misses: 0,
            look_at: None,
            late_until: None,
            faults: HashMap::new(),
        }
    }

    /// It answered.
    pub(super) fn answered(&mut self, tenant: &TenantId, took: Duration) {
        self.took(took);
        self.spoke();
        self.faults.remove(tenant);
    }

    /// It answered with an error that others may not answer with: something of this tenant is wrong there, and nothing is said of others.
    pub(super) fn failed(&mut self, tenant: &TenantId, now: Instant) {
        self.spoke();
        if let Some(fault) = self.faults.get_mut(tenant) {
            fault.lasts = FAULT_FOR_MAX.min(fault.lasts * 2);
            fault.until = now + fault.lasts;
            return;
        }
        if self.faults.len() >= FAULTS_MAX {
            self.faults.retain(|_, fault| now < fault.until);
        }
        if self.faults.len() < FAULTS_MAX {
            let (lasts, until) = (FAULT_FOR, now + FAULT_FOR);
            self.faults.insert(tenant.clone(), Fault { lasts, until });
        }
    }

    /// It said something else than an answer.
    pub(super) fn spoke(&mut self) {
        self.misses = 0;
        self.look_at = None;
    }

    /// It could not be reached.
    pub(super) fn missed(&mut self, now: Instant) {
        self.misses = self.misses.saturating_add(1);
        if self.misses >= MISSES_MAX {
            self.look_at = Some(now + LOOK_EVERY);
        }
    }

    /// It was late with what it alone was asked: for that others are asked first until it is time to see again. Of its searches that says nothing, since others wait for the same database.
    pub(super) fn late(&mut self, now: Instant) {
        self.late_until = Some(now + LOOK_EVERY);
    }

    /// Somebody else was faster. It would have taken longer than this: without it a slow node, whose slow calls are all taken back, would look like a fast one, and be hedged ever more.
    pub(super) fn lost(&mut self, took: Duration, now: Instant) {
        self.took(took);
        self.missed(now);
    }

    /// How long to wait before somebody else is asked.
    pub(super) fn hedge_after(&self) -> Duration {
        if self.recent.len() < RECENT_MIN {
            return HEDGE_UNKNOWN;
        }
        let mut sorted = self.recent.clone();
        let rank = (sorted.len() * PERCENTILE).div_ceil(100) - 1;
        let (_, micros, _) = sorted.select_nth_unstable(rank);
        Duration::from_micros(u64::from(*micros)).clamp(HEDGE_MIN, HEDGE_MAX)
    }

    /// Whether it is to be asked first for a tenant. Who is told to look does.
    pub(super) fn standing(&mut self, tenant: &TenantId, now: Instant) -> Standing {
        match self.look_at {
            None => match self.faults.get_mut(tenant) {
                None => Standing::Well,
                Some(fault) if now < fault.until => Standing::Poor,
                Some(fault) => {
                    fault.until = now + fault.lasts;
                    Standing::Look
                }
            },
            Some(at) if now < at => Standing::Poor,
            Some(_) => {
                self.look_at = Some(now + LOOK_EVERY);
                Standing::Look
            }
        }
    }

    /// What speaks against asking it for a tenant what may be asked of nobody else after it: the least comes first. One call that was left unanswered is enough. Whoever asks this does not look.
    pub(super) fn doubts(&self, tenant: &TenantId, now: Instant) -> (bool, u32) {
        let is_past = |fault: &Fault| fault.until <= now;
        let is_late = self.late_until.is_some_and(|until| now < until);
        let is_well = self.look_at.is_none() && !is_late && self.faults.get(tenant).is_none_or(is_past);
        (!is_well, self.misses)
    }

    fn took(&mut self, took: Duration) {
        let micros = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
        match self.recent.get_mut(self.next) {
            Some(oldest) => *oldest = micros,
            None => self.recent.push(micros),
        }
        self.next = (self.next + 1) % RECENT_MAX;
    }
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
