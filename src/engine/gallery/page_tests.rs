//! Tests of what a page holds of a row: rounded, and never to the wrong side.
#![expect(clippy::cast_precision_loss, reason = "counts of a test are small")]
#![expect(clippy::float_cmp, reason = "exact numbers are meant")]

use super::*;

fn scale(scale: f32, residual: f32, alpha: f32) -> Scale {
    Scale {
        scale,
        residual,
        alpha,
    }
}

#[test]
fn a_residual_is_rounded_up_and_an_alpha_down() {
    for i in 1..2_000 {
        let value = i as f32 * 0.000_513;
        let figure = Figure::new(&scale(0.5, value, value), 64);
        assert!(
            figure.residual() >= value && figure.residual() <= value * 1.008,
            "{value}"
        );
        let alpha = alpha(&scale(0.5, value, value)).to_f32();
        assert!(alpha <= value && alpha >= value * 0.992, "{value}");
    }
    assert_eq!(Figure::new(&scale(0.5, 0.25, 0.5), 64).residual(), 0.25);
}

#[test]
fn a_step_that_has_to_be_rounded_is_paid_for() {
    let exact = Figure::new(&scale(0.015_625, 0.25, 0.8), 256);
    assert_eq!((exact.scale(), exact.residual()), (0.015_625, 0.25));
    let rounded = Figure::new(&scale(0.015_7, 0.25, 0.8), 256);
    let moved = (rounded.scale() - 0.015_7).abs() * 7.5 * 16.0;
    assert!(moved > 0.0 && rounded.residual() >= 0.25 + moved);
}

#[test]
fn dead_rows_and_rows_without_alpha_stand_at_the_ends() {
    assert_eq!(Figure::new(&Scale::DEAD, 64), Figure::DEAD);
    assert!(Figure::DEAD.is_dead() && Figure::DEAD.residual() < -9e29);
    assert_eq!(alpha(&Scale::DEAD), bf16::INFINITY);
    assert_eq!(alpha(&scale(0.5, 0.1, 0.0)), bf16::NEG_INFINITY);
    let unbounded = Figure::new(&scale(0.0, 1e30, 0.0), 64);
    assert!(!unbounded.is_dead() && unbounded.residual() >= 1e30);
}

#[test]
fn a_page_without_signs_is_shorter_by_them() {
    let dim = Dimension::new(256).expect("a multiple of 32");
    let [with, without] = [true, false].map(|has_signs| PageLayout { dim, has_signs }.page_len(1_024));
    assert_eq!((with, without), (1_024 * (128 + 32 + 4 + 2), 1_024 * (128 + 4)));
    assert_eq!(PageLayout { dim, has_signs: true }.page_len(16) % ALIGNMENT, 0);
}
