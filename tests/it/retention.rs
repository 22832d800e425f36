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
