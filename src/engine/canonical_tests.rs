//! Tests of the canonical score: its order, to the last bit, and its error.
#![expect(clippy::cast_precision_loss, reason = "counts of a test are small")]

use proptest::prelude::*;

use super::*;
use crate::engine::samples::{exact, rng, unit};

/// The order as the documentation states it, without vectors or iterators.
fn plain(probe: &[f32], row: &[f16]) -> f32 {
    let mut sums = [0.0_f32; 16];
    for i in 0..probe.len() {
        sums[i % 16] += probe[i] * row[i].to_f32();
    }
    for width in [8, 4, 2, 1] {
        for l in 0..width {
            sums[l] += sums[l + width];
        }
    }
    sums[0]
}

#[test]
fn the_score_is_the_plain_statement_of_its_order_bit_for_bit() {
    for dim in [32, 96, 256, 512, 2048] {
        let rng = &mut rng(dim as u64);
        for _ in 0..50 {
            let row: Vec<f16> = unit(dim, rng).into_iter().map(f16::from_f32).collect();
            let probe = unit(dim, rng);
            assert_eq!(
                score(&probe, &row).to_bits(),
                plain(&probe, &row).to_bits(),
                "{dim}"
            );
        }
    }
}

#[test]
fn a_known_score_does_not_move() {
    let row: Vec<f16> = (0..32).map(|i| f16::from_f32((i as f32 - 15.5) / 52.0)).collect();
    let probe: Vec<f32> = (0..32).map(|i| ((i * 7 % 32) as f32 - 15.5) / 52.0).collect();
    assert_eq!(score(&probe, &row).to_bits(), plain(&probe, &row).to_bits());
    assert_eq!(score(&probe, &row).to_bits(), KNOWN_BITS);
}

/// Printed by the plain statement on x86-64.
const KNOWN_BITS: u32 = 1_039_688_863;

#[test]
#[should_panic(expected = "probe and row have one dimension")]
fn lengths_must_agree() {
    score(&[0.0; 32], &[f16::ZERO; 64]);
}

proptest! {
    #[test]
    fn the_error_stays_within_the_counted_roundings(seed in any::<u64>(), blocks in 1_usize..128) {
        let dim = blocks * 32;
        let rng = &mut rng(seed);
        let row: Vec<f16> = unit(dim, rng).into_iter().map(f16::from_f32).collect();
        let probe = unit(dim, rng);
        let error = (f64::from(score(&probe, &row)) - exact(&probe, &row)).abs();
        prop_assert!(error <= roundings(dim) as f64 / 16_777_216.0 * 1.01, "{error}");
    }
}
