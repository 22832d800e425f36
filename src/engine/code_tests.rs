//! Tests of the code: planes and figures say what they should, for ordinary and for odd rows.
#![expect(clippy::cast_precision_loss, reason = "counts of a test are small")]

use proptest::prelude::*;

use super::*;
use crate::engine::samples::{KINDS, dim, gallery, rng, unit};

/// u of a row, from the planes.
fn levels(codes: &Codes, row: usize) -> Vec<u8> {
    let d = codes.dim.get();
    let bit = |plane: &[u8], i: usize| plane[i / 8] >> (i % 8) & 1;
    let sign = &codes.sign[row * d / 8..];
    let refine = &codes.refine[row * d / 8 * 3..];
    (0..d)
        .map(|i| {
            bit(sign, i) << 3 | bit(refine, i) << 2 | bit(&refine[d / 8..], i) << 1 | bit(&refine[d / 4..], i)
        })
        .collect()
}

/// ‖x − x̂‖ and ⟨x, sign⟩/√D from what is stored.
fn figures(codes: &Codes, row: usize, values: &[f16]) -> (f64, f64) {
    let scale = f64::from(codes.scale[row].scale);
    let residual: f64 = levels(codes, row)
        .iter()
        .zip(values)
        .map(|(u, x)| (x.to_f64() - scale * (f64::from(*u) - 7.5)).powi(2))
        .sum();
    let magnitude: f64 = values.iter().map(|x| x.to_f64().abs()).sum();
    (residual.sqrt(), magnitude / (values.len() as f64).sqrt())
}

#[test]
fn planes_rebuild_the_row_within_the_stored_residual() {
    for kind in KINDS {
        for d in [32, 96, 256, 512] {
            let rows = gallery(kind, d, 70, 3);
            let codes = Codes::encode(dim(d), &rows);
            for (i, row) in rows.chunks_exact(d).enumerate() {
                let (residual, alpha) = figures(&codes, i, row);
                let stored = codes.scale[i];
                assert!(f64::from(stored.residual) >= residual, "{kind} {d} row {i}");
                assert!(
                    f64::from(stored.residual) <= residual * 1.001 + 1e-6,
                    "{kind} {d} row {i}"
                );
                assert!(
                    (f64::from(stored.alpha) - alpha).abs() < 1e-6,
                    "{kind} {d} row {i}"
                );
                for (u, x) in levels(&codes, i).iter().zip(row) {
                    assert_eq!(*u >= 8, x.to_f32() >= 0.0, "the sign plane holds x >= 0");
                }
            }
        }
    }
}

#[test]
fn isotropic_rows_lose_a_tenth_of_their_norm() {
    let codes = Codes::encode(dim(256), &gallery("random", 256, 300, 5));
    let mean = codes.scale.iter().map(|s| s.residual).sum::<f32>() / 300.0;
    assert!((0.100..0.110).contains(&mean), "{mean}");
}

/// A row with a step of its own loosens the limit of its whole block.
#[test]
fn isotropic_rows_share_one_step() {
    let codes = Codes::encode(dim(256), &gallery("random", 256, 1_000, 6));
    let usual = rounded(NORMAL_STEP / 16.0);
    let own = codes
        .scale
        .iter()
        .filter(|s| s.scale.to_bits() != usual.to_bits())
        .count();
    assert!(own <= 5, "{own} of 1,000 rows have a step of their own");
}

fn squared_norm(values: &[f32]) -> f32 {
    values.iter().map(|x| x * x).sum()
}

#[test]
fn the_scale_is_the_usual_one_or_nearly_as_good_as_a_fine_search() {
    for kind in KINDS {
        let rows = gallery(kind, 96, 20, 8);
        for row in rows.chunks_exact(96) {
            let codes = Codes::encode(dim(96), row);
            let values: Vec<f32> = row.iter().map(|x| x.to_f32()).collect();
            let max = values.iter().fold(0.0_f32, |max, x| max.max(x.abs()));
            let best = (1..4_000)
                .map(|i| squared_error(&values, max * i as f32 / 4_000.0))
                .fold(f32::INFINITY, f32::min);
            let found = codes.scale[0].residual;
            let square = squared_norm(&values);
            let usual = squared_error(&values, rounded(NORMAL_STEP * (square / 96.0).sqrt()));
            if usual <= NORMAL_ERROR_MAX * square {
                assert!(
                    (found - usual.sqrt()).abs() < 1e-4,
                    "{kind}: {found} against {}",
                    usual.sqrt()
                );
            } else {
                assert!(
                    found <= best.sqrt() * 1.05 + 1e-3,
                    "{kind}: {found} against {}",
                    best.sqrt()
                );
            }
        }
    }
}

#[test]
fn an_all_zero_row_is_dead_and_its_neighbours_are_not() {
    let mut rows = gallery("random", 32, 3, 1);
    rows[32..64].fill(f16::ZERO);
    let codes = Codes::encode(dim(32), &rows);
    assert_eq!(codes.scale[1], Scale::DEAD);
    assert!(codes.scale[1].is_dead() && !codes.scale[0].is_dead() && !codes.scale[2].is_dead());
    assert!(
        codes.sign[4..8]
            .iter()
            .chain(&codes.refine[12..24])
            .all(|byte| *byte == 0)
    );
}

#[test]
fn a_stored_hole_of_zeros_is_dead() {
    assert!(Scale::zeroed().is_dead());
}

#[test]
fn a_row_that_is_not_finite_always_survives() {
    let mut rows = gallery("random", 32, 1, 1);
    rows[5] = f16::NAN;
    let codes = Codes::encode(dim(32), &rows);
    assert_eq!(codes.scale[0].residual.to_bits(), RESIDUAL_UNBOUNDED.to_bits());
}

#[test]
fn killing_a_row_zeroes_it_and_nothing_else() {
    let rows = gallery("random", 64, 3, 2);
    let mut codes = Codes::encode(dim(64), &rows);
    let before = codes.clone();
    codes.kill(1);
    codes.kill(17);
    assert_eq!(levels(&codes, 1), vec![0; 64]);
    assert!(codes.scale[1].is_dead());
    for row in [0, 2] {
        assert_eq!(levels(&codes, row), levels(&before, row));
        assert_eq!(codes.scale[row], before.scale[row]);
    }
}

#[test]
fn encoding_does_not_depend_on_the_neighbours() {
    let rows = gallery("clustered", 96, 200, 4);
    let all = Codes::encode(dim(96), &rows);
    let one = Codes::encode(dim(96), &rows[150 * 96..151 * 96]);
    assert_eq!(levels(&all, 150), levels(&one, 0));
    assert_eq!(all.scale[150], one.scale[0]);
    assert_eq!((all.len(), Codes::encode(dim(96), &[]).is_empty()), (200, true));
}

#[test]
fn debug_shows_no_code() {
    let codes = Codes::encode(dim(32), &gallery("random", 32, 2, 1));
    assert_eq!(format!("{codes:?}"), "Codes(2 rows of 32)");
}

proptest! {
    #[test]
    fn the_residual_is_never_below_the_error(seed in any::<u64>(), exponents in prop::collection::vec(-14.0_f32..4.0, 32)) {
        let row: Vec<f16> = unit(32, &mut rng(seed))
            .iter()
            .zip(&exponents)
            .map(|(x, e)| f16::from_f32(x * e.exp2()))
            .collect();
        let codes = Codes::encode(dim(32), &row);
        if row.iter().any(|x| *x != f16::ZERO) {
            let (residual, _) = figures(&codes, 0, &row);
            prop_assert!(f64::from(codes.scale[0].residual) >= residual);
        }
    }
}
