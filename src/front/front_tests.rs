//! Tests of loading: all tenants at once or one at a time, and one that can't be served keeps nobody else out.

use super::*;
use crate::front::command::{Enroll, Enrollment};
use crate::front::fixture::*;
use crate::model::decision::Decision;
use crate::model::tenant::TenantState;

const SCANNER: &str = "/tenant/acme/scanner/s";

#[tokio::test]
async fn a_restarted_front_finds_everybody() {
    let fixture = Fixture::new().await;
    fixture.enroll("acme", "ada", 1).await;
    for warm in [true, false] {
        let front = front(&fixture.keyring, &fixture.node);
        if warm {
            front.warm().await.expect("loaded");
            assert!(front.tenants.get(&id("other")).is_some());
        }
        let asked_before = fixture.node.calls("tenant");
        let found = front
            .identify(&caller(SCANNER), identify("1", &palm(1)))
            .await
            .expect("answered");
        assert!(matches!(
            found.decision,
            crate::model::decision::Decision::Match { .. }
        ));
        let asked = fixture.node.calls("tenant") - asked_before;
        assert_eq!(asked, usize::from(!warm), "a warm front asks for no tenant");
    }
}

#[tokio::test]
async fn a_wrong_rotation_is_refused_and_others_are_served() {
    let fixture = Fixture::new().await;
    fixture.enroll("acme", "ada", 1).await;
    {
        let mut state = fixture.node.0.lock();
        let other = state.tenants.get_mut(&id::<TenantId>("other")).expect("there");
        other.spec.transform.digest = [0; 32];
    }
    let front = front(&fixture.keyring, &fixture.node);
    front.warm().await.expect("others are loaded");
    let elsewhere = caller("/tenant/other/scanner/s");
    let error = front.identify(&elsewhere, identify("1", &palm(1))).await.err();
    assert!(matches!(error, Some(FrontError::TransformMismatch { .. })));
    let view = front
        .tenant(&caller("/admin/root"), id("other"))
        .await
        .expect("shown");
    assert!(matches!(view.status.state, TenantState::Unavailable(reason) if reason.contains("0000")));
    front
        .identify(&caller(SCANNER), identify("1", &palm(1)))
        .await
        .expect("served");
}

#[tokio::test]
async fn an_unavailable_tenant_says_why() {
    let fixture = Fixture::new().await;
    let reason = "segments/1.seg: block 7 is damaged".to_owned();
    fixture
        .node
        .0
        .lock()
        .unavailable
        .insert(id("acme"), reason.clone());
    let front = front(&fixture.keyring, &fixture.node);
    front.warm().await.expect("others are loaded");
    let error = front
        .identify(&caller(SCANNER), identify("1", &palm(1)))
        .await
        .err()
        .expect("refused");
    assert!(error.to_string().contains(&reason), "{error}");
    let elsewhere = caller("/tenant/other/scanner/s");
    front
        .identify(&elsewhere, identify("1", &palm(1)))
        .await
        .expect("served");
}

#[tokio::test]
async fn an_unknown_tenant_and_a_node_that_is_down_are_errors() {
    let fixture = Fixture::new().await;
    let stranger = caller("/tenant/nobody/scanner/s");
    let error = fixture
        .front
        .identify(&stranger, identify("1", &palm(1)))
        .await
        .err();
    assert!(matches!(
        error,
        Some(FrontError::Node(NodeError::TenantUnknown(_)))
    ));
    let down = NodeError::NodeUnavailable {
        node: "n".to_owned(),
        reason: "gone".to_owned(),
    };
    fixture.node.fail("tenants", down);
    let front = front(&fixture.keyring, &fixture.node);
    front.warm().await.expect("tenants of other nodes are served");
    fixture.node.fail(
        "tenant",
        NodeError::NodeUnavailable {
            node: "n".to_owned(),
            reason: "gone".to_owned(),
        },
    );
    let scanner = caller("/tenant/acme/scanner/s");
    let error = front.identify(&scanner, identify("1", &palm(1))).await.err();
    assert!(
        matches!(error, Some(FrontError::Node(NodeError::NodeUnavailable { .. }))),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_tenant_made_anew_at_another_front_is_met_with_its_own_keys() {
    let fixture = Fixture::new().await;
    let elsewhere = front(&fixture.keyring, &fixture.node);
    elsewhere.warm().await.expect("loaded");
    let root = caller("/admin/root");
    fixture
        .front
        .drop_tenant(&root, id("d"), id("acme"))
        .await
        .expect("dropped");
    // The other front learns it from the node's answer.
    let error = elsewhere
        .identify(&caller(SCANNER), identify("1", &palm(1)))
        .await
        .err();
    assert!(matches!(
        error,
        Some(FrontError::Node(NodeError::TenantUnknown(_)))
    ));
    fixture
        .front
        .create_tenant(&root, create("acme"))
        .await
        .expect("made anew");
    fixture.enroll("acme", "ada", 1).await;
    let found = elsewhere
        .identify(&caller(SCANNER), identify("1", &palm(1)))
        .await
        .expect("answered");
    assert!(matches!(
        found.decision,
        crate::model::decision::Decision::Match { .. }
    ));
}

/// A fixture whose tenant `acme` was made anew, with `ada` in it, behind the back of the second front, which has used
/// the former.
async fn made_anew() -> (Fixture, Arc<Front>) {
    let fixture = Fixture::new().await;
    let elsewhere = front(&fixture.keyring, &fixture.node);
    elsewhere.warm().await.expect("loaded");
    make_anew(&fixture).await;
    fixture.enroll("acme", "ada", 1).await;
    (fixture, elsewhere)
}

async fn make_anew(fixture: &Fixture) {
    let root = caller("/admin/root");
    let dropped = fixture.front.drop_tenant(&root, id("d"), id("acme")).await;
    dropped.expect("dropped");
    let created = fixture.front.create_tenant(&root, create("acme")).await;
    created.expect("made anew");
}

async fn finds_ada(front: &Front, request_id: &str) -> bool {
    let found = front
        .identify(&caller(SCANNER), identify(request_id, &palm(1)))
        .await
        .expect("answered");
    matches!(found.decision, Decision::Match { candidate, .. } if candidate.subject_id == id("ada"))
}

#[tokio::test]
async fn a_search_under_the_rotation_of_a_former_tenant_is_made_again_with_the_new_one() {
    let (fixture, elsewhere) = made_anew().await;
    let before = fixture.node.calls("search");
    assert!(finds_ada(&elsewhere, "1").await);
    assert_eq!(fixture.node.calls("search") - before, 2, "refused, then answered");
    assert!(finds_ada(&elsewhere, "2").await);
    assert_eq!(
        fixture.node.calls("search") - before,
        3,
        "the new tenant is remembered"
    );
    // One entry a question, in the history of the tenant of now: after the enrolment, two.
    assert_eq!(fixture.node.usage_of("acme").len(), 3);
}

#[tokio::test]
async fn a_comparison_under_the_rotation_of_a_former_tenant_is_made_again_with_the_new_one() {
    let (_fixture, elsewhere) = made_anew().await;
    let claimed = elsewhere
        .verify(&caller(SCANNER), verify("1", "ada", &palm(1)))
        .await
        .expect("answered");
    assert!(matches!(claimed.decision, Decision::Match { .. }));
}

#[tokio::test]
async fn who_is_enrolled_under_the_rotation_of_a_former_tenant_is_found_everywhere() {
    let fixture = Fixture::new().await;
    let elsewhere = front(&fixture.keyring, &fixture.node);
    elsewhere.warm().await.expect("loaded");
    make_anew(&fixture).await;
    let request = Enroll {
        subject_id: Some(id("ada")),
        ..enroll(1)
    };
    let answer = elsewhere
        .enroll(&caller("/tenant/acme/enroller/e"), request)
        .await;
    assert!(matches!(answer, Ok(Enrollment::Done(_))));
    assert_eq!(fixture.node.0.lock().tenants[&id("acme")].rows.len(), 1);
    for front in [&fixture.front, &elsewhere] {
        assert!(finds_ada(front, "1").await);
    }
}

#[tokio::test]
async fn a_tenant_that_keeps_being_made_anew_is_tried_twice_and_no_more() {
    let (fixture, elsewhere) = made_anew().await;
    fixture.node.0.lock().always_stale = true;
    let before = fixture.node.calls("search");
    let refused = elsewhere
        .identify(&caller(SCANNER), identify("1", &palm(1)))
        .await
        .err();
    assert!(refused.expect("refused").is_stale());
    assert_eq!(fixture.node.calls("search") - before, 2);
    fixture.node.0.lock().always_stale = false;
    assert!(finds_ada(&elsewhere, "1").await, "nothing of it was remembered");
}

#[tokio::test]
async fn a_rotation_that_was_not_at_hand_is_not_held_against_a_tenant_made_anew() {
    let fixture = Fixture::new().await;
    // Knows the tenant, but has not derived its rotation when the keys change.
    let elsewhere = front(&fixture.keyring, &fixture.node);
    elsewhere.known(&id("acme")).await.expect("known");
    make_anew(&fixture).await;
    fixture.enroll("acme", "ada", 1).await;
    assert!(finds_ada(&elsewhere, "1").await);
}
