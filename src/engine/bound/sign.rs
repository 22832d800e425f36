//! The probabilistic bound of stage 1: from which sum of signed coordinates on a row survives. Reads no rows.
//!
//! σ = sign(x) and α = ⟨x, σ⟩ / √D. Under a Haar rotation that knows nothing of the palm, σ/√D = α·x + √(1−α²)·u for a unit row x, where u is
//! uniform on the unit sphere orthogonal to x. So for a unit probe with cosine s to the row
//!
//! ```text
//! ⟨q, σ⟩/√D = α·s + √(1−α²)·√(1−s²)·t,    P(t ≤ −z) = ½·I_{1−z²}((D−2)/2, ½)
//! ```
//!
//! since t is a coordinate of a uniform point on S^(D−2). The right side grows with s where s ≥ 0, so that a row with s ≥ τ > 0 falls below
//! f(α) = α·τ − √(1−α²)·√(1−τ²)·z with probability p at most. f is convex: a tangent lies below it, and a line is all that a scan computes:
//!
//! ```text
//! ⟨q, σ⟩ ≥ slope·α + intercept
//! ```
//!
//! Rows are unit vectors but for their rounding to half precision: α is 0 for every other row (see `Codes`), which then always survives.

use statrs::function::beta::beta_reg;

/// How far the norm of a row that has an α may be from 1.
pub(in crate::engine) const ROW_NORM_TOLERANCE: f64 = 1.0 / 256.0;
/// Where the tangent touches: the mean of α for many coordinates, √(2/π).
const ALPHA_TYPICAL: f64 = 0.797_884_560_802_865_4;
/// Relative slack for the single-precision roundings of a scan, each 2⁻²⁴ and fewer than eight; a GPU may round either way.
const ROUNDING: f64 = 1.0 / 1_048_576.0;
/// Halvings that find the quantile to the last bit.
const HALVINGS: usize = 60;

/// The line that a row's ⟨q, σ⟩ must reach. The slope is positive.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::engine) struct SignBound {
    pub(in crate::engine) slope: f32,
    pub(in crate::engine) intercept: f32,
    /// The same for a typical α, in standard deviations of ⟨q, σ⟩ of a stranger.
    pub(in crate::engine) typical: f32,
}

impl SignBound {
    /// The bound of a probe of norm `norm` in `dim` dimensions, where `quantile` is z of [`quantile`]. None where the threshold is
    /// not above 0.
    pub(super) fn new(dim: usize, norm: f64, threshold: f64, quantile: f64) -> Option<Self> {
        if threshold <= 0.0 {
            return None;
        }
        let dim = f64::from(u32::try_from(dim).expect("a dimension has 13 bits"));
        let longest = 1.0 + ROW_NORM_TOLERANCE;
        let cosine = (threshold / (norm * longest)).min(1.0);
        let spread = (1.0 - cosine * cosine).sqrt() * quantile;
        let off = (1.0 - ALPHA_TYPICAL * ALPHA_TYPICAL).sqrt();
        let value = ALPHA_TYPICAL * cosine - off * spread;
        let tangent = cosine + spread * ALPHA_TYPICAL / off;
        let scale = norm * dim.sqrt();
        let slope = scale * tangent / longest;
        let intercept = scale * (value - tangent * ALPHA_TYPICAL);
        let slack = ROUNDING * (slope.abs() + intercept.abs() + scale);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "rounded to single precision; the slack pays for it"
        )]
        Some(Self {
            slope: slope as f32,
            intercept: (intercept - slack) as f32,
            typical: (scale * value / norm) as f32,
        })
    }

    /// Whether a row survives, given ⟨q, σ⟩ or anything above it: the statement that every kernel repeats.
    #[inline]
    pub(in crate::engine) fn survives(&self, alpha: f32, sum: f32) -> bool {
        sum >= self.slope * alpha + self.intercept
    }
}

/// z with P(t ≥ z) = p, where t is a coordinate of a uniform point on the unit sphere in `dim` − 1 dimensions; p below one half.
pub(in crate::engine) fn quantile(dim: usize, p: f64) -> f64 {
    let half = (f64::from(u32::try_from(dim).expect("a dimension has 13 bits")) - 2.0) / 2.0;
    let (mut low, mut high) = (0.0_f64, 1.0_f64);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        // Too small a z has too large a tail; `high` keeps a tail of p at most.
        if 0.5 * beta_reg(half, 0.5, 1.0 - middle * middle) > p {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

#[cfg(test)]
#[path = "sign_tests.rs"]
mod tests;
