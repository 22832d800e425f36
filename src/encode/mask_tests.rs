//! Tests of the way from brightness to the pixels of a hand, on figures whose size is known.

use std::f32::consts::PI;

use super::*;

const CENTRE: [f32; 2] = [160.3, 119.6];
const RADIUS: f32 = 80.0;

fn from_centre(x: f32, y: f32) -> f32 {
    (x - CENTRE[0]).hypot(y - CENTRE[1])
}

/// A disk with a border as soft as a lens makes it.
fn disk(dark: f32, bright: f32) -> Grey {
    Grey::from_fn(320, 240, |x, y| {
        dark + (bright - dark) * ((RADIUS - from_centre(x, y)) / 2.0 + 0.5).clamp(0.0, 1.0)
    })
}

fn area(mask: &Mask) -> f32 {
    mask.inside.iter().filter(|shade| **shade > 0).count() as f32
}

fn refused(image: &Grey) -> FailureToAcquire {
    Mask::of(image).err().expect("no hand to be found")
}

#[test]
fn a_border_is_found_to_a_fraction_of_a_pixel() {
    for (dark, bright) in [(0.05, 0.8), (0.4, 0.7), (0.01, 0.05)] {
        let mask = Mask::of(&disk(dark, bright)).expect("a disk");
        assert!((area(&mask) / (PI * RADIUS * RADIUS) - 1.0).abs() < 0.03);
        let mut distances = Vec::new();
        for (x, y) in (0..240_u16).flat_map(|y| (0..320_u16).map(move |x| (x, y))) {
            let has = |x: i32| mask.has(x, i32::from(y));
            let at = i32::from(x);
            if has(at) && has(at - 1) != has(at + 1) {
                let [x, y] = mask.border(x.into(), y.into());
                distances.push(from_centre(x, y));
            }
        }
        let mean = distances.iter().sum::<f32>() / distances.len() as f32;
        let farthest = distances.iter().map(|d| (d - mean).abs()).fold(0.0, f32::max);
        // Whole pixels are off by up to 0.7.
        assert!(
            (mean - RADIUS).abs() < 1.0 && farthest < 0.35,
            "{mean}, {farthest}"
        );
    }
}

#[test]
fn what_lies_in_shadow_belongs_to_the_hand() {
    let lit = disk(0.05, 0.8);
    let shadowed = Grey::from_fn(320, 240, |x, y| {
        if x < CENTRE[0] - 30.0 && from_centre(x, y) < RADIUS {
            0.3
        } else {
            lit.at(x, y)
        }
    });
    let mask = Mask::of(&shadowed).expect("a disk");
    assert!((area(&mask) / (PI * RADIUS * RADIUS) - 1.0).abs() < 0.05);
}

#[test]
fn holes_are_filled() {
    let whole = disk(0.05, 0.8);
    let line = Grey::from_fn(320, 240, |x, y| {
        if (y - 120.0).abs() < 3.0 && (x - 160.0).abs() < 50.0 {
            0.05
        } else {
            whole.at(x, y)
        }
    });
    let [with, without] = [&line, &whole].map(|image| area(&Mask::of(image).expect("a disk")));
    assert!((with - without).abs() < 0.01 * without, "{with}, {without}");
}

#[test]
fn one_group_of_brightness_is_no_hand() {
    // The golden ratio's multiples are spread evenly, so that sums of them make a bell.
    let even = |k: f32, by: f32| (k * by).fract();
    let spread = Grey::from_fn(320, 240, |x, y| ((x + 320.0 * y) / 76_800.0).powi(2));
    let bell = Grey::from_fn(320, 240, |x, y| {
        let (i, j) = ((x / 16.0).floor(), (y / 16.0).floor());
        let k = i + 20.0 * j;
        ((even(k, 0.618_034) + even(k, 0.414_213) + even(k, 0.732_05) + even(k, 0.236_07)) / 4.0).powi(2)
    });
    assert_eq!(refused(&spread), FailureToAcquire::NoHand);
    assert_eq!(refused(&bell), FailureToAcquire::NoHand);
}

#[test]
fn darkness_is_told_from_emptiness() {
    assert_eq!(refused(&disk(0.029, 0.03)), FailureToAcquire::TooDark);
    assert_eq!(refused(&disk(0.49, 0.5)), FailureToAcquire::NoHand);
}

#[test]
fn another_piece_is_measured() {
    let two = Grey::from_fn(480, 240, |x, y| {
        let near = |cx: f32, radius: f32| (x - cx).hypot(y - 120.0) < radius;
        if near(120.0, 80.0) || near(350.0, 60.0) {
            0.8
        } else {
            0.05
        }
    });
    let other = Mask::of(&two).expect("the larger one").other;
    assert!((other - 0.5625).abs() < 0.03, "{other}");
    assert!(Mask::of(&disk(0.05, 0.8)).expect("one alone").other < 1e-6);
}
