//! Tests of the audit: it finds the mate among everybody, and catches wrong answers.

use super::super::plan::tests::plan;
use super::*;

const THRESHOLD: f64 = 0.55;

fn clean(subject: u64) -> Question {
    // The enrolled capture itself.
    Question::Mate {
        subject,
        capture: u64::MAX,
    }
}

#[test]
fn everybody_is_scanned_and_the_mate_is_found() {
    let plan = plan(20_000);
    let subjects = [0, 16_383, 16_384, 19_999];
    let probes: Vec<Vec<f32>> = subjects.iter().map(|s| plan.enrolled(*s).heard).collect();
    let found = candidates(&plan, &probes, 0.9);
    for (subject, list) in subjects.iter().zip(found) {
        let ids: Vec<u64> = list.iter().map(|(id, _)| *id).collect();
        assert_eq!(ids, [*subject]);
    }
}

#[test]
fn right_answers_are_explained_and_wrong_ones_counted() {
    let plan = plan(500);
    let answers = [
        (clean(3), Answer::Match(Some(3))),
        (clean(4), Answer::Match(Some(5))),
        (clean(5), Answer::NoMatch),
        (Question::Stranger(1), Answer::NoMatch),
        (Question::Stranger(2), Answer::Match(Some(1))),
    ];
    let result = unexplained(&plan, &answers, THRESHOLD);
    assert_eq!((result.audited, result.wrong), (5, 3));
}

#[test]
fn a_dot_product_is_one() {
    let plan = plan(100);
    let heard = plan.enrolled(1).heard;
    assert!((dot(&heard, &heard) - 1.0).abs() < 1e-5);
}
