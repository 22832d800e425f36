//! From a palm image to a signature: the reference encoder `thenar-palm/1`. Keeps nothing, matches nothing.

use crate::model::signature::Dimension;

pub mod decode;
pub mod failure;
pub mod features;
pub mod grey;
pub mod hand;
pub mod mask;
pub mod outline;
pub mod projection;
pub mod quality;
pub mod train;

use failure::FailureToAcquire;
use features::{Extractor, SIDE};
use grey::Grey;
use projection::{Projection, ProjectionError};
use quality::Quality;

/// Name of the encoder.
pub const ENCODER_NAME: &str = "thenar-palm";
/// Its version: signatures of one version compare, whatever made them.
pub const ENCODER_VERSION: &str = "1";

/// Most numbers of a signature.
pub const DIM_MAX: usize = 512;

/// Written by `thenar palm train`.
static PROJECTION: &[u8] = include_bytes!("encode/thenar-palm-1.bin");

/// An image that is nowhere brighter, or whose brightness changes by less, is blank; of the full range.
const BRIGHTEST_MIN: f32 = 0.06;
const RANGE_MIN: f32 = 0.02;

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
    projection: Projection,
}

impl PalmEncoder {
    /// An encoder that makes signatures of `dim` numbers, [`DIM_MAX`] at most; 256 and 512 are the
    /// ones that were measured.
    pub fn new(dim: Dimension) -> Result<Self, ProjectionError> {
        Ok(Self {
            extractor: Extractor::new(),
            projection: Projection::read(PROJECTION, dim)?,
        })
    }

    /// The signature of the palm in an image file: PNG, JPEG, BMP or PNM.
    pub fn encode(&self, file: &[u8], picture: Picture) -> Result<Encoded, FailureToAcquire> {
        let image = decode::decode(file)?;
        let region = match picture {
            Picture::Hand => {
                let image = seen(image)?;
                hand::square(&image)?.cut(&image)
            }
            Picture::Region => seen(image)?.resized(SIDE, SIDE),
        };
        Ok(Encoded {
            signature: self.projection.apply(&self.extractor.extract(&region)),
            quality: Quality::of(&region).score(),
        })
    }
}

/// The image, unless nothing is to be seen in it.
fn seen(image: Grey) -> Result<Grey, FailureToAcquire> {
    // Noise of single pixels is no picture.
    let coarse = image.resized(SIDE / 2, SIDE / 2);
    let darkest = coarse.values().iter().copied().fold(f32::INFINITY, f32::min);
    let brightest = coarse.values().iter().copied().fold(0.0, f32::max);
    if brightest < BRIGHTEST_MIN || brightest - darkest < RANGE_MIN {
        return Err(FailureToAcquire::Blank);
    }
    Ok(image)
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

#[cfg(test)]
#[path = "encode_tests.rs"]
mod tests;
