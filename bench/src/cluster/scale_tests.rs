//! What times come to.

use super::*;

fn stage(nodes: usize, one_caller_p50_ms: f64) -> Stage {
    Stage {
        nodes,
        one_caller_p50_ms,
        per_second: 100.0,
        cores_used: 1.0,
        wrong: 0,
    }
}

#[test]
fn the_overhead_is_what_a_cluster_of_one_takes_longer() {
    let report = Report::new(10, vec![stage(0, 9.5), stage(1, 10.0), stage(2, 6.0)]).expect("both");
    assert!((report.overhead - 0.05).abs() < 1e-9, "{report:?}");
    assert_eq!(report.fault(), None);
    let report = Report::new(10, vec![stage(0, 8.0), stage(1, 10.0)]).expect("both");
    assert!((report.overhead - 0.2).abs() < 1e-9, "{report:?}");
    assert!(report.fault().is_some());
}

#[test]
fn a_cluster_that_is_faster_has_no_overhead_and_nothing_is_claimed_without_both() {
    let report = Report::new(10, vec![stage(0, 11.0), stage(1, 10.0)]).expect("both");
    assert!(report.overhead.abs() < 1e-9, "{report:?}");
    Report::new(10, vec![stage(1, 10.0)]).expect_err("nothing to compare with");
}

#[test]
fn a_wrong_answer_fails() {
    let wrong = Stage {
        wrong: 1,
        ..stage(1, 10.0)
    };
    let report = Report::new(10, vec![stage(0, 10.0), wrong]).expect("both");
    assert!(report.fault().expect("it fails").starts_with("1 questions"));
}
