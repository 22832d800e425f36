//! Tests of enrolment: consent first, all captures or none, repetitions name the same subject.

use super::*;
use crate::front::fixture::*;
use crate::matcher::node::NodeError;

const ENROLLER: &str = "/tenant/acme/enroller/e";

fn link(kind: LinkKind, value: &str) -> Link {
    Link::new(kind, value.to_owned()).expect("valid")
}

async fn refusal(change: impl FnOnce(&mut Enroll)) -> String {
    let fixture = Fixture::new().await;
    let mut request = enroll(1);
    change(&mut request);
    let result = fixture.front.enroll(&caller(ENROLLER), request).await;
    assert_eq!(fixture.node.calls("enroll"), 0, "nothing was changed");
    result.err().expect("refused").to_string()
}

#[tokio::test]
async fn an_enrolment_is_found_by_the_next_identification() {
    let fixture = Fixture::new().await;
    let mut request = enroll(1);
    request.signatures.push(raw(&palm(2)));
    request.signatures[1].capture.hand = Some(Hand::Left);
    let answer = fixture
        .front
        .enroll(&caller(ENROLLER), request)
        .await
        .expect("enrolled");
    let Enrollment::Done(enrolled) = answer else {
        panic!("to be captured again");
    };
    assert_eq!(enrolled.references.len(), 2);
    for number in [1, 2] {
        let scanner = caller("/tenant/acme/scanner/s");
        let found = fixture
            .front
            .identify(&scanner, identify(&format!("{number}"), &palm(number)))
            .await;
        let decision = found.expect("answered").decision;
        assert!(matches!(
            decision,
            crate::model::decision::Decision::Match { candidate, .. } if candidate.subject_id == enrolled.subject_id
        ));
    }
}

#[tokio::test]
async fn a_missing_or_expired_consent_is_refused() {
    let text = refusal(|request| request.consent = None).await;
    assert!(text.starts_with("consent: is required"), "{text}");
    let text = refusal(|request| {
        let consent = request.consent.as_mut().expect("there");
        consent.expires_at = Timestamp(2);
    })
    .await;
    assert!(text.starts_with("consent.expire_time"), "{text}");
}

#[tokio::test]
async fn malformed_captures_and_links_are_refused_by_place() {
    let bad = |change: fn(&mut Enroll)| refusal(change);
    for (text, words) in [
        (
            bad(|r| r.signatures.clear()).await,
            "signatures: has 0 entries; 1 to 16",
        ),
        (
            bad(|r| r.signatures = vec![raw(&palm(1)); 17]).await,
            "signatures: has 17 entries",
        ),
        (
            bad(|r| r.signatures[0].capture.hand = None).await,
            "signatures[0].hand: is required",
        ),
        (
            bad(|r| {
                r.signatures.push(raw(&palm(2)));
                r.signatures[1].encoder.version = "2".to_owned();
            })
            .await,
            "signatures[1].encoder: is palm/2",
        ),
        (
            bad(|r| {
                r.links = vec![link(LinkKind::BadgeId, "1"), link(LinkKind::BadgeId, "2")];
            })
            .await,
            "links[1].kind: BadgeId is there twice",
        ),
        (
            bad(|r| r.links = vec![link(LinkKind::BadgeId, "1"); 6]).await,
            "links: has 6 entries; up to 5",
        ),
    ] {
        assert!(text.contains(words), "{text}");
    }
}

#[tokio::test]
async fn one_bad_picture_keeps_all_out() {
    let fixture = Fixture::new().await;
    let mut request = enroll(1);
    request.signatures.push(raw(&palm(2)));
    request.signatures[1].capture.quality = 5;
    let answer = fixture
        .front
        .enroll(&caller(ENROLLER), request)
        .await
        .expect("answered");
    assert!(matches!(answer, Enrollment::Retake(RetakeReason::LowQuality)));
    assert_eq!(fixture.node.calls("enroll"), 0);
}

#[tokio::test]
async fn a_repetition_names_the_same_subject_and_another_request_does_not() {
    let fixture = Fixture::new().await;
    let ask = async |request_id: &str, number| {
        let request = Enroll {
            request_id: id(request_id),
            ..enroll(number)
        };
        match fixture.front.enroll(&caller(ENROLLER), request).await {
            Ok(Enrollment::Done(enrolled)) => Ok(enrolled),
            Ok(Enrollment::Retake(reason)) => panic!("{reason:?}"),
            Err(error) => Err(error),
        }
    };
    let first = ask("r", 1).await.expect("enrolled");
    assert_eq!(ask("r", 1).await.expect("repeated"), first);
    assert_ne!(ask("s", 1).await.expect("enrolled").subject_id, first.subject_id);
    let reused = ask("r", 2).await.err();
    assert!(matches!(
        reused,
        Some(FrontError::Node(NodeError::RequestIdReused(_)))
    ));
}

#[tokio::test]
async fn links_reach_the_node_sealed_and_the_event_goes_along() {
    let fixture = Fixture::new().await;
    let mut request = enroll(1);
    request.links = vec![link(LinkKind::PhoneNumber, "+43 1 2345678")];
    request.site = Some(id("desk"));
    fixture
        .front
        .enroll(&caller(ENROLLER), request)
        .await
        .expect("enrolled");
    let state = fixture.node.0.lock();
    let tenant = &state.tenants[&id("acme")];
    let sealed = &tenant.links[0].1;
    assert!(!sealed.sealed.windows(7).any(|w| w == b"2345678"));
    let [event] = tenant.usage.as_slice() else {
        panic!("{} events", tenant.usage.len());
    };
    assert_eq!((event.kind, event.outcome), (UsageKind::Enroll, Outcome::Done));
    assert_eq!(event.subject_id.as_ref(), Some(&tenant.rows[0].0));
    assert_eq!((&event.site, event.principal.as_str()), (&Some(id("desk")), "e"));
}

#[tokio::test]
async fn scanners_and_strangers_may_not_enrol() {
    let fixture = Fixture::new().await;
    for path in ["/tenant/acme/scanner/s", "/tenant/acme/admin/a", "/admin/root"] {
        let error = fixture.front.enroll(&caller(path), enroll(1)).await.err();
        assert!(matches!(error, Some(FrontError::RoleDenied { .. })), "{path}");
    }
    let request = Enroll {
        tenant: Some(id("other")),
        ..enroll(1)
    };
    let error = fixture.front.enroll(&caller(ENROLLER), request).await.err();
    assert!(matches!(error, Some(FrontError::TenantDenied(_))));
}
