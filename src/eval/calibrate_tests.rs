//! Tests of thresholds: where scores can be counted they are, and an extrapolated one is that of the distribution that scores were drawn from.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{ChiSquared, Distribution, StandardNormal};
use statrs::function::beta::beta_reg;
use statrs::function::erf::erfc;

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
        center,
        rate,
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
    assert!((center - true_threshold(0.5)).abs() < 0.001, "{center}");
    // ln 50 from the half to the highest hundredth.
    assert!((rate - 50_f64.ln()).abs() < 0.1 && shape < 1.02, "{rate} {shape}");
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

/// Scores by their number, and the share of them above a score.
struct Kind {
    name: &'static str,
    draw: fn(&mut ChaCha8Rng) -> f64,
    above: fn(f64) -> f64,
}

fn normal_above(score: f64, deviation: f64) -> f64 {
    0.5 * erfc(score / deviation / 2_f64.sqrt())
}

fn normal(rng: &mut ChaCha8Rng) -> f64 {
    StandardNormal.sample(rng)
}

const KINDS: [Kind; 3] = [
    Kind {
        name: "normal, off 0",
        draw: |rng| 0.3 + 0.05 * normal(rng),
        above: |score| normal_above(score - 0.3, 0.05),
    },
    Kind {
        name: "cosines of random directions of 256 dimensions",
        draw: |rng| {
            let along = normal(rng);
            let across: f64 = ChiSquared::new(255.0).expect("degrees of freedom").sample(rng);
            along / (along * along + across).sqrt()
        },
        above: |score| 0.5 * beta_reg(127.5, 0.5, 1.0 - score * score),
    },
    Kind {
        name: "a tenth one and a half times as wide",
        draw: |rng| normal(rng) * if rng.random::<f64>() < 0.1 { 0.09 } else { 0.06 },
        above: |score| 0.9 * normal_above(score, 0.06) + 0.1 * normal_above(score, 0.09),
    },
];

/// A thousand times as rare as what is seen. Of generalised Pareto tails the estimate has four times the FMR at the median, for the first two.
#[test]
fn thresholds_far_out_are_hardly_ever_too_low() {
    const SCORES: u32 = 50_000;
    const FMR: f64 = RULE_OF_THIRTY / 5e4 / 1_000.0;
    for kind in KINDS {
        let mut estimates = Vec::new();
        let mut too_low = 0;
        for seed in 0..21 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let drawn = (0..SCORES).map(|_| bin((kind.draw)(&mut rng)));
            let found = calibrate(&rates(Counts::of(drawn)), FMR).expect("a threshold");
            estimates.push((kind.above)(found.estimate) / FMR);
            too_low += u32::from((kind.above)(found.threshold) > FMR);
        }
        estimates.sort_by(f64::total_cmp);
        assert!(
            (0.2..2.0).contains(&estimates[10]),
            "{}: {estimates:?}",
            kind.name
        );
        assert!(too_low <= 1, "{}: {too_low} of 21", kind.name);
    }
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
    assert!(refused(twins, 1e-6).contains("nearly all are the same, which is no tail"));
    let tied = Counts::of((0..100_003).map(|number| {
        bin(match number {
            0..3 => 0.4,
            3..1_503 => 0.3,
            _ => f64::from(number % 100) / 1_000.0,
        })
    }));
    assert!(refused(tied, 1e-4).contains("nearly all are the same"));
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
