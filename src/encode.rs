//! From a palm image to a signature: the reference encoder `thenar-palm/1`. Keeps nothing, matches nothing.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "pixels of an image, per cent"
)]

use crate::model::signature::{Dimension, Encoder};

pub mod decode;
pub mod failure;
pub mod features;
pub mod grey;
pub mod hand;
pub mod mask;
pub mod outline;
pub mod projection;
pub mod quality;
pub mod region;
pub mod train;

use failure::FailureToAcquire;
use features::Extractor;
use grey::Grey;
use projection::{Projection, ProjectionError};
use quality::Quality;
use region::{Region, SIDE};

/// Most numbers of a signature.
pub const DIM_MAX: usize = 512;

/// Written by `thenar palm train`.
static PROJECTION: &[u8] = include_bytes!("encode/thenar-palm-1.bin");

/// An image that is nowhere brighter, or whose brightness changes by less, is blank; of the full range.
const BRIGHTEST_MIN: f32 = 0.06;
const RANGE_MIN: f32 = 0.02;
/// Sides of a region of interest differ by no more than this share.
const SIDES_DIFFER_MAX: f32 = 0.1;
/// Per cent of a region that must be seen.
const SEEN_MIN: u8 = 50;

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
            projection: built_in(dim)?,
        })
    }

    /// The signature of the palm in an image file: PNG, JPEG, BMP or PNM.
    pub fn encode(&self, file: &[u8], picture: Picture) -> Result<Encoded, FailureToAcquire> {
        let image = seen(decode::decode(file)?)?;
        let picture = match picture {
            Picture::Hand => cut(&image)?,
            Picture::Region => square(&image)?.resized(SIDE, SIDE),
        };
        let region = Region::of(&seen(picture)?);
        let quality = Quality::of(&region);
        let percent = (100.0 * quality.coverage).floor() as u8;
        if percent < SEEN_MIN {
            return Err(FailureToAcquire::Hidden {
                percent,
                percent_min: SEEN_MIN,
            });
        }
        Ok(Encoded {
            signature: self.projection.apply(&self.extractor.extract(&region)),
            quality: quality.score(),
        })
    }
}

/// The encoder as a tenant names it. Signatures of one version compare, whatever made them.
pub fn encoder() -> Encoder {
    Encoder::new("thenar-palm", "1").expect("its name and version are valid")
}

/// The projection that is built in, to `dim` numbers, [`DIM_MAX`] at most.
pub fn built_in(dim: Dimension) -> Result<Projection, ProjectionError> {
    Projection::read(PROJECTION, dim)
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

/// The region of a whole hand.
fn cut(image: &Grey) -> Result<Grey, FailureToAcquire> {
    let found = hand::square(image)?;
    let side = found.side().round() as u32;
    if side < decode::SIDE_MIN {
        return Err(FailureToAcquire::TooSmall {
            width: side,
            height: side,
            side_min: decode::SIDE_MIN,
        });
    }
    Ok(found.cut(image))
}

/// The image, if it can be a region of interest.
fn square(image: &Grey) -> Result<&Grey, FailureToAcquire> {
    let (width, height) = (image.width() as u32, image.height() as u32);
    if width.abs_diff(height) as f32 > SIDES_DIFFER_MAX * width.max(height) as f32 {
        return Err(FailureToAcquire::NotSquare { width, height });
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
