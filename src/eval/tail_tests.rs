//! Tests of fits: tails of the kind come back, others are taken for the strictest that is near, and intervals are those of the likelihood.

use super::*;

const CENTER: f64 = 0.01;
const FROM: f64 = 0.15;

/// So many scores of such a tail, evenly over their shares.
fn scores(shape: f64, rate: f64, count: u32) -> Vec<(f64, u64)> {
    let score = |number: u32| {
        let share = 1.0 - (f64::from(number) + 0.5) / f64::from(count);
        let far = (1.0 - share.ln() / rate).powf(1.0 / shape);
        (CENTER + (FROM - CENTER) * far, 1)
    };
    (0..count).map(score).collect()
}

fn fitted(shape: f64, rate: f64, count: u32) -> Tail {
    Tail::fit(CENTER, FROM, &scores(shape, rate, count)).expect("scores that differ")
}

#[test]
fn a_tail_of_the_kind_comes_back() {
    for (shape, rate) in [(1.1, 5.0), (1.5, 3.0), (1.9, 2.7)] {
        let found = fitted(shape, rate, 10_000).best();
        assert!(
            (found.shape - shape).abs() < 0.03 && (found.rate / rate - 1.0).abs() < 0.03,
            "{shape} {rate}: {found:?}"
        );
    }
}

#[test]
fn scores_that_are_there_more_often_count_so_often() {
    let once = scores(1.5, 3.0, 100);
    let twice: Vec<(f64, u64)> = once.iter().map(|(score, _)| (*score, 2)).collect();
    let doubled: Vec<(f64, u64)> = once.iter().flat_map(|one| [*one, *one]).collect();
    let [one, other] = [twice, doubled].map(|scores| Tail::fit(CENTER, FROM, &scores).expect("a tail"));
    assert!((one.quantile(1e-6) - other.quantile(1e-6)).abs() < 1e-9);
    assert!((one.interval(1e-6)[1] - other.interval(1e-6)[1]).abs() < 1e-9);
}

#[test]
fn a_tail_is_at_most_normal_and_at_least_exponential() {
    let shape = |true_shape| Some(fitted(true_shape, 3.0, 2_000).best().shape);
    assert_eq!((shape(3.5), shape(0.6)), (Some(2.0), Some(1.0)));
    // Thinner than it is taken for, so that the threshold is above the true one.
    let thin = fitted(3.5, 3.0, 2_000).quantile(1e-6);
    let truly = CENTER + (FROM - CENTER) * (1.0 - 1e-6_f64.ln() / 3.0).powf(1.0 / 3.5);
    assert!(thin > truly + 0.02, "{thin} {truly}");
}

#[test]
fn shares_and_quantiles_are_each_others_inverse() {
    let tail = fitted(1.4, 4.0, 1_000);
    for share in [0.9, 0.01, 1e-6] {
        let back = tail.share(tail.quantile(share));
        assert!((back / share - 1.0).abs() < 1e-9, "{back} is not {share}");
    }
    assert!((tail.quantile(1.0) - FROM).abs() < 1e-12);
}

/// The interval over a fine net of shapes and rates, straight from the definition.
#[test]
fn the_interval_is_that_of_the_likelihood() {
    let all = scores(1.5, 3.0, 200);
    let far: Vec<f64> = all.iter().map(|(s, _)| (s - CENTER) / (FROM - CENTER)).collect();
    let likelihood = |shape: f64, rate: f64| -> f64 {
        let density = |x: &f64| (rate * shape * x.powf(shape - 1.0)).ln() - rate * (x.powf(shape) - 1.0);
        far.iter().map(density).sum()
    };
    let net: Vec<(f64, f64)> = (0..=50)
        .map(|step| 1.0 + f64::from(step) / 50.0)
        .flat_map(|shape| (0..=400).map(move |step| (shape, 0.5 + f64::from(step) / 50.0)))
        .collect();
    let likelihoods: Vec<f64> = net
        .iter()
        .map(|(shape, rate)| likelihood(*shape, *rate))
        .collect();
    let best = likelihoods.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    // 3.841 is what a χ² variable of one degree exceeds in 5 %.
    let within = net
        .iter()
        .zip(&likelihoods)
        .filter(|(_, likelihood)| 2.0 * (best - **likelihood) <= 3.841);
    let quantiles: Vec<f64> = within
        .map(|((shape, rate), _)| CENTER + (FROM - CENTER) * (1.0 - 1e-5_f64.ln() / rate).powf(1.0 / shape))
        .collect();
    let low = quantiles.iter().copied().fold(f64::INFINITY, f64::min);
    let high = quantiles.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let found = Tail::fit(CENTER, FROM, &all).expect("a tail").interval(1e-5);
    assert!(
        (found[0] - low).abs() < 0.003 && (found[1] - high).abs() < 0.003,
        "{found:?} is not {low} to {high}"
    );
}

#[test]
fn more_scores_say_more() {
    let width = |count| {
        let tail = fitted(1.5, 3.0, count);
        let [low, high] = tail.interval(1e-6);
        assert!(low < tail.quantile(1e-6) && tail.quantile(1e-6) < high);
        high - low
    };
    assert!(
        width(10_000) < 0.2 * width(100),
        "{} {}",
        width(10_000),
        width(100)
    );
}

#[test]
fn scores_that_don_t_differ_are_no_tail() {
    assert!(Tail::fit(CENTER, FROM, &[(0.2, 1), (0.3, 1)]).is_some());
    assert!(Tail::fit(CENTER, FROM, &[(0.2, 100)]).is_none());
    assert!(Tail::fit(CENTER, FROM, &[]).is_none());
    assert!(
        Tail::fit(FROM, FROM, &[(0.2, 1), (0.3, 1)]).is_none(),
        "half of all is the tail"
    );
}
