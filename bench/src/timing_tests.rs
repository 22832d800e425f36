//! Tests of samples and of how often is enough.

use super::*;

fn samples(values: &[f64]) -> Samples {
    Samples {
        values: values.to_vec(),
    }
}

#[test]
fn the_median_is_the_middle_in_any_order() {
    let summary = samples(&[5.0, 1.0, 3.0]).summary().expect("three samples");
    assert_eq!((summary.ms, summary.min_ms, summary.repeats), (3.0, 1.0, 3));
    assert_eq!(samples(&[4.0, 1.0]).summary().map(|s| s.ms), Some(2.5));
    assert_eq!(samples(&[4.0]).summary().map(|s| s.ms), Some(4.0));
}

#[test]
fn nothing_has_no_median() {
    assert_eq!(samples(&[]).summary(), None);
    assert_eq!(samples(&[]).quantile(0.5), None);
}

#[test]
fn a_quantile_is_a_sample() {
    let values: Vec<f64> = (1..=200).rev().map(f64::from).collect();
    let of = |quantile| samples(&values).quantile(quantile);
    assert_eq!(
        (of(0.0), of(0.5), of(0.99), of(1.0)),
        (Some(1.0), Some(100.0), Some(198.0), Some(200.0))
    );
}

#[test]
fn repeats_keep_both_limits() {
    let count = |at_least, at_most, budget| {
        let mut calls = 0;
        let patience = Patience {
            at_least,
            at_most,
            budget,
        };
        let done: Result<(), ()> = patience.repeat(|number| {
            assert_eq!(number, calls);
            calls += 1;
            Ok(())
        });
        assert_eq!(done, Ok(()));
        calls
    };
    assert_eq!(count(3, 10, Duration::ZERO), 3);
    assert_eq!(count(3, 10, Duration::from_hours(1)), 10);
}

#[test]
fn a_failure_ends_the_repeats() {
    let patience = Patience {
        at_least: 5,
        at_most: 5,
        budget: Duration::ZERO,
    };
    assert_eq!(
        patience.repeat(|number| if number == 2 { Err(number) } else { Ok(()) }),
        Err(2)
    );
}
