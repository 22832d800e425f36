//! Promise: a tenant's gallery, keys and files are its own; no caller reaches another tenant's.

use thenar::proto::v1::{self, Decision};
use tonic::{Code, Status};

use crate::harness::{Caller, World, palm, signature};

#[tokio::test(flavor = "multi_thread")]
async fn the_same_palms_are_strangers_elsewhere() {
    let world = World::start().await;
    world.create_tenant("acme").await;
    world.create_tenant("other").await;
    let mut acme = world.operator("acme").await;
    let mut other = world.operator("other").await;
    let rows: Vec<(String, Vec<f32>)> = (0..200).map(|n| (format!("i-{n}"), palm(n))).collect();
    acme.import("import", &rows).await.expect("imported");
    let mine: Vec<(String, Vec<f32>)> = (0..200).map(|n| (format!("o-{n}"), palm(10_000 + n))).collect();
    other.import("import", &mine).await.expect("imported");
    for n in 0..200 {
        assert_eq!(
            acme.identify(&palm(n)).await.expect("answered").decision(),
            Decision::Match
        );
        assert_eq!(
            other.identify(&palm(n)).await.expect("answered").decision(),
            Decision::NoMatch
        );
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenant_in_the_request_is_refused_by_every_method() {
    let world = World::start().await;
    world.create_tenant("acme").await;
    world.create_tenant("other").await;
    world
        .operator("other")
        .await
        .enroll("s", &palm(1))
        .await
        .expect("enrolled");
    let mut acme = world.operator("acme").await;
    let refusals = every_method(&mut acme, "other").await;
    for (at, refusal) in refusals.into_iter().enumerate() {
        assert_eq!(
            refusal.expect_err("refused").code(),
            Code::PermissionDenied,
            "method {at}"
        );
    }
    let stats = world
        .operator("other")
        .await
        .stats("other")
        .await
        .expect("figures");
    assert_eq!(stats.subjects, 1, "nothing was changed");
    world.stop().await;
}

/// Every method for probes, asked about `other`.
async fn every_probe(acme: &mut Caller, other: &str) -> Vec<Result<(), Status>> {
    let tenant = || other.to_owned();
    let identify = v1::IdentifyRequest {
        tenant: tenant(),
        probe: Some(signature(&palm(1))),
        ..Default::default()
    };
    let verify = v1::VerifyRequest {
        tenant: tenant(),
        subject_id: "s".into(),
        probe: Some(signature(&palm(1))),
        ..Default::default()
    };
    let investigate = v1::InvestigateRequest {
        tenant: tenant(),
        probe: Some(signature(&palm(1))),
        candidates_max: 1,
        ..Default::default()
    };
    vec![
        acme.identity.identify(identify).await.map(drop),
        acme.identity.verify(verify).await.map(drop),
        acme.identity
            .get_probe_key(v1::GetProbeKeyRequest { tenant: tenant() })
            .await
            .map(drop),
        acme.identity.investigate(investigate).await.map(drop),
    ]
}

/// Every method that names a tenant, asked about `other`.
async fn every_method(acme: &mut Caller, other: &str) -> Vec<Result<(), Status>> {
    let tenant = || other.to_owned();
    let subject = v1::get_subject_request::Subject::SubjectId("s".into());
    let erase = v1::erase_request::Subject::SubjectId("s".into());
    let mut all = every_probe(acme, other).await;
    all.extend([
        acme.enrollment
            .get_subject(v1::GetSubjectRequest {
                tenant: tenant(),
                subject: Some(subject),
            })
            .await
            .map(drop),
        acme.enrollment
            .erase(v1::EraseRequest {
                tenant: tenant(),
                request_id: "r".into(),
                subject: Some(erase),
            })
            .await
            .map(drop),
        acme.enrollment
            .list_usage(v1::ListUsageRequest {
                tenant: tenant(),
                ..Default::default()
            })
            .await
            .map(drop),
        acme.enrollment
            .get_erasure(v1::GetErasureRequest {
                tenant: tenant(),
                erasure: 1,
            })
            .await
            .map(drop),
        acme.admin
            .get_tenant(v1::GetTenantRequest { tenant: tenant() })
            .await
            .map(drop),
        acme.admin
            .get_stats(v1::GetStatsRequest { tenant: tenant() })
            .await
            .map(drop),
        acme.admin
            .checkpoint_history(v1::CheckpointHistoryRequest { tenant: tenant() })
            .await
            .map(drop),
        acme.enroll_into(other, "x", &palm(2)).await.map(drop),
    ]);
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_reach_no_further_than_they_say() {
    let world = World::start().await;
    world.create_tenant("acme").await;
    let mut scanner = world.caller("acme", "scanner", "gate-1").await;
    let denied = |result: Result<(), tonic::Status>| {
        assert_eq!(result.expect_err("denied").code(), Code::PermissionDenied);
    };
    denied(scanner.enroll("s", &palm(1)).await.map(drop));
    denied(scanner.erase("r", "s").await.map(drop));
    denied(scanner.drop_tenant("acme").await.map(drop));
    let mut admin = world.admin().await;
    denied(admin.identify(&palm(1)).await.map(drop));
    denied(admin.enroll_into("acme", "s", &palm(1)).await.map(drop));
    let mut enroller = world.caller("acme", "enroller", "desk").await;
    enroller.enroll("s", &palm(1)).await.expect("an enroller enrols");
    denied(enroller.identify(&palm(1)).await.map(drop));
    let seen = scanner.identify(&palm(1)).await.expect("a scanner identifies");
    assert_eq!(seen.decision(), Decision::Match);
    assert!(
        seen.candidates.is_empty() && seen.backend.is_empty(),
        "a scanner sees no score"
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_that_are_not_ours_are_refused() {
    let world = World::start().await;
    world.create_tenant("acme").await;
    let stranger = World::start().await;
    let outsider = stranger.caller_of(&world, "acme", "operator", "ops").await;
    assert!(outsider.is_err(), "a certificate of another authority was let in");
    let current = world.caller_until("acme", 10).await;
    assert!(current.is_ok(), "a certificate that is valid was refused");
    let expired = world.caller_until("acme", -10).await;
    assert!(expired.is_err(), "an expired certificate was let in");
    let nobody = world.caller_without_certificate().await;
    assert!(nobody.is_err(), "a caller without a certificate was let in");
    stranger.stop().await;
    world.stop().await;
}
