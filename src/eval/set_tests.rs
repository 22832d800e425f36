//! Tests of sets: order, what is counted, and what is refused.

use super::*;

/// A capture whose signature points along one axis of 32.
pub fn capture(palm: &str, sample: &str, axis: usize) -> Capture {
    let mut values = vec![0.0; 32];
    values[axis] = 1.0;
    Capture {
        palm: palm.to_owned(),
        sample: sample.to_owned(),
        outcome: Ok(Signature::new(values, Dimension::new(32).expect("valid")).expect("of unit norm")),
    }
}

pub fn failed(palm: &str, sample: &str, reason: &str) -> Capture {
    Capture {
        palm: palm.to_owned(),
        sample: sample.to_owned(),
        outcome: Err(reason.to_owned()),
    }
}

fn refused(captures: Vec<Capture>) -> String {
    Set::new(captures).expect_err("no set").to_string()
}

#[test]
fn captures_come_in_the_order_a_person_would_give_them() {
    let set = Set::new(vec![
        capture("10", "1", 0),
        capture("9", "10", 1),
        capture("9", "9", 2),
        capture("09", "1", 3),
        failed("9", "1", "no-hand"),
    ])
    .expect("a set");
    let labels: Vec<&str> = set.palms().iter().map(|palm| palm.label.as_str()).collect();
    assert_eq!(labels, ["09", "9", "10"]);
    let axes: Vec<Option<usize>> = set
        .rows()
        .rows()
        .into_iter()
        .map(|row| row.iter().position(|value| *value > 0.5))
        .collect();
    assert_eq!(axes, [Some(3), Some(2), Some(1), Some(0)]);
    assert_eq!(set.palms()[1].attempts, [None, Some(1), Some(2)]);
    assert_eq!(set.palms()[1].rows, 1..3);
    assert_eq!([0, 1, 2, 3].map(|row| set.palm_of(row)), [0, 1, 1, 2]);
}

#[test]
fn failures_are_counted_by_reason_and_are_no_pairs() {
    let set = Set::new(vec![
        capture("a", "1", 0),
        capture("a", "2", 1),
        capture("a", "3", 1),
        capture("b", "1", 2),
        failed("b", "2", "blurred"),
        failed("c", "1", "blurred"),
        failed("c", "2", "no-hand"),
    ])
    .expect("a set");
    assert_eq!((set.mated(), set.non_mated()), (3, 3));
    assert_eq!((set.captures(), set.failed()), (7, 3));
    let failures: Vec<(&str, u64)> = set.failures().iter().map(|(k, v)| (k.as_str(), *v)).collect();
    assert_eq!(failures, [("blurred", 2), ("no-hand", 1)]);
    assert!(set.palms()[2].rows.is_empty());
}

#[test]
fn what_makes_no_set_is_refused_by_name() {
    let two = || vec![capture("a", "1", 0), capture("a", "2", 1), capture("b", "1", 2)];
    assert!(Set::new(two()).is_ok());
    let mut twice = two();
    twice.push(failed("b", "1", "blurred"));
    assert_eq!(refused(twice), "two captures are palm \"b\", sample \"1\"");
    let mut longer = two();
    longer[2].outcome = Ok(Signature::new(
        [vec![1.0], vec![0.0; 63]].concat(),
        Dimension::new(64).expect("valid"),
    )
    .expect("unit"));
    assert_eq!(
        refused(longer),
        "palm \"b\", sample \"1\" has 64 coordinates, others have 32"
    );
    let one = vec![capture("a", "1", 0), capture("a", "2", 1), failed("b", "1", "x")];
    assert!(refused(one).starts_with("1 palms with a signature; at least 2"));
    assert!(refused(Vec::new()).starts_with("0 palms"));
    let singles = vec![capture("a", "1", 0), capture("b", "1", 1), failed("b", "2", "x")];
    assert!(refused(singles).starts_with("none of 2 palms has two"));
    let many = vec![failed("a", "1", "x"); CAPTURES_MAX + 1];
    assert_eq!(refused(many), "65537 captures; at most 65536 are compared");
}
