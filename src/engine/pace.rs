//! How long scans take on this machine, learned from those that ran. Decides nothing.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Sizes of batches that are told apart: 1, 2 to 3, 4 to 7 … probes.
const SIZES: usize = 11;
/// Share of the newest round in what is known of its size.
const NEWEST: f64 = 0.125;

/// What a round takes beside its scans, as work: lists of work, threads that wake, a GPU that is told. Without it the rounds of small galleries would
/// make those of large ones look long.
const ROUND_WORK: u64 = 8 << 20;

/// Seconds per unit of work, by the size of a round's batches: probes of one gallery that run together share the reading of its codes, so that a large batch
/// takes less for each, and many small ones of many galleries do not. The engine's thread learns, callers ask.
#[derive(Default)]
pub(super) struct Pace {
    /// Bits of a binary64; 0 where no batches of the size have run.
    per_work: [AtomicU64; SIZES],
}

impl Pace {
    /// A round in batches of `batch` probes, which were `work` together, took so long.
    pub(super) fn learn(&self, batch: usize, work: u64, took: Duration) {
        let Some(cell) = self.per_work.get(size(batch)) else {
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

    /// How long a round in batches of `batch` probes, which are `work` together, will take; `None` before the first. Of its own size and the smaller ones
    /// the quickest speaks: a larger batch takes less for each, and whatever one odd round said of its size, small ones run when all else is refused.
    pub(super) fn expect(&self, batch: usize, work: u64) -> Option<Duration> {
        let size = size(batch);
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
