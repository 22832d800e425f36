//! Tests of loading: all tenants at once or one at a time, and one that can't be served keeps nobody else out.

use super::*;
use crate::front::command::{Enroll, Enrollment};
use crate::front::fixture::*;
use crate::keys::keyring::{Purpose, Renewable};
use crate::keys::secret::SecretKey;
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

async fn rotate(front: &Front, request_id: &str) -> Result<crate::front::command::TenantView, FrontError> {
    let root = caller("/admin/root");
    let key = Renewable::Transform;
    front.rotate_key(&root, id(request_id), id("acme"), key).await
}

fn key(fixture: &Fixture, purpose: Purpose) -> Option<SecretKey> {
    fixture.keyring.get(&id("acme"), purpose).expect("opens")
}

/// A tenant with `ada` in it, and another front that has used it.
async fn enrolled() -> (Fixture, Arc<Front>) {
    let fixture = Fixture::new().await;
    fixture.enroll("acme", "ada", 1).await;
    let elsewhere = front(&fixture.keyring, &fixture.node);
    elsewhere.warm().await.expect("loaded");
    (fixture, elsewhere)
}

#[tokio::test]
async fn after_a_rotation_of_the_transform_key_every_front_goes_on_with_the_next() {
    let (fixture, elsewhere) = enrolled().await;
    let (former, row) = (key(&fixture, Purpose::Transform), fixture.row());
    assert!(finds_ada(&fixture.front, "before").await);
    let known = fixture.front.tenants.get(&id("acme")).expect("known");
    assert!(fixture.front.tenants.resident_rotation(&known).is_some());
    let view = rotate(&fixture.front, "r").await.expect("rotated");
    let version = |view: &crate::front::command::TenantView| {
        view.status.spec.as_ref().expect("known").transform.version
    };
    assert_eq!((version(&view), view.status.rotating), (2, false));
    assert!(key(&fixture, Purpose::Transform) != former && key(&fixture, Purpose::TransformNext).is_none());
    assert_ne!(fixture.row(), row);
    for front in [&fixture.front, &elsewhere] {
        assert!(
            finds_ada(front, "before").await,
            "what was remembered is asked for anew"
        );
        assert!(finds_ada(front, "after").await);
        let claimed = front.verify(&caller(SCANNER), verify("v", "ada", &palm(1))).await;
        assert!(matches!(
            claimed.expect("answered").decision,
            Decision::Match { .. }
        ));
    }
    fixture.enroll("acme", "bob", 2).await;
    assert!(
        fixture.front.tenants.resident_rotation(&known).is_none(),
        "it is wiped"
    );

    let again = rotate(&fixture.front, "r").await.expect("the same request");
    assert_eq!(version(&again), 2);
    let again = rotate(&elsewhere, "s").await.expect("another one");
    assert_eq!(version(&again), 3);
    assert!(finds_ada(&fixture.front, "third").await);
    let root = caller("/admin/root");
    let same = fixture.front.create_tenant(&root, create("acme")).await;
    assert_eq!(version(&same.expect("made with these settings")), 3);
}

#[tokio::test]
async fn a_rotation_that_the_node_refused_goes_on_with_the_same_next_key() {
    let (fixture, elsewhere) = enrolled().await;
    let refusal = NodeError::StorageRefused("disk full".to_owned());
    fixture.node.fail("rotate_transform", refusal);
    assert!(rotate(&fixture.front, "r").await.is_err());
    let next = key(&fixture, Purpose::TransformNext);
    assert!(next.is_some());
    for front in [&fixture.front, &elsewhere] {
        assert!(finds_ada(front, "1").await, "as it was");
        let seen = front
            .tenant(&caller("/admin/root"), id("acme"))
            .await
            .expect("known");
        assert!(seen.status.rotating);
    }
    rotate(&fixture.front, "r").await.expect("it was not done before");
    assert!(key(&fixture, Purpose::Transform) == next);
    assert!(finds_ada(&elsewhere, "2").await);
}

#[tokio::test]
async fn where_the_node_came_to_the_next_rotation_and_nobody_was_told_the_keyring_follows() {
    for asks_again in [true, false] {
        let (fixture, elsewhere) = enrolled().await;
        let lost = NodeError::NodeUnavailable {
            node: "match-1".to_owned(),
            reason: "the connection was lost".to_owned(),
        };
        fixture.node.fail("rotated", lost);
        assert!(rotate(&fixture.front, "r").await.is_err(), "no answer");
        let next = key(&fixture, Purpose::TransformNext);
        assert!(next.is_some() && key(&fixture, Purpose::Transform) != next);
        if asks_again {
            let view = rotate(&fixture.front, "r").await.expect("done");
            assert_eq!(view.status.spec.expect("known").transform.version, 2);
        } else {
            assert!(finds_ada(&elsewhere, "1").await);
        }
        assert!(key(&fixture, Purpose::Transform) == next && key(&fixture, Purpose::TransformNext).is_none());
        for front in [&fixture.front, &elsewhere] {
            assert!(finds_ada(front, "2").await);
        }
    }
}

#[tokio::test]
async fn a_front_whose_keyring_lacks_the_next_key_says_so_and_finds_nobody_missing() {
    let (fixture, _) = enrolled().await;
    let elsewhere = front(&fixture.keyring_copy(), &fixture.node);
    elsewhere.warm().await.expect("loaded");
    assert!(finds_ada(&elsewhere, "1").await);
    rotate(&fixture.front, "r").await.expect("rotated");
    for request_id in ["2", "3"] {
        let refused = elsewhere
            .identify(&caller(SCANNER), identify(request_id, &palm(1)))
            .await;
        let Err(FrontError::TransformMismatch { reason, .. }) = refused else {
            panic!("never an answer");
        };
        assert!(reason.contains("version 2") && reason.contains("bring back the keyring"));
    }
    let refused = rotate(&elsewhere, "s").await;
    assert!(matches!(refused, Err(FrontError::TransformMismatch { .. })));
}
