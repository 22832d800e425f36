//! Thresholds as whole steps of 2⁻¹⁶, and counts of scores between them. What is counted at a step is exact, never interpolated.

use serde::{Deserialize, Serialize};

use super::as_f64;

/// Steps of a score of 1. A step of 0.000015 is what the rounding of a stored row to half precision moves a score by, about.
const STEPS: u32 = 65_536;
/// Steps that a report's counts hold together: 0.00024.
const STRETCH: u32 = 1 << 4;
/// The threshold that nothing reaches: one step above 1.
pub const UNREACHED: u32 = 2 * STEPS + 1;
/// Scores are sorted into so many steps: from −1 up to and with 1.
pub const BINS: usize = UNREACHED as usize;

/// The last threshold that `score` reaches.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cosine is within −1 and 1 but for its rounding, and clamped"
)]
pub fn bin(score: f32) -> u32 {
    const SCALE: f32 = 65_536.0;
    // Exact: the scale is a power of two, and the sum a whole number that single precision holds.
    ((score * SCALE).floor() + SCALE).clamp(0.0, 2.0 * SCALE) as u32
}

/// The score of a step; exact.
pub fn score(bin: u32) -> f64 {
    f64::from(bin) / f64::from(STEPS) - 1.0
}

/// How many scores lie at or above each threshold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    /// By step; one more than there are steps, the last one 0.
    at_or_above: Vec<u64>,
}

impl Counts {
    /// From the number of scores in each step.
    pub fn new(mut by_bin: Vec<u64>) -> Self {
        by_bin.resize(BINS + 1, 0);
        let mut sum = 0;
        for count in by_bin.iter_mut().rev() {
            sum += *count;
            *count = sum;
        }
        Self { at_or_above: by_bin }
    }

    /// From the step of each score.
    pub fn of(bins: impl IntoIterator<Item = u32>) -> Self {
        let mut by_bin = vec![0; BINS];
        for bin in bins {
            by_bin[bin as usize] += 1;
        }
        Self::new(by_bin)
    }

    /// All scores.
    pub fn total(&self) -> u64 {
        self.at_or_above(0)
    }

    /// Scores that reach a threshold.
    pub fn at_or_above(&self, bin: u32) -> u64 {
        self.at_or_above.get(bin as usize).copied().unwrap_or(0)
    }

    /// Scores that don't.
    pub fn below(&self, bin: u32) -> u64 {
        self.total() - self.at_or_above(bin)
    }

    /// The lowest threshold at which the count of scores at or above it is `few`; the count only falls.
    pub fn lowest(&self, few: impl Fn(u64) -> bool) -> u32 {
        let at = self.at_or_above.partition_point(|count| !few(*count));
        u32::try_from(at).expect("a step fits in 32 bits").min(UNREACHED)
    }

    /// The lowest threshold that at most this share of the scores reaches.
    pub fn lowest_at_share(&self, share_max: f64) -> u32 {
        // Against a product such as 0.000_1 · 30,000 that comes out just below 3.
        let count_max = share_max * as_f64(self.total()) * (1.0 + 1e-12);
        self.lowest(|count| as_f64(count) <= count_max)
    }

    /// The same counts as a report keeps them.
    pub fn histogram(&self) -> Histogram {
        let counts: Vec<u64> = edges()
            .map(|low| self.at_or_above(low) - self.at_or_above(low + STRETCH))
            .collect();
        let first = counts.iter().position(|count| *count > 0).unwrap_or(0);
        let end = counts
            .iter()
            .rposition(|count| *count > 0)
            .map_or(first, |last| last + 1);
        Histogram {
            first: edges().nth(first).map_or(-1.0, score),
            step: f64::from(STRETCH) / f64::from(STEPS),
            counts: counts.get(first..end).unwrap_or_default().to_vec(),
        }
    }

    /// The scores from an edge on in rising order, each in the middle of its stretch, and how many there are.
    pub fn stretches(&self, edge: u32) -> Vec<(f64, u64)> {
        let count = |low: u32| self.at_or_above(low) - self.at_or_above(low + STRETCH);
        edges()
            .filter(|low| *low >= edge && count(*low) > 0)
            .map(|low| (score(low + STRETCH / 2), count(low)))
            .collect()
    }
}

/// Where the stretches of a report's counts begin.
fn edges() -> impl Iterator<Item = u32> {
    (0..UNREACHED).step_by(STRETCH as usize)
}

/// The first edge at or above a threshold.
pub fn edge(bin: u32) -> u32 {
    bin.next_multiple_of(STRETCH)
}

/// The first edge at or above a score; beyond the last threshold for one above 1.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to the thresholds there are"
)]
pub fn edge_above(score: f64) -> u32 {
    let steps = ((score + 1.0) * f64::from(STEPS)).ceil();
    edge(steps.clamp(0.0, f64::from(UNREACHED)) as u32)
}

/// Counts of scores over equal stretches of 2⁻¹², without the empty ones at both ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// Where the first stretch begins, as a score.
    pub first: f64,
    /// Width of a stretch.
    pub step: f64,
    /// Scores of each stretch: at or above its beginning, below its end.
    pub counts: Vec<u64>,
}

impl Histogram {
    /// The counts it was made of, exact at its edges and too many, never too few, at a threshold between two. None when it is none of these.
    pub fn counts(&self) -> Option<Counts> {
        let whole = |steps: f64| {
            let edge = edge_above(steps / f64::from(STEPS) - 1.0);
            (f64::from(edge).to_bits() == steps.to_bits()).then_some(edge)
        };
        let first = whole((self.first + 1.0) * f64::from(STEPS))?;
        if whole(self.step * f64::from(STEPS))? != STRETCH {
            return None;
        }
        let mut by_bin = vec![0; BINS];
        let mut total = 0_u64;
        for (low, count) in (first..UNREACHED).step_by(STRETCH as usize).zip(&self.counts) {
            total = total.checked_add(*count)?;
            by_bin[((low + STRETCH) as usize).min(BINS) - 1] = *count;
        }
        (total
            == self
                .counts
                .iter()
                .try_fold(0_u64, |sum, count| sum.checked_add(*count))?)
        .then(|| Counts::new(by_bin))
    }
}

#[cfg(test)]
#[path = "grid_tests.rs"]
mod tests;
