//! Blocks of 64 rows: the sum from which on any row of a block may survive, for each probe. Decides nothing about a single row.
#![expect(
    unsafe_code,
    reason = "a conversion that checks nothing is one instruction for many probes"
)]
#![expect(
    clippy::inline_always,
    reason = "compiled for the instruction set of the kernel it is in"
)]

use crate::engine::gallery::{Figure, PageView, TILE_ROWS};

use super::Batch;

/// Rows of a block; the last block of a page may be shorter.
pub(super) const BLOCK_ROWS: usize = 64;
/// What the roundings of the single row's test and of this one may move the sum by: relative, then in whole steps.
const ROUNDING: f32 = 1.0 / 262_144.0;
const STEPS: f32 = 2.0;
/// Sums stay far below it.
const SUM_MAX: f32 = 1e9;
/// Reached by no sum.
pub(super) const UNREACHABLE: i32 = i32::MAX;

/// Figures of the live rows of a block. With ρ = l/w of the first probe of a batch, which those of the others are close to, a row's limit is
/// w·(ρ − r)/s + (l − w·ρ)/s.
#[derive(Clone, Copy)]
struct Range {
    /// Smallest (ρ − r)/s.
    key_min: f32,
    inverse_min: f32,
    inverse_max: f32,
    residual_max: f32,
}

/// None if no row is live. Sixteen rows side by side, which compilers turn into vectors.
#[inline(always)]
fn range(figures: &[Figure], ratio: f32) -> Option<Range> {
    let mut keys = [f32::INFINITY; TILE_ROWS];
    let (mut mins, mut maxs) = ([f32::INFINITY; TILE_ROWS], [0.0_f32; TILE_ROWS]);
    let mut residuals = [-1.0_f32; TILE_ROWS];
    for figures in figures.as_chunks::<TILE_ROWS>().0 {
        for i in 0..TILE_ROWS {
            let (scale, residual) = (figures[i].scale(), figures[i].residual());
            let is_live = residual >= 0.0;
            let inverse = scale.recip();
            // A row without a step has no limit; 0 · ∞ would be no number.
            let key = if scale > 0.0 {
                (ratio - residual) * inverse
            } else {
                f32::NEG_INFINITY
            };
            let key = if is_live { key } else { f32::INFINITY };
            let low = if is_live { inverse } else { f32::INFINITY };
            let high = if is_live { inverse } else { 0.0 };
            keys[i] = if key < keys[i] { key } else { keys[i] };
            mins[i] = if low < mins[i] { low } else { mins[i] };
            maxs[i] = if high > maxs[i] { high } else { maxs[i] };
            residuals[i] = if residual > residuals[i] {
                residual
            } else {
                residuals[i]
            };
        }
    }
    let residual_max = residuals.into_iter().fold(-1.0, f32::max);
    (residual_max >= 0.0).then(|| Range {
        key_min: keys.into_iter().fold(f32::INFINITY, f32::min),
        inverse_min: mins.into_iter().fold(f32::INFINITY, f32::min),
        inverse_max: maxs.into_iter().fold(0.0, f32::max),
        residual_max,
    })
}

/// For each probe a sum that every survivor of a block of rows reaches; false if no row of it is live.
///
/// Inlined into the kernels, so that it is compiled for their instruction sets.
#[inline(always)]
pub(super) fn thresholds(
    page: &PageView<'_>,
    position: usize,
    batch: &Batch,
    thresholds: &mut [i32],
) -> bool {
    let end = page.len().min(position + BLOCK_ROWS);
    let ratio = batch.limits[0] / batch.weights[0];
    let Some(range) = range(&page.figures[position..end], ratio) else {
        return false;
    };
    let columns = batch.offsets.iter().zip(&batch.weights).zip(&batch.limits);
    for (threshold, ((offset, weight), limit)) in thresholds.iter_mut().zip(columns) {
        *threshold = smallest(&range, ratio, *offset, *weight, *limit);
    }
    true
}

/// The smallest sum with which any row of the block may survive.
#[expect(clippy::cast_precision_loss, reason = "below 2^24, so exact")]
#[inline(always)]
fn smallest(range: &Range, ratio: f32, offset: i32, weight: f32, limit: f32) -> i32 {
    let rest = limit - weight * ratio;
    let inverse = if rest >= 0.0 {
        range.inverse_min
    } else {
        range.inverse_max
    };
    // The terms that are subtracted from each other may be larger than what is left of them.
    let terms = limit.abs() + weight * (ratio.abs() + range.residual_max);
    let integer = weight * range.key_min + rest * inverse;
    let integer = integer - (terms * range.inverse_max * ROUNDING + STEPS);
    let sum = (integer + offset as f32) * 0.5 - STEPS;
    // What is no number becomes the smallest: no comparison holds for it.
    let sum = if sum > -SUM_MAX { sum } else { -SUM_MAX };
    let sum = if sum < SUM_MAX { sum } else { SUM_MAX };
    // SAFETY: a number between ±10⁹.
    unsafe { sum.to_int_unchecked() }
}

#[cfg(test)]
#[path = "block_tests.rs"]
mod tests;
