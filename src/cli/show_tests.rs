//! Tests of the answers' text and JSON.

use super::*;

fn matched() -> api::IdentifyResponse {
    api::IdentifyResponse {
        request_id: "r".into(),
        decision: api::Decision::Match.into(),
        subject_id: "ada".into(),
        match_level: api::MatchLevel::Strong.into(),
        links: vec![api::Link {
            kind: api::LinkKind::BadgeId.into(),
            value: "7".into(),
        }],
        certificate: Some(api::Certificate {
            proof: Some(Proof::MissProbability(1e-9)),
        }),
        ..Default::default()
    }
}

#[test]
fn a_match_names_subject_level_links_and_proof() {
    let text = identified_text(&matched());
    assert_eq!(
        text,
        "MATCH ada (STRONG)\nBADGE_ID 7\ncertificate probabilistic 1e-9"
    );
    let json = identified(&matched());
    assert_eq!(json["decision"], "MATCH");
    assert_eq!(json["retake_reason"], Value::Null);
    assert_eq!(json["links"][0]["kind"], "BADGE_ID");
}

#[test]
fn no_match_and_retake_are_one_line() {
    let no = api::IdentifyResponse {
        decision: api::Decision::NoMatch.into(),
        ..Default::default()
    };
    assert_eq!(identified_text(&no), "NO_MATCH");
    let retake = api::IdentifyResponse {
        decision: api::Decision::Retake.into(),
        retake_reason: api::RetakeReason::Ambiguous.into(),
        ..Default::default()
    };
    assert_eq!(identified_text(&retake), "RETAKE (AMBIGUOUS)");
}

#[test]
fn candidates_are_a_table_with_scores() {
    let mut answer = matched();
    answer.candidates = vec![api::ScoredCandidate {
        subject_id: "ada".into(),
        hand: api::Hand::Left.into(),
        score: 0.81234,
    }];
    assert!(identified_text(&answer).ends_with("\n0.8123  ada  LEFT\n"));
}

#[test]
fn times_and_bytes_are_readable() {
    let at = Timestamp {
        seconds: 1_700_000_000,
        nanos: 0,
    };
    assert_eq!(time(Some(&at)), "2023-11-14T22:13:20Z");
    assert_eq!(time(None), "");
    assert_eq!(hex(&[0, 171]), "00ab");
}

#[test]
fn a_tenant_tells_its_rule_and_why_it_is_unavailable() {
    let tenant_message = api::Tenant {
        tenant: "acme".into(),
        state: api::TenantState::Unavailable.into(),
        reason: "segment damaged".into(),
        policy: Some(api::Policy {
            threshold_rule: Some(ThresholdRule::TargetFpir(api::TargetFpir {
                fpir: 0.001,
                gallery_size: 10,
            })),
            ..Default::default()
        }),
        ..Default::default()
    };
    let text = tenant_text(&tenant_message);
    assert!(
        text.contains("segment damaged") && text.contains("FPIR 0.001 with 10"),
        "{text}"
    );
    assert_eq!(tenant(&tenant_message)["target_fpir"]["gallery_size"], 10);
    assert!(tenant_row(&tenant_message).contains(&"UNAVAILABLE".to_owned()));
}

#[test]
fn an_event_tells_why_a_palm_was_captured_again() {
    let message = api::UsageEvent {
        kind: api::UsageKind::Identify.into(),
        outcome: api::UsageOutcome::Retake.into(),
        retake_reason: api::RetakeReason::LowQuality.into(),
        ..Default::default()
    };
    assert!(event_row(&message).contains(&"RETAKE (LOW_QUALITY)".to_owned()));
    assert_eq!(event(&message)["kind"], "IDENTIFY");
}

#[test]
fn a_subject_tells_consent_references_and_links() {
    let message = api::Subject {
        subject_id: "ada".into(),
        consent: Some(api::Consent {
            policy_version: "2026-1".into(),
            ..Default::default()
        }),
        references: vec![api::Reference {
            reference: 9,
            hand: api::Hand::Right.into(),
            ..Default::default()
        }],
        links: matched().links,
        ..Default::default()
    };
    let text = subject_text(&message);
    for word in ["ada", "2026-1", "signature 9", "RIGHT", "BADGE_ID"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert_eq!(subject(&message)["references"][0]["reference"], 9);
}

#[test]
fn the_nearest_are_a_table_below_what_was_searched() {
    let answer = api::InvestigateResponse {
        candidates: vec![api::ScoredCandidate {
            subject_id: "ada".into(),
            hand: api::Hand::Left.into(),
            score: -0.25,
        }],
        certificate: Some(api::Certificate {
            proof: Some(Proof::Deterministic(true)),
        }),
        searched: 12,
        backend: "cpu/avx2".into(),
        ..Default::default()
    };
    assert_eq!(
        investigated_text(&answer),
        "searched 12\ncertificate deterministic\nbackend cpu/avx2\n-0.2500  ada  LEFT\n"
    );
    let json = investigated(&answer);
    assert_eq!(
        (&json["searched"], &json["candidates"][0]["subject_id"]),
        (&json!(12), &json!("ada"))
    );
    let retake = api::InvestigateResponse {
        retake_reason: api::RetakeReason::LowQuality.into(),
        ..Default::default()
    };
    assert_eq!(investigated_text(&retake), "RETAKE (LOW_QUALITY)");
}

#[test]
fn a_tenant_tells_whether_its_answers_must_be_proved() {
    for (deterministic, word) in [(true, "deterministic\n"), (false, "or probabilistic\n")] {
        let message = api::Tenant {
            policy: Some(api::Policy {
                deterministic,
                ..Default::default()
            }),
            ..Default::default()
        };
        assert!(tenant_text(&message).contains(word), "{}", tenant_text(&message));
        assert_eq!(tenant(&message)["deterministic"], deterministic);
    }
}
