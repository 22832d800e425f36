//! Learns the projection: a principal component analysis of features, whitened in part. Draws no palms, reads no files.

use faer::{Mat, Side};
use ndarray::{Array1, Array2, ArrayView2, Axis, linalg};

use super::features::FEATURES;
use super::projection::Projection;

/// Power of a component's variance that it is divided by in the projection that is built in. One half is full whitening, which makes
/// as much of a component that only holds noise as of one that tells palms apart; 0 is plain
/// principal components, where the few that all palms share outweigh the rest. docs/accuracy.md
/// has the figures of several.
pub const WHITENING: f64 = 0.35;

/// Sums over the features of a training set.
pub struct Training {
    count: usize,
    sum: Array1<f32>,
    products: Array2<f32>,
}

/// Why nothing was learned.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TrainingError {
    /// Too few samples for so many dimensions.
    #[error("{count} training images are too few for {dims} dimensions; more than {dims} are needed")]
    TooFew {
        /// Samples given.
        count: usize,
        /// Dimensions wanted.
        dims: usize,
    },
    /// Features that are not finite.
    #[error("the training images have no principal components")]
    NoComponents,
}

impl Training {
    /// Nothing seen yet.
    pub fn new() -> Self {
        Self {
            count: 0,
            sum: Array1::zeros(FEATURES),
            products: Array2::zeros((FEATURES, FEATURES)),
        }
    }

    /// Takes in the features of some images, [`FEATURES`] numbers each. The outcome depends on the
    /// order of the images and on how they are shared out among calls, in the last bits.
    pub fn add(&mut self, features: &[f32]) {
        let count = features.len() / FEATURES;
        let rows = ArrayView2::from_shape((count, FEATURES), features).expect("whole rows");
        self.count += count;
        self.sum += &rows.sum_axis(Axis(0));
        linalg::general_mat_mul(1.0, &rows.t(), &rows, 1.0, &mut self.products);
    }

    /// The projection to `dims` dimensions, 1 to [`FEATURES`]. Components are divided by their variance to the power of `whitening`, 0 to 0.5.
    pub fn projection(&self, dims: usize, whitening: f64) -> Result<Projection, TrainingError> {
        if self.count <= dims {
            return Err(TrainingError::TooFew {
                count: self.count,
                dims,
            });
        }
        let (mean, covariance) = self.moments();
        let parts = covariance
            .self_adjoint_eigen(Side::Lower)
            .map_err(|_| TrainingError::NoComponents)?;
        let (variances, components) = (parts.S(), parts.U());
        let mut rows = Vec::with_capacity(dims * FEATURES);
        for at in (FEATURES - dims..FEATURES).rev() {
            let component = || (0..FEATURES).map(|i| components[(i, at)]);
            // The sign of a component is arbitrary: its largest number is made positive.
            let largest = component()
                .max_by(|a, b| a.abs().total_cmp(&b.abs()))
                .unwrap_or(1.0);
            let scale = variances[at]
                .max(f64::MIN_POSITIVE)
                .powf(-whitening)
                .copysign(largest);
            rows.extend(component().map(|value| to_f32(value * scale)));
        }
        // Signatures are scaled to unit norm, so only the proportions matter; these fit half precision.
        let squared: f32 = rows.iter().map(|v| v * v).sum();
        #[expect(clippy::cast_precision_loss, reason = "a few hundred dimensions")]
        let scale = (dims as f32 / squared).sqrt();
        for value in &mut rows {
            *value *= scale;
        }
        Ok(Projection::new(mean.into_iter().map(to_f32).collect(), rows))
    }

    /// Mean and covariance.
    fn moments(&self) -> (Vec<f64>, Mat<f64>) {
        #[expect(clippy::cast_precision_loss, reason = "thousands of images")]
        let share = 1.0 / self.count as f64;
        let mean: Vec<f64> = self.sum.iter().map(|sum| f64::from(*sum) * share).collect();
        let covariance = |i: usize, j: usize| f64::from(self.products[[i, j]]) * share - mean[i] * mean[j];
        let covariance = Mat::from_fn(FEATURES, FEATURES, covariance);
        (mean, covariance)
    }
}

impl Default for Training {
    fn default() -> Self {
        Self::new()
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "rounded to single precision on purpose"
)]
fn to_f32(value: f64) -> f32 {
    value as f32
}

#[cfg(test)]
#[path = "train_tests.rs"]
mod tests;
