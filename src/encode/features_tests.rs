//! Tests of the features: what they see, and what they don't mind.

use super::*;

/// Dark lines across a bright ground, 17 pixels apart, at an angle in degrees.
fn lines(degrees: f32, contrast: f32) -> Grey {
    let (sin, cos) = degrees.to_radians().sin_cos();
    let side = u32::try_from(SIDE).expect("small");
    Grey::from_fn(side, side, |x, y| {
        let across = y * cos - x * sin;
        0.5 - contrast * (2.0 * PI * across / WAVELENGTH).cos().max(0.0)
    })
}

/// Waves that cross each other.
fn waves() -> Grey {
    let side = u32::try_from(SIDE).expect("small");
    Grey::from_fn(side, side, |x, y| {
        0.5 + 0.2 * (0.13 * x + 0.21 * y).sin() + 0.2 * (0.31 * x - 0.11 * y).sin()
    })
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[test]
fn each_direction_has_its_orientation() {
    let extractor = Extractor::new();
    for orientation in 0..ORIENTATIONS {
        let features = extractor.extract(&lines(15.0 * orientation as f32, 0.3));
        // A window in the middle.
        let block = &features[(5 * GRID + 6) * ORIENTATIONS..][..ORIENTATIONS];
        let best = block
            .iter()
            .enumerate()
            .max_by(|a, b| a.1.total_cmp(b.1))
            .map(|(k, _)| k);
        assert_eq!(best, Some(orientation), "{block:?}");
    }
}

#[test]
fn features_have_unit_norm_and_every_window_sums_to_little() {
    let features = Extractor::new().extract(&waves());
    assert_eq!(features.len(), FEATURES);
    assert!((cosine(&features, &features) - 1.0).abs() < 1e-5);
    assert!(features.iter().any(|v| *v > 0.0) && features.iter().any(|v| *v < 0.0));
}

#[test]
fn brightness_and_contrast_do_not_matter() {
    let extractor = Extractor::new();
    let region = waves();
    let other = Grey::new(128, 128, region.values().iter().map(|v| 3.0 * v - 0.4).collect());
    let score = cosine(&extractor.extract(&region), &extractor.extract(&other));
    assert!(score > 0.999, "{score}");
}

#[test]
fn a_small_shift_matters_little_and_another_palm_much() {
    let palms = crate::palms::Palms::new(3, crate::palms::preset::test());
    let region = |number| {
        let image = palms.palm(number, crate::palms::Side::Left).region(0);
        Grey::new(
            128,
            128,
            image.as_raw().iter().map(|byte| f32::from(*byte)).collect(),
        )
    };
    let extractor = Extractor::new();
    let palm = region(0);
    let features = extractor.extract(&palm);
    let shifted = Grey::from_fn(128, 128, |x, y| palm.at(x + 2.0, y - 1.0));
    let shifted = cosine(&features, &extractor.extract(&shifted));
    let other = cosine(&features, &extractor.extract(&region(1)));
    assert!(shifted > 0.75, "{shifted}");
    assert!(other < 0.4, "{other}");
}

#[test]
fn a_flat_region_has_no_features() {
    let features = Extractor::new().extract(&Grey::new(128, 128, vec![0.5; SIDE * SIDE]));
    assert!(features.iter().all(|v| v.is_finite()));
}

#[test]
fn filters_have_no_constant_part() {
    for orientation in 0..ORIENTATIONS {
        assert!(spectrum(orientation)[0].abs() < 1e-6);
    }
}

#[test]
fn windows_lie_like_their_mirror_images() {
    for number in 0..GRID {
        let sum = |n: usize| window(n).weights.iter().sum::<f32>();
        // Every second pixel is looked at, so the two sides differ by a part of a pixel's weight.
        assert!(
            (sum(number) - sum(GRID - 1 - number)).abs() < 0.5,
            "window {number}"
        );
    }
}
