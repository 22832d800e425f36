//! What times come to.

use super::*;

fn stage(nodes: usize, one_caller_p50_ms: f64) -> Stage {
    Stage {
        nodes,
        one_caller_p50_ms,
        per_second: 100.0 * f64::from(u8::try_from(nodes.max(1)).expect("few")),
        cores_used: 1.0,
        machine_busy: 0.5,
        wrong: 0,
    }
}

#[test]
fn the_overhead_is_what_a_cluster_of_one_takes_longer() {
    let report = Report::new(
        (10, 1, 8),
        None,
        vec![stage(0, 9.5), stage(1, 10.0), stage(2, 6.0)],
    )
    .expect("both");
    assert!((report.overhead - 0.05).abs() < 1e-9, "{report:?}");
    assert_eq!(report.fault(), None);
    let report = Report::new((10, 1, 8), None, vec![stage(0, 8.0), stage(1, 10.0)]).expect("both");
    assert!((report.overhead - 0.2).abs() < 1e-9, "{report:?}");
    assert!(report.fault().is_some());
}

#[test]
fn a_cluster_that_is_faster_has_no_overhead_and_nothing_is_claimed_without_both() {
    let report = Report::new((10, 1, 8), None, vec![stage(0, 11.0), stage(1, 10.0)]).expect("both");
    assert!(report.overhead.abs() < 1e-9, "{report:?}");
    Report::new((10, 1, 8), None, vec![stage(1, 10.0)]).expect_err("nothing to compare with");
}

#[test]
fn a_wrong_answer_fails() {
    let wrong = Stage {
        wrong: 1,
        ..stage(1, 10.0)
    };
    let report = Report::new((10, 1, 8), None, vec![stage(0, 10.0), wrong]).expect("both");
    assert!(report.fault().expect("it fails").starts_with("1 questions"));
}

#[test]
fn nodes_that_give_no_more_fail_unless_the_cores_are_used_up() {
    let report = |machine_busy| {
        let two = Stage {
            per_second: 120.0,
            machine_busy,
            ..stage(2, 10.0)
        };
        Report::new((10, 1, 8), Some(0.2), vec![stage(0, 1.0), stage(1, 10.0), two]).expect("both")
    };
    let idle = report(0.5);
    assert!((idle.scaling - 0.6).abs() < 1e-9, "{idle:?}");
    assert!(idle.fault().expect("it fails").contains("cores left"));
    let used_up = report(0.95);
    assert!(used_up.is_short_of_cores);
    assert_eq!(
        used_up.fault(),
        None,
        "nor does the overhead of a share of a core count"
    );
}
