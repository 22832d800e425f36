//! The deterministic bound of stage 2: a probe in 8 bits and the figures that decide whether a row survives. Reads no rows.
//! The bound of stage 1 is in `sign`.
//!
//! With x̂ = s·(c + ½), q̂ = t·p (p in 8 bits), r ≥ ‖x − x̂‖ and e ≥ ‖q − q̂‖:
//!
//! ```text
//! ⟨q, x⟩ = ⟨q̂, x̂⟩ + ⟨q − q̂, x̂⟩ + ⟨q, x − x̂⟩ ≤ ½·s·t·I + e·(‖x‖ + r) + ‖q‖·r,    I = Σ pᵢ·(2uᵢ − 15), an exact integer
//! ```
//!
//! ‖x‖ is replaced by [`ROW_NORM_MAX`]; a longer row carries its excess in r. Divided by ½·t, a row survives when
//!
//! ```text
//! s·I + w·r ≥ l,    w = (‖q‖ + e) / ½t rounded up,    l = (τ − slack − e·ROW_NORM_MAX) / ½t rounded down
//! ```
//!
//! |I| ≤ 127·15·2,048 < 2²⁴, so that I is exact in single precision too. *slack* pays for the roundings that don't grow with r: those
//! of the canonical score, γ·‖q‖·‖x‖ with γ = n·2⁻²⁴ for the n roundings of its longest chain, and those of the three operations above,
//! taken four times as large as IEEE 754 rounding makes them, since a GPU may round either way and may or may not fuse. What grows with r
//! is paid by the rounding up of r, see `RESIDUAL_ROUNDING`.

pub(super) mod sign;

use std::sync::Arc;

use zeroize::Zeroize;

use crate::model::reject::Rejected;
use crate::model::signature::Dimension;

use super::canonical;
use super::code::Scale;
use sign::SignBound;

/// Norm up to which a row is bounded as it is; half-precision rounding moves a unit vector's by less than 2⁻¹⁰.
pub(super) const ROW_NORM_MAX: f64 = 1.01;
/// How far the norm of a probe may be from 1.
const PROBE_NORM_TOLERANCE: f64 = 0.05;
/// Largest magnitude of a probe's coordinate in 8 bits.
const PROBE_LEVEL_MAX: f32 = 127.0;
/// Sums kept side by side, so that compilers may use vectors.
const LANES: usize = 16;
/// Roundings of the epilogue, each four times 2⁻²⁴, with room to spare.
const EPILOGUE_ROUNDING: f64 = 8.0 * 4.0 / 16_777_216.0;
/// Absolute part of the slack: products too small for single precision.
const UNDERFLOW: f64 = 1e-30;

/// A probe in 8 bits with its side of the bounds. What was derived of it is wiped when dropped.
#[derive(Clone)]
pub(super) struct QuantizedProbe {
    /// q as it came.
    pub(super) exact: Arc<[f32]>,
    /// p: coordinate i is about t·pᵢ.
    pub(super) values: Vec<i8>,
    /// 15·Σp, so that I = 2·Σ pᵢ·uᵢ − offset.
    pub(super) offset: i32,
    /// w of the bound.
    pub(super) weight: f32,
    /// l of the bound.
    pub(super) limit: f32,
    /// t: the step of `values`.
    pub(super) step: f32,
    /// At least Σ|qᵢ − t·pᵢ|, so that t·⟨p, σ⟩ + this ≥ ⟨q, σ⟩ for any signs.
    pub(super) rounding: f32,
    /// The bound of stage 1, where rows may be dismissed by it.
    pub(super) sign: Option<SignBound>,
}

impl Drop for QuantizedProbe {
    fn drop(&mut self) {
        self.values.zeroize();
    }
}

impl QuantizedProbe {
    /// Quantises a unit probe for a search at `threshold`. Rows may be dismissed by their signs where the quantile of that bound is
    /// given. Refuses another dimension, numbers that are not finite and a norm further than 0.05 from 1.
    pub(super) fn new(
        probe: &Arc<[f32]>,
        dim: Dimension,
        threshold: f32,
        quantile: Option<f64>,
    ) -> Result<Self, Rejected> {
        if probe.len() != dim.get() {
            let problem = format!(
                "has {} coordinates; the gallery's dimension is {}",
                probe.len(),
                dim.get()
            );
            return Err(Rejected::new("probe", problem));
        }
        if !threshold.is_finite() {
            return Err(Rejected::new(
                "threshold",
                format!("{threshold} is not a finite number"),
            ));
        }
        let mut squares = [0.0_f64; LANES];
        for chunk in probe.as_chunks::<LANES>().0 {
            for (square, v) in squares.iter_mut().zip(chunk) {
                *square += f64::from(*v) * f64::from(*v);
            }
        }
        let norm = squares.iter().sum::<f64>().sqrt();
        // A norm that is not a number is in no range.
        let norms = 1.0 - PROBE_NORM_TOLERANCE..=1.0 + PROBE_NORM_TOLERANCE;
        if !norms.contains(&norm) {
            let problem = format!("has norm {norm:.4}; a unit vector is expected");
            return Err(Rejected::new("probe", problem));
        }
        let max = probe.iter().fold(0.0_f32, |max, v| max.max(v.abs()));
        let step = max / PROBE_LEVEL_MAX;
        let inverse = step.recip();
        let mut values = vec![0; probe.len()];
        let (mut squares, mut errors) = ([0.0_f64; LANES], [0.0_f64; LANES]);
        for (values, probe) in values
            .as_chunks_mut::<LANES>()
            .0
            .iter_mut()
            .zip(probe.as_chunks::<LANES>().0)
        {
            for i in 0..LANES {
                let level = nearest(probe[i] * inverse);
                values[i] = level;
                let error = f64::from(probe[i]) - f64::from(step) * f64::from(level);
                squares[i] += error * error;
                errors[i] += error.abs();
            }
        }
        let error = squares.iter().sum::<f64>().sqrt();
        let rounding = errors.iter().sum::<f64>() + f64::from(f32::EPSILON);
        let threshold = f64::from(threshold);
        let sign = quantile.and_then(|quantile| SignBound::new(dim.get(), norm, threshold, quantile));
        let (offset, weight, limit) = limits(&values, f64::from(step), norm, error, threshold);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "rounded to single precision, upwards"
        )]
        Ok(Self {
            exact: Arc::clone(probe),
            values,
            offset,
            weight,
            limit,
            step,
            rounding: (rounding as f32).next_up(),
            sign,
        })
    }

    /// Whether a row survives, given I: the statement that every kernel's epilogue repeats.
    #[expect(clippy::cast_precision_loss, reason = "below 2^24, so exact")]
    #[inline]
    pub(super) fn survives(&self, scale: &Scale, integer: i32) -> bool {
        scale.scale * integer as f32 + self.weight * scale.residual >= self.limit
    }
}

/// The level nearest to a coordinate in steps, of which there are 127 at most: adding and subtracting 1.5·2²³ rounds to an integer.
#[expect(clippy::cast_possible_truncation, reason = "an integer from -127 to 127")]
#[inline]
fn nearest(scaled: f32) -> i8 {
    const ROUNDER: f32 = 12_582_912.0;
    ((scaled + ROUNDER) - ROUNDER).clamp(-PROBE_LEVEL_MAX, PROBE_LEVEL_MAX) as i8
}

/// Offset, w and l of the bound.
fn limits(values: &[i8], step: f64, norm: f64, error: f64, threshold: f64) -> (i32, f32, f32) {
    let half_step = step / 2.0;
    let reach = norm + error;
    let chain = u32::try_from(canonical::roundings(values.len())).expect("a dimension has 13 bits");
    let slack = f64::from(chain) / 16_777_216.0 * norm * ROW_NORM_MAX
        + EPILOGUE_ROUNDING * (reach * ROW_NORM_MAX + threshold.abs())
        + UNDERFLOW;
    let limit = (threshold - slack - error * ROW_NORM_MAX) / half_step;
    let offset = 15 * values.iter().map(|p| i32::from(*p)).sum::<i32>();
    #[expect(
        clippy::cast_possible_truncation,
        reason = "rounded to single precision, each to the safe side"
    )]
    let (weight, limit) = (((reach / half_step) as f32).next_up(), (limit as f32).next_down());
    (offset, weight, limit)
}

#[cfg(test)]
#[path = "bound_tests.rs"]
mod tests;
