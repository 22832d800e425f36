//! Tests of the request path of Investigate, before a node in memory.

use super::*;
use crate::front::error::FrontError;
use crate::front::fixture::*;
use crate::matcher::node::NodeError;
use crate::model::decision::RetakeReason;
use crate::model::subject::PadVerdict;

const OPERATOR: &str = "/tenant/acme/operator/o";

fn investigate(number: u32, candidates_max: usize) -> Investigate {
    Investigate {
        tenant: None,
        request_id: id("look"),
        probe: raw(&palm(number)),
        site: Some(id("office")),
        candidates_max,
        deadline: None,
    }
}

async fn fixture() -> Fixture {
    let fixture = Fixture::new().await;
    for (subject, number) in [("ada", 1), ("bob", 2), ("eve", 3)] {
        fixture.enroll("acme", subject, number).await;
    }
    fixture
}

fn ranked(answer: Investigated) -> SearchAnswer {
    match answer {
        Investigated::Ranked(found) => found,
        Investigated::Retake(reason) => panic!("{reason:?}"),
    }
}

#[tokio::test]
async fn the_nearest_are_told_whatever_their_scores_and_nothing_is_decided() {
    let fixture = fixture().await;
    let answer = fixture
        .front
        .investigate(&caller(OPERATOR), investigate(2, 2))
        .await;
    let found = ranked(answer.expect("answered"));
    assert_eq!(found.candidates.len(), 2);
    let best = found.candidates.first().expect("two");
    assert!(best.subject_id == id("bob") && best.score > 0.999, "{best:?}");
    let second = found.candidates.get(1).expect("two");
    assert!(second.score < 0.5, "below the tenant's threshold");
    assert_eq!((found.backend.as_str(), found.searched), ("fake", 3));
}

#[tokio::test]
async fn it_is_recorded_each_time_without_naming_anybody() {
    let fixture = fixture().await;
    for _ in 0..2 {
        fixture
            .front
            .investigate(&caller(OPERATOR), investigate(1, 1))
            .await
            .expect("answered");
    }
    let events = fixture.node.usage_of("acme");
    let told: Vec<_> = events
        .iter()
        .filter(|event| event.kind == UsageKind::Investigate)
        .collect();
    assert_eq!(told.len(), 2, "a repetition is another look");
    for event in told {
        assert_eq!((event.outcome, &event.subject_id), (Outcome::Done, &None));
        assert_eq!((&event.principal, &event.site), (&id("o"), &Some(id("office"))));
    }
    fixture
        .node
        .fail("record_usage", NodeError::StorageRefused("full".to_owned()));
    let answer = fixture
        .front
        .investigate(&caller(OPERATOR), investigate(1, 1))
        .await;
    assert!(answer.is_err(), "what can't be recorded isn't told");
}

#[tokio::test]
async fn other_roles_other_tenants_and_odd_counts_are_refused_before_anything_is_asked() {
    let fixture = fixture().await;
    for path in [
        "/tenant/acme/scanner/s",
        "/tenant/acme/enroller/e",
        "/tenant/acme/admin/a",
        "/admin/root",
    ] {
        let error = fixture
            .front
            .investigate(&caller(path), investigate(1, 1))
            .await
            .err();
        assert!(
            matches!(error, Some(FrontError::RoleDenied { method, .. }) if method == "Investigate"),
            "{path}"
        );
    }
    let elsewhere = Investigate {
        tenant: Some(id("other")),
        ..investigate(1, 1)
    };
    let error = fixture
        .front
        .investigate(&caller(OPERATOR), elsewhere)
        .await
        .err();
    assert!(matches!(error, Some(FrontError::TenantDenied(_))));
    for count in [0, 1_001] {
        let error = fixture
            .front
            .investigate(&caller(OPERATOR), investigate(1, count))
            .await
            .err();
        assert!(
            matches!(&error, Some(FrontError::Rejected(r)) if r.field == "candidates_max"
                && r.problem.contains(&count.to_string()) && r.problem.contains("1000")),
            "{error:?}"
        );
    }
    assert_eq!(fixture.node.calls("rank"), 0);
}

#[tokio::test]
async fn bad_captures_are_not_searched() {
    let fixture = fixture().await;
    let mut request = investigate(1, 1);
    request.probe.capture.pad = PadVerdict::Attack;
    let answer = fixture.front.investigate(&caller(OPERATOR), request).await;
    assert!(matches!(
        answer,
        Ok(Investigated::Retake(RetakeReason::PadFailed))
    ));
    assert_eq!(fixture.node.calls("rank"), 0);
    let events = fixture.node.usage_of("acme");
    let last = events.last().expect("recorded");
    assert_eq!(last.outcome, Outcome::Retake(RetakeReason::PadFailed));
}

#[tokio::test]
async fn a_tenant_that_asks_for_proof_gets_it_and_others_don_t() {
    let fixture = Fixture::new().await;
    let mut proved = create("proved");
    proved.policy.deterministic = true;
    fixture
        .front
        .create_tenant(&caller("/admin/root"), proved)
        .await
        .expect("created");
    for (tenant, expected) in [("proved", true), ("acme", false), ("proved", true)] {
        let operator = caller(&format!("/tenant/{tenant}/operator/o"));
        fixture.node.0.lock().deterministic = !expected;
        let request = identify(&format!("r-{tenant}"), &palm(1));
        fixture
            .front
            .identify(
                &operator,
                crate::front::command::Identify {
                    candidates_max: 1,
                    ..request
                },
            )
            .await
            .expect("answered");
        assert_eq!(fixture.node.0.lock().deterministic, expected, "identify {tenant}");
        fixture.node.0.lock().deterministic = !expected;
        fixture
            .front
            .investigate(&operator, investigate(1, 1))
            .await
            .expect("answered");
        assert_eq!(
            fixture.node.0.lock().deterministic,
            expected,
            "investigate {tenant}"
        );
    }
}
