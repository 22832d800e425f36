//! Tests of the way from a whole hand to its region, on drawn hands whose regions are known.

use super::*;
use crate::palms::{Hand, Palms, Side, preset};

fn drawn(number: u64, side: Side, closed: bool) -> Hand {
    Palms::new(21, preset::test()).palm(number, side).hand(0, closed)
}

fn grey(hand: &Hand) -> Grey {
    let shade = |byte: &u8| f32::from(*byte) / 255.0;
    Grey::new(
        hand.image.width(),
        hand.image.height(),
        hand.image.as_raw().iter().map(shade).collect(),
    )
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
    assert!(apart.len() >= 27, "{} of 30 found", apart.len());
    // The region's side is about 157 pixels.
    assert!(apart[apart.len() / 2] < 7.0, "{apart:?}");
    assert!(apart[apart.len() * 9 / 10] < 14.0, "{apart:?}");
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
            assert!(
                matches!(
                    refused,
                    FailureToAcquire::CutOff | FailureToAcquire::ClosedHand | FailureToAcquire::NoHand
                ),
                "{part} of {number}: {refused}"
            );
        }
        let refused = square(&crop(&image, [0.0, 320.0], 480, 320)).expect_err("no fingers");
        assert_ne!(refused, FailureToAcquire::Blank);
    }
}

#[test]
fn no_hand_is_told() {
    let ramp = Grey::from_fn(320, 240, |x, y| (x + y) / 560.0);
    let checks = Grey::from_fn(320, 240, |x, y| ((x / 20.0).floor() + (y / 20.0).floor()) % 2.0);
    let dot = Grey::from_fn(320, 240, |x, y| {
        if (x - 50.0).hypot(y - 50.0) < 12.0 {
            1.0
        } else {
            0.0
        }
    });
    for (name, image) in [("ramp", ramp), ("checks", checks), ("dot", dot)] {
        assert!(square(&image).is_err(), "{name}");
    }
}
