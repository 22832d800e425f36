//! Tests of the sign bound: its quantile against known values, its rate of misses against the probability it promises.
#![expect(clippy::cast_possible_truncation, reason = "counts of a test are small")]

use half::f16;
use rand_distr::{Distribution, StandardNormal};
use statrs::distribution::{Beta, ContinuousCDF};

use super::*;
use crate::engine::canonical::score;
use crate::engine::code::Codes;
use crate::engine::samples::{dim, normalized, rng, unit};

/// A unit vector with cosine `cosine` to a unit row.
fn at_cosine(row: &[f32], cosine: f64, rng: &mut impl rand::Rng) -> Vec<f32> {
    let other: Vec<f64> = row.iter().map(|_| StandardNormal.sample(rng)).collect();
    let along: f64 = row.iter().zip(&other).map(|(x, o)| f64::from(*x) * o).sum();
    let off: Vec<f64> = row
        .iter()
        .zip(&other)
        .map(|(x, o)| o - along * f64::from(*x))
        .collect();
    let norm = off.iter().map(|v| v * v).sum::<f64>().sqrt();
    row.iter()
        .zip(off)
        .map(|(x, o)| (cosine * f64::from(*x) + (1.0 - cosine * cosine).sqrt() * o / norm) as f32)
        .collect()
}

/// Whether a stored row survives for a probe at the threshold.
fn survives(probe: &[f32], row: &[f16], threshold: f32, p: f64) -> bool {
    let d = probe.len();
    let norm = probe.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
    let bound = SignBound::new(d, norm, f64::from(threshold), quantile(d, p)).expect("above 0");
    let alpha = Codes::encode(dim(d), row).scale[0].alpha;
    let sum: f32 = probe
        .iter()
        .zip(row)
        .map(|(q, x)| if x.to_f32() >= 0.0 { *q } else { -*q })
        .sum();
    alpha == 0.0 || bound.survives(alpha, sum)
}

#[test]
fn the_quantile_is_that_of_a_coordinate_of_the_sphere() {
    // On the sphere in 3 dimensions a coordinate is uniform (Archimedes), in 5 it has density ¾·(1 − t²).
    assert!((quantile(4, 0.25) - 0.5).abs() < 1e-12);
    assert!((quantile(4, 1e-9) - (1.0 - 2e-9)).abs() < 1e-12);
    let z = quantile(6, 0.1);
    assert!(((2.0 - 3.0 * z + z.powi(3)) / 4.0 - 0.1).abs() < 1e-12, "{z}");
    // For many dimensions it nears the normal one, 5.9978 at 1e-9, from below.
    let normal = quantile(2_048, 1e-9) * 2_047.0_f64.sqrt();
    assert!((5.95..5.998).contains(&normal), "{normal}");
}

/// Misses of `trials` pairs whose score is at the threshold, where a miss is likeliest.
fn misses(d: usize, cosine: f64, p: f64, trials: u32) -> u32 {
    let rng = &mut rng(d as u64);
    (0..trials)
        .filter(|_| {
            let row: Vec<f16> = unit(d, rng).into_iter().map(f16::from_f32).collect();
            let stored = normalized(row.iter().map(|v| v.to_f32()).collect());
            let probe = at_cosine(&stored, cosine, rng);
            let threshold = score(&probe, &row);
            !survives(&probe, &row, threshold, p)
        })
        .count() as u32
}

#[test]
fn rows_at_the_threshold_are_missed_as_often_as_promised_and_no_more() {
    for (d, cosine, p, trials) in [
        (64, 0.5, 1e-2, 20_000),
        (256, 0.4, 1e-2, 10_000),
        (128, 0.4, 1e-3, 60_000),
    ] {
        let missed = misses(d, cosine, p, trials);
        // Clopper and Pearson: the exact interval of the rate, 99.99 % on either side.
        let (k, n) = (f64::from(missed), f64::from(trials));
        let lowest = Beta::new(k, n - k + 1.0)
            .expect("some were missed")
            .inverse_cdf(1e-4);
        let highest = Beta::new(k + 1.0, n - k)
            .expect("some survived")
            .inverse_cdf(1.0 - 1e-4);
        assert!(
            lowest <= p,
            "{missed} of {trials} missed at {p}: more than promised"
        );
        assert!(
            highest > p / 4.0,
            "{missed} of {trials} missed at {p}: the bound is loose"
        );
    }
}

#[test]
fn rows_that_are_no_unit_vectors_have_no_alpha() {
    let row = unit(64, &mut rng(3));
    for (length, has_alpha) in [
        (0.99, false),
        (0.998, true),
        (1.0, true),
        (1.002, true),
        (1.01, false),
    ] {
        let row: Vec<f16> = row.iter().map(|v| f16::from_f32(v * length)).collect();
        let alpha = Codes::encode(dim(64), &row).scale[0].alpha;
        assert_eq!(alpha > 0.0, has_alpha, "norm {length}: {alpha}");
    }
}

#[test]
fn thresholds_that_are_not_positive_have_no_bound() {
    for threshold in [0.0, -0.5] {
        assert_eq!(SignBound::new(64, 1.0, threshold, 0.5), None);
    }
    let steep = SignBound::new(64, 1.0, 1.5, 0.5).expect("above 0");
    assert!(steep.slope.is_finite() && steep.intercept.is_finite());
}

#[test]
fn strangers_are_dismissed_mostly() {
    let rng = &mut rng(8);
    let kept = (0..4_000)
        .filter(|_| {
            let row: Vec<f16> = unit(256, rng).into_iter().map(f16::from_f32).collect();
            survives(&unit(256, rng), &row, 0.4, 1e-9)
        })
        .count();
    assert!(
        (40..240).contains(&kept),
        "{kept} of 4,000; a few in a hundred are expected"
    );
}
