//! Tests of intervals against published values, and against the sums of the binomial distribution that define them.

use super::*;

fn close(found: [f64; 2], expected: [f64; 2]) {
    for (found, expected) in found.into_iter().zip(expected) {
        assert!((found - expected).abs() < 5e-5, "{found} is not {expected}");
    }
}

#[test]
fn known_intervals_come_out() {
    // R: binom.test(x, n)$conf.int
    close(clopper_pearson(0, 10), [0.0, 0.308_5]);
    close(clopper_pearson(1, 10), [0.002_5, 0.445_0]);
    close(clopper_pearson(5, 10), [0.187_1, 0.812_9]);
    close(clopper_pearson(10, 10), [0.691_5, 1.0]);
    close(clopper_pearson(0, 0), [0.0, 1.0]);
}

#[test]
fn few_errors_of_very_many_trials_have_the_interval_of_a_poisson_count() {
    // Garwood (1936); R: poisson.test(x)$conf.int
    let trials = 400_000_000;
    for (errors, low, high) in [
        (1, 0.025_3, 5.571_6),
        (3, 0.618_7, 8.767_3),
        (10, 4.795_4, 18.390_4),
        (30, 20.240_8, 42.826_9),
    ] {
        let found = clopper_pearson(errors, trials).map(|end| end * as_f64(trials));
        close(found.map(|end| end / high), [low / high, 1.0]);
    }
}

/// The probability of so few errors, term by term.
fn up_to(share: f64, errors: u64, trials: u64) -> f64 {
    let mut term = as_f64(trials) * f64::ln_1p(-share);
    let mut sum = term.exp();
    for count in 1..=errors {
        term += (as_f64(trials - count + 1) / as_f64(count) * share / (1.0 - share)).ln();
        sum += term.exp();
    }
    sum
}

#[test]
fn the_ends_are_where_the_tails_have_two_and_a_half_percent() {
    for (errors, trials) in [(1, 7), (3, 1_000), (999, 1_000), (56_200, 56_410)] {
        let [low, high] = clopper_pearson(errors, trials);
        assert!(
            (1.0 - up_to(low, errors - 1, trials) - 0.025).abs() < 1e-6,
            "{errors} of {trials}: {low}"
        );
        assert!(
            (up_to(high, errors, trials) - 0.025).abs() < 1e-6,
            "{errors} of {trials}: {high}"
        );
    }
}

#[test]
fn no_error_bounds_a_rate_by_the_rule_of_three() {
    // One-sided at 95 % the bound is 3/n; the upper end of a two-sided interval is 3.7/n.
    let [low, high] = clopper_pearson(0, 100_000);
    assert!(low == 0.0 && (high * 100_000.0 - 3.689).abs() < 0.001, "{high}");
    assert!(shows(1e-4, 30_000) && !shows(1e-4, 29_999));
}
