//! Tests of summaries: medians and ratios by hand, what is counted is summed, what can't be said is not said.

use super::*;
use crate::split::turn::Front;

fn service(p50_ms: f64, p99_ms: f64, answered: usize) -> Service {
    Service {
        p50_ms,
        p99_ms,
        answered,
        due: 100,
    }
}

fn outcomes(turns: usize) -> Outcomes {
    Outcomes {
        answered: turns,
        unavailable: 10 * turns,
        late: 2 * turns,
        untold: 3 * turns,
    }
}

fn turn(number: f64, noticed_ms: Option<f64>) -> Turn {
    Turn {
        lost: outcomes(1),
        slowest_ms: 100.0 * number,
        callers_late_ms: 5.0 - number,
        noticed_ms,
        back_ms: 10.0 * number,
        quiet: service(1.0, 4.0 * number, 100),
        disturbed: service(number, 6.0 * number, 80),
        front: Front {
            bytes_before: 8.0 * MIB,
            bytes_max: (8.0 + number) * MIB,
            calls_max: number,
        },
        in_flight: None,
        faults: vec!["a fault".to_owned()],
    }
}

#[test]
fn shares_tell_one_lost_call_of_many() {
    is(share(99_999, 100_000), 0.999_99);
    is(share(0, 0), 1.0);
}

fn is(value: f64, expected: f64) {
    assert!((value - expected).abs() < 1e-9, "{value} is not {expected}");
}

#[test]
fn turns_make_medians_and_sums() {
    let turns = [
        turn(1.0, Some(50.0)),
        turn(3.0, Some(70.0)),
        turn(2.0, Some(60.0)),
    ];
    let lost = Lost::of(Loss::Paused, 500.0, &turns).expect("turns");
    assert_eq!(lost.outcomes, outcomes(3));
    assert_eq!(lost.wrong, 3);
    is(lost.slowest_ms, 300.0);
    is(lost.callers_late_ms, 4.0);
    is(lost.noticed_ms.expect("in each"), 60.0);
    is(lost.back_ms, 20.0);
    is(lost.other_p50_ratio, 2.0);
    is(lost.other_p99_ratio, 1.5);
    is(lost.other_answered_share, 0.8);
    is(lost.quiet.answered_share, 1.0);
    is(lost.front_mib, 8.0);
    is(lost.front_growth_mib, 3.0);
    is(lost.front_calls_max, 3.0);
    assert_eq!(lost.in_flight, None);
    assert!(!lost.to_string().contains("in flight"), "{lost}");
}

#[test]
fn a_turn_that_never_noticed_leaves_no_median() {
    let turns = [turn(1.0, Some(50.0)), turn(2.0, None)];
    let lost = Lost::of(Loss::CutOff, 500.0, &turns).expect("turns");
    assert_eq!(lost.noticed_ms, None);
    assert!(lost.to_string().contains("not refused at once"), "{lost}");
    let text = serde_json::to_string(&lost).expect("plain data");
    assert!(
        text.contains("\"loss\":\"cut off\"") && text.contains("\"noticed_ms\":null"),
        "{text}"
    );
    assert!(
        text.contains("\"unavailable\":20,\"deadline_exceeded\":4,"),
        "{text}"
    );
    assert_eq!(Lost::of(Loss::CutOff, 500.0, &[]), None);
}

#[test]
fn drains_tell_what_was_in_flight() {
    let drained = Turn {
        in_flight: Some(outcomes(4)),
        ..turn(1.0, Some(1.0))
    };
    let lost = Lost::of(Loss::Drained, 500.0, &[drained.clone(), drained]).expect("turns");
    assert_eq!(lost.in_flight, Some(outcomes(8)));
    assert!(lost.to_string().contains("in flight: 80 UNAVAILABLE"), "{lost}");
}
