//! From the bytes of a file to grey values. Trusts nothing in the file; looks for no hand.

use std::io::Cursor;

use image::error::{ImageError, ImageResult};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, LumaA};
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::failure::FailureToAcquire;
use super::grey::Grey;

/// Most pixels that are read: a camera of 24 megapixels.
pub const PIXELS_MAX: u64 = 24_000_000;
/// Fewest pixels on a side.
pub const SIDE_MIN: u32 = 64;
/// Most bytes that a decoder may ask for: 16 bits of four channels for every pixel.
const ALLOCATION_MAX: u64 = 8 * PIXELS_MAX;

/// The largest number of 12 bits.
const TWELVE_BITS: f32 = 4_095.0;
/// One pixel in so many is brighter than a quarter of that where 12 bits are used: else it is a dark frame of 16.
const BRIGHTER: usize = 100;

/// The grey values of an image file, upright as its EXIF orientation says. Transparent parts are black.
pub fn decode(file: &[u8]) -> Result<Grey, FailureToAcquire> {
    let mut reader = ImageReader::new(Cursor::new(file))
        .with_guessed_format()
        .map_err(|_| FailureToAcquire::Broken)?;
    if reader.format().is_none() {
        return Err(FailureToAcquire::NotAnImage);
    }
    let jpeg = reader.format() == Some(ImageFormat::Jpeg);
    let mut limits = Limits::default();
    limits.max_alloc = Some(ALLOCATION_MAX);
    // Headers have parts that unpack to any size.
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(|e| reason(&e))?;
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
    if jpeg {
        whole(file)?;
    }
    let (mut image, orientation) = pixels(decoder).map_err(|e| reason(&e))?;
    image.apply_orientation(orientation);
    Ok(grey(&image))
}

/// Whether a JPEG goes on to its end: what decodes it takes grey for whatever is missing.
fn whole(file: &[u8]) -> Result<(), FailureToAcquire> {
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(usize::MAX)
        .set_max_height(usize::MAX);
    let mut decoder = zune_jpeg::JpegDecoder::new_with_options(ZCursor::new(file), options);
    decoder.decode().map(|_| ()).map_err(|_| FailureToAcquire::Broken)
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
    let brighter = values.iter().filter(|v| **v > TWELVE_BITS / 4.0).count();
    let low = deep && brighter * BRIGHTER >= values.len() && values.iter().all(|v| *v <= TWELVE_BITS);
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
