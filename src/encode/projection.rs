//! The learned linear projection from features to a signature, and the file that it is kept in. Learns nothing.
//!
//! The file, little-endian: the eight bytes `THNPALM1`, the number of features and of dimensions
//! (u32), the mean of the features (f32 each), a row for each dimension (f16 each), and SHA-256 of
//! all before it. The first rows are the ones that matter most, so fewer dimensions are a prefix.

use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use half::f16;
use half::slice::HalfFloatSliceExt;
use thiserror::Error;

use super::features::FEATURES;
use crate::model::signature::Dimension;

const MAGIC: &[u8; 8] = b"THNPALM1";
const HEAD_LEN: usize = MAGIC.len() + 8;

/// Why a projection can't be used.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ProjectionError {
    /// Not what was written.
    #[error("the file of the projection is damaged, or of another version")]
    Damaged,
    /// More dimensions than it has.
    #[error("a signature of {asked} dimensions is asked for; the encoder makes {most} at most")]
    Dimension {
        /// How many were asked for.
        asked: usize,
        /// How many there are.
        most: usize,
    },
}

/// An affine map from features to a signature.
#[derive(Debug, Clone, PartialEq)]
pub struct Projection {
    mean: Vec<f32>,
    /// A row of [`FEATURES`] numbers for each dimension.
    rows: Vec<f32>,
}

impl Projection {
    /// A projection from its mean and its rows, one after the other, the most important first. Rows
    /// are kept in half precision.
    pub fn new(mean: Vec<f32>, mut rows: Vec<f32>) -> Self {
        assert_eq!(mean.len(), FEATURES, "a mean for each feature");
        assert!(rows.len().is_multiple_of(FEATURES), "whole rows");
        for value in &mut rows {
            *value = f16::from_f32(*value).to_f32();
        }
        Self { mean, rows }
    }

    /// Reads a file's bytes, and keeps the rows of `dim`.
    pub fn read(file: &[u8], dim: Dimension) -> Result<Self, ProjectionError> {
        let whole = file
            .len()
            .checked_sub(SHA256_OUTPUT_LEN)
            .ok_or(ProjectionError::Damaged)?;
        let (content, mark) = file.split_at(whole);
        if digest(&SHA256, content).as_ref() != mark || content.len() < HEAD_LEN {
            return Err(ProjectionError::Damaged);
        }
        let (head, rest) = content.split_at(HEAD_LEN);
        let number =
            |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]) as usize;
        let (features, most) = (number(8), number(12));
        let expected = most.saturating_mul(2 * FEATURES).saturating_add(4 * FEATURES);
        if !head.starts_with(MAGIC) || features != FEATURES || rest.len() != expected {
            return Err(ProjectionError::Damaged);
        }
        if dim.get() > most {
            return Err(ProjectionError::Dimension {
                asked: dim.get(),
                most,
            });
        }
        let (mean, rows) = rest.split_at(4 * FEATURES);
        let mean = mean
            .as_chunks()
            .0
            .iter()
            .map(|b| f32::from_le_bytes(*b))
            .collect();
        let halves = rows.as_chunks().0.iter().take(dim.get() * FEATURES);
        let rows: Vec<f16> = halves.map(|b| f16::from_le_bytes(*b)).collect();
        Ok(Self {
            mean,
            rows: rows.to_f32_vec(),
        })
    }

    /// The bytes of its file.
    pub fn file(&self) -> Vec<u8> {
        let number = |value: usize| u32::try_from(value).expect("a few thousand").to_le_bytes();
        let mut bytes = MAGIC.to_vec();
        bytes.extend(number(FEATURES));
        bytes.extend(number(self.rows.len() / FEATURES));
        bytes.extend(self.mean.iter().flat_map(|v| v.to_le_bytes()));
        bytes.extend(self.rows.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()));
        let mark = digest(&SHA256, &bytes);
        bytes.extend(mark.as_ref());
        bytes
    }

    /// The signature of features: of unit norm, or all zero where nothing is left of them.
    pub fn apply(&self, features: &[f32]) -> Vec<f32> {
        let centred: Vec<f32> = features.iter().zip(&self.mean).map(|(v, m)| v - m).collect();
        let mut signature: Vec<f32> = self
            .rows
            .chunks_exact(FEATURES)
            .map(|row| dot(row, &centred))
            .collect();
        super::normalize(&mut signature);
        signature
    }
}

/// A sum in one fixed order that compilers can make vectors of.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut sums = [0.0_f32; LANES];
    for (a, b) in a.as_chunks::<LANES>().0.iter().zip(b.as_chunks::<LANES>().0) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum()
}

/// [`dot`] leaves no feature out.
const _: () = assert!(FEATURES.is_multiple_of(16));

#[cfg(test)]
#[path = "projection_tests.rs"]
mod tests;
