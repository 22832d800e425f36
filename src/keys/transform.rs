//! A tenant's rotation: a secret random orthogonal matrix that protects its signatures. Separation of tenants, not secrecy: D known pairs solve a linear map.
//!
//! R is the orthogonal factor of a Gaussian D×D matrix, the diagonal of the triangular factor positive, and so Haar
//! distributed (Mezzadri, "How to generate random matrices from the classical compact groups", 2007). Every step is
//! fixed to the bit by additions, multiplications, divisions and square roots in binary64 in one order, which
//! IEEE 754 makes exact everywhere: the same key gives the same matrix, and digest, on every machine.

use aws_lc_rs::digest::{Context, SHA256};
use rayon::prelude::*;
use zeroize::{Zeroize, Zeroizing};

use self::conversion::Conversion;
use super::secret::SecretKey;
use crate::model::signature::{Dimension, Signature};
use crate::model::tenant::TransformId;

pub mod conversion;
mod gaussian;
mod orthogonal;
mod product;

/// Rows of a batch that one thread multiplies at a time.
const BATCH_ROWS: usize = 256;

/// The rotation of one tenant. The matrix is wiped when dropped.
pub struct Rotation {
    id: TransformId,
    dim: Dimension,
    /// D×D, row-major, rounded to single precision.
    matrix: Zeroizing<Vec<f32>>,
}

impl Rotation {
    /// Derives the rotation of this key, version and dimension; takes about 2·D³ multiply-adds.
    pub fn derive(key: &SecretKey, version: u32, dim: Dimension) -> Self {
        let d = dim.get();
        let d_bytes = u32::from(u16::try_from(d).expect("DIM_MAX fits in 16 bits")).to_le_bytes();
        let version_bytes = version.to_le_bytes();
        let seed = key.derive(&[b"transform", &version_bytes, &d_bytes]);
        let mut exact = Zeroizing::new(gaussian::standard_normals(&seed, d * d));
        orthogonal::orthonormalize(&mut exact, d);

        let mut digest = Context::new(&SHA256);
        digest.update(&version_bytes);
        digest.update(&d_bytes);
        for value in exact.iter() {
            digest.update(&value.to_le_bytes());
        }
        let digest = digest.finish().as_ref().try_into();
        #[expect(
            clippy::cast_possible_truncation,
            reason = "rounded to single precision on purpose"
        )]
        let matrix = exact.iter().map(|value| *value as f32).collect();
        Self {
            id: TransformId {
                version,
                digest: digest.expect("SHA-256 gives 32 bytes"),
            },
            dim,
            matrix: Zeroizing::new(matrix),
        }
    }

    /// Version and digest: SHA-256 of version and dimension (each 4 bytes) and the matrix in binary64, row by
    /// row, all little-endian.
    pub fn id(&self) -> &TransformId {
        &self.id
    }

    /// The dimension it rotates.
    pub fn dimension(&self) -> Dimension {
        self.dim
    }

    /// Bytes that it holds in memory.
    pub fn resident_bytes(&self) -> usize {
        self.matrix.len() * size_of::<f32>()
    }

    /// R·x, of unit norm. The dimension must be the rotation's.
    pub fn protect(&self, signature: &Signature) -> Signature {
        assert_eq!(
            signature.dimension(),
            self.dim,
            "the signature was parsed for this tenant"
        );
        let rotated = self
            .matrix
            .chunks_exact(self.dim.get())
            .map(|row| product::dot(row, signature.values()))
            .collect();
        Signature::new(rotated, self.dim).expect("a rotation keeps the norm")
    }

    /// Replaces every row x of a row-major matrix of unit vectors by R·x, of unit norm. Uses all threads of the
    /// current rayon pool. The length must be a multiple of the dimension.
    pub fn protect_rows(&self, rows: &mut Vec<f32>) {
        turn_rows(&self.matrix, self.dim, rows);
    }

    /// What takes rows that this rotation protects to the same rows protected by `next`, of the same dimension. Uses all
    /// threads of the current rayon pool; takes D³ multiply-adds.
    pub fn to(&self, next: &Self) -> Conversion {
        assert_eq!(self.dim, next.dim, "a tenant's dimension stays");
        let d = self.dim.get();
        let mut matrix = Zeroizing::new(vec![0.0; d * d]);
        products(&next.matrix, &self.matrix, d, &mut matrix);
        Conversion::of(self.dim, matrix)
    }
}

/// Replaces every row x of a row-major matrix by the D×D matrix times x, of unit norm. A row of zeros stays one.
fn turn_rows(matrix: &[f32], dim: Dimension, rows: &mut Vec<f32>) {
    let d = dim.get();
    assert!(rows.len().is_multiple_of(d), "rows are whole");
    let mut turned = vec![0.0; rows.len()];
    products(rows, matrix, d, &mut turned);
    turned.par_chunks_exact_mut(d).for_each(normalize);
    rows.zeroize();
    *rows = turned;
}

/// `out` = `rows` · `matrix`ᵀ, some rows a thread.
fn products(rows: &[f32], matrix: &[f32], d: usize, out: &mut [f32]) {
    out.par_chunks_mut(BATCH_ROWS * d)
        .zip(rows.par_chunks(BATCH_ROWS * d))
        .for_each(|(out, rows)| product::rows_by_transposed(rows, matrix, d, out));
}

/// Scales to unit norm what rounding moved off it, as [`Signature::new`] does.
fn normalize(row: &mut [f32]) {
    let norm_squared: f64 = row.iter().map(|v| f64::from(*v) * f64::from(*v)).sum();
    if norm_squared == 0.0 {
        return;
    }
    let scale = norm_squared.sqrt().recip();
    for value in row {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "rounded to single precision on purpose"
        )]
        {
            *value = (f64::from(*value) * scale) as f32;
        }
    }
}

#[cfg(test)]
#[path = "transform_tests.rs"]
mod tests;
