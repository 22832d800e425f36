//! Options for palms that come as images, and their way through the encoder. Sends nothing.

use std::path::{Path, PathBuf};

use crate::client::api;
use crate::encode::decode::PIXELS_MAX;
use crate::encode::failure::FailureToAcquire;
use crate::encode::{self, PalmEncoder, Picture};
use crate::model::signature::Dimension;

use super::capture::{CaptureOptions, EncoderOption, HandOption};
use super::error::CliError;
use super::file;

/// Most bytes of an image that are read: as many as the largest one that is decoded has without any compression, 16 bits of four channels, and
/// 1 MiB for what else is in a file.
const FILE_BYTES_MAX: u64 = 8 * PIXELS_MAX + (1 << 20);
/// The usual dimension of a tenant.
const DIM_USUAL: usize = 256;

/// How images are encoded.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Images")]
pub struct ImageOptions {
    /// Images show the region of interest alone, fingers up, and not a whole hand
    #[arg(long)]
    pub roi: bool,
    /// Coordinates of the signatures made of images; must be the tenant's
    #[arg(long, value_name = "COUNT", default_value_t = DIM_USUAL)]
    pub image_dim: usize,
}

impl ImageOptions {
    /// Encodes an image. Its quality counts, unless a lower one is given.
    pub fn signature(
        &self,
        path: &Path,
        hand: Option<HandOption>,
        capture: &CaptureOptions,
    ) -> Result<api::Signature, CliError> {
        let made_by = encode::encoder();
        if let Some(EncoderOption(asked)) = &capture.encoder
            && *asked != made_by
        {
            return Err(CliError::Usage(format!(
                "--image makes signatures of {made_by}, and --encoder asks for {asked}"
            )));
        }
        let dim = Dimension::new(self.image_dim)?;
        let encoder = PalmEncoder::new(dim).map_err(|e| CliError::Usage(e.to_string()))?;
        let picture = if self.roi { Picture::Region } else { Picture::Hand };
        let encoded = read(path)?
            .and_then(|file| encoder.encode(&file, picture))
            .map_err(|reason| CliError::Acquire {
                path: path.to_owned(),
                reason,
            })?;
        let data: Vec<u8> = encoded.signature.iter().flat_map(|v| v.to_le_bytes()).collect();
        Ok(capture.message(
            data,
            api::ElementType::F32,
            &made_by,
            hand,
            capture.quality.min(u32::from(encoded.quality)),
        ))
    }
}

/// An image's file, if it is not larger than any image that is read.
pub fn read(path: &Path) -> Result<Result<Vec<u8>, FailureToAcquire>, CliError> {
    let too_large = FailureToAcquire::FileTooLarge {
        bytes_max: FILE_BYTES_MAX,
    };
    Ok(file::read_up_to(path, FILE_BYTES_MAX)?.ok_or(too_large))
}

/// A palm as a signature or as an image.
#[derive(Debug, Clone, clap::Args)]
pub struct PalmOptions {
    /// The palm's signature, `NumPy`
    #[arg(required_unless_present = "image", conflicts_with = "image")]
    file: Option<PathBuf>,
    /// The palm as an image: PNG, JPEG, BMP or PNM, encoded here
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    #[command(flatten)]
    images: ImageOptions,
}

impl PalmOptions {
    /// The signature of the palm.
    pub fn signature(
        &self,
        hand: Option<HandOption>,
        capture: &CaptureOptions,
    ) -> Result<api::Signature, CliError> {
        match (&self.file, &self.image) {
            (_, Some(image)) => self.images.signature(image, hand, capture),
            (Some(file), None) => capture.signature(file, hand),
            (None, None) => Err(CliError::Usage("a signature or --image is needed".to_owned())),
        }
    }
}

#[cfg(test)]
#[path = "image_tests.rs"]
mod tests;
