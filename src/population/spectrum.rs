//! How much of a palm's variance each coordinate carries. Knows nothing of captures.
//!
//! The variances fall as λᵢ ∝ (1 + i/s)^−0.7. For directions with these variances the standard
//! deviation of a non-mated cosine is √Σλ²; `s` is solved for so that it comes to the measured one.

use crate::model::signature::Dimension;

use super::{dim_f64, to_f32};

/// How fast the variances fall. Below 1 a few coordinates stand out and the rest are nearly alike,
/// which gives the measured tail: 99.9 % at 3.2 to 3.3 standard deviations.
const SLOPE: f64 = 0.7;
/// Σλ² must be a little above the square of the measured spread: scaling a draw to unit norm evens it out.
const SPREAD_256: f64 = 0.0842;
/// The spread falls as D^−0.468 between the measured 0.083 at 256 and 0.06 at 512 dimensions.
const SPREAD_EXPONENT: f64 = -0.468;

/// Standard deviation of a non-mated score before the effects of scaling.
pub fn spread(dim: Dimension) -> f64 {
    SPREAD_256 * (dim_f64(dim) / 256.0).powf(SPREAD_EXPONENT)
}

/// Standard deviation of each coordinate, largest first; their squares sum to 1.
pub fn deviations(dim: Dimension) -> Vec<f32> {
    let target = spread(dim);
    // The spread falls as the scale grows: bisect its logarithm.
    let (mut low, mut high) = (-14.0_f64, 14.0_f64);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        let squares: f64 = variances(dim, middle.exp()).iter().map(|v| v * v).sum();
        if squares.sqrt() > target {
            low = middle;
        } else {
            high = middle;
        }
    }
    variances(dim, low.exp())
        .iter()
        .map(|variance| to_f32(variance.sqrt()))
        .collect()
}

fn variances(dim: Dimension, scale: f64) -> Vec<f64> {
    let raw: Vec<f64> = (0..dim.get())
        .map(|i| {
            let i = f64::from(u16::try_from(i).expect("a dimension fits in 16 bits"));
            (1.0 + i / scale).powf(-SLOPE)
        })
        .collect();
    let sum: f64 = raw.iter().sum();
    raw.iter().map(|v| v / sum).collect()
}
