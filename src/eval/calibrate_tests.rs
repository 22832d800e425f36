//! Tests of thresholds: where scores can be counted they are, and an extrapolated one is that of the distribution that scores were drawn from.

use super::*;
use crate::eval::grid;

#[expect(
    clippy::cast_possible_truncation,
    reason = "a score as it comes from a product"
)]
fn bin(score: f64) -> u32 {
    grid::bin(score as f32)
}

/// Scores whose share above t is exactly e^(−(t + 0.2) / 0.02), as nearly as so many of them can show it.
fn exponential(count: u32) -> Counts {
    Counts::of((0..count).map(|number| {
        let above = (f64::from(number) + 0.5) / f64::from(count);
        bin(true_threshold(above))
    }))
}

/// The score that this share of such scores reaches.
fn true_threshold(share: f64) -> f64 {
    -0.2 - 0.02 * share.ln()
}

fn rates(non_mated: Counts) -> Rates {
    Rates {
        mated: Counts::of([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8].map(bin)),
        non_mated,
    }
}

#[test]
fn enough_scores_are_counted() {
    let found = calibrate(&rates(exponential(400_000)), 1e-3).expect("a threshold");
    assert_eq!(found.basis, Basis::Counted);
    assert!(
        (found.estimate - true_threshold(1e-3)).abs() < 1e-4,
        "{}",
        found.estimate
    );
    // 400 errors: within a tenth of the rate, or 0.02 · 0.1 in score.
    let [low, high] = found.interval;
    assert!(
        low < found.estimate && found.estimate < high && high - low < 0.006,
        "{low} {high}"
    );
    let reached = exponential(400_000).at_or_above(bin(found.threshold));
    assert!(clopper_pearson(reached, 400_000)[1] <= 1e-3, "{reached}");
    assert!(found.threshold >= high && found.threshold - high < 0.000_25);
}

#[test]
fn a_rarer_false_match_is_extrapolated_and_says_so() {
    let found = calibrate(&rates(exponential(400_000)), 1e-8).expect("a threshold");
    let Basis::Extrapolated {
        times,
        scores,
        from,
        scale,
        shape,
        highest,
        highest_expected,
    } = found.basis
    else {
        panic!("{found:?}");
    };
    assert!((times - 30.0 / (1e-8 * 400_000.0)).abs() < 1e-6, "{times}");
    assert!((3_900..=4_000).contains(&scores), "{scores}");
    assert!((from - true_threshold(0.01)).abs() < 0.001, "{from}");
    assert!(
        (scale - 0.02).abs() < 0.001 && shape.abs() < 0.02,
        "{scale} {shape}"
    );
    assert!(
        (found.estimate - true_threshold(1e-8)).abs() < 0.01,
        "{}",
        found.estimate
    );
    let [low, high] = found.interval;
    assert!(
        low < true_threshold(1e-8) && true_threshold(1e-8) < high,
        "{low} {high}"
    );
    // One in 800,000 of 400,000.
    assert!(
        (highest - true_threshold(1.0 / 800_000.0)).abs() < 0.001,
        "{highest}"
    );
    assert!((highest_expected - 0.5).abs() < 0.1, "{highest_expected}");
    // 0.168: one mated score of eight is below.
    assert!(
        (found.fnmr - 0.125).abs() < 1e-12 && found.threshold < 0.2,
        "{found:?}"
    );
}

#[test]
fn intervals_of_extrapolations_hold_the_truth() {
    let mut held = 0;
    for seed in 0..40 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let drawn = (0..100_000).map(|_| bin(true_threshold(1.0 - rng.random::<f64>())));
        let found = calibrate(&rates(Counts::of(drawn)), 1e-7).expect("a threshold");
        held += u32::from(found.threshold >= true_threshold(1e-7));
    }
    // 97.5 % are meant to; 34 of 40 or fewer would come once in 20,000 times.
    assert!(held >= 35, "{held} of 40");
}

#[test]
fn counting_and_extrapolating_meet() {
    let scores = rates(exponential(400_000));
    let counted = calibrate(&scores, 30.1 / 400_000.0).expect("a threshold");
    let fitted = calibrate(&scores, 29.9 / 400_000.0).expect("a threshold");
    assert_eq!(counted.basis, Basis::Counted);
    assert_ne!(fitted.basis, Basis::Counted);
    assert!((counted.estimate - fitted.estimate).abs() < 0.001);
}

#[test]
fn a_bounded_tail_has_a_shape_below_zero() {
    // Shares above t of (0.4 − t)⁴ ⁄ 0.4⁴: nothing reaches 0.4, and the shape is −1/4.
    let scores = Counts::of((0..200_000).map(|number| {
        let above = (f64::from(number) + 0.5) / 200_000.0;
        bin(0.4 - 0.4 * above.powf(0.25))
    }));
    let found = calibrate(&rates(scores), 1e-9).expect("a threshold");
    let Basis::Extrapolated { shape, .. } = found.basis else {
        panic!("{found:?}");
    };
    assert!((shape + 0.25).abs() < 0.01, "{shape}");
    assert!(
        (found.estimate - 0.4 * (1.0 - 1e-9_f64.powf(0.25))).abs() < 0.003,
        "{}",
        found.estimate
    );
}

#[test]
fn scores_that_give_no_threshold_are_refused_in_words() {
    let refused = |non_mated: Counts, fmr| calibrate(&rates(non_mated), fmr).expect_err("none").to_string();
    let few = refused(exponential(9_999), 1e-6);
    assert!(
        few.starts_with("9999 non-mated comparisons; an FMR of 1.0e-6"),
        "{few}"
    );
    let twins = Counts::of((0..20_000).map(|number| bin(if number < 100 { 1.0 } else { 0.0 })));
    assert!(refused(twins.clone(), 2e-3).contains("above 1"), "counted");
    assert!(refused(twins, 1e-6).contains("are all the same"));
    // e^(−t / 0.06) of the scores lie above t: one in 10⁹ above 1.2.
    let wide = Counts::of((0..20_000).map(|number| {
        let above = (f64::from(number) + 0.5) / 20_000.0;
        bin(-0.06 * above.ln())
    }));
    assert!(refused(wide, 1e-9).contains("above 1"), "extrapolated");
}

#[test]
fn a_score_that_does_not_belong_there_is_told() {
    let odd = Counts::of((0..400_000).map(|number| {
        let above = (f64::from(number) + 0.5) / 400_000.0;
        bin(if number == 0 { 0.9 } else { true_threshold(above) })
    }));
    let found = calibrate(&rates(odd), 1e-8).expect("a threshold");
    let Basis::Extrapolated {
        highest,
        highest_expected,
        ..
    } = found.basis
    else {
        panic!("{found:?}");
    };
    assert!(
        (highest - 0.9).abs() < 0.001 && highest_expected < 1e-6,
        "{highest} {highest_expected}"
    );
}

#[test]
fn shares_and_quantiles_of_a_tail_are_each_others_inverse() {
    for shape in [-0.3, -1e-4, 0.0] {
        let tail = Tail { scale: 0.02, shape };
        for share in [0.9, 0.01, 1e-6] {
            let back = tail.share(tail.quantile(share));
            assert!(
                (back / share - 1.0).abs() < 1e-6,
                "{shape}: {back} is not {share}"
            );
        }
    }
}
