//! Tests of administration: tenants are made once, shown to whom they concern, and dropped with their keys.

use super::*;
use crate::front::fixture::*;
use crate::model::decision::Decision;
use crate::model::policy::ThresholdRule;

const ROOT: &str = "/admin/root";

#[tokio::test]
async fn the_same_settings_again_are_the_same_tenant() {
    let fixture = Fixture::new().await;
    let again = fixture
        .front
        .create_tenant(&caller(ROOT), create("acme"))
        .await
        .expect("the same");
    assert_eq!(again.threshold, Some(0.5));
    let mut other = create("acme");
    other.policy.margin = 0.2;
    let error = fixture.front.create_tenant(&caller(ROOT), other).await.err();
    assert!(matches!(
        error,
        Some(FrontError::Node(NodeError::TenantExists(_)))
    ));
    let mut other = create("acme");
    other.dimension = crate::model::signature::Dimension::new(128).expect("valid");
    assert!(fixture.front.create_tenant(&caller(ROOT), other).await.is_err());
}

#[tokio::test]
async fn a_bad_policy_makes_no_keys() {
    let fixture = Fixture::new().await;
    let mut request = create("bad");
    request.policy.threshold = ThresholdRule::Score(2.0);
    let error = fixture.front.create_tenant(&caller(ROOT), request).await.err();
    assert!(matches!(error, Some(FrontError::Rejected(r)) if r.field == "policy.threshold"));
    assert_eq!(
        fixture
            .keyring
            .get(&id("bad"), Purpose::Transform)
            .expect("opens"),
        None
    );
}

#[tokio::test]
async fn a_creation_that_failed_halfway_is_finished_by_the_next() {
    let fixture = Fixture::new().await;
    fixture
        .node
        .fail("create_tenant", NodeError::StorageRefused("disk full".to_owned()));
    assert!(
        fixture
            .front
            .create_tenant(&caller(ROOT), create("new"))
            .await
            .is_err()
    );
    fixture
        .front
        .create_tenant(&caller(ROOT), create("new"))
        .await
        .expect("made");
    fixture.enroll("new", "ada", 1).await;
}

#[tokio::test]
async fn a_tenant_s_administrator_has_its_own_alone() {
    let fixture = Fixture::new().await;
    let admin = caller("/tenant/acme/admin/a");
    let own = fixture.front.tenants(&admin).await.expect("listed");
    assert_eq!(own.len(), 1);
    assert_eq!(own[0].status.id, id("acme"));
    let denied = [
        fixture
            .front
            .create_tenant(&admin, create("third"))
            .await
            .map(drop),
        fixture.front.tenant(&admin, id("other")).await.map(drop),
        fixture.front.stats(&admin, id("other")).await.map(drop),
        fixture.front.checkpoint(&admin, &id("other")).await.map(drop),
        fixture.front.drop_tenant(&admin, id("d"), id("other")).await,
    ];
    for result in denied {
        assert!(matches!(result, Err(FrontError::TenantDenied(_))));
    }
    let nobody = fixture
        .front
        .tenants(&caller("/tenant/gone/admin/a"))
        .await
        .expect("listed");
    assert!(nobody.is_empty());
}

#[tokio::test]
async fn the_server_s_administrator_and_operators_see_what_concerns_them() {
    let fixture = Fixture::new().await;
    fixture.enroll("acme", "ada", 1).await;
    let all = fixture.front.tenants(&caller(ROOT)).await.expect("listed");
    let ids: Vec<&str> = all.iter().map(|view| view.status.id.as_str()).collect();
    assert_eq!(ids, ["acme", "other"]);
    let operator = caller("/tenant/acme/operator/o");
    let stats = fixture.front.stats(&operator, id("acme")).await.expect("own");
    assert_eq!(stats.status.stats.references, 1);
    let checkpoint = fixture.front.checkpoint(&operator, &id("acme")).await;
    assert_eq!(checkpoint.expect("own").checkpoint_json, "1");
    assert_eq!(fixture.front.backend(&id("acme")), "fake");
    assert!(fixture.front.tenant(&operator, id("acme")).await.is_ok());
    assert!(fixture.front.tenants(&operator).await.is_err());
}

#[tokio::test]
async fn a_dropped_tenant_is_gone_with_its_keys() {
    let fixture = Fixture::new().await;
    fixture.enroll("acme", "ada", 1).await;
    let drop = async |request: &str, tenant: &str| {
        fixture
            .front
            .drop_tenant(&caller(ROOT), id(request), id(tenant))
            .await
    };
    drop("d", "acme").await.expect("dropped");
    assert_eq!(
        fixture
            .keyring
            .get(&id("acme"), Purpose::Transform)
            .expect("opens"),
        None
    );
    drop("d", "acme")
        .await
        .expect("a repetition is answered the same");
    let unknown = drop("another", "acme").await.err();
    assert!(matches!(
        unknown,
        Some(FrontError::Node(NodeError::TenantUnknown(_)))
    ));
    let unknown = drop("d", "nobody").await.err();
    assert!(matches!(
        unknown,
        Some(FrontError::Node(NodeError::TenantUnknown(_)))
    ));
    let scanner = caller("/tenant/acme/scanner/s");
    let error = fixture
        .front
        .identify(&scanner, identify("1", &palm(1)))
        .await
        .err();
    assert!(matches!(
        error,
        Some(FrontError::Node(NodeError::TenantUnknown(_)))
    ));
}

#[tokio::test]
async fn a_tenant_made_anew_has_new_keys_and_no_old_answers() {
    let fixture = Fixture::new().await;
    fixture.enroll("acme", "ada", 1).await;
    let scanner = caller("/tenant/acme/scanner/s");
    let ask = async || {
        fixture
            .front
            .identify(&scanner, identify("1", &palm(1)))
            .await
            .expect("answered")
            .decision
    };
    let digest = || fixture.node.0.lock().tenants[&id("acme")].spec.transform.digest;
    assert!(matches!(
        ask().await,
        crate::model::decision::Decision::Match { .. }
    ));
    let before = digest();
    fixture
        .front
        .drop_tenant(&caller(ROOT), id("d"), id("acme"))
        .await
        .expect("dropped");
    fixture
        .front
        .create_tenant(&caller(ROOT), create("acme"))
        .await
        .expect("made anew");
    assert_ne!(digest(), before);
    assert_eq!(ask().await, crate::model::decision::Decision::NoMatch);
}

#[tokio::test]
async fn a_drop_that_was_cut_off_before_the_keys_is_finished() {
    let fixture = Fixture::new().await;
    fixture.node.0.lock().tenants.remove(&id("acme"));
    fixture
        .front
        .drop_tenant(&caller(ROOT), id("d"), id("acme"))
        .await
        .expect("the keys were left");
    assert_eq!(
        fixture.keyring.get(&id("acme"), Purpose::Link).expect("opens"),
        None
    );
}

fn update(tenant: &str, threshold: f32) -> UpdatePolicy {
    let mut policy = create(tenant).policy;
    policy.threshold = ThresholdRule::Score(threshold);
    UpdatePolicy {
        tenant: id(tenant),
        request_id: id("update"),
        policy,
    }
}

/// What a scanner is told of palm 1 and a half, always under the same request id.
async fn decide(front: &Front) -> Decision {
    let mut probe = palm(1);
    for (value, other) in probe.iter_mut().zip(palm(2)) {
        *value = 0.8 * *value + 0.6 * other;
    }
    let norm = probe.iter().map(|value| value * value).sum::<f32>().sqrt();
    for value in &mut probe {
        *value /= norm;
    }
    let answer = front
        .identify(&caller("/tenant/acme/scanner/gate"), identify("same", &probe))
        .await;
    answer.expect("answered").decision
}

#[tokio::test]
async fn another_policy_holds_at_once_and_at_other_fronts_once_they_looked() {
    let fixture = Fixture::new().await;
    fixture.enroll("acme", "ada", 1).await;
    let elsewhere = front(&fixture.keyring, &fixture.node);
    for front in [&fixture.front, &elsewhere] {
        assert!(matches!(decide(front).await, Decision::Match { .. }));
    }
    let admin = caller(ROOT);
    let changed = fixture.front.update_policy(&admin, update("acme", 0.99)).await;
    assert_eq!(changed.expect("changed").threshold, Some(0.99));
    assert_eq!(
        decide(&fixture.front).await,
        Decision::NoMatch,
        "nor is the former answer remembered"
    );
    elsewhere.refresh_policies().await;
    assert_eq!(decide(&elsewhere).await, Decision::NoMatch);
}

#[tokio::test]
async fn a_tenant_that_can_t_be_read_teaches_no_policy() {
    let fixture = Fixture::new().await;
    fixture.enroll("acme", "ada", 1).await;
    let change = |policy, unavailable: Option<&str>| {
        let mut state = fixture.node.0.lock();
        let reason = unavailable.map(|reason| (id("acme"), reason.to_owned()));
        state.unavailable = reason.into_iter().collect();
        state.tenants.get_mut(&id("acme")).expect("there").spec.policy = policy;
    };
    change(update("acme", 0.99).policy, Some("unreadable"));
    fixture.front.refresh_policies().await;
    change(create("acme").policy, None);
    assert!(matches!(decide(&fixture.front).await, Decision::Match { .. }));
}

#[tokio::test]
async fn a_bad_policy_and_one_for_nobody_change_nothing() {
    let fixture = Fixture::new().await;
    let admin = caller(ROOT);
    let refused = fixture
        .front
        .update_policy(&admin, update("acme", 2.0))
        .await
        .err();
    assert!(matches!(refused, Some(FrontError::Rejected(r)) if r.field == "policy.threshold"));
    let unknown = fixture
        .front
        .update_policy(&admin, update("nobody", 0.9))
        .await
        .err();
    assert!(matches!(
        unknown,
        Some(FrontError::Node(NodeError::TenantUnknown(_)))
    ));
    for path in ["/tenant/acme/operator/o", "/tenant/other/admin/a"] {
        let refused = fixture
            .front
            .update_policy(&caller(path), update("acme", 0.9))
            .await
            .err();
        assert!(
            matches!(
                refused,
                Some(FrontError::RoleDenied { .. } | FrontError::TenantDenied(_))
            ),
            "{path}"
        );
    }
    assert_eq!(fixture.node.calls("set_policy"), 0);
    let view = fixture.front.tenant(&admin, id("acme")).await.expect("there");
    assert_eq!(view.threshold, Some(0.5));
}

#[tokio::test]
async fn keys_of_a_tenant_that_is_gone_are_used_again_unless_its_drop_was_cut_off() {
    let fixture = Fixture::new().await;
    let keys = || {
        let key = |purpose| {
            let found = fixture.keyring.get(&id("acme"), purpose);
            found.expect("opens").expect("there")
        };
        [key(Purpose::Transform), key(Purpose::Link), key(Purpose::Data)]
    };
    let former = keys();
    let admin = caller(ROOT);
    // A node that comes up without its data may get it back.
    fixture.node.0.lock().tenants.remove(&id("acme"));
    let made = fixture.front.create_tenant(&admin, create("acme")).await;
    made.expect("made");
    assert!(keys() == former);
    fixture.keyring.begin_drop(&id("acme")).expect("noted");
    fixture.node.0.lock().tenants.remove(&id("acme"));
    let made = fixture.front.create_tenant(&admin, create("acme")).await;
    made.expect("made");
    for (former, now) in former.iter().zip(&keys()) {
        assert!(former != now);
    }
}
