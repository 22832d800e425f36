//! Orthonormal rows out of independent ones: modified Gram–Schmidt, twice. One order of operations whatever the number of threads.
//!
//! Row i is freed of rows 0, 1, … i−1 in that order, the whole twice ("twice is enough": Giraud, Langou, Rozložník 2005),
//! and scaled. A = L·Q then has a positive diagonal in L. Rows are worked on in blocks, which a cache holds while the
//! earlier rows pass by once; rows of a block don't touch each other until the block's own turn, so threads and
//! block size leave every bit as it is.

use rayon::prelude::*;

/// Rows of a block: 16 rows of 4,096 coordinates are 512 KiB.
const BLOCK_ROWS: usize = 16;
/// Partial sums of a scalar product: coordinate i goes to sum i mod 8.
const LANES: usize = 8;
/// Below this many coordinates times earlier rows, threads cost more than they bring.
const PARALLEL_WORK_MIN: usize = 1 << 14;

/// Makes the rows of a square matrix, row-major, orthonormal. They must be independent.
pub(super) fn orthonormalize(matrix: &mut [f64], dim: usize) {
    for begin in (0..dim).step_by(BLOCK_ROWS) {
        let (done, rest) = matrix.split_at_mut(begin * dim);
        let block_len = rest.len().min(BLOCK_ROWS * dim);
        let block = rest.split_at_mut(block_len).0;
        for _ in 0..2 {
            clear_all(block, done, dim);
            clear_within(block, dim);
        }
    }
}

/// Frees every row of the block of every row of `done`.
fn clear_all(block: &mut [f64], done: &[f64], dim: usize) {
    let clear_rows = |rows: &mut [f64]| {
        for earlier in done.chunks_exact(dim) {
            for row in rows.chunks_exact_mut(dim) {
                clear(row, earlier);
            }
        }
    };
    if done.len() < PARALLEL_WORK_MIN {
        clear_rows(block);
    } else {
        block.par_chunks_mut(BLOCK_ROWS / 4 * dim).for_each(clear_rows);
    }
}

/// Frees every row of the block of those before it in the block, and scales it.
fn clear_within(block: &mut [f64], dim: usize) {
    for at in 0..block.len() / dim {
        let (before, rest) = block.split_at_mut(at * dim);
        let row = rest.split_at_mut(dim).0;
        for earlier in before.chunks_exact(dim) {
            clear(row, earlier);
        }
        let norm = dot(row, row).sqrt();
        for value in row {
            *value /= norm;
        }
    }
}

/// Subtracts from `row` its part along the unit vector `earlier`.
fn clear(row: &mut [f64], earlier: &[f64]) {
    let along = dot(row, earlier);
    for (value, unit) in row.iter_mut().zip(earlier) {
        *value -= along * unit;
    }
}

/// Scalar product: 8 partial sums, each over its coordinates in order, then a fixed tree.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; LANES];
    for (a, b) in a.as_chunks::<LANES>().0.iter().zip(b.as_chunks::<LANES>().0) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    let [s0, s1, s2, s3, s4, s5, s6, s7] = sums;
    ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7))
}

#[cfg(test)]
#[path = "orthogonal_tests.rs"]
mod tests;
