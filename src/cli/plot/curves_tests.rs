//! Tests of curves: points lie where the scales put them, and what is beyond a scale is left out.

use super::*;

fn curve(points: &[[f64; 2]]) -> Curve {
    Curve {
        name: "a",
        color: "#123456",
        points: points.to_vec(),
    }
}

const EVEN: Scale = Scale::Even { low: -1.0, high: 1.0 };
const DECADES: Scale = Scale::Decades { low: -4, high: 0 };

#[test]
fn a_curve_goes_from_corner_to_corner() {
    let svg = draw(
        "b<c",
        EVEN,
        DECADES,
        &[curve(&[[-1.0, 1e-4], [0.0, 1e-2], [1.0, 1.0]])],
    );
    assert!(svg.starts_with("<svg") && svg.ends_with("</svg>"));
    assert!(
        svg.contains("points=\"60.0,236.0 468.0,131.0 876.0,26.0\""),
        "{svg}"
    );
    assert!(svg.contains("b&lt;c"), "{svg}");
}

#[test]
fn what_is_beyond_a_scale_is_left_out() {
    let svg = draw(
        "b",
        EVEN,
        DECADES,
        &[curve(&[
            [0.0, 0.0],
            [0.0, 1e-5],
            [1.1, 0.1],
            [0.0, 1.0],
            [f64::NAN, 1.0],
        ])],
    );
    assert!(svg.contains("points=\"468.0,26.0\""), "{svg}");
}

#[test]
fn lines_are_labelled_by_their_values() {
    let labels =
        |scale: Scale| -> Vec<String> { scale.lines().into_iter().map(|(_, label)| label).collect() };
    assert_eq!(labels(DECADES), ["1e-4", "0.001", "0.01", "0.1", "1"]);
    assert_eq!(labels(EVEN), ["-1.00", "-0.60", "-0.20", "0.20", "0.60", "1.00"]);
    assert!(
        DECADES
            .lines()
            .iter()
            .all(|(place, _)| (0.0..=1.0).contains(place))
    );
}
