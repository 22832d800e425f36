//! From one rotation of a tenant to the next: an orthogonal map from protected rows to protected rows. Reveals neither rotation, and sees no signature as it came.

use zeroize::Zeroizing;

use super::{products, turn_rows};
use crate::model::reject::Rejected;
use crate::model::signature::Dimension;

/// How far the scalar product of two of its rows may be from that of an orthogonal map. Single precision moves it by less
/// than 1e-6; half precision, in which rows are stored, tells 5e-4 apart.
pub const ORTHOGONAL_TOLERANCE: f32 = 1e-4;

/// R′·Rᵀ for the rotations R of now and R′ of then. Wiped when dropped.
pub struct Conversion {
    dim: Dimension,
    /// D×D, row-major.
    matrix: Zeroizing<Vec<f32>>,
}

impl Conversion {
    pub(super) fn of(dim: Dimension, matrix: Zeroizing<Vec<f32>>) -> Self {
        Self { dim, matrix }
    }

    /// Takes D×D coordinates, row-major, that came from elsewhere: finite, and orthogonal within
    /// [`ORTHOGONAL_TOLERANCE`]. Takes D³ multiply-adds.
    pub fn new(dim: Dimension, matrix: Zeroizing<Vec<f32>>) -> Result<Self, Rejected> {
        let refused = |problem| Err(Rejected::new("conversion", problem));
        let d = dim.get();
        if matrix.len() != d * d {
            return refused(format!(
                "has {} coordinates; dimension {d} takes {}",
                matrix.len(),
                d * d
            ));
        }
        if let Some(at) = matrix.iter().position(|value| !value.is_finite()) {
            return refused(format!("coordinate {at} is not a finite number"));
        }
        let mut gram = vec![0.0; d * d];
        products(&matrix, &matrix, d, &mut gram);
        let off = |(at, value): (usize, &f32)| (value - f32::from(u8::from(at / d == at % d))).abs();
        let worst = gram.iter().enumerate().map(off).fold(0.0, f32::max);
        if worst > ORTHOGONAL_TOLERANCE {
            return refused(format!(
                "is not orthogonal: a scalar product of its rows is off by {worst:e}; {ORTHOGONAL_TOLERANCE:e} is allowed"
            ));
        }
        Ok(Self { dim, matrix })
    }

    /// The dimension it converts.
    pub fn dimension(&self) -> Dimension {
        self.dim
    }

    /// Its D×D coordinates, row-major.
    pub fn values(&self) -> &[f32] {
        &self.matrix
    }

    /// Replaces every row of a row-major matrix by what it is under the next rotation, of unit norm; a row of zeros stays
    /// one. Uses all threads of the current rayon pool. The length must be a multiple of the dimension.
    pub fn convert_rows(&self, rows: &mut Vec<f32>) {
        turn_rows(&self.matrix, self.dim, rows);
    }
}

#[cfg(test)]
#[path = "conversion_tests.rs"]
mod tests;
