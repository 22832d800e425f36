//! Tests of the bound: never below the score, tight enough to be of use, and what is refused.
#![expect(clippy::cast_precision_loss, reason = "counts of a test are small")]

use half::f16;
use proptest::prelude::*;

use super::*;
use crate::engine::canonical::score;
use crate::engine::code::Codes;
use crate::engine::gallery::PackedRows;
use crate::engine::samples::{self, dim, near, normalized, quantized, resident, rng, unit};

/// I of the bound for row 0 of a gallery.
fn integer(row: &[f16], probe: &QuantizedProbe) -> (Scale, i32) {
    let codes = Codes::encode(dim(row.len()), row);
    let scale = codes.scale[0];
    PackedRows::pack(codes).expect("whole rows");
    let (residency, id) = resident(row.len(), row);
    let (nibbles, _) = residency.view(id).expect("open").row(0).expect("one row");
    let levels = nibbles.iter().flat_map(|byte| [byte & 15, byte >> 4]);
    let dot: i32 = levels
        .zip(&probe.values)
        .map(|(u, p)| i32::from(u) * i32::from(*p))
        .sum();
    (scale, 2 * dot - probe.offset)
}

/// Whether a row survives at exactly its canonical score.
fn survives_at_its_score(probe: &[f32], row: &[f16]) -> bool {
    let probe_at = quantized(probe, score(probe, row));
    let (scale, integer) = integer(row, &probe_at);
    probe_at.survives(&scale, integer)
}

fn half(values: &[f32]) -> Vec<f16> {
    values.iter().map(|v| f16::from_f32(*v)).collect()
}

#[test]
fn adversarial_rows_survive_at_their_score() {
    for d in [32, 96, 256, 2048] {
        let rng = &mut rng(d as u64);
        let one_hot = |at: usize| (0..d).map(|i| f32::from(u8::from(i == at))).collect::<Vec<f32>>();
        let spread = normalized((0..d).map(|i| (-(i as f32) / 3.0).exp2()).collect());
        let rows = [
            normalized(vec![1.0; d]),
            normalized(vec![-1.0; d]),
            one_hot(0),
            one_hot(d - 1),
            spread,
            normalized((0..d).map(|i| if i % 2 == 0 { 1.0 } else { -1e-3 }).collect()),
        ];
        for row in &rows {
            for other in rows.iter().chain([&unit(d, rng), &near(row, 0.01, rng)]) {
                assert!(survives_at_its_score(other, &half(row)), "{d}");
            }
        }
    }
}

#[test]
fn rows_longer_than_the_bound_assumes_survive_at_their_score() {
    let rng = &mut rng(9);
    for length in [1.05, 2.0, 30.0, 3_000.0] {
        for _ in 0..20 {
            let row: Vec<f32> = unit(64, rng).iter().map(|x| x * length).collect();
            let probe = near(&normalized(row.clone()), 0.2, rng);
            assert!(survives_at_its_score(&probe, &half(&row)), "{length}");
        }
    }
}

#[test]
fn the_bound_is_tight_enough_to_dismiss_strangers() {
    let rng = &mut rng(1);
    let mut survivors = 0;
    for _ in 0..2_000 {
        let (probe, row) = (quantized(&unit(256, rng), 0.4), half(&unit(256, rng)));
        let (scale, integer) = integer(&row, &probe);
        survivors += u32::from(probe.survives(&scale, integer));
    }
    assert_eq!(survivors, 0, "0.4 is 6.4 spreads, the bound costs 1.9 of them");
}

#[test]
fn a_dead_row_never_survives() {
    for threshold in [-3.0, -1.0, 0.0, 0.5] {
        let probe = quantized(&unit(64, &mut rng(2)), threshold);
        assert!(!probe.survives(&Scale::DEAD, 0), "{threshold}");
        assert!(!probe.survives(&Scale::DEAD, 127 * 15 * 64), "{threshold}");
    }
}

#[test]
fn the_integer_fits_single_precision_at_the_largest_dimension() {
    let d = crate::model::signature::DIM_MAX;
    let probe = quantized(&normalized(vec![1.0; d]), 0.5);
    let largest = 15 * probe.values.iter().map(|p| i32::from(p.abs())).sum::<i32>();
    assert!(largest == 127 * 15 * 2_048 && largest < 1 << 24, "{largest}");
}

#[test]
fn the_rounding_of_the_residual_pays_for_the_score_at_the_largest_dimension() {
    let score = canonical::roundings(crate::model::signature::DIM_MAX) as f64 / 16_777_216.0;
    assert!(crate::engine::code::RESIDUAL_ROUNDING > score * 1.1 + EPILOGUE_ROUNDING * 2.0);
}

#[test]
fn probes_that_are_no_unit_vectors_are_refused() {
    let unit = unit(64, &mut rng(4));
    let refusal = |probe: &[f32], threshold: f32| {
        QuantizedProbe::new(&Arc::from(probe), dim(64), threshold, None)
            .err()
            .expect("refused")
            .to_string()
    };
    assert_eq!(
        refusal(&unit[..32], 0.5),
        "probe: has 32 coordinates; the gallery's dimension is 64"
    );
    assert!(refusal(&[0.0; 64], 0.5).contains("has norm 0.0000"));
    assert!(refusal(&unit.iter().map(|x| x * 1.2).collect::<Vec<_>>(), 0.5).contains("has norm 1.2000"));
    let mut not_a_number = unit.clone();
    not_a_number[7] = f32::NAN;
    assert!(refusal(&not_a_number, 0.5).starts_with("probe: has norm NaN"));
    assert!(refusal(&unit, f32::NAN).starts_with("threshold: NaN"));
    assert!(refusal(&unit, f32::INFINITY).starts_with("threshold: inf"));
}

proptest! {
    #[test]
    fn no_row_is_dismissed_at_its_own_score(
        seed in any::<u64>(),
        blocks in 1_usize..20,
        noise in 0.0_f32..3.0,
        sharpness in 0.0_f32..8.0,
    ) {
        let rng = &mut rng(seed);
        let d = blocks * 32;
        // From isotropic to a few coordinates that hold all.
        let row: Vec<f32> = unit(d, rng).iter().map(|x| x * (x.abs() * sharpness * (d as f32).sqrt()).exp()).collect();
        let row = normalized(row);
        let probe = near(&row, noise, rng);
        prop_assert!(survives_at_its_score(&probe, &half(&row)));
        let away: Vec<f32> = probe.iter().map(|x| -x).collect();
        prop_assert!(survives_at_its_score(&away, &half(&row)));
    }

    #[test]
    fn a_probe_in_eight_bits_keeps_its_sum(seed in any::<u64>()) {
        let probe = quantized(&samples::unit(96, &mut rng(seed)), 0.5);
        let sum: i32 = probe.values.iter().map(|p| i32::from(*p)).sum();
        prop_assert_eq!(probe.offset, 15 * sum);
        prop_assert!(probe.values.iter().any(|p| p.abs() == 127), "the whole range is used");
    }
}
