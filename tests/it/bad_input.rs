//! Refusals: each names the field, the value and the limit, and changes nothing.

use thenar::proto::v1::{self, Decision, RetakeReason};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::harness::{Caller, DIM, PATIENCE, World, consent, palm, policy, signature};

/// Checks code, named field and a word of the reason.
fn refused<T: std::fmt::Debug>(result: Result<T, Status>, code: Code, field: &str, words: &str) {
    let status = result.expect_err(words);
    assert_eq!(status.code(), code, "{status:?}");
    assert!(
        status.message().contains(words),
        "{:?} lacks {words:?}",
        status.message()
    );
    let details = status.get_error_details();
    let info = details.error_info().expect("ErrorInfo");
    assert_eq!(info.domain, "thenar");
    assert!(!info.reason.is_empty());
    if !field.is_empty() {
        let violations = &details.bad_request().expect("BadRequest").field_violations;
        assert!(
            violations.iter().any(|v| v.field == field),
            "{field} is not named in {violations:?}"
        );
    }
}

async fn enroll(
    caller: &mut Caller,
    change: impl FnOnce(&mut v1::EnrollRequest),
) -> Result<v1::EnrollResponse, Status> {
    let mut request = v1::EnrollRequest {
        request_id: "r".into(),
        subject_id: "s".into(),
        signatures: vec![signature(&palm(1))],
        consent: Some(consent()),
        ..Default::default()
    };
    change(&mut request);
    caller
        .enrollment
        .enroll(request)
        .await
        .map(tonic::Response::into_inner)
}

async fn identify(
    caller: &mut Caller,
    change: impl FnOnce(&mut v1::Signature),
) -> Result<v1::IdentifyResponse, Status> {
    let mut probe = signature(&palm(1));
    change(&mut probe);
    let request = v1::IdentifyRequest {
        probe: Some(probe),
        ..Default::default()
    };
    caller
        .identity
        .identify(request)
        .await
        .map(tonic::Response::into_inner)
}

fn bytes(values: &[f32]) -> prost::bytes::Bytes {
    values
        .iter()
        .flat_map(|v| v.to_le_bytes())
        .collect::<Vec<u8>>()
        .into()
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_signatures_are_refused_by_field() {
    let world = World::start().await;
    world.create_tenant("acme").await;
    let mut caller = world.operator("acme").await;
    let invalid = Code::InvalidArgument;
    let field = "probe.data";
    let with = |index: usize, value: f32| {
        let mut values = palm(1);
        values[index] = value;
        bytes(&values)
    };
    refused(
        identify(&mut caller, |p| p.data = with(7, f32::NAN)).await,
        invalid,
        field,
        "coordinate 7",
    );
    refused(
        identify(&mut caller, |p| p.data = with(0, f32::INFINITY)).await,
        invalid,
        field,
        "coordinate 0",
    );
    refused(
        identify(&mut caller, |p| p.data = bytes(&[0.0; DIM])).await,
        invalid,
        field,
        "norm 0.0000",
    );
    refused(
        identify(&mut caller, |p| p.data = with(0, 3.0)).await,
        invalid,
        field,
        "unit vector",
    );
    let short = bytes(&palm(1)[..DIM - 1]);
    refused(
        identify(&mut caller, |p| p.data = short).await,
        invalid,
        field,
        "dimension 64",
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_with_a_signature_is_checked_too() {
    let world = World::start().await;
    world.create_tenant("acme").await;
    let mut caller = world.operator("acme").await;
    let invalid = Code::InvalidArgument;
    refused(
        identify(&mut caller, |p| p.element_type = 0).await,
        invalid,
        "probe.element_type",
        "element_type",
    );
    refused(
        identify(&mut caller, |p| p.quality = 101).await,
        invalid,
        "probe.quality",
        "101",
    );
    let other = Some(v1::Encoder {
        name: "other".into(),
        version: "9".into(),
    });
    refused(
        identify(&mut caller, |p| p.encoder = other).await,
        invalid,
        "probe.encoder",
        "other/9",
    );
    refused(
        identify(&mut caller, |p| p.encoder = None).await,
        invalid,
        "probe.encoder",
        "encoder",
    );
    let missing = caller.identity.identify(v1::IdentifyRequest::default()).await;
    refused(missing, invalid, "probe", "probe");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_enrolments_change_nothing() {
    let world = World::start().await;
    world.create_tenant("acme").await;
    let mut caller = world.operator("acme").await;
    let invalid = Code::InvalidArgument;
    refused(
        enroll(&mut caller, |r| r.consent = None).await,
        invalid,
        "consent",
        "consent",
    );
    let expired = |r: &mut v1::EnrollRequest| {
        let consent = r.consent.as_mut().expect("set");
        consent.expire_time = Some(prost_types::Timestamp { seconds: 1, nanos: 0 });
    };
    refused(
        enroll(&mut caller, expired).await,
        invalid,
        "consent.expire_time",
        "not after now",
    );
    refused(
        enroll(&mut caller, |r| r.request_id = String::new()).await,
        invalid,
        "request_id",
        "request_id",
    );
    refused(
        enroll(&mut caller, |r| r.subject_id = "a b".into()).await,
        invalid,
        "subject_id",
        "a b",
    );
    refused(
        enroll(&mut caller, |r| r.signatures.clear()).await,
        invalid,
        "signatures",
        "signatures",
    );
    refused(
        enroll(&mut caller, |r| r.signatures[0].hand = 0).await,
        invalid,
        "signatures[0].hand",
        "hand",
    );
    let many = |r: &mut v1::EnrollRequest| r.signatures = vec![signature(&palm(1)); 17];
    refused(enroll(&mut caller, many).await, invalid, "signatures", "16");
    let nine = |r: &mut v1::EnrollRequest| r.signatures = vec![signature(&palm(1)); 9];
    refused(enroll(&mut caller, nine).await, invalid, "signatures", "8");
    let stats = caller.stats("acme").await.expect("figures");
    assert_eq!((stats.subjects, stats.references, stats.sequence), (0, 0, 0));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_names_are_named() {
    let world = World::start().await;
    world.create_tenant("acme").await;
    let mut caller = world.operator("acme").await;
    refused(
        caller.verify("nobody", &palm(1)).await,
        Code::NotFound,
        "",
        "subject",
    );
    refused(caller.erase("r", "nobody").await, Code::NotFound, "", "subject");
    refused(caller.erasure(99).await, Code::NotFound, "", "99");
    let mut ghost = world.operator("ghost").await;
    refused(ghost.identify(&palm(1)).await, Code::NotFound, "", "ghost");
    let mut admin = world.admin().await;
    refused(admin.tenant("ghost").await, Code::NotFound, "", "ghost");
    let mut different = policy(0.5);
    different.margin = 0.1;
    refused(
        world.try_create_tenant("acme", different).await,
        Code::AlreadyExists,
        "",
        "acme",
    );
    let mut silly = policy(0.5);
    silly.margin = 2.0;
    refused(
        world.try_create_tenant("new", silly).await,
        Code::InvalidArgument,
        "policy.margin",
        "2",
    );
    refused(
        world.try_create_tenant("Bad/Name", policy(0.5)).await,
        Code::InvalidArgument,
        "tenant",
        "Bad/Name",
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn poor_captures_are_asked_for_again() {
    let world = World::start().await;
    let mut strict = policy(0.5);
    strict.quality_min = 40;
    strict.pad_required = true;
    world.create_tenant_with("acme", strict).await;
    let mut caller = world.operator("acme").await;
    let low = identify(&mut caller, |p| p.quality = 39).await.expect("answered");
    assert_eq!(
        (low.decision(), low.retake_reason()),
        (Decision::Retake, RetakeReason::LowQuality)
    );
    for verdict in [
        v1::PadVerdict::Attack,
        v1::PadVerdict::NotPerformed,
        v1::PadVerdict::Unspecified,
    ] {
        let failed = identify(&mut caller, |p| p.pad_verdict = verdict.into())
            .await
            .expect("answered");
        assert_eq!(
            (failed.decision(), failed.retake_reason()),
            (Decision::Retake, RetakeReason::PadFailed)
        );
    }
    let enrolled = enroll(&mut caller, |r| r.signatures[0].quality = 10)
        .await
        .expect("answered");
    assert_eq!(enrolled.retake_reason(), RetakeReason::LowQuality);
    assert!(enrolled.references.is_empty());
    let good = identify(&mut caller, |_| {}).await.expect("answered");
    assert_eq!(good.decision(), Decision::NoMatch);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_subjects_closer_than_the_margin_are_not_guessed_between() {
    let world = World::start().await;
    world.create_tenant("acme").await;
    let mut caller = world.operator("acme").await;
    caller.enroll("one", &palm(1)).await.expect("enrolled");
    caller.enroll("two", &palm(1)).await.expect("enrolled");
    let answer = caller.identify(&palm(1)).await.expect("answered");
    assert_eq!(
        (answer.decision(), answer.retake_reason()),
        (Decision::Retake, RetakeReason::Ambiguous)
    );
    assert!(answer.subject_id.is_empty());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_over_the_limit_and_a_deadline_that_passed_are_refused() {
    let world = World::start().await;
    world.create_tenant("acme").await;
    let mut caller = world.operator("acme").await;
    let huge = identify(&mut caller, |p| p.data = vec![0; 256 << 10].into())
        .await
        .expect_err("too large");
    assert!(
        matches!(huge.code(), Code::OutOfRange | Code::ResourceExhausted),
        "{huge:?}"
    );
    let mut request = tonic::Request::new(v1::IdentifyRequest {
        probe: Some(signature(&palm(1))),
        ..Default::default()
    });
    request
        .metadata_mut()
        .insert("grpc-timeout", "0n".parse().expect("valid"));
    let late = caller.identity.identify(request).await.expect_err("too late");
    assert!(
        matches!(late.code(), Code::DeadlineExceeded | Code::Cancelled),
        "{late:?}"
    );
    let answer = caller.identify(&palm(1)).await.expect("the connection goes on");
    assert_eq!(answer.decision(), Decision::NoMatch);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_unread_is_counted_as_what_is_answered_and_each_probe_of_a_stream_too() {
    let world = World::prepare().boot_with(|config| {
        config.quotas.scanner.per_second = 1;
        config.quotas.scanner.burst = 2;
    });
    let world = world.await;
    world.create_tenant("acme").await;
    let mut caller = world.caller("acme", "scanner", "answered").await;
    for _ in 0..2 {
        caller.identify(&palm(1)).await.expect("counted once");
    }
    let mut caller = world.caller("acme", "scanner", "refused").await;
    let held_up = async {
        loop {
            let refusal = identify(&mut caller, |p| p.data = vec![0; 64 << 10].into()).await;
            let refusal = refusal.expect_err("too large");
            if refusal.code() != Code::OutOfRange {
                return refusal;
            }
        }
    };
    let refusal = tokio::time::timeout(PATIENCE, held_up).await.expect("soon");
    refused::<()>(
        Err(refusal),
        Code::ResourceExhausted,
        "",
        "quotas.scanner.per_second",
    );
    let mut caller = world.caller("acme", "scanner", "stream").await;
    let probes: Vec<_> = (0..100).map(|n| (format!("probe-{n}"), palm(1))).collect();
    let answers = caller.identify_stream(&probes).await.expect("a stream");
    let exhausted = Code::ResourceExhausted as i32;
    assert!(
        answers
            .values()
            .any(|answer| answer.as_ref().is_err_and(|error| error.code == exhausted)),
        "{answers:?}"
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn links_are_sealed_found_again_and_handed_out_by_policy() {
    let world = World::start().await;
    let mut shop = policy(0.5);
    shop.link_grants = vec![v1::LinkGrant {
        role: "scanner".into(),
        kinds: vec![v1::LinkKind::PaymentToken.into()],
    }];
    world.create_tenant_with("acme", shop).await;
    let mut operator = world.operator("acme").await;
    let link = |kind: v1::LinkKind, value: &str| v1::Link {
        kind: kind.into(),
        value: value.into(),
    };
    let links = vec![
        link(v1::LinkKind::PaymentToken, "tok-4711-secret"),
        link(v1::LinkKind::PhoneNumber, "+49-555-0100"),
    ];
    enroll(&mut operator, |r| r.links = links.clone())
        .await
        .expect("enrolled");
    let mut scanner = world.caller("acme", "scanner", "till").await;
    let seen = scanner.identify(&palm(1)).await.expect("answered");
    assert_eq!(
        seen.links,
        vec![links[0].clone()],
        "the phone number is not for scanners"
    );
    assert!(
        operator
            .identify(&palm(1))
            .await
            .expect("answered")
            .links
            .is_empty()
    );
    let everything = world.all_bytes("acme");
    assert!(!crate::harness::contains(&everything, b"tok-4711-secret"));
    let taken = enroll(&mut operator, |r| {
        r.request_id = "r2".into();
        r.subject_id = "other".into();
        r.links = vec![links[0].clone()];
    });
    refused(taken.await, Code::AlreadyExists, "", "link");
    let by_link = v1::get_subject_request::Subject::Link(links[1].clone());
    let request = v1::GetSubjectRequest {
        subject: Some(by_link),
        ..Default::default()
    };
    let found = operator
        .enrollment
        .get_subject(request)
        .await
        .expect("found")
        .into_inner();
    assert_eq!(found.subject_id, "s");
    world.stop().await;
}
