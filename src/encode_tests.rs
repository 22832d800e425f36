//! Tests of the encoder as a whole: mates score high, others don't, and bad input has a reason.

use std::collections::BTreeMap;
use std::path::Path;

use image::{GrayImage, Luma};

use super::*;
use crate::palms::{Palms, Side, png, preset};

fn encoder(dim: usize) -> PalmEncoder {
    PalmEncoder::new(Dimension::new(dim).expect("valid")).expect("built in")
}

/// Pictures and what they gave when this version of the encoder was made. Another answer is another version.
const KNOWN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/known/encoder-1");
/// Set to write the answers of a new version: `THENAR_WRITE_ANSWERS=1 cargo test --lib signatures_of_this_version`. Of its own, so that nobody who makes other files anew writes these.
const WRITE: &str = "THENAR_WRITE_ANSWERS";

#[test]
fn signatures_of_this_version_stay_what_they_are() {
    let answers = Path::new(KNOWN).join("expected.json");
    let mut made = BTreeMap::new();
    for (name, picture) in [("region", Picture::Region), ("hand", Picture::Hand)] {
        let file = std::fs::read(Path::new(KNOWN).join(name).with_extension("png")).expect("kept");
        for dim in [256, 512] {
            let Encoded { signature, .. } = encoder(dim).encode(&file, picture).expect(name);
            made.insert(format!("{name}-{dim}"), signature);
        }
    }
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&answers, serde_json::to_vec(&made).expect("numbers")).expect("written");
    }
    let known = std::fs::read(&answers).expect("kept");
    let known: BTreeMap<String, Vec<f32>> = serde_json::from_slice(&known).expect("numbers");
    assert!(known.keys().eq(made.keys()));
    for (name, known) in known {
        let made = &made[&name];
        assert_eq!(made.len(), known.len(), "{name}");
        let differ = made
            .iter()
            .zip(&known)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max);
        assert!(differ < 1e-3, "{name}: {differ}");
    }
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
                        .encode(&png(&palm.region(sample)), Picture::Region)
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
                .encode(&png(&palm.hand(0, false).image), Picture::Hand)
                .ok()?;
            let region = encoder
                .encode(&png(&palm.region(1)), Picture::Region)
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
    let file = png(&Palms::new(5, preset::test()).palm(0, Side::Left).region(0));
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
            let refused = encoder.encode(&png(&image), picture).expect_err(name);
            assert_eq!(refused, FailureToAcquire::Blank, "{name}");
        }
    }
}

#[test]
fn regions_of_any_size_do() {
    let encoder = encoder(512);
    let region = Palms::new(5, preset::test()).palm(3, Side::Left).region(0);
    let usual = encoder.encode(&png(&region), Picture::Region).expect("a region");
    for side in [96, 200, 400] {
        let other = image::imageops::resize(&region, side, side, image::imageops::FilterType::Triangle);
        let other = encoder.encode(&png(&other), Picture::Region).expect("a region");
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
        FailureToAcquire::FileTooLarge { bytes_max: 1 },
        FailureToAcquire::TooSmall {
            width: 1,
            height: 1,
            side_min: 1,
        },
        FailureToAcquire::NotSquare { width: 1, height: 2 },
        FailureToAcquire::Blank,
        FailureToAcquire::Hidden {
            percent: 1,
            percent_min: 2,
        },
        FailureToAcquire::TooDark,
        FailureToAcquire::NoHand,
        FailureToAcquire::TwoHands,
        FailureToAcquire::ClosedHand,
        FailureToAcquire::CutOff,
    ];
    let mut words: Vec<&str> = all.iter().map(FailureToAcquire::reason).collect();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), all.len());
}

/// A drawn region with something done to each pixel: column, row, shade.
fn changed(number: u64, change: impl Fn(u32, u32, u8) -> u8) -> Vec<u8> {
    let mut region = Palms::new(5, preset::test()).palm(number, Side::Left).region(0);
    for (x, y, pixel) in region.enumerate_pixels_mut() {
        pixel.0 = [change(x, y, pixel.0[0])];
    }
    png(&region)
}

/// Paints over some pixels: the new shade of a column and row.
type Fault = fn(u32, u32) -> Option<u8>;

#[test]
fn strangers_whose_captures_have_the_same_fault_are_strangers() {
    let encoder = encoder(256);
    let faults: [(&str, Fault); 7] = [
        ("a dark band", |x, _| (x < 12).then_some(4)),
        ("a dark frame", |x, y| {
            (x.min(y).min(127 - x).min(127 - y) < 10).then_some(0)
        }),
        ("a third in the dark", |_, y| (y > 85).then_some(8)),
        ("glare", |x, y| {
            (x.abs_diff(70) + y.abs_diff(40) < 30).then_some(255)
        }),
        ("lost rows", |_, y| (y > 75).then_some(128)),
        ("a grey strip", |x, _| (50..66).contains(&x).then_some(200)),
        ("a dark patch", |x, y| (x.max(y) < 40).then_some(2)),
    ];
    for (name, fault) in faults {
        let all: Vec<Encoded> = (0..10)
            .map(|number| {
                encoder
                    .encode(
                        &changed(number, |x, y, shade| fault(x, y).unwrap_or(shade)),
                        Picture::Region,
                    )
                    .expect(name)
            })
            .collect();
        for (k, one) in all.iter().enumerate() {
            for other in &all[..k] {
                assert!(cosine(one, other) < 0.5, "{name}: {}", cosine(one, other));
            }
        }
    }
}

#[test]
fn what_can_hardly_be_seen_gives_no_signature() {
    let encoder = encoder(256);
    let half = changed(1, |x, _, shade| if x < 70 { 0 } else { shade });
    let blown = changed(1, |_, y, shade| if y < 100 { 255 } else { shade });
    for file in [half, blown] {
        let refused = encoder.encode(&file, Picture::Region).expect_err("hidden");
        assert_eq!(refused.reason(), "hidden");
    }
    let all = changed(1, |_, _, shade| shade.saturating_mul(200));
    assert!(encoder.encode(&all, Picture::Region).is_err());
}

#[test]
fn a_picture_that_is_no_square_is_no_region() {
    let hand = Palms::new(5, preset::test())
        .palm(0, Side::Left)
        .hand(0, false)
        .image;
    let refused = encoder(256)
        .encode(&png(&hand), Picture::Region)
        .expect_err("no region");
    assert_eq!(
        refused,
        FailureToAcquire::NotSquare {
            width: 480,
            height: 640
        }
    );
}
