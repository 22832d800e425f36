//! Tests of the planes: every code where the shaders look for it, figures to the safe side.

use rand::RngExt;

use super::*;
use crate::engine::samples::{dim, gallery, resident, rng};

/// Code u of a coordinate, read as the shaders read it.
fn code([sign, a, b, c]: [u32; 4], coordinate: usize) -> u8 {
    let (j, rest) = (coordinate / 8, coordinate % 8);
    let (byte, k) = (rest / 2, 2 * j + rest % 2);
    let bits = |word: u32, shift: usize, count: u32| (word >> (8 * byte + shift)) & ((1 << count) - 1);
    let low = match k {
        0 => bits(a, 0, 3),
        1 => bits(a, 3, 3),
        2 => bits(b, 0, 3),
        3 => bits(b, 3, 3),
        4 => bits(c, 0, 3),
        5 => bits(c, 3, 3),
        6 => bits(a, 6, 2) | bits(c, 6, 1) << 2,
        _ => bits(b, 6, 2) | bits(c, 7, 1) << 2,
    };
    u8::try_from(bits(sign, k, 1) << 3 | low).expect("4 bits")
}

#[test]
fn units_hold_every_code_in_its_place() {
    let rng = &mut rng(1);
    for _ in 0..200 {
        let nibbles: [u8; 16] = std::array::from_fn(|_| rng.random());
        let words = transpose(nibbles);
        for (i, byte) in nibbles.iter().enumerate() {
            assert_eq!(code(words, 2 * i), byte & 15);
            assert_eq!(code(words, 2 * i + 1), byte >> 4);
        }
    }
}

#[test]
fn figures_are_rounded_to_the_safe_side_and_little() {
    for kind in crate::engine::samples::KINDS {
        let rows = gallery(kind, 96, 50, 3);
        let (residency, id) = resident(96, &rows);
        let view = residency.view(id).expect("open");
        for row in 0..50 {
            let (nibbles, scale) = view.row(row).expect("there");
            let held = held(&scale, nibbles);
            let moved = f64::from(held.scale) - f64::from(scale.scale);
            assert!(moved.abs() <= f64::from(scale.scale) / 256.0);
            // The residual covers what the step moved the row by.
            let needed = f64::from(scale.residual) + moved.abs() * norm(nibbles);
            assert!(f64::from(held.residual) >= needed, "{kind} {row}");
            assert!(
                f64::from(held.residual) <= needed * (1.0 + 1.0 / 64.0) + 2e-30,
                "{kind} {row}"
            );
            assert!(held.alpha <= scale.alpha && held.alpha >= scale.alpha * (1.0 - 1.0 / 128.0));
        }
    }
}

#[test]
fn figures_that_fit_into_16_bits_stay_as_they_are() {
    let scale = Scale {
        scale: 0.031_25,
        residual: 0.105_957_03,
        alpha: 0.796_875,
    };
    assert_eq!(held(&scale, &[0x5a; 48]), scale);
}

#[test]
fn special_rows_stay_special() {
    let row = |scale: f32, residual: f32, alpha: f32| {
        held(
            &Scale {
                scale,
                residual,
                alpha,
            },
            &[0x91; 16],
        )
    };
    assert!(row(0.0, 1e30, 0.0).residual >= 1e30, "not bounded");
    for scale in [3e38, f32::MAX] {
        assert!(row(scale, 0.1, 0.5).residual >= 1e30, "a step beyond 16 bits");
        assert_eq!(row(scale, 0.1, 0.5).scale.to_bits(), 0);
    }
    assert!(
        row(0.1, f32::from_bits(1), 0.5).residual >= 1e-30,
        "live, however exact"
    );
    for alpha in [0.0, -1.0, f32::NEG_INFINITY, f32::NAN] {
        assert_eq!(row(0.1, 0.1, alpha).alpha.to_bits(), 0);
    }
    assert_eq!(row(0.1, 0.1, f32::INFINITY), Scale::DEAD);
    assert_eq!(row(0.0, -1e30, 0.0), Scale::DEAD);
}

#[test]
fn rows_that_are_dead_or_beyond_the_end_are_written_as_such() {
    let rows = gallery("random", 32, 100, 5);
    let (mut residency, id) = resident(32, &rows);
    residency.erase(id, &[3]).expect("there");
    let view = residency.view(id).expect("open");
    let shape = Shape::of(dim(32));
    let mut planes = Planes::default();
    planes.push(shape, view, 0, 90);
    let live: Vec<bool> = planes.figures.iter().map(|word| *word != 0).collect();
    let expected: Vec<bool> = (0..128).map(|row| row != 3 && row < 90).collect();
    assert_eq!(live, expected);
    for (row, alpha) in planes.alphas.iter().enumerate() {
        assert_eq!(*alpha == ALPHA_DEAD, !expected[row]);
        assert_eq!(
            planes.signs[row * 4..][..4] == [0; 4],
            !expected[row],
            "row {row}"
        );
    }
    let bytes: u64 = planes.bytes().iter().map(|bytes| bytes.len() as u64).sum();
    assert_eq!(bytes, shape.block_len());
    planes.wipe();
    assert!(planes.bytes().iter().all(|bytes| bytes.is_empty()));
}

#[test]
fn a_billion_rows_of_128_fit_an_80_gb_card() {
    let row = Shape::of(dim(128)).block_len() / u64::from(BLOCK_ROWS);
    assert_eq!(row, 70);
    assert!(row * 1_000_000_000 < 80_000_000_000);
    assert_eq!(
        Shape::of(dim(160)),
        Shape::of(dim(256)),
        "dimensions are filled up to quads"
    );
}
