//! From a wanted false positive rate to a score. A model stated in the open, not a measurement of anybody's encoder.
//!
//! A non-mated score is taken for one coordinate of a uniform point on a sphere in d dimensions, so
//! FMR(t) = ½·I₁₋ₜ²((d−1)/2, ½), the regularised incomplete beta function. Were signatures isotropic, d would be D; real
//! ones are not. On contactless palm regions (100 palms, 407,055 non-mated pairs) the standard deviation was 0.083 at
//! D = 256 and 0.06 at D = 512, which by itself means d = 145 and 278. The measured tail is heavier than that: 0.1 % of the
//! scores were above 0.28 and 0.21. So d = D/3, with which the model gives 0.44 % and 0.29 % there and so errs to the safe side.
//! An identification compares with N references: FPIR = 1 − (1 − FMR)ᴺ. A tenant that has measured its own scores
//! states the threshold itself.

use statrs::function::beta::beta_reg;

use crate::model::policy::{ThresholdRule, fmr_of_fpir};
use crate::model::signature::Dimension;

/// Share of the dimensions that non-mated scores behave as if they had.
const EFFECTIVE_DIM_DIVISOR: f64 = 3.0;
/// Halvings of the interval 0 to 1 that the score is found in; beyond the precision of a binary64.
const BISECTIONS: u32 = 60;

/// The score from which on a candidate counts.
pub fn score(rule: &ThresholdRule, dim: Dimension) -> f32 {
    match *rule {
        ThresholdRule::Score(score) => score,
        ThresholdRule::TargetFpir { fpir, gallery_size } => score_at(fmr_of_fpir(fpir, gallery_size), dim),
    }
}

/// The score that one of `comparisons` non-mated comparisons reaches with at most the probability with which a single one reaches
/// `threshold`.
pub fn stricter(threshold: f32, comparisons: usize, dim: Dimension) -> f32 {
    let comparisons = f64::from(u32::try_from(comparisons.max(1)).unwrap_or(u32::MAX));
    score_at(fmr(f64::from(threshold), dim) / comparisons, dim).max(threshold)
}

/// The score at which a false match is `factor` times as frequent as at `threshold`, but no more frequent than `fmr_max`; the threshold itself
/// where it is so frequent there.
pub fn looser(threshold: f32, factor: f64, fmr_max: f64, dim: Dimension) -> f32 {
    let rate = (fmr(f64::from(threshold), dim) * factor).min(fmr_max);
    score_at(rate, dim).min(threshold)
}

/// The model's probability that one non-mated comparison scores `score` or more.
pub fn fmr(score: f64, dim: Dimension) -> f64 {
    let dim = f64::from(u16::try_from(dim.get()).expect("DIM_MAX fits in 16 bits"));
    let effective = dim / EFFECTIVE_DIM_DIVISOR;
    0.5 * beta_reg((effective - 1.0) / 2.0, 0.5, 1.0 - score * score)
}

/// The least score in single precision with at most this rate.
fn score_at(fmr_max: f64, dim: Dimension) -> f32 {
    let (mut below, mut at) = (0.0, 1.0);
    for _ in 0..BISECTIONS {
        let middle = f64::midpoint(below, at);
        if fmr(middle, dim) > fmr_max {
            below = middle;
        } else {
            at = middle;
        }
    }
    #[expect(clippy::cast_possible_truncation, reason = "corrected below")]
    let rounded = at as f32;
    let score = if f64::from(rounded) < at {
        rounded.next_up()
    } else {
        rounded
    };
    score.clamp(f32::EPSILON, 1.0)
}

#[cfg(test)]
#[path = "threshold_tests.rs"]
mod tests;
