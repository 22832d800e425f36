//! How long scans take on this machine, learned from those that ran. Decides nothing.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Sizes of rounds that are told apart: up to 2, 4, 8 … probes.
const SIZES: usize = 11;
/// Share of the newest round in what is known of its size.
const NEWEST: f64 = 0.125;

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
        let found = took.as_secs_f64() / as_f64(work.max(1));
        let known = f64::from_bits(cell.load(Ordering::Relaxed));
        let next = if known > 0.0 {
            (found - known).mul_add(NEWEST, known)
        } else {
            found
        };
        cell.store(next.to_bits(), Ordering::Relaxed);
    }

    /// How long a round of `probes`, which are `work` together, will take, by the rounds of the nearest size; `None` before the first.
    pub(super) fn expect(&self, probes: usize, work: u64) -> Option<Duration> {
        let size = size(probes);
        let known = |at: usize| {
            let bits = self.per_work.get(at)?.load(Ordering::Relaxed);
            (bits != 0).then(|| f64::from_bits(bits))
        };
        // The smaller first: it takes longer for each, and so never promises too much.
        let smaller = (0..=size).rev().find_map(known);
        let per_work = smaller.or_else(|| (size..SIZES).find_map(known))?;
        Duration::try_from_secs_f64(per_work * as_f64(work)).ok()
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
