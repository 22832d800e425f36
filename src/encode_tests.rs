//! Tests of the encoder as a whole: mates score high, others don't, and bad input has a reason.

use image::{DynamicImage, GrayImage, ImageFormat, Luma};

use super::*;
use crate::palms::{Palms, Side, preset};

fn encoder(dim: usize) -> PalmEncoder {
    PalmEncoder::new(Dimension::new(dim).expect("valid")).expect("built in")
}

fn png(image: GrayImage) -> Vec<u8> {
    let mut file = std::io::Cursor::new(Vec::new());
    DynamicImage::ImageLuma8(image)
        .write_to(&mut file, ImageFormat::Png)
        .expect("in memory");
    file.into_inner()
}

fn cosine(a: &Encoded, b: &Encoded) -> f32 {
    a.signature.iter().zip(&b.signature).map(|(a, b)| a * b).sum()
}

#[test]
fn captures_of_one_palm_are_alike_and_of_two_are_not() {
    for dim in [256, 512] {
        let encoder = encoder(dim);
        let palms = Palms::new(5, preset::test());
        let captures: Vec<[Encoded; 2]> = (0..20)
            .map(|number| {
                let palm = palms.palm(number, Side::Left);
                [0, 1].map(|sample| {
                    encoder
                        .encode(&png(palm.region(sample)), Picture::Region)
                        .expect("a region")
                })
            })
            .collect();
        let mut mated: Vec<f32> = captures.iter().map(|[a, b]| cosine(a, b)).collect();
        mated.sort_by(f32::total_cmp);
        assert!(mated[10] > 0.6, "{mated:?}");
        for (k, [a, _]) in captures.iter().enumerate() {
            assert_eq!(a.signature.len(), dim);
            assert!((cosine(a, a) - 1.0).abs() < 1e-5);
            for [other, _] in &captures[..k] {
                assert!(cosine(a, other) < 0.4, "{}", cosine(a, other));
            }
        }
    }
}

#[test]
fn a_whole_hand_gives_the_signature_of_its_region() {
    let encoder = encoder(512);
    let palms = Palms::new(5, preset::test());
    let mut scores: Vec<f32> = (0..9)
        .filter_map(|number| {
            let palm = palms.palm(number, Side::Right);
            let hand = encoder
                .encode(&png(palm.hand(0, false).image), Picture::Hand)
                .ok()?;
            let region = encoder
                .encode(&png(palm.region(1)), Picture::Region)
                .expect("a region");
            Some(cosine(&hand, &region))
        })
        .collect();
    scores.sort_by(f32::total_cmp);
    assert!(scores.len() >= 7, "{} hands of 9", scores.len());
    assert!(scores[scores.len() / 2] > 0.4, "{scores:?}");
}

#[test]
fn fewer_dimensions_are_the_first_ones() {
    let file = png(Palms::new(5, preset::test()).palm(0, Side::Left).region(0));
    let [long, short] = [512, 256].map(|dim| {
        encoder(dim)
            .encode(&file, Picture::Region)
            .expect("a region")
            .signature
    });
    let mut head = long[..256].to_vec();
    normalize(&mut head);
    assert!(head.iter().zip(&short).all(|(a, b)| (a - b).abs() < 1e-6));
}

#[test]
fn more_dimensions_than_it_makes_are_refused() {
    let refused = PalmEncoder::new(Dimension::new(544).expect("valid")).err();
    assert_eq!(
        refused,
        Some(ProjectionError::Dimension {
            asked: 544,
            most: DIM_MAX
        })
    );
}

#[test]
fn blank_frames_are_told() {
    let encoder = encoder(256);
    let noisy = |level: u32| {
        GrayImage::from_fn(200, 200, move |x, y| {
            Luma([u8::try_from(level + (x * 7 + y * 13) % 4).expect("a byte")])
        })
    };
    for (name, image) in [
        ("black", GrayImage::new(200, 200)),
        ("dark", noisy(3)),
        ("grey", noisy(128)),
        ("white", noisy(250)),
    ] {
        for picture in [Picture::Region, Picture::Hand] {
            let refused = encoder.encode(&png(image.clone()), picture).expect_err(name);
            assert_eq!(refused, FailureToAcquire::Blank, "{name}");
        }
    }
}

#[test]
fn regions_of_any_size_do() {
    let encoder = encoder(512);
    let region = Palms::new(5, preset::test()).palm(3, Side::Left).region(0);
    let usual = encoder
        .encode(&png(region.clone()), Picture::Region)
        .expect("a region");
    for side in [96, 200, 400] {
        let other = image::imageops::resize(&region, side, side, image::imageops::FilterType::Triangle);
        let other = encoder.encode(&png(other), Picture::Region).expect("a region");
        assert!(cosine(&usual, &other) > 0.9, "{side}: {}", cosine(&usual, &other));
    }
}

#[test]
fn every_reason_has_a_word_of_its_own() {
    let all = [
        FailureToAcquire::NotAnImage,
        FailureToAcquire::Unsupported,
        FailureToAcquire::Broken,
        FailureToAcquire::TooLarge {
            width: 1,
            height: 1,
            pixels_max: 1,
        },
        FailureToAcquire::TooSmall {
            width: 1,
            height: 1,
            side_min: 1,
        },
        FailureToAcquire::Blank,
        FailureToAcquire::NoHand,
        FailureToAcquire::ClosedHand,
        FailureToAcquire::CutOff,
    ];
    let mut words: Vec<&str> = all.iter().map(FailureToAcquire::reason).collect();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), all.len());
}
