//! Tests of the decision: thresholds and margins to the last bit, and ambiguity is never guessed away.

use super::*;
use crate::model::subject::Hand;
use crate::model::timestamp::Timestamp;

fn candidate(subject: &str, score: f32) -> Candidate {
    Candidate {
        subject_id: subject.parse().expect("valid"),
        subject_since: Timestamp(5),
        hand: Hand::Left,
        score,
        links: Vec::new(),
    }
}

fn decide(scores: &[f32], margin: f32) -> String {
    let candidates: Vec<Candidate> = scores
        .iter()
        .enumerate()
        .map(|(at, score)| candidate(&format!("s{at}"), *score))
        .collect();
    match identify(&candidates, 0.5, margin) {
        Decision::Match { candidate, level } => format!("{} {level:?}", candidate.subject_id),
        Decision::NoMatch => "nobody".to_owned(),
        Decision::Retake(reason) => format!("{reason:?}"),
    }
}

#[test]
fn scores_and_margins_decide() {
    for (scores, margin, expected) in [
        (&[][..], 0.1, "nobody"),
        (&[0.499_999_97], 0.1, "nobody"),
        (&[0.5], 0.1, "s0 Sufficient"),
        (&[0.749], 0.1, "s0 Sufficient"),
        (&[0.75], 0.1, "s0 Strong"),
        (&[0.9, 0.6], 0.1, "s0 Strong"),
        (&[0.625, 0.5], 0.125, "s0 Sufficient"),
        (&[0.625, 0.500_1], 0.125, "Ambiguous"),
        // Below the threshold nobody is near enough to matter.
        (&[0.51, 0.49], 0.1, "s0 Sufficient"),
        (&[0.6, 0.599], 0.0, "s0 Sufficient"),
        (&[0.6, 0.6], 0.0, "Ambiguous"),
        (&[0.9, 0.55, 0.54], 0.1, "s0 Strong"),
        (&[f32::NAN], 0.1, "nobody"),
    ] {
        assert_eq!(decide(scores, margin), expected, "{scores:?} {margin}");
    }
}

#[test]
fn the_order_of_candidates_does_not_matter() {
    assert_eq!(decide(&[0.55, 0.54, 0.9], 0.1), "s2 Strong");
    assert_eq!(decide(&[0.55, 0.9, 0.85], 0.1), "Ambiguous");
}

#[test]
fn verification_compares_with_the_threshold() {
    for (score, expected) in [
        (0.49, None),
        (0.5, Some(MatchLevel::Sufficient)),
        (0.8, Some(MatchLevel::Strong)),
    ] {
        let found = match verify(candidate("s", score), 0.5) {
            Decision::Match { level, .. } => Some(level),
            Decision::NoMatch => None,
            Decision::Retake(reason) => panic!("{reason:?}"),
        };
        assert_eq!(found, expected, "{score}");
    }
}
