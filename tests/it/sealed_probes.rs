//! Promise: a sealed probe is searched once, for its own scanner and request alone, and a tenant may take no other.

use prost_types::Timestamp;
use thenar::cli::sealed::seal;
use thenar::proto::v1::{self, Decision};
use tonic::{Code, Response, Status};
use tonic_types::StatusExt;

use crate::harness::{Caller, World, palm, policy, signature};
use crate::split_tiers::Split;

async fn key(caller: &mut Caller) -> v1::ProbeKey {
    let key = caller.identity.get_probe_key(v1::GetProbeKeyRequest::default());
    key.await.expect("a key").into_inner()
}

/// A request of who holds this key, sealed.
fn sealed(key: &v1::ProbeKey, request_id: &str, signature: &v1::Signature) -> v1::IdentifyRequest {
    v1::IdentifyRequest {
        request_id: request_id.into(),
        sealed_probe: Some(seal(key, request_id, signature).expect("sealed")),
        ..Default::default()
    }
}

async fn identify(
    caller: &mut Caller,
    request: &v1::IdentifyRequest,
) -> Result<v1::IdentifyResponse, Status> {
    let answer = caller.identity.identify(request.clone()).await;
    answer.map(Response::into_inner)
}

/// Code and reason of a refusal.
fn refusal<T: std::fmt::Debug>(answer: Result<T, Status>) -> (Code, String) {
    let status = answer.expect_err("refused");
    let info = status.get_details_error_info().expect("every refusal has it");
    (status.code(), info.reason)
}

fn precondition(reason: &str) -> (Code, String) {
    (Code::FailedPrecondition, reason.to_owned())
}

async fn uses(operator: &mut Caller) -> usize {
    let usage = operator.usage("").await.expect("the history");
    let events = usage.events.into_iter();
    events
        .filter(|event| event.kind() != v1::UsageKind::Enroll)
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_probe_is_searched_once_also_by_a_server_that_was_restarted() {
    let world = World::start().await;
    world.create_tenant("acme").await;
    let mut operator = world.operator("acme").await;
    operator.enroll("ada", &palm(1)).await.expect("enrolled");
    operator.enroll("bob", &palm(2)).await.expect("enrolled");
    let mut scanner = world.caller("acme", "scanner", "gate-1").await;
    let probe_key = key(&mut scanner).await;
    assert_eq!(
        (probe_key.tenant.as_str(), probe_key.scanner.as_str()),
        ("acme", "/tenant/acme/scanner/gate-1")
    );

    let request = sealed(&probe_key, "r-1", &signature(&palm(1)));
    let first = identify(&mut scanner, &request).await.expect("answered");
    assert_eq!(first.subject_id, "ada");
    assert_eq!(identify(&mut scanner, &request).await.expect("repeated"), first);
    assert_eq!(uses(&mut operator).await, 1);

    // Another scanner, another request, another time.
    let mut thief = world.caller("acme", "scanner", "gate-2").await;
    let not_opened = (Code::InvalidArgument, "INVALID_FIELD".to_owned());
    assert_eq!(refusal(identify(&mut thief, &request).await), not_opened);
    let mut renamed = request.clone();
    renamed.request_id = "r-2".into();
    assert_eq!(refusal(identify(&mut scanner, &renamed).await), not_opened);
    let mut younger = request.clone();
    younger.sealed_probe.as_mut().expect("sealed").capture_time_ms += 1;
    assert_eq!(refusal(identify(&mut scanner, &younger).await), not_opened);
    renamed.request_id.clear();
    let unnamed = identify(&mut scanner, &renamed).await.expect_err("no id");
    assert!(unnamed.message().starts_with("request_id: "), "{unnamed:?}");

    // The erasure of another person outdates the answer; the probe stays taken.
    operator.erase("erase", "bob").await.expect("erased");
    let replayed = refusal(identify(&mut scanner, &request).await);
    assert_eq!(replayed, precondition("PROBE_REPLAYED"));
    let world = world.restart().await;
    let mut scanner = world.caller("acme", "scanner", "gate-1").await;
    let stale = refusal(identify(&mut scanner, &request).await);
    assert_eq!(stale, precondition("PROBE_STALE"));
    assert_eq!(key(&mut scanner).await, probe_key, "the key is the same");
    assert_eq!(uses(&mut world.operator("acme").await).await, 1);
    let fresh = sealed(&probe_key, "r-3", &signature(&palm(1)));
    let found = identify(&mut scanner, &fresh).await.expect("answered");
    assert_eq!(found.subject_id, "ada");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_may_take_sealed_probes_alone_and_what_is_inside_counts() {
    let world = World::start().await;
    let sealed_alone = v1::Policy {
        sealed_probes: true,
        ..policy(0.5)
    };
    world.create_tenant_with("acme", sealed_alone).await;
    let mut operator = world.operator("acme").await;
    operator.enroll("ada", &palm(1)).await.expect("enrolled");
    let required = precondition("SEALED_PROBE_REQUIRED");
    assert_eq!(refusal(operator.identify(&palm(1)).await), required);
    assert_eq!(refusal(operator.verify("ada", &palm(1)).await), required);
    let streamed = [("s-1".to_owned(), palm(1))];
    let streamed = operator.identify_stream(&streamed).await.expect("a stream");
    let refused = streamed["s-1"].as_ref().expect_err("refused");
    assert_eq!(refused.code, i32::from(Code::FailedPrecondition));
    assert!(refused.message.contains("sealed_probe"), "{}", refused.message);

    let probe_key = key(&mut operator).await;
    // The capture time of the seal stands for the one inside.
    let verify = v1::VerifyRequest {
        request_id: "v-1".into(),
        subject_id: "ada".into(),
        sealed_probe: sealed(&probe_key, "v-1", &signature(&palm(1))).sealed_probe,
        ..Default::default()
    };
    let verified = operator.identity.verify(verify).await.expect("answered");
    assert_eq!(verified.into_inner().decision(), Decision::Match);
    let low = v1::Signature {
        quality: 10,
        ..signature(&palm(1))
    };
    let low = sealed(&probe_key, "r-1", &low);
    let retake = identify(&mut operator, &low).await.expect("answered");
    assert_eq!(retake.retake_reason(), v1::RetakeReason::LowQuality);
    let old = v1::Signature {
        capture_time: Some(Timestamp {
            seconds: 1_700_000_000,
            nanos: 0,
        }),
        ..signature(&palm(1))
    };
    let old = refusal(identify(&mut operator, &sealed(&probe_key, "r-2", &old)).await);
    assert_eq!(old, precondition("PROBE_STALE"));
    let other = v1::ProbeKey {
        key_id: "0011223344556677".into(),
        ..probe_key
    };
    let other = sealed(&other, "r-3", &signature(&palm(1)));
    let unknown = refusal(identify(&mut operator, &other).await);
    assert_eq!(unknown, precondition("PROBE_KEY_UNKNOWN"));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_front_of_two_tiers_opens_what_is_sealed() {
    let split = Split::start().await;
    let mut admin = split.caller(split.home.administrator()).await;
    admin.create_tenant("acme", policy(0.5)).await.expect("created");
    let mut operator = split.caller(split.home.member("acme", "operator", "ops")).await;
    operator.enroll("ada", &palm(1)).await.expect("enrolled");
    let request = sealed(&key(&mut operator).await, "r-1", &signature(&palm(1)));
    let found = identify(&mut operator, &request).await.expect("answered");
    assert_eq!(found.subject_id, "ada");
    split.stop().await;
}
