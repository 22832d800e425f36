//! Tests of public answers.

use super::*;
use crate::model::decision::{Certificate, RetakeReason, SearchAnswer};
use crate::model::subject::Hand;
use crate::model::tenant::{TenantState, TenantStats, TenantStatus};
use crate::model::timestamp::Timestamp;

fn candidate() -> Candidate {
    Candidate {
        subject_id: "ada".parse().expect("an id"),
        subject_since: Timestamp(5),
        hand: Hand::Left,
        score: 0.75,
        links: Vec::new(),
    }
}

fn answer(decision: Decision) -> Identified {
    Identified {
        decision,
        links: Vec::new(),
        certificate: Some(Certificate::Deterministic),
        candidates: Vec::new(),
        backend: String::new(),
    }
}

#[test]
fn a_match_names_the_subject_and_no_score() {
    let decision = Decision::Match {
        candidate: candidate(),
        level: MatchLevel::Strong,
    };
    let message = identified("r".to_owned(), answer(decision));
    assert_eq!(message.decision(), pb::Decision::Match);
    assert_eq!(message.subject_id, "ada");
    assert_eq!(message.match_level(), pb::MatchLevel::Strong);
    assert!(message.candidates.is_empty());
}

#[test]
fn nobody_and_again_name_no_subject() {
    let message = identified("r".to_owned(), answer(Decision::NoMatch));
    assert_eq!(
        (message.decision(), message.subject_id.as_str()),
        (pb::Decision::NoMatch, "")
    );
    let message = identified("r".to_owned(), answer(Decision::Retake(RetakeReason::Ambiguous)));
    assert_eq!(message.decision(), pb::Decision::Retake);
    assert_eq!(message.retake_reason(), pb::RetakeReason::Ambiguous);
    assert_eq!(message.subject_id, "");
}

#[test]
fn a_retake_of_an_enrolment_has_no_references() {
    let message = enrollment(Enrollment::Retake(RetakeReason::LowQuality));
    assert_eq!(message.retake_reason(), pb::RetakeReason::LowQuality);
    assert!(message.references.is_empty() && message.subject_id.is_empty());
}

#[test]
fn a_tenant_that_cant_be_read_still_says_why() {
    let view = TenantView {
        status: TenantStatus {
            spec: None,
            id: "acme".parse().expect("an id"),
            state: TenantState::Unavailable("catalog.db is damaged".to_owned()),
            rotating: false,
            stats: TenantStats::default(),
        },
        threshold: None,
    };
    let message = tenant(&view);
    assert_eq!(message.state(), pb::TenantState::Unavailable);
    assert_eq!(message.reason, "catalog.db is damaged");
    assert_eq!(message.dimension, 0);
}

#[test]
fn the_nearest_carry_scores_and_what_was_proved() {
    let found = SearchAnswer {
        candidates: vec![candidate()],
        certificate: Certificate::Probabilistic {
            miss_probability: 1e-9,
        },
        backend: "cpu/amx".to_owned(),
        searched: 3,
    };
    let message = investigated("r".to_owned(), Investigated::Ranked(found));
    assert_eq!((message.searched, message.backend.as_str()), (3, "cpu/amx"));
    let first = message.candidates.first().expect("one");
    assert_eq!((first.subject_id.as_str(), first.score), ("ada", 0.75));
    let proof = message.certificate.and_then(|certificate| certificate.proof);
    assert_eq!(proof, Some(pb::certificate::Proof::MissProbability(1e-9)));
    let message = investigated("r".to_owned(), Investigated::Retake(RetakeReason::PadFailed));
    assert_eq!(message.retake_reason(), pb::RetakeReason::PadFailed);
    assert!(message.certificate.is_none() && message.candidates.is_empty());
}
