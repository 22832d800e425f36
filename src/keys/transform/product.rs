//! Products with the rotation in single precision: one vector, or a batch of rows. Knows shapes alone.

use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, ArrayViewMut2};

/// Partial sums of a scalar product.
const LANES: usize = 16;

/// Scalar product in one fixed order: 16 partial sums, then their sum from first to last.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0; LANES];
    for (a, b) in a.as_chunks::<LANES>().0.iter().zip(b.as_chunks::<LANES>().0) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum()
}

/// `out` = `rows` · `matrix`ᵀ, all row-major: `rows` and `out` n×`dim`, `matrix` `dim`×`dim`.
pub(super) fn rows_by_transposed(rows: &[f32], matrix: &[f32], dim: usize, out: &mut [f32]) {
    let count = rows.len() / dim;
    let rows = ArrayView2::from_shape((count, dim), rows).expect("rows are whole");
    let matrix = ArrayView2::from_shape((dim, dim), matrix).expect("the matrix is square");
    let mut out = ArrayViewMut2::from_shape((count, dim), out).expect("one row out for each row in");
    general_mat_mul(1.0, &rows, &matrix.t(), 0.0, &mut out);
}
