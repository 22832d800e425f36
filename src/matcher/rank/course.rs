//! Which threshold to scan at next, so that few scans find one that enough subjects reach and whose survivors can be listed. Scans nothing itself.

use statrs::distribution::{ContinuousCDF, Normal};

use crate::model::signature::Dimension;

/// Most scans for one question; after them every row is scored.
pub(super) const SCANS_MAX: usize = 8;
/// No cosine of unit vectors, rounded as they are, lies above; nor below its negative.
const SCORE_MAX: f32 = 1.01;
/// Times as many strangers as subjects are wanted are expected to reach the first threshold.
const SPARE: f64 = 2.0;
/// Share of the subjects from which on it is no use to leave any out.
const SHARE_MAX: f64 = 0.5;
/// First step up or down, in standard deviations of a stranger's score; doubled each time.
const STEP: f64 = 0.5;
/// Thresholds closer together than this are not told apart.
const RESOLUTION: f32 = 1e-3;

/// The way from one threshold to the next. The second is one that is known to do, wherever the first scan saw enough subjects.
pub(super) struct Course {
    scans_left: usize,
    start: Option<f32>,
    step: f32,
    /// The highest threshold so far with more survivors than are listed.
    unlisted: f32,
    /// The lowest threshold so far that fewer than the wanted subjects reach.
    unreached: f32,
}

impl Course {
    /// The course of a question for `wanted` out of `subjects`. It begins at the score that twice as many strangers as are wanted reach,
    /// taken as isotropic: one coordinate of a uniform point on a sphere in D dimensions, near Gaussian with variance 1/D.
    /// Where nearly everybody is wanted, there is no threshold to scan at.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "an estimate; counts stay far below 2^53"
    )]
    pub(super) fn new(dimension: Dimension, subjects: u64, wanted: usize) -> Self {
        let deviation = 1.0 / (dimension.get() as f64).sqrt();
        let share = SPARE * wanted as f64 / subjects as f64;
        let sparse = share < SHARE_MAX;
        Self {
            scans_left: if sparse { SCANS_MAX } else { 0 },
            start: sparse.then(|| (-Normal::standard().inverse_cdf(share) * deviation) as f32),
            step: (STEP * deviation) as f32,
            unlisted: -SCORE_MAX,
            unreached: SCORE_MAX,
        }
    }

    /// Where to scan next; none when it is time to score every row. `last` is a score that enough subjects are known to reach.
    pub(super) fn next(&mut self, last: Option<f32>) -> Option<f32> {
        self.scans_left = self.scans_left.checked_sub(1)?;
        if let Some(start) = self.start.take() {
            return Some(start);
        }
        if let Some(last) = last {
            // The best who were seen are about the best there are: where what they reach lies below a threshold that was too low to
            // be listed, hardly any higher one is reached by enough.
            return (last > self.unlisted).then_some(last);
        }
        if self.unreached - self.unlisted < RESOLUTION {
            return None;
        }
        let middle = f32::midpoint(self.unlisted, self.unreached);
        let step = self.step;
        self.step *= 2.0;
        Some(if self.unlisted <= -SCORE_MAX {
            middle.max(self.unreached - step)
        } else if self.unreached >= SCORE_MAX {
            middle.min(self.unlisted + step)
        } else {
            middle
        })
    }

    /// The survivors of a scan at `threshold` were too many to be listed.
    pub(super) fn unlisted(&mut self, threshold: f32) {
        self.unlisted = self.unlisted.max(threshold);
    }

    /// Fewer subjects than are wanted reach `threshold`.
    pub(super) fn unreached(&mut self, threshold: f32) {
        self.unreached = self.unreached.min(threshold);
    }
}

#[cfg(test)]
#[path = "course_tests.rs"]
mod tests;
