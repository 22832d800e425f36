//! Tests of Gram–Schmidt: the rows are orthonormal, the triangular factor's diagonal is positive, threads change no bit.

use super::*;
use crate::keys::secret::SecretKey;
use crate::keys::transform::gaussian::standard_normals;

fn gaussian(dim: usize) -> Vec<f64> {
    standard_normals(&SecretKey::from_bytes([5; 32]), dim * dim)
}

#[test]
fn rows_are_orthonormal_to_the_last_bits() {
    for dim in [32, 96, 256] {
        let mut q = gaussian(dim);
        orthonormalize(&mut q, dim);
        for (i, a) in q.chunks_exact(dim).enumerate() {
            for (j, b) in q.chunks_exact(dim).enumerate().skip(i) {
                let expected = if i == j { 1.0 } else { 0.0 };
                let found = dot(a, b);
                assert!((found - expected).abs() < 2e-15, "{dim}: rows {i}, {j}: {found}");
            }
        }
    }
}

#[test]
fn the_triangular_factor_is_lower_with_a_positive_diagonal() {
    let dim = 64;
    let (a, mut q) = (gaussian(dim), gaussian(dim));
    orthonormalize(&mut q, dim);
    for (i, row) in a.chunks_exact(dim).enumerate() {
        for (j, unit) in q.chunks_exact(dim).enumerate() {
            let factor = dot(row, unit);
            match j.cmp(&i) {
                std::cmp::Ordering::Equal => assert!(factor > 1e-6, "diagonal {i}: {factor}"),
                std::cmp::Ordering::Greater => assert!(factor.abs() < 1e-12, "{i}, {j}: {factor}"),
                std::cmp::Ordering::Less => {}
            }
        }
    }
}

#[test]
fn nearly_dependent_rows_come_out_orthogonal() {
    let dim = 32;
    let mut q = gaussian(dim);
    // The last row is another one but for a part in 10⁹.
    let (head, last) = q.split_at_mut((dim - 1) * dim);
    for (value, other) in last.iter_mut().zip(&head[..dim]) {
        *value = other + *value * 1e-9;
    }
    orthonormalize(&mut q, dim);
    let (first, last) = (&q[..dim], &q[(dim - 1) * dim..]);
    assert!(dot(first, last).abs() < 1e-15);
}

#[test]
fn threads_change_no_bit() {
    let dim = 288;
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .expect("threads");
        pool.install(|| {
            let mut q = gaussian(dim);
            orthonormalize(&mut q, dim);
            q
        })
    };
    assert_eq!(on(1), on(4));
}
