//! Signatures: unit vectors made by an encoder from one palm capture. A value that exists is finite, of its encoder's dimension and of unit norm.

use std::fmt;

use half::f16;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::reject::Rejected;

/// Smallest dimension of a signature.
pub const DIM_MIN: usize = 32;
/// Largest dimension of a signature.
pub const DIM_MAX: usize = 2048;
/// A dimension is a multiple of this.
pub const DIM_STEP: usize = 32;
/// How far the squared norm of a signature that comes in may be from 1. Half-precision
/// rounding of D coordinates moves it by at most about 2⁻¹⁰.
pub const NORM_SQUARED_TOLERANCE: f64 = 0.01;
/// Longest name or version of an encoder, in bytes.
pub const ENCODER_TEXT_LEN_MAX: usize = 64;

/// Number of coordinates: a multiple of 32 from 32 to 2,048.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "usize", into = "usize")]
pub struct Dimension(u16);

impl Dimension {
    /// Checks a dimension.
    pub fn new(count: usize) -> Result<Self, Rejected> {
        if !(DIM_MIN..=DIM_MAX).contains(&count) || !count.is_multiple_of(DIM_STEP) {
            return Err(Rejected::new(
                "dimension",
                format!("{count} is not a multiple of {DIM_STEP} from {DIM_MIN} to {DIM_MAX}"),
            ));
        }
        Ok(Self(u16::try_from(count).expect("DIM_MAX fits in 16 bits")))
    }

    /// The number of coordinates.
    pub fn get(self) -> usize {
        usize::from(self.0)
    }
}

impl TryFrom<usize> for Dimension {
    type Error = Rejected;
    fn try_from(count: usize) -> Result<Self, Rejected> {
        Self::new(count)
    }
}

impl From<Dimension> for usize {
    fn from(dim: Dimension) -> usize {
        dim.get()
    }
}

/// The encoder that makes a tenant's signatures. Signatures of different encoders don't compare.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Encoder {
    /// Name, for instance `thenar-palm`.
    pub name: String,
    /// Version, for instance `1`.
    pub version: String,
}

impl Encoder {
    /// Checks name and version: 1 to 64 printable ASCII bytes each.
    pub fn new(name: &str, version: &str) -> Result<Self, Rejected> {
        for (field, text) in [("encoder.name", name), ("encoder.version", version)] {
            if text.is_empty()
                || text.len() > ENCODER_TEXT_LEN_MAX
                || !text.bytes().all(|c| c.is_ascii_graphic())
            {
                return Err(Rejected::new(
                    field,
                    format!("{text:?} is not 1 to {ENCODER_TEXT_LEN_MAX} printable ASCII characters"),
                ));
            }
        }
        Ok(Self {
            name: name.to_owned(),
            version: version.to_owned(),
        })
    }
}

impl fmt::Display for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.name, self.version)
    }
}

/// How the coordinates of a signature lie in bytes; little-endian both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ElementType {
    /// IEEE 754 binary16, 2 bytes.
    F16,
    /// IEEE 754 binary32, 4 bytes.
    F32,
}

impl ElementType {
    /// Bytes of one coordinate.
    pub fn size(self) -> usize {
        match self {
            Self::F16 => 2,
            Self::F32 => 4,
        }
    }
}

/// A unit vector in single precision. Wiped when dropped; `Debug` shows the dimension alone.
#[derive(Clone, PartialEq, Zeroize, ZeroizeOnDrop)]
pub struct Signature(Vec<f32>);

impl Signature {
    /// Parses little-endian bytes, refuses what is not a unit vector of `dim` finite
    /// coordinates, and scales the rest of the tolerance away.
    pub fn parse(bytes: &[u8], element: ElementType, dim: Dimension) -> Result<Self, Rejected> {
        let expected = dim.get() * element.size();
        if bytes.len() != expected {
            return Err(Rejected::new(
                "data",
                format!(
                    "is {} bytes long; the tenant's dimension {} takes {expected} in {element:?}",
                    bytes.len(),
                    dim.get()
                ),
            ));
        }
        let values = match element {
            ElementType::F16 => bytes
                .as_chunks::<2>()
                .0
                .iter()
                .map(|b| f16::from_le_bytes(*b).to_f32())
                .collect(),
            ElementType::F32 => bytes
                .as_chunks::<4>()
                .0
                .iter()
                .map(|b| f32::from_le_bytes(*b))
                .collect(),
        };
        Self::new(values, dim)
    }

    /// Checks values as [`Signature::parse`] does. The values are wiped when they are refused.
    pub fn new(mut values: Vec<f32>, dim: Dimension) -> Result<Self, Rejected> {
        match Self::norm_squared(&values, dim) {
            Ok(norm_squared) => {
                let scale = norm_squared.sqrt().recip();
                for value in &mut values {
                    #[expect(
                        clippy::cast_possible_truncation,
                        reason = "rounded to single precision on purpose"
                    )]
                    {
                        *value = (f64::from(*value) * scale) as f32;
                    }
                }
                Ok(Self(values))
            }
            Err(refusal) => {
                values.zeroize();
                Err(refusal)
            }
        }
    }

    fn norm_squared(values: &[f32], dim: Dimension) -> Result<f64, Rejected> {
        if values.len() != dim.get() {
            return Err(Rejected::new(
                "data",
                format!(
                    "has {} coordinates; the tenant's dimension is {}",
                    values.len(),
                    dim.get()
                ),
            ));
        }
        if let Some(at) = values.iter().position(|v| !v.is_finite()) {
            return Err(Rejected::new(
                "data",
                format!("coordinate {at} is not a finite number"),
            ));
        }
        let norm_squared: f64 = values.iter().map(|v| f64::from(*v) * f64::from(*v)).sum();
        if (norm_squared - 1.0).abs() > NORM_SQUARED_TOLERANCE {
            return Err(Rejected::new(
                "data",
                format!(
                    "has norm {:.4}; a unit vector is expected, its squared norm within {NORM_SQUARED_TOLERANCE} of 1",
                    norm_squared.sqrt()
                ),
            ));
        }
        Ok(norm_squared)
    }

    /// The coordinates.
    pub fn values(&self) -> &[f32] {
        &self.0
    }

    /// The dimension.
    pub fn dimension(&self) -> Dimension {
        Dimension::new(self.0.len()).expect("checked when made")
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({} coordinates)", self.0.len())
    }
}

#[cfg(test)]
#[path = "signature_tests.rs"]
mod tests;
