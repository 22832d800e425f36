//! How large the error of a capture is: by subject, by capture, and spoiled now and then. Draws sizes, not directions.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::model::signature::Dimension;

use super::dim_f64;

/// Spread of ln e between subjects: some palms are always hard to read.
const HABIT_SPREAD: f64 = 0.375;
/// Spread of ln e between captures of one subject.
const CAPTURE_SPREAD: f64 = 0.26;
/// How often a capture is spoiled: a glove, a blur, a palm half out of view.
const SPOILED_RATE: f64 = 0.005;
/// What a spoiled capture adds to ln e, on average (exponential): this makes the tail of mated scores heavy.
const SPOILED_MEAN: f64 = 2.6;
/// ln e of the median subject and capture at 256 dimensions.
const LN_ERROR_256: f64 = -0.78;
/// How it grows with each doubling of the dimension.
const LN_ERROR_PER_OCTAVE: f64 = 0.09;

/// Sizes of capture errors relative to the palm itself.
#[derive(Debug, Clone, Copy)]
pub struct CaptureNoise {
    ln_error: f64,
}

impl CaptureNoise {
    /// Fitted at 256 and 512 dimensions, carried on from there.
    pub fn new(dim: Dimension) -> Self {
        let octaves = (dim_f64(dim) / 256.0).log2();
        Self {
            ln_error: LN_ERROR_256 + LN_ERROR_PER_OCTAVE * octaves,
        }
    }

    /// The part of ln e that a subject keeps in every capture.
    pub fn habit(&self, rng: &mut ChaCha8Rng) -> f64 {
        let normal: f64 = StandardNormal.sample(rng);
        self.ln_error + HABIT_SPREAD * normal
    }

    /// The size of one capture's error.
    pub fn error(&self, habit: f64, rng: &mut ChaCha8Rng) -> f64 {
        let normal: f64 = StandardNormal.sample(rng);
        let mut ln_error = habit + CAPTURE_SPREAD * normal;
        if unit(rng) < SPOILED_RATE {
            // 1 − u lies in (0, 1], so the logarithm is finite.
            ln_error -= SPOILED_MEAN * (1.0 - unit(rng)).ln();
        }
        ln_error.exp()
    }
}

/// Uniform in [0, 1), 53 bits.
fn unit(rng: &mut ChaCha8Rng) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit exactly")]
    let fraction = (rng.next_u64() >> 11) as f64;
    fraction / 9_007_199_254_740_992.0
}
