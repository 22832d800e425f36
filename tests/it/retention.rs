//! Promise: who is due by the tenant's retention is erased by the server itself, also when it was down when they became due.

use thenar::proto::v1;

use crate::harness::{World, consent, palm, policy, signature};

fn enroll(subject: &str, seed: u64, seconds: i64) -> v1::EnrollRequest {
    let mut consent = consent();
    let give = consent.give_time.expect("given");
    consent.expire_time = Some(prost_types::Timestamp {
        seconds: give.seconds + seconds,
        ..give
    });
    v1::EnrollRequest {
        request_id: format!("enroll-{subject}"),
        subject_id: subject.into(),
        signatures: vec![signature(&palm(seed))],
        consent: Some(consent),
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consent_that_ended_while_the_server_was_down_is_followed_by_an_erasure() {
    let world = World::start().await;
    let retention = Some(v1::Retention {
        idle_days_max: 0,
        consent_end: true,
    });
    let kept = v1::Policy {
        retention,
        ..policy(0.5)
    };
    world.create_tenant_with("kept", kept).await;
    world.create_tenant("acme").await;
    for tenant in ["kept", "acme"] {
        let mut operator = world.operator(tenant).await;
        for (subject, seed, seconds) in [("ada", 1, 3), ("bob", 2, 86_400)] {
            let enrolled = operator.enrollment.enroll(enroll(subject, seed, seconds)).await;
            enrolled.expect("enrolled");
        }
    }
    let world = world.restart().await;
    let mut operator = world.operator("kept").await;
    let purged = operator.await_erasure(1).await;
    assert!(
        purged.receipt_json.contains("\"subject_id\":\"ada\""),
        "{}",
        purged.receipt_json
    );
    let found = operator.identify(&palm(1)).await.expect("answered");
    assert_eq!(found.decision(), v1::Decision::NoMatch);
    let found = operator.identify(&palm(2)).await.expect("answered");
    assert_eq!(found.subject_id, "bob");
    let mut other = world.operator("acme").await;
    let found = other.identify(&palm(1)).await.expect("answered");
    assert_eq!(found.subject_id, "ada", "a tenant without retention");
    world.stop().await;
}

/// A probe of one palm, a little of another in it.
fn near(seed: u64, other: u64) -> Vec<f32> {
    let mut probe = palm(seed);
    for (value, other) in probe.iter_mut().zip(palm(other)) {
        *value = 0.9 * *value + 0.435 * other;
    }
    let norm = probe.iter().map(|value| value * value).sum::<f32>().sqrt();
    for value in &mut probe {
        *value /= norm;
    }
    probe
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_is_changed_later_holds_for_who_is_there_and_survives_a_restart() {
    let world = World::start().await;
    world.create_tenant("acme").await;
    let mut operator = world.operator("acme").await;
    for (subject, seed, seconds) in [("ada", 1, 1), ("bob", 2, 86_400)] {
        let enrolled = operator.enrollment.enroll(enroll(subject, seed, seconds)).await;
        enrolled.expect("enrolled");
    }
    let mut admin = world.admin().await;
    let mut request = v1::UpdatePolicyRequest {
        request_id: "stricter".into(),
        tenant: "acme".into(),
        policy: Some(policy(0.999)),
    };
    let probe = near(2, 3);
    assert_eq!(
        operator.identify(&probe).await.expect("answered").subject_id,
        "bob"
    );
    let refused = operator
        .admin
        .update_policy(request.clone())
        .await
        .expect_err("no administrator");
    assert_eq!(refused.code(), tonic::Code::PermissionDenied);
    let changed = admin.admin.update_policy(request.clone()).await.expect("changed");
    assert!((changed.into_inner().threshold - 0.999).abs() < 1e-6);
    let found = operator.identify(&probe).await.expect("answered");
    assert_eq!(found.decision(), v1::Decision::NoMatch);
    let world = world.restart().await;
    let mut operator = world.operator("acme").await;
    let found = operator.identify(&probe).await.expect("answered");
    assert_eq!(found.decision(), v1::Decision::NoMatch, "after a restart");

    // Retention for a tenant that had none: it looks back as well.
    request.request_id = "retention".into();
    request.policy = Some(v1::Policy {
        retention: Some(v1::Retention {
            idle_days_max: 0,
            consent_end: true,
        }),
        ..policy(0.5)
    });
    let mut admin = world.admin().await;
    admin.admin.update_policy(request.clone()).await.expect("changed");
    // A late repetition of the first one changes nothing.
    let late = v1::UpdatePolicyRequest {
        request_id: "stricter".into(),
        policy: Some(policy(0.999)),
        ..request
    };
    let answer = admin
        .admin
        .update_policy(late)
        .await
        .expect("answered")
        .into_inner();
    assert!((answer.threshold - 0.5).abs() < 1e-6);
    let world = world.restart().await;
    let mut operator = world.operator("acme").await;
    let purged = operator.await_erasure(1).await;
    assert!(
        purged.receipt_json.contains("\"subject_id\":\"ada\""),
        "{}",
        purged.receipt_json
    );
    assert_eq!(
        operator.identify(&probe).await.expect("answered").subject_id,
        "bob"
    );
    world.stop().await;
}
