//! Tests of the score model: it agrees with a simulation, stays monotonic far out, and errs to the safe side of the measurements.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, StandardNormal};

use super::*;

fn dim(count: usize) -> Dimension {
    Dimension::new(count).expect("valid")
}

fn target(fpir: f64, gallery_size: u64, count: usize) -> f32 {
    score(&ThresholdRule::TargetFpir { fpir, gallery_size }, dim(count))
}

#[test]
fn the_model_agrees_with_points_on_a_sphere() {
    // D = 96, so that d = 32 is whole.
    let (effective, points) = (32, 100_000_u32);
    let mut generator = ChaCha8Rng::seed_from_u64(1);
    let scores: Vec<f64> = (0..points)
        .map(|_| {
            let point: Vec<f64> = (0..effective)
                .map(|_| StandardNormal.sample(&mut generator))
                .collect();
            point[0] / point.iter().map(|v: &f64| v * v).sum::<f64>().sqrt()
        })
        .collect();
    for score in [0.0, 0.1, 0.2, 0.3, 0.4, 0.5] {
        let above = u32::try_from(scores.iter().filter(|s| **s >= score).count()).expect("few");
        let measured = f64::from(above) / f64::from(points);
        let modelled = fmr(score, dim(96));
        let error = (modelled * (1.0 - modelled) / f64::from(points)).sqrt();
        assert!(
            (measured - modelled).abs() < 4.5 * error,
            "{score}: {measured} and {modelled}"
        );
    }
}

#[test]
fn the_rate_falls_all_the_way_out() {
    for count in [32, 256, 2048] {
        let mut last = 0.6;
        for step in 0..1_000_u32 {
            let rate = fmr(f64::from(step) / 1_000.0, dim(count));
            assert!(
                rate < last || rate < 1e-300,
                "{count} at {step}: {rate:e} after {last:e}"
            );
            last = rate;
        }
        assert!(fmr(1.0, dim(count)) < 1e-15);
    }
}

#[test]
fn the_score_keeps_its_promise_at_every_target() {
    for count in [32, 128, 256, 512] {
        let mut last = 0.0;
        for exponent in 1..=12 {
            let rate = 10_f64.powi(-exponent);
            let found = f64::from(score_at(rate, dim(count)));
            assert!(fmr(found, dim(count)) <= rate, "{count} at {rate:e}");
            assert!(
                fmr(found - 1e-6, dim(count)) > rate,
                "{count} at {rate:e} is not the least"
            );
            assert!(found > last, "{count} at {rate:e}");
            last = found;
        }
    }
}

#[test]
fn stricter_targets_and_larger_galleries_raise_the_score() {
    assert!(target(1e-3, 1_000_000, 256) > target(1e-2, 1_000_000, 256));
    assert!(target(1e-3, 10_000_000, 256) > target(1e-3, 1_000_000, 256));
    assert!(target(1e-3, 1_000_000, 512) < target(1e-3, 1_000_000, 256));
    // One comparison: FPIR is FMR. The largest target of all is no score of zero.
    assert!((fmr(f64::from(target(0.01, 1, 256)), dim(256)) - 0.01).abs() < 1e-6);
    assert!(target(0.5, 1, 256) > 0.0);
    let extreme = target(1e-9, 1_000_000_000_000, 32);
    assert!(extreme < 1.0 && extreme > 0.9, "{extreme}");
}

#[test]
fn the_model_is_on_the_safe_side_of_the_measurements() {
    for (count, score, measured) in [
        (256, 0.28, 1e-3),
        (512, 0.21, 1e-3),
        (256, 0.38, 1.0 / 407_055.0),
        (512, 0.28, 1.0 / 407_055.0),
    ] {
        let modelled = fmr(score, dim(count));
        assert!(modelled > measured, "{count} at {score}: {modelled:e}");
        assert!(modelled < 200.0 * measured, "{count} at {score}: {modelled:e}");
    }
    assert!(
        (fmr(0.28, dim(256)) - 0.0044).abs() < 0.0002,
        "{}",
        fmr(0.28, dim(256))
    );
    assert!(
        (fmr(0.21, dim(512)) - 0.0029).abs() < 0.0002,
        "{}",
        fmr(0.21, dim(512))
    );
}

#[test]
fn a_stated_score_is_taken_as_it_is() {
    assert_eq!(
        score(&ThresholdRule::Score(0.42), dim(256)).to_bits(),
        0.42_f32.to_bits()
    );
}
