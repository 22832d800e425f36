//! Stage 3: the canonical score, one order of summation for every backend. Chooses no rows.

use half::f16;
use half::slice::HalfFloatSliceExt;

/// Partial sums kept side by side.
pub const LANES: usize = 16;

/// Canonical cosine score of a unit probe and a stored half-precision row of the same length, a multiple of 16.
///
/// The order is part of the format of an answer: the row is widened to single precision; lane `l` sums the products of the
/// coordinates `l`, `l + 16`, `l + 32`, … in that order, each product rounded before it is added (no fused multiply-add);
/// the lanes are then added in halves, `l + (l + 8)`, `l + (l + 4)`, `l + (l + 2)`, `l + (l + 1)`.
pub fn score(probe: &[f32], row: &[f16]) -> f32 {
    assert_eq!(probe.len(), row.len(), "probe and row have one dimension");
    let (probe, rest) = probe.as_chunks::<LANES>();
    assert!(rest.is_empty(), "a dimension is a multiple of 16");
    let mut sums = [0.0_f32; LANES];
    let mut widened = [0.0_f32; LANES];
    for (probe, row) in probe.iter().zip(row.as_chunks::<LANES>().0) {
        row.convert_to_f32_slice(&mut widened);
        for ((sum, p), x) in sums.iter_mut().zip(probe).zip(&widened) {
            let product = p * x;
            *sum += product;
        }
    }
    let mut width = LANES / 2;
    while width > 0 {
        let (low, high) = sums.split_at_mut(width);
        for (a, b) in low.iter_mut().zip(high) {
            *a += *b;
        }
        width /= 2;
    }
    let [total, ..] = sums;
    total
}

/// Most roundings on the way of one product into the total: its own, one a chunk, and four of the tree.
pub(super) fn roundings(dim: usize) -> usize {
    1 + dim / LANES + 4
}

#[cfg(test)]
#[path = "canonical_tests.rs"]
mod tests;
