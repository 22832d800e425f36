//! Tests of retention before a node in memory: who is due is erased, and nobody else.

use super::*;
use crate::front::command::UpdatePolicy;
use crate::front::fixture::*;
use crate::model::policy::Retention;

/// A tenant `kept` whose consents end, with `ada`, whose consent ends at 100, and `bob`, whose does not.
async fn kept() -> Fixture {
    let fixture = Fixture::new().await;
    let mut request = create("kept");
    request.policy.retention = Retention {
        idle_days_max: None,
        consent_end: true,
    };
    let admin = caller("/admin/root");
    fixture
        .front
        .create_tenant(&admin, request)
        .await
        .expect("created");
    for (tenant, subject, number) in [("kept", "ada", 1), ("kept", "bob", 2), ("acme", "ada", 3)] {
        fixture.enroll(tenant, subject, number).await;
        let mut state = fixture.node.0.lock();
        let consents = &mut state.tenants.get_mut(&id(tenant)).expect("there").consents;
        consents.insert(
            id(subject),
            Timestamp(if subject == "ada" { 100 } else { i64::MAX }),
        );
    }
    fixture
}

fn subjects(fixture: &Fixture, tenant: &str) -> Vec<String> {
    let state = fixture.node.0.lock();
    let rows = &state.tenants[&id(tenant)].rows;
    rows.iter().map(|row| row.0.to_string()).collect()
}

#[tokio::test]
async fn who_is_due_is_erased_where_the_policy_says_so() {
    let fixture = kept().await;
    assert_eq!(fixture.front.retain(Timestamp(99)).await, 0);
    assert_eq!(subjects(&fixture, "kept"), ["ada", "bob"]);
    let epoch = || fixture.front.tenants.get(&id("kept")).expect("known").epoch();
    let before = epoch();
    assert_eq!(fixture.front.retain(Timestamp(100)).await, 1);
    assert_eq!(subjects(&fixture, "kept"), ["bob"]);
    assert_ne!(epoch(), before, "remembered answers are outdated");
    assert_eq!(subjects(&fixture, "acme"), ["ada"], "a policy without retention");
    assert_eq!(fixture.front.retain(Timestamp(1_000)).await, 0);
    assert_eq!(fixture.node.calls("due"), 3, "only one tenant is asked about");
}

#[tokio::test]
async fn a_consent_that_is_renewed_just_before_wins() {
    let fixture = kept().await;
    let returns = Some(id("ada"));
    fixture
        .node
        .0
        .lock()
        .tenants
        .get_mut(&id("kept"))
        .expect("there")
        .returns = returns;
    assert_eq!(fixture.front.retain(Timestamp(100)).await, 0);
    assert_eq!(
        fixture.node.calls("erase"),
        1,
        "it was found due and looked at again"
    );
    assert_eq!(subjects(&fixture, "kept"), ["ada", "bob"]);
}

#[tokio::test]
async fn who_could_not_be_looked_for_is_not_erased() {
    let fixture = kept().await;
    let down = || NodeError::TenantUnavailable {
        tenant: id("kept"),
        reason: "damaged".to_owned(),
    };
    fixture.node.fail("due", down());
    assert_eq!(fixture.front.retain(Timestamp(100)).await, 0);
    assert_eq!(fixture.node.calls("erase"), 0);
    fixture.node.fail("erase", down());
    assert_eq!(fixture.front.retain(Timestamp(100)).await, 0);
    assert_eq!(subjects(&fixture, "kept"), ["ada", "bob"]);
    assert_eq!(
        fixture.front.retain(Timestamp(100)).await,
        1,
        "the next round does it"
    );
}

#[tokio::test]
async fn fronts_side_by_side_erase_once() {
    let fixture = kept().await;
    let other = front(&fixture.keyring, &fixture.node);
    other.warm().await.expect("warm");
    let rounds = tokio::join!(fixture.front.retain(Timestamp(100)), other.retain(Timestamp(100)));
    assert_eq!(rounds.0 + rounds.1, 1);
    let state = fixture.node.0.lock();
    assert_eq!(state.tenants[&id("kept")].erasures.len(), 1);
}

#[tokio::test]
async fn a_front_that_missed_a_change_of_the_policy_erases_nobody() {
    let fixture = kept().await;
    let elsewhere = front(&fixture.keyring, &fixture.node);
    elsewhere.warm().await.expect("loaded");
    let mut policy = create("kept").policy;
    policy.retention = Retention::default();
    let change = UpdatePolicy {
        tenant: id("kept"),
        request_id: id("off"),
        policy,
    };
    let changed = fixture.front.update_policy(&caller("/admin/root"), change).await;
    changed.expect("changed");
    assert_eq!(elsewhere.retain(Timestamp(200)).await, 0);
    assert_eq!(fixture.node.calls("erase"), 1, "it asked");
    assert_eq!(subjects(&fixture, "kept"), ["ada", "bob"]);
}
