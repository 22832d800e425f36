//! Tests of the quality: each of its parts, and that it foretells failure.

use super::*;
use crate::encode::{PalmEncoder, Picture};
use crate::model::signature::Dimension;

fn of(picture: &Grey) -> Quality {
    Quality::of(&Region::of(picture))
}

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
    let quality = of(&Grey::from(&image));
    assert!(quality.score() >= 80, "{quality:?}");
}

#[test]
fn less_contrast_more_noise_more_blur_less_cover_are_worse() {
    let crisp = lines(0.1, 1.2);
    let good = of(&crisp);
    assert!(of(&lines(0.01, 1.2)).contrast < 0.2 * good.contrast);
    assert!(of(&lines(0.1, 6.0)).sharpness < 0.6 * good.sharpness);
    let noisy = Grey::from_fn(128, 128, |x, y| crisp.at(x, y) + 0.1 * ((x + y) % 2.0));
    assert!(of(&noisy).clarity < 0.6 * good.clarity);
    let part = Grey::from_fn(128, 128, |x, y| if x < 40.0 { 0.0 } else { crisp.at(x, y) });
    assert!((of(&part).coverage - 86.0 / 128.0).abs() < 0.02);
    assert!(of(&part).score() < 70);
}

#[test]
fn nothing_seen_is_the_worst() {
    assert_eq!(of(&Grey::new(128, 128, vec![0.0; 128 * 128])).score(), 0);
    assert_eq!(of(&Grey::new(128, 128, vec![1.0; 128 * 128])).score(), 0);
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
            let file = crate::palms::png(&palm.region(sample));
            encoder.encode(&file, Picture::Region).ok()
        };
        // Where too much is hidden there is no signature.
        let all: Vec<_> = (0..6).filter_map(encode).collect();
        for (k, one) in all.iter().enumerate() {
            let others = all.iter().enumerate().filter(|(other, _)| *other != k);
            let score = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
            let total: f32 = others
                .map(|(_, other)| score(&one.signature, &other.signature))
                .sum();
            seen.push((one.quality, total / (all.len() - 1) as f32));
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
