//! Products with the rotation in single precision: one vector, or a batch of rows. Knows shapes alone.
#![expect(unsafe_code, reason = "matrixmultiply's kernel takes pointers and strides")]

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
    assert_eq!(rows.len(), count * dim, "rows are whole");
    assert_eq!(matrix.len(), dim * dim, "the matrix is square");
    assert_eq!(out.len(), rows.len(), "one row out for each row in");
    let stride = isize::try_from(dim).expect("a dimension is small");
    // SAFETY: the lengths were asserted above, so every element that the strides reach lies within its slice;
    // `out` is borrowed exclusively and so overlaps neither input.
    unsafe {
        matrixmultiply::sgemm(
            count,
            dim,
            dim,
            1.0,
            rows.as_ptr(),
            stride,
            1,
            matrix.as_ptr(),
            1,
            stride,
            0.0,
            out.as_mut_ptr(),
            stride,
            1,
        );
    }
}
