//! FMR and FNMR at every threshold, and what is read off them. Knows nothing of palms.

use std::cmp::Ordering;

use super::as_f64;
use super::grid::{Counts, UNREACHED};

/// The scores of all pairs.
#[derive(Debug, Clone)]
pub struct Rates {
    /// Mated scores, at least one.
    pub mated: Counts,
    /// Non-mated scores, at least one.
    pub non_mated: Counts,
}

/// Where FMR and FNMR are equal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EqualError {
    /// The rate.
    pub rate: f64,
    /// The threshold.
    pub bin: u32,
}

impl Rates {
    /// Share of the non-mated pairs that match.
    pub fn fmr(&self, bin: u32) -> f64 {
        as_f64(self.non_mated.at_or_above(bin)) / as_f64(self.non_mated.total())
    }

    /// Share of the mated pairs that don't.
    pub fn fnmr(&self, bin: u32) -> f64 {
        as_f64(self.mated.below(bin)) / as_f64(self.mated.total())
    }

    /// The equal error rate. Both rates jump from threshold to threshold; where none makes them equal it is their mean at that one of the two
    /// neighbouring thresholds where they are closer to 0 together (Maio et al. 2002, FVC2000).
    pub fn equal_error(&self) -> EqualError {
        let thresholds: Vec<u32> = (0..=UNREACHED).collect();
        let at = thresholds.partition_point(|bin| self.compare(*bin) == Ordering::Less);
        // At the lowest threshold everything matches, and nothing does at the last one: both sides are there.
        let above = thresholds.get(at).copied().unwrap_or(UNREACHED);
        let below = above.saturating_sub(1);
        let sum = |bin: u32| self.fmr(bin) + self.fnmr(bin);
        let unequal = self.compare(above) != Ordering::Equal;
        let bin = if unequal && sum(below) < sum(above) {
            below
        } else {
            above
        };
        EqualError {
            rate: sum(bin) / 2.0,
            bin,
        }
    }

    /// FNMR against FMR, without rounding.
    fn compare(&self, bin: u32) -> Ordering {
        let product = |errors: u64, others: u64| u128::from(errors) * u128::from(others);
        let fnmr = product(self.mated.below(bin), self.non_mated.total());
        fnmr.cmp(&product(self.non_mated.at_or_above(bin), self.mated.total()))
    }
}

#[cfg(test)]
#[path = "rates_tests.rs"]
mod tests;
