//! Tests of the generator: a pure function of its numbers, with the variety that it claims.

use image::imageops::flip_horizontal;

use super::anatomy::Kind;
use super::*;

/// Correlation of the grey values of two images.
fn alike(a: &GrayImage, b: &GrayImage) -> f64 {
    let values = |image: &GrayImage| -> Vec<f64> { image.as_raw().iter().map(|v| f64::from(*v)).collect() };
    let centred = |image: &GrayImage| {
        let values = values(image);
        let mean = values.iter().sum::<f64>() / 16_384.0;
        values.into_iter().map(|v| v - mean).collect::<Vec<_>>()
    };
    let (a, b) = (centred(a), centred(b));
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt()
}

#[test]
fn an_image_is_a_function_of_its_numbers_alone() {
    let (first, again) = (Palms::new(7, preset::train()), Palms::new(7, preset::train()));
    let image = first.palm(3, Side::Left).region(2);
    let _ = again.palm(8, Side::Left).region(0);
    assert_eq!(image, again.palm(3, Side::Left).region(2));
    assert_ne!(image, first.palm(3, Side::Left).region(1), "another capture");
    assert_ne!(image, first.palm(4, Side::Left).region(2), "another palm");
    assert_ne!(
        image,
        Palms::new(8, preset::train()).palm(3, Side::Left).region(2),
        "another seed"
    );
}

#[test]
fn a_right_hand_is_the_mirror_image_of_a_left_one() {
    let palms = Palms::new(7, preset::test());
    let (left, right) = (palms.palm(3, Side::Left), palms.palm(3, Side::Right));
    assert_eq!(flip_horizontal(&left.region(1)), right.region(1));
    let (left, right) = (left.hand(1, false), right.hand(1, false));
    assert_eq!(flip_horizontal(&left.image), right.image);
    assert!((left.corners[0][0] + right.corners[1][0] - 479.0).abs() < 1e-3);
    assert!((left.corners[0][1] - right.corners[1][1]).abs() < 1e-3);
}

#[test]
fn captures_of_a_palm_are_more_alike_than_palms() {
    let palms = Palms::new(7, preset::test());
    let (mut mated, mut others) = (0.0, 0.0);
    for number in 0..30 {
        let (palm, other) = (
            palms.palm(number, Side::Left),
            palms.palm(number + 100, Side::Left),
        );
        mated += alike(&palm.region(0), &palm.region(1)) / 30.0;
        others += alike(&palm.region(0), &other.region(0)) / 30.0;
    }
    assert!(mated > others + 0.2, "{mated} and {others}");
}

#[test]
fn the_three_types_come_as_often_as_the_style_says() {
    let mut style = preset::test();
    (style.anatomy.simian, style.anatomy.sydney) = (0.3, 0.3);
    style.anatomy.wrinkles = style::span(0.0, 0.0);
    let palms = Palms::new(7, style);
    let kinds: Vec<Kind> = (0..200)
        .map(|number| palms.palm(number, Side::Left).relief.kind)
        .collect();
    for (kind, low, high) in [
        (Kind::Simian, 40, 80),
        (Kind::Sydney, 40, 80),
        (Kind::Normal, 55, 105),
    ] {
        let count = kinds.iter().filter(|k| **k == kind).count();
        assert!((low..=high).contains(&count), "{kind:?}: {count} of 200");
    }
}

#[test]
fn the_region_of_a_hand_is_in_the_image() {
    let palms = Palms::new(7, preset::test());
    for number in 0..20 {
        let hand = palms.palm(number, Side::Left).hand(0, false);
        for [x, y] in hand.corners {
            assert!(
                (0.0..480.0).contains(&x) && (0.0..640.0).contains(&y),
                "palm {number}: {x}, {y}"
            );
        }
    }
}

#[test]
fn what_is_trained_on_is_not_what_is_tested_on() {
    let (train, test) = (preset::train(), preset::test());
    assert_ne!(train.anatomy, test.anatomy);
    assert_ne!(train.skin, test.skin);
    assert_ne!(train.capture, test.capture);
}
