//! Blocks of 64 rows: the sum from which on any row of a block may survive, for each probe. Decides nothing about a single row.

use crate::engine::gallery::{Figure, PageView};

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

/// What the live rows of a block have in common: their largest residual, and their largest and smallest step as reciprocals.
#[derive(Clone, Copy)]
struct Range {
    residual_max: f32,
    inverse_of_max: f32,
    inverse_of_min: f32,
}

/// None if no row is live. Bits of bfloat16 are compared as integers, which compilers do for many rows at once.
#[inline(always)]
fn range(figures: &[Figure]) -> Option<Range> {
    let (mut residual, mut max, mut min) = (-1_i16, 0_i16, i16::MAX);
    for figure in figures {
        let [scale, own] = figure.bits();
        residual = residual.max(own);
        max = max.max(scale);
        min = min.min(if own < 0 { i16::MAX } else { scale });
    }
    (residual >= 0).then(|| Range {
        residual_max: Figure::value(residual),
        inverse_of_max: Figure::value(max).recip(),
        inverse_of_min: Figure::value(min).recip(),
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
    let Some(range) = range(&page.figures[position..end]) else {
        return false;
    };
    let columns = batch.offsets.iter().zip(&batch.weights).zip(&batch.limits);
    for (threshold, ((offset, weight), limit)) in thresholds.iter_mut().zip(columns) {
        *threshold = smallest(&range, *offset, *weight, *limit);
    }
    true
}

/// I ≥ (l − w·r) / s, smallest for the largest r, and for the largest s or, below zero, the smallest one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "rounded down with slack, within ±1e9"
)]
#[inline(always)]
fn smallest(range: &Range, offset: i32, weight: f32, limit: f32) -> i32 {
    let reach = weight * range.residual_max;
    let rest = limit - reach;
    let inverse = if rest >= 0.0 {
        range.inverse_of_max
    } else {
        range.inverse_of_min
    };
    // The terms that are subtracted may be larger than what is left of them.
    let terms = limit.abs() + reach;
    let integer = rest * inverse - (terms * inverse * ROUNDING + STEPS);
    let sum = (integer + offset as f32) * 0.5 - STEPS;
    // Not a number, which 0 · ∞ is, becomes the smallest: no comparison holds for it.
    let sum = if sum > -SUM_MAX { sum } else { -SUM_MAX };
    (if sum < SUM_MAX { sum } else { SUM_MAX }) as i32
}

#[cfg(test)]
#[path = "block_tests.rs"]
mod tests;
