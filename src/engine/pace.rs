//! How long scans take on this machine, learned from those that ran. Decides nothing.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Sizes of rounds that are told apart: up to 2, 4, 8 … probes.
const SIZES: usize = 11;
/// Share of the newest round in what is known of its size.
const NEWEST: f64 = 0.125;

/// What a round takes beside its scans, as work: lists of work, threads that wake, a GPU that is told. Without it the rounds of small galleries would
/// make those of large ones look long.
const ROUND_WORK: u64 = 8 << 20;

/// Seconds per unit of work, by the size of a round: probes that run together share the reading of codes, so that a large round takes less
/// for each. The engine's thread learns, callers ask.
#[derive(Default)]
pub(super) struct Pace {
    /// Bits of a binary64; 0 where no round of the size has run.
    per_work: [AtomicU64; SIZES],
}

impl Pace {
    /// A round of `probes`, which were `work` together, took so long.
    pub(super) fn learn(&self, probes: usize, work: u64, took: Duration) {
        let Some(cell) = self.per_work.get(size(probes)) else {
            return;
        };
        let found = took.as_secs_f64() / as_f64(work + ROUND_WORK);
        let known = f64::from_bits(cell.load(Ordering::Relaxed));
        let next = if known > 0.0 {
            (found - known).mul_add(NEWEST, known)
        } else {
            found
        };
        cell.store(next.to_bits(), Ordering::Relaxed);
    }

    /// How long a round of `probes`, which are `work` together, will take; `None` before the first. Of its own size and the smaller ones the quickest
    /// speaks: a larger round takes less for each, and whatever one odd round said of its size, small ones run when all else is refused.
    pub(super) fn expect(&self, probes: usize, work: u64) -> Option<Duration> {
        let size = size(probes);
        let known = |at: usize| {
            let bits = self.per_work.get(at)?.load(Ordering::Relaxed);
            (bits != 0).then(|| f64::from_bits(bits))
        };
        let smaller = (0..=size).filter_map(known).min_by(f64::total_cmp);
        let per_work = smaller.or_else(|| (size..SIZES).find_map(known))?;
        Duration::try_from_secs_f64(per_work * as_f64(work + ROUND_WORK)).ok()
    }
}

fn size(probes: usize) -> usize {
    let log = usize::BITS - probes.max(1).leading_zeros() - 1;
    (log as usize).min(SIZES - 1)
}

#[expect(clippy::cast_precision_loss, reason = "an estimate needs no 53 bits")]
fn as_f64(work: u64) -> f64 {
    work as f64
}

#[cfg(test)]
#[path = "pace_tests.rs"]
mod tests;
