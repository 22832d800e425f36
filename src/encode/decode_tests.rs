//! Tests of what is read and what is refused.

use super::*;
use image::{
    DynamicImage, ExtendedColorType, GrayImage, ImageBuffer, ImageEncoder, ImageFormat, Luma, LumaA, Rgb,
};

fn png(image: &DynamicImage) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    image.write_to(&mut file, ImageFormat::Png).expect("in memory");
    file.into_inner()
}

fn ramp() -> GrayImage {
    GrayImage::from_fn(80, 100, |x, y| Luma([u8::try_from(x + y).expect("small")]))
}

/// A PNG's header that claims a size, with nothing behind it.
fn claim(width: u32, height: u32) -> Vec<u8> {
    let mut file = png(&DynamicImage::ImageLuma8(ramp()));
    file[16..20].copy_from_slice(&width.to_be_bytes());
    file[20..24].copy_from_slice(&height.to_be_bytes());
    let sum = crc32fast::hash(&file[12..29]);
    file[29..33].copy_from_slice(&sum.to_be_bytes());
    file
}

#[test]
fn every_format_gives_the_same_picture() {
    let image = DynamicImage::ImageLuma8(ramp());
    for (format, tolerance) in [
        (ImageFormat::Png, 1e-6),
        (ImageFormat::Bmp, 1e-6),
        (ImageFormat::Pnm, 1e-6),
        (ImageFormat::Jpeg, 0.03),
    ] {
        let mut file = Cursor::new(Vec::new());
        image.write_to(&mut file, format).expect("in memory");
        let grey = decode(file.get_ref()).expect("an image");
        assert_eq!((grey.width(), grey.height()), (80, 100));
        assert!(
            (grey.at(30.0, 50.0) - 80.0 / 255.0).abs() < tolerance,
            "{format:?}"
        );
    }
}

#[test]
fn sixteen_bits_and_twelve_of_them_are_the_full_range() {
    for (factor, full) in [(300, 65_535.0), (20, 4_095.0)] {
        let deep = ImageBuffer::from_fn(80, 100, |x, y| {
            Luma([u16::try_from((x + y) * factor).expect("small")])
        });
        let grey = decode(&png(&DynamicImage::ImageLuma16(deep))).expect("an image");
        let expected = f32::from(u16::try_from(80 * factor).expect("small")) / full;
        assert!((grey.at(30.0, 50.0) - expected).abs() < 1e-4, "{factor}");
    }
    // A sensor's noise in the dark is no picture of 12 bits.
    let dark = ImageBuffer::from_fn(80, 100, |x, y| {
        Luma([500 + u16::try_from((x * 7 + y * 13) % 400).expect("small")])
    });
    let grey = decode(&png(&DynamicImage::ImageLuma16(dark))).expect("an image");
    assert!(grey.values().iter().all(|v| *v < 0.02));
}

#[test]
fn what_is_transparent_is_black() {
    let image = ImageBuffer::from_fn(80, 80, |x, _| LumaA([200_u8, if x < 40 { 0 } else { 255 }]));
    let grey = decode(&png(&DynamicImage::ImageLumaA8(image))).expect("an image");
    assert!(grey.at(10.0, 10.0).abs() < 1e-6);
    assert!((grey.at(60.0, 10.0) - 200.0 / 255.0).abs() < 1e-3);
}

#[test]
fn colours_become_grey() {
    let image = ImageBuffer::from_pixel(80, 80, Rgb([10_u8, 250, 10]));
    let grey = decode(&png(&DynamicImage::ImageRgb8(image))).expect("an image");
    assert!((0.6..0.9).contains(&grey.at(0.0, 0.0)));
}

#[test]
fn four_inks_become_grey() {
    // A JPEG of cyan, magenta, yellow and black; the first byte is for the fuzz target.
    let inks = include_bytes!("../../tests/corpus/image/region-cmyk");
    let plain = include_bytes!("../../tests/corpus/image/region-png");
    let [inks, plain] = [&inks[1..], &plain[1..]].map(|file| decode(file).expect("an image"));
    let apart: f32 = inks
        .values()
        .iter()
        .zip(plain.values())
        .map(|(a, b)| (a - b).abs())
        .sum();
    assert!(apart / 16_384.0 < 0.02, "{}", apart / 16_384.0);
}

#[test]
fn an_exif_orientation_turns_the_picture_upright() {
    let mut file = Vec::new();
    let mut encoder = image::codecs::jpeg::JpegEncoder::new(&mut file);
    // TIFF header, one entry: orientation (0x0112), one SHORT, 6: turn right by a quarter.
    let exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0".to_vec();
    encoder.set_exif_metadata(exif).expect("kept");
    encoder
        .write_image(ramp().as_raw(), 80, 100, ExtendedColorType::L8)
        .expect("in memory");
    let grey = decode(&file).expect("an image");
    assert_eq!((grey.width(), grey.height()), (100, 80));
    // What was at the lower left is at the upper left.
    assert!((grey.at(0.0, 0.0) - 99.0 / 255.0).abs() < 0.03);
}

#[test]
fn too_many_pixels_are_refused_by_the_header() {
    // 50 megapixels, and as much as the header can say: nothing is there to be decoded.
    for (width, height) in [(10_000, 5_000), (1 << 20, 1 << 20)] {
        let refused = decode(&claim(width, height)).expect_err("too large");
        assert_eq!(
            refused,
            FailureToAcquire::TooLarge {
                width,
                height,
                pixels_max: PIXELS_MAX
            }
        );
    }
}

#[test]
fn too_few_pixels_are_refused() {
    let refused = decode(&png(&DynamicImage::ImageLuma8(GrayImage::new(63, 200)))).expect_err("too small");
    assert_eq!(
        refused,
        FailureToAcquire::TooSmall {
            width: 63,
            height: 200,
            side_min: SIDE_MIN
        }
    );
}

#[test]
fn what_is_no_image_is_told_apart_from_a_damaged_one() {
    for file in [&b""[..], b"hello", &[0; 4_096]] {
        assert_eq!(decode(file).expect_err("no image"), FailureToAcquire::NotAnImage);
    }
    let whole = png(&DynamicImage::ImageLuma8(ramp()));
    for len in [20, 60, whole.len() / 2] {
        assert_eq!(
            decode(&whole[..len]).expect_err("cut short"),
            FailureToAcquire::Broken,
            "{len}"
        );
    }
    // Known by its first bytes, and not read.
    assert_eq!(
        decode(b"GIF89a\0\0\0\0").expect_err("not read"),
        FailureToAcquire::Unsupported
    );
}

fn jpeg(image: &GrayImage) -> Vec<u8> {
    let mut file = Vec::new();
    image::codecs::jpeg::JpegEncoder::new(&mut file)
        .write_image(
            image.as_raw(),
            image.width(),
            image.height(),
            ExtendedColorType::L8,
        )
        .expect("in memory");
    file
}

#[test]
fn a_jpeg_that_is_cut_short_is_told_wherever_it_is_cut() {
    let busy = GrayImage::from_fn(200, 200, |x, y| {
        Luma([u8::try_from((x * x + 3 * y * y + x * y) % 251).expect("a byte")])
    });
    let whole = jpeg(&busy);
    assert!(decode(&whole).is_ok());
    for twentieth in 0..20 {
        let cut = &whole[..whole.len() * twentieth / 20];
        assert!(decode(cut).is_err(), "{twentieth} twentieths");
    }
}
