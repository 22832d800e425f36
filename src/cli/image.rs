//! Options for palms that come as images, and their way through the encoder. Sends nothing.

use std::path::{Path, PathBuf};

use crate::client::api;
use crate::encode::{ENCODER_NAME, ENCODER_VERSION, PalmEncoder, Picture};
use crate::model::signature::Dimension;

use super::capture::{CaptureOptions, HandOption};
use super::error::CliError;

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
        let encoder = &capture.encoder.0;
        if (encoder.name.as_str(), encoder.version.as_str()) != (ENCODER_NAME, ENCODER_VERSION) {
            let made = format!("{ENCODER_NAME}/{ENCODER_VERSION}");
            return Err(CliError::Usage(format!(
                "--image makes signatures of {made}, and --encoder asks for {encoder}"
            )));
        }
        let file = std::fs::read(path).map_err(|e| CliError::file(path, e))?;
        let dim = Dimension::new(self.image_dim)?;
        let encoder = PalmEncoder::new(dim).map_err(|e| CliError::Usage(e.to_string()))?;
        let picture = if self.roi { Picture::Region } else { Picture::Hand };
        let encoded = encoder
            .encode(&file, picture)
            .map_err(|reason| CliError::Acquire {
                path: path.to_owned(),
                reason,
            })?;
        let data: Vec<u8> = encoded.signature.iter().flat_map(|v| v.to_le_bytes()).collect();
        Ok(capture.message(
            data,
            api::ElementType::F32,
            hand,
            capture.quality.min(u32::from(encoded.quality)),
        ))
    }
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
