//! The valid inputs of the image target: drawn palms in every format that is read but JPEGs of four inks, which nothing here writes. Mutates nothing.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageEncoder, ImageFormat, imageops};
use thenar::palms::{Palms, Side, preset};

/// Names, and files after the byte that says whether a whole hand is to be seen.
pub fn valid() -> Vec<(&'static str, Vec<u8>)> {
    let palms = Palms::new(1, preset::test());
    let palm = palms.palm(0, Side::Left);
    let hand = imageops::resize(
        &palm.hand(0, false).image,
        240,
        320,
        imageops::FilterType::Triangle,
    );
    let region = DynamicImage::from(palm.region(0));
    let hand = DynamicImage::from(hand);
    let deep = DynamicImage::from(region.to_luma16());
    let clear = DynamicImage::from(region.to_luma_alpha8());
    vec![
        ("region-png", file(false, &region, ImageFormat::Png)),
        ("region-jpeg", file(false, &region, ImageFormat::Jpeg)),
        ("region-bmp", file(false, &region, ImageFormat::Bmp)),
        ("region-pgm", file(false, &region, ImageFormat::Pnm)),
        ("region-deep", file(false, &deep, ImageFormat::Png)),
        ("region-clear", file(false, &clear, ImageFormat::Png)),
        ("region-turned", turned(&region)),
        ("hand-png", file(true, &hand, ImageFormat::Png)),
        ("hand-pgm", file(true, &hand, ImageFormat::Pnm)),
    ]
}

fn file(whole_hand: bool, image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut file = Cursor::new(vec![u8::from(whole_hand)]);
    file.set_position(1);
    image.write_to(&mut file, format).expect("in memory");
    file.into_inner()
}

/// A JPEG whose EXIF says that it was taken on its side.
fn turned(image: &DynamicImage) -> Vec<u8> {
    let mut file = vec![0];
    let mut encoder = JpegEncoder::new(&mut file);
    // TIFF header, one entry: orientation (0x0112), one SHORT, 6: turn right by a quarter.
    let exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    encoder.set_exif_metadata(exif.to_vec()).expect("kept");
    encoder.encode_image(image).expect("in memory");
    file
}
