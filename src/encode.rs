//! From a palm image to a signature: the reference encoder `thenar-palm/1`. Keeps nothing, matches nothing.

use crate::model::signature::Dimension;

pub mod decode;
pub mod failure;
pub mod features;
pub mod grey;

use failure::FailureToAcquire;
use features::{Extractor, SIDE};

/// Name of the encoder.
pub const ENCODER_NAME: &str = "thenar-palm";
/// Its version: signatures of one version compare, whatever made them.
pub const ENCODER_VERSION: &str = "1";

/// What an image shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Picture {
    /// A whole hand, palm to the camera, fingers up and spread.
    Hand,
    /// The region of interest alone: the square below the fingers.
    Region,
}

/// What came of an image.
#[derive(Debug, Clone, PartialEq)]
pub struct Encoded {
    /// Of unit norm, as many numbers as the encoder's dimension.
    pub signature: Vec<f32>,
    /// 0 (worst) to 100.
    pub quality: u8,
}

/// The encoder. Shared among threads.
pub struct PalmEncoder {
    extractor: Extractor,
    dim: Dimension,
}

impl PalmEncoder {
    /// An encoder that makes signatures of `dim` numbers.
    pub fn new(dim: Dimension) -> Self {
        Self {
            extractor: Extractor::new(),
            dim,
        }
    }

    /// The signature of the palm in an image file.
    pub fn encode(&self, file: &[u8], picture: Picture) -> Result<Encoded, FailureToAcquire> {
        let image = decode::decode(file)?;
        let region = match picture {
            Picture::Hand => return Err(FailureToAcquire::NoHand),
            Picture::Region => image.resized(SIDE, SIDE),
        };
        let mut signature = self.extractor.extract(region.values());
        signature.truncate(self.dim.get());
        normalize(&mut signature);
        Ok(Encoded {
            signature,
            quality: 100,
        })
    }
}

/// Scales to unit norm; leaves a vector of nothing but zeros as it is.
fn normalize(values: &mut [f32]) {
    let squared: f64 = values.iter().map(|v| f64::from(*v) * f64::from(*v)).sum();
    if squared > 0.0 {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "rounded to single precision on purpose"
        )]
        let scale = squared.sqrt().recip() as f32;
        for value in values {
            *value *= scale;
        }
    }
}
