//! How often parts may be asked for again, as a share of how often they are asked for at all. Knows no node.

use parking_lot::Mutex;

/// One more call to so many first ones: hedges and repetitions are at most a tenth, so that a cluster with too much to do is not asked twice.
pub const CALLS_PER_EXTRA: u64 = 10;
/// What is saved up at most, in calls: as many may be asked again at once when a node goes away.
pub const EXTRAS_MAX: u64 = 100;

/// A bucket of tokens, as Finagle has it: each first call puts a part of a token in, each further one takes a whole one out.
///
/// Of n first calls no more than n / [`CALLS_PER_EXTRA`] + [`EXTRAS_MAX`] are followed by another, whatever happens.
pub(super) struct Budget {
    /// In tokens' parts.
    left: Mutex<u64>,
}

impl Budget {
    /// It begins full, so that the first calls of a front have somebody to fall back on.
    pub(super) fn new() -> Self {
        Self {
            left: Mutex::new(EXTRAS_MAX * CALLS_PER_EXTRA),
        }
    }

    /// So many parts were asked for the first time.
    pub(super) fn earn(&self, calls: usize) {
        let mut left = self.left.lock();
        *left = left
            .saturating_add(calls as u64)
            .min(EXTRAS_MAX * CALLS_PER_EXTRA);
    }

    /// Takes as many further calls out, all or none.
    pub(super) fn spend(&self, calls: usize) -> bool {
        let mut left = self.left.lock();
        let rest = left.checked_sub((calls as u64).saturating_mul(CALLS_PER_EXTRA));
        *left = rest.unwrap_or(*left);
        rest.is_some()
    }
}

#[cfg(test)]
#[path = "budget_tests.rs"]
mod tests;
