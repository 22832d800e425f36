//! Tests of the outline: valleys of hands whose shape is known, and figures that are no hands.

use super::*;
use crate::encode::grey::Grey;
use crate::palms::hand::Outline as Shape;
use crate::palms::random::{Purpose, Random};

/// Pixels of the region's side, and where the region lies.
const SIDE: f32 = 150.0;
const MIDDLE: Position = [250.0, 370.0];

fn shape(number: u64) -> Shape {
    Shape::new(&mut Random::new(5, Purpose::Hand, number, 0))
}

fn place([x, y]: Position) -> Position {
    [(x - MIDDLE[0]) / SIDE + 0.5, (y - MIDDLE[1]) / SIDE + 0.5]
}

/// What of a shape is within a part of the palm's plane.
fn drawn(shape: &Shape, part: impl Fn(Position) -> bool) -> Mask {
    picture(|at| {
        let at = place(at);
        if part(at) { SIDE * shape.depth(at) } else { -1.0 }
    })
}

/// A figure by how deep in it a pixel is.
fn picture(depth: impl Fn(Position) -> f32) -> Mask {
    let image = Grey::from_fn(480, 640, |x, y| {
        0.05 + 0.6 * (depth([x, y]) / 2.0 + 0.5).clamp(0.0, 1.0)
    });
    Mask::of(&image).expect("two groups of brightness")
}

fn figure(inside: impl Fn(f32, f32) -> bool) -> Option<FailureToAcquire> {
    let mask = picture(|[x, y]| if inside(x, y) { 1.0 } else { -1.0 });
    valleys(&mask).err()
}

/// How far the farther valley is from where it was drawn, in sides of the region.
fn off(found: &Found) -> f32 {
    let mut places = found.valleys.map(place);
    places.sort_by(|a, b| a[0].total_cmp(&b[0]));
    let drawn = [[1.0 / 12.0, -0.1], [11.0 / 12.0, -0.1]];
    apart(places[0], drawn[0]).max(apart(places[1], drawn[1]))
}

#[test]
fn valleys_are_where_they_were_drawn() {
    for number in 0..20 {
        let found = valleys(&drawn(&shape(number), |_| true)).expect("a hand");
        assert!(off(&found) < 0.03, "hand {number}: {}", off(&found));
    }
}

#[test]
fn a_hand_needs_no_edge_and_no_thumb() {
    for number in 0..20 {
        let shape = shape(number);
        let whole = valleys(&drawn(&shape, |_| true)).expect("a hand").valleys;
        let same = |part: &dyn Fn(Position) -> bool, name: &str| {
            let found = valleys(&drawn(&shape, part));
            let mut found = found
                .unwrap_or_else(|e| panic!("{name} of {number}: {e}"))
                .valleys;
            if apart(found[0], whole[0]) > apart(found[0], whole[1]) {
                found.swap(0, 1);
            }
            let moved = apart(found[0], whole[0]).max(apart(found[1], whole[1]));
            assert!(moved < 1.0, "{name} of {number}: {moved} pixels");
        };
        for sleeve in [1.25, 1.6, 2.0] {
            same(&|[_, y]| y < sleeve, "sleeve");
        }
        same(&|[x, y]| x > -0.2 || !(-0.09..1.1).contains(&y), "no thumb");
    }
}

#[test]
fn fingers_held_together_are_told() {
    for number in 0..20 {
        for first in 0..3 {
            for sleeve in [1.3, 9.0] {
                let mask = drawn(&shape(number).joined(first), |[_, y]| y < sleeve);
                let refused = valleys(&mask).err();
                assert_eq!(refused, Some(FailureToAcquire::ClosedHand), "{first} of {number}");
            }
        }
        let fist = valleys(&drawn(&shape(number).closed(), |_| true)).err();
        assert_eq!(fist, Some(FailureToAcquire::ClosedHand), "fist {number}");
    }
}

#[test]
fn fingertips_beyond_the_edge_are_told() {
    for number in 0..10 {
        let shape = shape(number);
        // The picture ends where the fingers are half as long.
        let mask = picture(|[x, y]| SIDE * shape.depth(place([x, y + 200.0])));
        assert_eq!(
            valleys(&mask).err(),
            Some(FailureToAcquire::CutOff),
            "hand {number}"
        );
    }
}

#[test]
fn what_is_no_hand_is_told() {
    let no_hand = Some(FailureToAcquire::NoHand);
    for radius in [90.0, 150.0, 200.0] {
        let disk = |x: f32, y: f32| (x - 240.0).hypot(y - 320.0) < radius;
        assert_eq!(figure(disk), no_hand, "disk of {radius}");
        let ellipse = |x: f32, y: f32| ((x - 240.0) / radius).hypot((y - 320.0) / 210.0) < 1.0;
        assert_eq!(figure(ellipse), no_hand, "ellipse of {radius}");
    }
    for bars in [4, 5] {
        for width in [28.0, 40.0] {
            let fork = |x: f32, y: f32| {
                let (step, left) = (width * 1.6, 240.0 - width * (1.6 * bars as f32 - 0.6) / 2.0);
                let (x, right) = (x - left, width * (1.6 * bars as f32 - 0.6));
                (0.0..right).contains(&x)
                    && ((340.0..520.0).contains(&y) || ((160.0..340.0).contains(&y) && x % step < width))
            };
            assert_eq!(figure(fork), no_hand, "{bars} bars of {width}");
        }
    }
}
