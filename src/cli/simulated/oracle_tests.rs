//! Tests of the oracle: which answers are right, which are wrong, and which need an exhaustive scan.

use super::*;

const THRESHOLD: f64 = 0.5;

fn mate(score: f64) -> Asker {
    Asker::Mate { subject: 7, score }
}

#[test]
fn a_mate_above_the_threshold_must_be_found() {
    assert_eq!(
        judge(mate(0.6), Answer::Match(Some(7)), THRESHOLD),
        Verdict::Right
    );
    assert_eq!(judge(mate(0.6), Answer::NoMatch, THRESHOLD), Verdict::Wrong);
    assert_eq!(judge(mate(0.6), Answer::Ambiguous, THRESHOLD), Verdict::Unclear);
    assert_eq!(
        judge(mate(0.6), Answer::Match(Some(8)), THRESHOLD),
        Verdict::Unclear
    );
}

#[test]
fn a_mate_below_the_threshold_must_not_be_found() {
    assert_eq!(judge(mate(0.4), Answer::NoMatch, THRESHOLD), Verdict::Right);
    assert_eq!(
        judge(mate(0.4), Answer::Match(Some(7)), THRESHOLD),
        Verdict::Wrong
    );
}

#[test]
fn both_are_right_at_the_threshold_itself() {
    for score in [0.4995, 0.5005] {
        for answer in [Answer::NoMatch, Answer::Match(Some(7))] {
            assert_eq!(
                judge(mate(score), answer, THRESHOLD),
                Verdict::Right,
                "{score} {answer:?}"
            );
        }
    }
}

#[test]
fn a_stranger_is_nobody_unless_a_scan_says_otherwise() {
    assert_eq!(judge(Asker::Stranger, Answer::NoMatch, THRESHOLD), Verdict::Right);
    assert_eq!(
        judge(Asker::Stranger, Answer::Match(Some(1)), THRESHOLD),
        Verdict::Unclear
    );
    assert_eq!(
        judge(Asker::Stranger, Answer::Ambiguous, THRESHOLD),
        Verdict::Unclear
    );
}

#[test]
fn a_capture_that_was_good_enough_is_never_sent_back() {
    assert_eq!(judge(Asker::Stranger, Answer::Other, THRESHOLD), Verdict::Wrong);
    assert!(!explains(&[(1, 0.9)], Answer::Other, THRESHOLD));
}

#[test]
fn a_scan_explains_a_match_of_the_best_alone() {
    assert!(explains(&[(1, 0.7), (2, 0.6)], Answer::Match(Some(1)), THRESHOLD));
    assert!(
        !explains(&[(1, 0.7), (2, 0.6)], Answer::Match(Some(2)), THRESHOLD),
        "second best"
    );
    assert!(
        !explains(&[(1, 0.7), (2, 0.695)], Answer::Match(Some(1)), THRESHOLD),
        "too close"
    );
    assert!(
        !explains(&[(1, 0.7)], Answer::Match(Some(3)), THRESHOLD),
        "not a candidate"
    );
    assert!(
        !explains(&[(1, 0.7)], Answer::Match(None), THRESHOLD),
        "no such subject"
    );
}

#[test]
fn a_rival_at_the_threshold_may_count_or_not() {
    let candidates = [(1, 0.505), (2, 0.4995)];
    assert!(explains(&candidates, Answer::Match(Some(1)), THRESHOLD));
    assert!(explains(&candidates, Answer::Ambiguous, THRESHOLD));
}

#[test]
fn a_scan_explains_nobody_and_ambiguity() {
    assert!(explains(&[], Answer::NoMatch, THRESHOLD));
    assert!(explains(&[(1, 0.5)], Answer::NoMatch, THRESHOLD));
    assert!(!explains(&[(1, 0.6)], Answer::NoMatch, THRESHOLD));
    assert!(explains(&[(2, 0.60), (1, 0.61)], Answer::Ambiguous, THRESHOLD));
    assert!(!explains(&[(1, 0.6)], Answer::Ambiguous, THRESHOLD));
    assert!(!explains(&[(1, 0.7), (2, 0.6)], Answer::Ambiguous, THRESHOLD));
}

#[test]
fn responses_are_read() {
    let matched = api::IdentifyResponse {
        decision: api::Decision::Match.into(),
        subject_id: "palm-12".into(),
        ..Default::default()
    };
    assert_eq!(Answer::of(&matched), Answer::Match(Some(12)));
    let strange = api::IdentifyResponse {
        subject_id: "somebody".into(),
        ..matched
    };
    assert_eq!(Answer::of(&strange), Answer::Match(None));
    assert!(Answer::of(&strange).is_positive());
    let retake = api::IdentifyResponse {
        decision: api::Decision::Retake.into(),
        retake_reason: api::RetakeReason::LowQuality.into(),
        ..Default::default()
    };
    assert_eq!(Answer::of(&retake), Answer::Other);
    assert_eq!(Answer::of(&api::IdentifyResponse::default()), Answer::Other);
}
