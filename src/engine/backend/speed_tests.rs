//! Tests of measured speeds.

use super::*;

fn scan(rows: u64, probes: u64, millis: u64) -> Measured {
    Measured {
        rows,
        products: rows * probes,
        took: Duration::from_millis(millis),
    }
}

fn near(found: Option<f64>, expected: f64) {
    let found = found.expect("measured");
    assert!((found / expected - 1.0).abs() < 1e-6, "{found} is not {expected}");
}

#[test]
fn batches_are_measured_by_size() {
    let classes: Vec<Class> = [1, 2, 8, 9, 64, 65, 1_024].map(Class::of).to_vec();
    assert_eq!(classes, [0, 1, 1, 2, 2, 3, 3].map(Class));
    let mut speed = Speed::default();
    speed.observe(scan(1_000_000, 1, 10));
    speed.observe(scan(1_000_000, 64, 40));
    near(speed.of(Class::of(1)), 1e8);
    near(speed.of(Class::of(20)), 1.6e9);
    assert_eq!(speed.of(Class::of(500)), None);
}

#[test]
fn a_new_measurement_moves_the_average_a_little() {
    let mut speed = Speed::default();
    speed.observe(scan(1_000_000, 1, 10));
    speed.observe(scan(1_000_000, 1, 5));
    near(speed.of(Class::of(1)), 1.1e8);
    for _ in 0..200 {
        speed.observe(scan(1_000_000, 1, 5));
    }
    near(speed.of(Class::of(1)), 2e8);
}

#[test]
fn scans_that_tell_nothing_are_left_out() {
    let mut speed = Speed::default();
    speed.observe(scan(MEASURED_ROWS_MIN - 1, 1, 10));
    speed.observe(scan(1_000_000, 1, 0));
    assert_eq!(speed.of(Class::of(1)), None);
}

#[test]
fn the_class_that_takes_the_most_time_counts_and_old_time_fades() {
    let mut spent = Spent::default();
    spent.add(scan(1_000_000, 1, 30));
    spent.add(scan(1_000_000, 64, 20));
    assert_eq!(spent.review(), Class::of(1));
    spent.add(scan(1_000_000, 64, 20));
    assert_eq!(spent.review(), Class::of(64), "30 and 10 + 20, halved once");
}

#[test]
fn what_was_not_measured_is_guessed_from_what_was() {
    let table = [
        (None, vec![], (1.0, vec![])),
        (None, vec![None], (1.0, vec![20.0])),
        (Some(2.0), vec![None, None], (2.0, vec![40.0, 40.0])),
        (None, vec![Some(30.0), None], (1.5, vec![30.0, 30.0])),
        (
            Some(9.0),
            vec![Some(30.0), None, Some(50.0)],
            (9.0, vec![30.0, 40.0, 50.0]),
        ),
    ];
    for (cpu, gpus, (expected_cpu, expected)) in table {
        let (cpu, gpus) = complete(cpu, &gpus);
        near(Some(cpu), expected_cpu);
        assert_eq!(gpus.len(), expected.len());
        for (gpu, expected) in gpus.into_iter().zip(expected) {
            near(Some(gpu), expected);
        }
    }
}
