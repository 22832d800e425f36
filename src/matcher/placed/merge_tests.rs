//! Tests of merging: the answer over the whole from those over its parts.

use proptest::prelude::*;

use super::*;
use crate::cluster::placement::Part;
use crate::matcher::placed::fixture::{Row, brute, candidate};
use crate::model::subject::Hand;

fn answer(candidates: Vec<Candidate>, certificate: Certificate, backend: &str) -> SearchAnswer {
    SearchAnswer {
        candidates,
        certificate,
        backend: backend.to_owned(),
        searched: 5,
    }
}

fn probabilistic(miss_probability: f64) -> Certificate {
    Certificate::Probabilistic { miss_probability }
}

fn certificate_of(certificates: &[Certificate]) -> Certificate {
    let answers = certificates.iter().map(|one| answer(Vec::new(), *one, "cpu"));
    merge(answers.collect(), 3).certificate
}

#[test]
fn the_weakest_certificate_counts() {
    let proved = Certificate::Deterministic;
    assert_eq!(certificate_of(&[proved, proved]), proved);
    let (strong, weak) = (probabilistic(1e-12), probabilistic(1e-9));
    for order in [
        [proved, strong, weak],
        [weak, strong, proved],
        [strong, weak, proved],
    ] {
        assert_eq!(certificate_of(&order), weak);
    }
}

#[test]
fn backends_are_named_once_and_rows_add_up() {
    let parts = ["gpu/a", "cpu/b", "gpu/a"].map(|name| answer(Vec::new(), Certificate::Deterministic, name));
    let whole = merge(parts.into(), 3);
    assert_eq!((whole.backend.as_str(), whole.searched), ("cpu/b + gpu/a", 15));
}

#[test]
fn who_answers_first_does_not_decide_between_two_hands_of_one_score() {
    let with = |hand| Candidate {
        hand,
        ..candidate(1, 0.8)
    };
    let both =
        [Hand::Left, Hand::Right].map(|hand| answer(vec![with(hand)], Certificate::Deterministic, "cpu"));
    let [left, right] = both;
    let one = merge(vec![left.clone(), right.clone()], 3);
    let other = merge(vec![right, left], 3);
    assert_eq!(one, other);
}

#[test]
fn an_answer_that_no_node_can_give_is_refused() {
    let sound = || {
        answer(
            vec![candidate(1, 0.9), candidate(2, 0.9), candidate(3, 0.5)],
            probabilistic(0.0),
            "cpu",
        )
    };
    let refused = |change: &dyn Fn(&mut SearchAnswer), threshold| {
        let mut answer = sound();
        change(&mut answer);
        let error = check(&answer, threshold, 3).expect_err("no node gives it");
        assert!(matches!(&error, NodeError::Internal(_)), "{error}");
        error.to_string()
    };
    assert!(check(&sound(), Some(0.5), 3).is_ok());
    assert!(check(&sound(), None, 3).is_ok());
    for score in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for place in 0..3 {
            let text = refused(&|answer| answer.candidates[place].score = score, None);
            assert!(text.contains("no number"), "{text}");
        }
    }
    assert!(refused(&|_| {}, Some(0.6)).contains("below the threshold"));
    assert!(refused(&|answer| answer.candidates.swap(0, 1), None).contains("order"));
    assert!(refused(&|answer| answer.candidates.swap(1, 2), None).contains("order"));
    let twice = |answer: &mut SearchAnswer| answer.candidates[2] = candidate(1, 0.5);
    assert!(refused(&twice, None).contains("twice"));
    let more = |answer: &mut SearchAnswer| answer.candidates.push(candidate(4, 0.5));
    assert!(refused(&more, None).contains("more candidates"));
    for miss in [f64::NAN, -1e-9, 1.5] {
        let text = refused(&|answer| answer.certificate = probabilistic(miss), None);
        assert!(text.contains("probability"), "{text}");
    }
    let recent = Certificate::RecentMatch {
        false_match_probability: 1e-9,
    };
    assert!(refused(&|answer| answer.certificate = recent, None).contains("recent match"));
}

proptest! {
    /// Few subjects and few scores, so that subjects lie in several parts and many are equal.
    #[test]
    fn a_merge_is_the_answer_over_the_whole(
        rows in prop::collection::vec((0..12_u32, 0..4_u32, 0..6_u8), 0..60),
        wanted in 1..8_usize,
        threshold in prop::option::of(0..6_u8),
    ) {
        let rows: Vec<Row> = rows
            .into_iter()
            .map(|(subject, part, score)| Row { subject, part: Part::Group(part), score: f32::from(score) / 8.0 })
            .collect();
        let threshold = threshold.map_or(f32::NEG_INFINITY, |step| f32::from(step) / 8.0);
        let of = |part| rows.iter().copied().filter(|row| row.part == Part::Group(part)).collect::<Vec<_>>();
        let answers = (0..4).map(|part| brute(&of(part), threshold, wanted)).collect();
        prop_assert_eq!(merge(answers, wanted), brute(&rows, threshold, wanted));
    }
}
