//! Tests of what a subject has a right to: erasure by id and by link, receipt, record and history.

use super::*;
use crate::front::command::Enroll;
use crate::front::fixture::*;
use crate::keys::receipt::verify;
use crate::model::link::{Link, LinkKind};

const ENROLLER: &str = "/tenant/acme/enroller/e";
const OPERATOR: &str = "/tenant/acme/operator/o";

fn link(kind: LinkKind, value: &str) -> Link {
    Link::new(kind, value.to_owned()).expect("valid")
}

async fn with_ada() -> Fixture {
    let fixture = Fixture::new().await;
    let request = Enroll {
        subject_id: Some(id("ada")),
        links: vec![
            link(LinkKind::PhoneNumber, "+43"),
            link(LinkKind::PaymentToken, "tok"),
        ],
        ..enroll(1)
    };
    fixture
        .front
        .enroll(&caller(ENROLLER), request)
        .await
        .expect("enrolled");
    fixture
}

#[tokio::test]
async fn a_subject_is_erased_by_its_link_with_a_receipt() {
    let fixture = with_ada().await;
    let erase = async |value: &str| {
        let selector = SubjectSelector::Link(link(LinkKind::PhoneNumber, value));
        fixture
            .front
            .erase(&caller(ENROLLER), None, id("e"), selector)
            .await
    };
    let wrong = erase("+44").await.err();
    assert!(matches!(
        wrong,
        Some(FrontError::Node(NodeError::SubjectUnknown(_)))
    ));
    let erased = erase("+43").await.expect("erased");
    assert_eq!(erased.subject_id, id("ada"));
    verify(&erased.receipt).expect("stands");
    let later = fixture
        .front
        .erasure(&caller(ENROLLER), None, erased.erasure)
        .await
        .expect("known");
    assert_eq!(later, erased);
    let unknown = fixture.front.erasure(&caller(OPERATOR), None, 99).await.err();
    assert!(matches!(
        unknown,
        Some(FrontError::Node(NodeError::ErasureUnknown(99)))
    ));
}

#[tokio::test]
async fn the_record_shows_the_links_of_the_role() {
    let fixture = with_ada().await;
    for (path, expected) in [(ENROLLER, "+43"), (OPERATOR, "tok")] {
        let view = fixture
            .front
            .subject(&caller(path), None, SubjectSelector::Id(id("ada")))
            .await
            .expect("known");
        let values: Vec<&str> = view.links.iter().map(Link::value).collect();
        assert_eq!(values, [expected], "{path}");
        assert!(view.record.links.is_empty(), "nothing sealed leaves the front");
        assert_eq!(view.record.references.len(), 1);
    }
}

#[tokio::test]
async fn a_scanner_has_no_right_to_any_of_it() {
    let fixture = with_ada().await;
    let scanner = caller("/tenant/acme/scanner/s");
    let selector = || SubjectSelector::Id(id("ada"));
    let refused = [
        fixture
            .front
            .erase(&scanner, None, id("e"), selector())
            .await
            .err(),
        fixture.front.erasure(&scanner, None, 1).await.err(),
        fixture.front.subject(&scanner, None, selector()).await.err(),
        fixture
            .front
            .usage(&scanner, None, Some(id("ada")), None, 10)
            .await
            .err(),
    ];
    for error in refused {
        assert!(matches!(error, Some(FrontError::RoleDenied { .. })));
    }
    let elsewhere = fixture
        .front
        .subject(&caller(ENROLLER), Some(id("other")), selector())
        .await
        .err();
    assert!(matches!(elsewhere, Some(FrontError::TenantDenied(_))));
}

#[tokio::test]
async fn the_history_of_everybody_is_for_operators() {
    let fixture = with_ada().await;
    fixture
        .front
        .identify(&caller(OPERATOR), identify("1", &palm(9)))
        .await
        .expect("answered");
    let list = async |path: &str, subject: Option<&str>, limit| {
        let page = fixture
            .front
            .usage(&caller(path), None, subject.map(id), None, limit)
            .await;
        page.map(|page| page.events.len())
            .map_err(|error| error.to_string())
    };
    assert_eq!(list(OPERATOR, None, 10).await, Ok(2));
    assert_eq!(list(ENROLLER, Some("ada"), 10).await, Ok(1));
    let error = list(ENROLLER, None, 10).await.expect_err("refused");
    assert!(
        error.contains("subject_id: is required of role enroller"),
        "{error}"
    );
    for limit in [0, 1_001] {
        let error = list(OPERATOR, None, limit).await.expect_err("refused");
        assert!(error.contains("page_size"), "{error}");
    }
}

#[tokio::test]
async fn an_erasure_whose_answer_got_lost_still_outdates_what_is_remembered() {
    let fixture = with_ada().await;
    let epoch = || fixture.front.tenants.get(&id("acme")).expect("known").epoch();
    let before = epoch();
    let lost = NodeError::NodeUnavailable {
        node: "n".to_owned(),
        reason: "gone".to_owned(),
    };
    fixture.node.fail("erase", lost);
    let selector = SubjectSelector::Id(id("ada"));
    let result = fixture
        .front
        .erase(&caller(ENROLLER), None, id("e"), selector)
        .await;
    assert!(result.is_err());
    assert_ne!(epoch(), before);
}

#[tokio::test]
async fn an_export_has_every_link_and_the_erasures_of_the_id() {
    let fixture = with_ada().await;
    let export = async |path: &str, selector: SubjectSelector| {
        let answer = fixture.front.export(&caller(path), None, selector).await;
        answer.map_err(|error| error.to_string())
    };
    let ada = || SubjectSelector::Id(id("ada"));
    let by_link = SubjectSelector::Link(link(LinkKind::PhoneNumber, "+43"));
    for selector in [ada(), by_link] {
        let found = export(OPERATOR, selector).await.expect("known");
        let view = found.subject.expect("enrolled");
        let values: Vec<&str> = view.links.iter().map(Link::value).collect();
        assert_eq!(values, ["+43", "tok"], "whatever the policy hands to operators");
        assert!(view.record.links.is_empty(), "nothing sealed leaves the front");
        assert_eq!((found.dimension.get(), found.erasures.len()), (DIM, 0));
    }
    for path in [ENROLLER, "/tenant/acme/admin/a", "/admin/root"] {
        let error = export(path, ada()).await.err().expect("refused");
        assert!(error.contains("ExportSubject"), "{path}: {error}");
    }
    let erased = fixture.front.erase(&caller(OPERATOR), None, id("e"), ada()).await;
    let number = erased.expect("erased").erasure;
    let found = export(OPERATOR, ada()).await.expect("known by the erasure");
    assert!(found.subject.is_none());
    assert_eq!(found.erasures, [number]);
    for unknown in [
        SubjectSelector::Id(id("bob")),
        SubjectSelector::Link(link(LinkKind::PhoneNumber, "+43")),
    ] {
        let error = export(OPERATOR, unknown).await.err().expect("refused");
        assert!(error.contains("unknown"), "{error}");
    }
}

#[tokio::test]
async fn an_export_that_could_not_look_is_an_error() {
    let fixture = with_ada().await;
    for call in ["subject", "erasures_of"] {
        let down = NodeError::TenantUnavailable {
            tenant: id("acme"),
            reason: "damaged".to_owned(),
        };
        fixture.node.fail(call, down);
        let selector = SubjectSelector::Id(id("ada"));
        let answer = fixture.front.export(&caller(OPERATOR), None, selector).await;
        assert!(answer.is_err(), "{call}");
    }
}
