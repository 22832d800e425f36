//! Tests of the way from a whole hand to its region, on drawn hands whose regions are known.

use super::*;
use crate::palms::{Hand, Palms, Side, preset};

fn drawn(number: u64, side: Side, closed: bool) -> Hand {
    Palms::new(21, preset::test()).palm(number, side).hand(0, closed)
}

fn grey(hand: &Hand) -> Grey {
    Grey::from(&hand.image)
}

/// A part of an image.
fn crop(image: &Grey, [left, top]: [f32; 2], width: u32, height: u32) -> Grey {
    Grey::from_fn(width, height, |x, y| image.at(left + x, top + y))
}

fn farthest(square: &Square, corners: &[Position; 4]) -> f32 {
    let apart = |(a, b): (&Position, &Position)| (a[0] - b[0]).hypot(a[1] - b[1]);
    square
        .corners()
        .iter()
        .zip(corners)
        .map(apart)
        .fold(0.0, f32::max)
}

#[test]
fn regions_are_where_they_were_drawn() {
    let mut apart = Vec::new();
    for number in 0..30 {
        let side = if number % 2 == 0 { Side::Left } else { Side::Right };
        let hand = drawn(number, side, false);
        if let Ok(square) = super::square(&grey(&hand)) {
            apart.push(farthest(&square, &hand.corners));
        }
    }
    apart.sort_by(f32::total_cmp);
    assert!(apart.len() >= 29, "{} of 30 found", apart.len());
    // The region's side is about 157 pixels.
    assert!(apart[apart.len() / 2] < 5.5, "{apart:?}");
    assert!(apart[apart.len() - 1] < 12.0, "{apart:?}");
}

#[test]
fn captures_of_a_hand_have_their_regions_in_one_place() {
    let palms = Palms::new(21, preset::test());
    for number in 0..8 {
        let palm = palms.palm(number, Side::Left);
        let off = [0, 1].map(|sample| {
            let hand = palm.hand(sample, false);
            let square = square(&grey(&hand)).expect("a hand");
            let [a, b] = [square.corners()[2], hand.corners[2]];
            let [zero, one] = [hand.corners[0], hand.corners[1]];
            let across = [one[0] - zero[0], one[1] - zero[1]];
            let (offset, squared) = ([a[0] - b[0], a[1] - b[1]], across[0].powi(2) + across[1].powi(2));
            // As the palm lies, so that its turn in the image doesn't count.
            [
                (offset[0] * across[0] + offset[1] * across[1]) / squared,
                (offset[1] * across[0] - offset[0] * across[1]) / squared,
            ]
        });
        let apart = (off[0][0] - off[1][0]).hypot(off[0][1] - off[1][1]);
        assert!(apart < 0.03, "palm {number}: {apart} sides");
    }
}

#[test]
fn a_hand_may_be_turned_any_way() {
    let hand = drawn(1, Side::Left, false);
    let image = grey(&hand);
    let upright = square(&image).expect("a hand").cut(&image);
    let (width, height) = (image.width() as f32, image.height() as f32);
    let over = Grey::from_fn(image.width() as u32, image.height() as u32, |x, y| {
        image.at(width - 1.0 - x, height - 1.0 - y)
    });
    let again = square(&over).expect("the same hand").cut(&over);
    let apart: f32 = upright
        .values()
        .iter()
        .zip(again.values())
        .map(|(a, b)| (a - b).abs())
        .sum();
    assert!(apart / 16_384.0 < 0.02, "{}", apart / 16_384.0);
}

#[test]
fn a_fist_is_told() {
    for number in 0..10 {
        let hand = drawn(number, Side::Right, true);
        assert_eq!(
            square(&grey(&hand)),
            Err(FailureToAcquire::ClosedHand),
            "palm {number}"
        );
    }
}

#[test]
fn half_a_hand_is_told() {
    for number in 0..10 {
        let image = grey(&drawn(number, Side::Left, false));
        for (part, from) in [("left", [0.0, 0.0]), ("right", [240.0, 0.0])] {
            let refused = square(&crop(&image, from, 240, 640)).expect_err(part);
            assert_eq!(refused, FailureToAcquire::CutOff, "{part} of {number}");
        }
        let refused = square(&crop(&image, [0.0, 150.0], 480, 490)).expect_err("no fingertips");
        assert_eq!(refused, FailureToAcquire::CutOff, "without fingertips: {number}");
        // A palm without any finger is no hand, unless a thumb says what it is.
        let refused = square(&crop(&image, [0.0, 320.0], 480, 320)).expect_err("no fingers");
        assert!(
            matches!(refused, FailureToAcquire::CutOff | FailureToAcquire::NoHand),
            "lower half of {number}: {refused}"
        );
    }
}

#[test]
fn little_light_is_enough() {
    for number in 0..10 {
        let image = grey(&drawn(number, Side::Left, false));
        let there = square(&image).expect("a hand");
        for light in [0.5, 0.25, 0.15] {
            let dark = Grey::from_fn(480, 640, |x, y| (255.0 * light * image.at(x, y)).round() / 255.0);
            let found = square(&dark).unwrap_or_else(|e| panic!("{number} in {light}: {e}"));
            let moved = farthest(&found, &there.corners());
            assert!(moved < 4.0, "{number} in {light}: {moved} pixels");
        }
    }
}

#[test]
fn two_hands_are_told() {
    for number in 0..5 {
        let [one, two] = [(number, Side::Left), (number + 5, Side::Right)]
            .map(|(number, side)| grey(&drawn(number, side, false)));
        let both = Grey::from_fn(960, 640, |x, y| {
            if x < 480.0 {
                one.at(x, y)
            } else {
                two.at(x - 480.0, y)
            }
        });
        assert_eq!(square(&both), Err(FailureToAcquire::TwoHands), "{number}");
    }
}

#[test]
fn no_hand_is_told() {
    let ramp = Grey::from_fn(320, 240, |x, y| (x + y) / 560.0);
    let checks = Grey::from_fn(320, 240, |x, y| ((x / 20.0).floor() + (y / 20.0).floor()) % 2.0);
    let shown = |inside: bool| if inside { 1.0 } else { 0.0 };
    let dot = Grey::from_fn(320, 240, |x, y| shown((x - 50.0).hypot(y - 50.0) < 12.0));
    let block = Grey::from_fn(320, 240, |x, y| {
        shown((x - 160.0).abs() < 70.0 && (y - 120.0).abs() < 90.0)
    });
    let sky = Grey::from_fn(320, 240, |x, y| {
        if y < 90.0 + 20.0 * (x / 40.0).sin() {
            0.8
        } else {
            0.2
        }
    });
    for (name, image) in [
        ("ramp", ramp),
        ("checks", checks),
        ("dot", dot),
        ("block", block),
        ("sky", sky),
    ] {
        assert_eq!(square(&image), Err(FailureToAcquire::NoHand), "{name}");
    }
}
