//! Tests of the quality: each of its parts, and that it foretells failure.

use super::*;
use crate::encode::{PalmEncoder, Picture};
use crate::model::signature::Dimension;

/// Lines of some width on a mid ground.
fn lines(contrast: f32, width: f32) -> Grey {
    Grey::from_fn(128, 128, |x, y| {
        0.5 + contrast * ((x + 0.6 * y) / (2.0 * width)).sin()
    })
}

#[test]
fn a_good_capture_is_good() {
    let palms = crate::palms::Palms::new(11, crate::palms::preset::plain());
    let image = palms.palm(0, crate::palms::Side::Left).region(0);
    let region = Grey::new(
        128,
        128,
        image.as_raw().iter().map(|b| f32::from(*b) / 255.0).collect(),
    );
    assert!(Quality::of(&region).score() >= 80, "{:?}", Quality::of(&region));
}

#[test]
fn less_contrast_more_noise_more_blur_less_cover_are_worse() {
    let crisp = lines(0.1, 1.2);
    let good = Quality::of(&crisp);
    assert!(Quality::of(&lines(0.01, 1.2)).contrast < 0.2 * good.contrast);
    assert!(Quality::of(&lines(0.1, 6.0)).sharpness < 0.6 * good.sharpness);
    let noisy = Grey::from_fn(128, 128, |x, y| crisp.at(x, y) + 0.1 * ((x + y) % 2.0));
    assert!(Quality::of(&noisy).clarity < 0.6 * good.clarity);
    let half = Grey::from_fn(128, 128, |x, y| if x < 64.0 { 0.0 } else { crisp.at(x, y) });
    assert!((Quality::of(&half).coverage - 0.5).abs() < 0.01);
    assert!(Quality::of(&half).score() <= 50);
}

#[test]
fn nothing_seen_is_the_worst() {
    assert_eq!(Quality::of(&Grey::new(128, 128, vec![0.0; 128 * 128])).score(), 0);
    assert_eq!(Quality::of(&Grey::new(128, 128, vec![1.0; 128 * 128])).score(), 0);
}

/// Mated scores of captures by quality: the worst tenth fails more often than the best half.
#[test]
fn low_quality_foretells_failure() {
    let encoder = PalmEncoder::new(Dimension::new(512).expect("valid")).expect("built in");
    let palms = crate::palms::Palms::new(11, crate::palms::preset::ruined());
    let mut seen: Vec<(u8, f32)> = Vec::new();
    for number in 0..40 {
        let palm = palms.palm(number, crate::palms::Side::Left);
        let encode = |sample: u64| {
            let mut file = std::io::Cursor::new(Vec::new());
            palm.region(sample)
                .write_to(&mut file, image::ImageFormat::Png)
                .expect("in memory");
            encoder.encode(file.get_ref(), Picture::Region).expect("a region")
        };
        let all: Vec<_> = (0..6).map(encode).collect();
        for (k, one) in all.iter().enumerate() {
            let others = all.iter().enumerate().filter(|(other, _)| *other != k);
            let score = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
            let total: f32 = others
                .map(|(_, other)| score(&one.signature, &other.signature))
                .sum();
            seen.push((one.quality, total / 5.0));
        }
    }
    seen.sort_by_key(|(quality, _)| *quality);
    let mean = |part: &[(u8, f32)]| part.iter().map(|(_, score)| score).sum::<f32>() / part.len() as f32;
    let (worst, best) = (mean(&seen[..seen.len() / 10]), mean(&seen[seen.len() / 2..]));
    assert!(
        worst + 0.08 < best,
        "mean mated score {worst} of the worst tenth, {best} of the best half"
    );
}
