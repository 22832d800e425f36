//! From the bytes of a file to grey values. Trusts nothing in the file; looks for no hand.

use std::io::Cursor;

use image::error::{ImageError, ImageResult};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageReader, Limits, LumaA};

use super::failure::FailureToAcquire;
use super::grey::Grey;

/// Most pixels that are read: a camera of 24 megapixels.
pub const PIXELS_MAX: u64 = 24_000_000;
/// Fewest pixels on a side.
pub const SIDE_MIN: u32 = 64;
/// Most bytes that a decoder may ask for: 16 bits of four channels for every pixel, and as much again.
const ALLOCATION_MAX: u64 = 16 * PIXELS_MAX;

/// The largest number of 12 bits.
const TWELVE_BITS: f32 = 4_095.0;

/// The grey values of an image file, upright as its EXIF orientation says. Transparent parts are black.
pub fn decode(file: &[u8]) -> Result<Grey, FailureToAcquire> {
    let reader = ImageReader::new(Cursor::new(file))
        .with_guessed_format()
        .map_err(|_| FailureToAcquire::Broken)?;
    if reader.format().is_none() {
        return Err(FailureToAcquire::NotAnImage);
    }
    let mut decoder = reader.into_decoder().map_err(|e| reason(&e))?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > PIXELS_MAX {
        return Err(FailureToAcquire::TooLarge {
            width,
            height,
            pixels_max: PIXELS_MAX,
        });
    }
    if width.min(height) < SIDE_MIN {
        return Err(FailureToAcquire::TooSmall {
            width,
            height,
            side_min: SIDE_MIN,
        });
    }
    let mut limits = Limits::default();
    limits.max_alloc = Some(ALLOCATION_MAX);
    decoder.set_limits(limits).map_err(|e| reason(&e))?;
    let (mut image, orientation) = pixels(decoder).map_err(|e| reason(&e))?;
    image.apply_orientation(orientation);
    Ok(grey(&image))
}

fn pixels(mut decoder: impl ImageDecoder) -> ImageResult<(DynamicImage, Orientation)> {
    let orientation = decoder.orientation()?;
    Ok((DynamicImage::from_decoder(decoder)?, orientation))
}

/// Grey values from 0 to 1. Of 16 bits the lower 12 are the full range where no more are used, as
/// many cameras leave the others empty.
fn grey(image: &DynamicImage) -> Grey {
    let values: Vec<f32> = if image.color().has_alpha() {
        let seen = |p: &LumaA<u16>| f32::from(p.0[0]) * f32::from(p.0[1]) / f32::from(u16::MAX);
        image.to_luma_alpha16().pixels().map(seen).collect()
    } else {
        image.to_luma16().pixels().map(|p| f32::from(p.0[0])).collect()
    };
    let deep = image.color().bytes_per_pixel() / image.color().channel_count() == 2;
    let low = deep && values.iter().all(|v| *v <= TWELVE_BITS);
    let full = if low { TWELVE_BITS } else { f32::from(u16::MAX) };
    Grey::new(
        image.width(),
        image.height(),
        values.into_iter().map(|v| v / full).collect(),
    )
}

fn reason(error: &ImageError) -> FailureToAcquire {
    match error {
        ImageError::Unsupported(_) => FailureToAcquire::Unsupported,
        _ => FailureToAcquire::Broken,
    }
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
