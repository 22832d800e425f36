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
        0.5 + 0.1 * (0.13 * x + 0.21 * y).sin() + 0.1 * (0.31 * x - 0.11 * y).sin()
    })
}

fn extract(picture: &Grey) -> Vec<f32> {
    Extractor::new().extract(&Region::of(picture))
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[test]
fn each_direction_has_its_orientation() {
    for orientation in 0..ORIENTATIONS {
        let features = extract(&lines(15.0 * orientation as f32, 0.3));
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
fn features_have_unit_norm_and_say_what_of_a_window_is_unusual() {
    let features = extract(&waves());
    assert_eq!(features.len(), FEATURES);
    assert!((cosine(&features, &features) - 1.0).abs() < 1e-5);
    for block in features.chunks(ORIENTATIONS) {
        let (most, least) = block.iter().fold((f32::MIN, f32::MAX), |(most, least), v| {
            (most.max(*v), least.min(*v))
        });
        assert!(most > 0.0 && least < 0.0, "{block:?}");
    }
}

#[test]
fn brightness_and_contrast_do_not_matter() {
    let region = waves();
    let other = Grey::new(128, 128, region.values().iter().map(|v| 0.4 * v + 0.2).collect());
    let score = cosine(&extract(&region), &extract(&other));
    assert!(score > 0.999, "{score}");
}

#[test]
fn a_small_shift_matters_little_and_another_palm_much() {
    let palms = crate::palms::Palms::new(3, crate::palms::preset::test());
    let region = |number| {
        let image = palms.palm(number, crate::palms::Side::Left).region(0);
        Grey::from(&image)
    };
    let palm = region(0);
    let features = extract(&palm);
    let shifted = Grey::from_fn(128, 128, |x, y| palm.at(x + 2.0, y - 1.0));
    let shifted = cosine(&features, &extract(&shifted));
    let other = cosine(&features, &extract(&region(1)));
    assert!(shifted > 0.75, "{shifted}");
    assert!(other < 0.4, "{other}");
}

#[test]
fn a_flat_region_has_no_features() {
    for shade in [0.1, 0.5, 0.7, 1.0] {
        let features = extract(&Grey::new(128, 128, vec![shade; SIDE * SIDE]));
        assert!(features.iter().all(|v| v.abs() < 1e-9), "{shade}");
    }
}

#[test]
fn strangers_are_no_more_alike_where_something_dark_covers_a_part_of_both() {
    let palms = crate::palms::Palms::new(3, crate::palms::preset::test());
    let covered = |number, width: f32| {
        let picture = Grey::from(&palms.palm(number, crate::palms::Side::Left).region(0));
        extract(&Grey::from_fn(128, 128, |x, y| {
            if x < width { 0.02 } else { picture.at(x, y) }
        }))
    };
    for width in [4.0, 8.0, 16.0, 30.0] {
        let all: Vec<Vec<f32>> = (0..12).map(|number| covered(number, width)).collect();
        for (k, one) in all.iter().enumerate() {
            for other in &all[..k] {
                assert!(cosine(one, other) < 0.45, "{width}: {}", cosine(one, other));
            }
        }
        // And the palm is still the palm.
        let whole = cosine(&all[0], &covered(0, 0.0));
        assert!(whole > 0.6, "{width}: {whole}");
    }
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
