//! Promise: the nearest subjects are those of an exhaustive scan, for operators alone, and every look leaves a trace.

use thenar::proto::v1::{self, InvestigateResponse, RetakeReason, UsageKind, UsageOutcome};
use tonic::Code;
use tonic_types::StatusExt;

use crate::harness::{Backend, World, consent, dot, palm, policy, signature};

/// Random palms; every tenth is a copy of the one before.
fn gallery(count: u64) -> Vec<(String, Vec<f32>)> {
    let seed = |n: u64| if n % 10 == 9 { n - 1 } else { n };
    (0..count).map(|n| (format!("i-{n:05}"), palm(seed(n)))).collect()
}

/// The server's rows are rotated and rounded to half precision, so a cosine computed here may differ by some 1e-3; within that of
/// the last candidate either answer is right.
fn check(rows: &[(String, Vec<f32>)], probe: &[f32], answer: &InvestigateResponse, count: usize) {
    let found = &answer.candidates;
    assert_eq!(found.len(), count.min(rows.len()));
    assert!(
        found.is_sorted_by(|a, b| {
            let falling = b.score.total_cmp(&a.score);
            falling.then_with(|| a.subject_id.cmp(&b.subject_id)).is_lt()
        }),
        "best first, ties by id, everybody once"
    );
    let last = f64::from(found.last().expect("somebody").score);
    for (subject, row) in rows {
        let cosine = dot(probe, row);
        match found.iter().find(|c| c.subject_id == *subject) {
            Some(c) => assert!((f64::from(c.score) - cosine).abs() < 1e-3, "{subject}"),
            None => assert!(cosine < last + 1e-3, "{subject} with {cosine} is not among them"),
        }
    }
    assert_eq!(answer.searched, rows.len() as u64);
    assert!(answer.certificate.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_backend_tells_the_same_nearest_to_the_last_bit() {
    let mut world = World::start_with(Backend::Cpu).await;
    world.create_tenant_with("acme", policy(0.9)).await;
    let rows = gallery(5_000);
    let mut operator = world.operator("acme").await;
    operator.import("import", &rows).await.expect("imported");
    let mut reference = None;
    for backend in Backend::ALL {
        world = world.restart_with(backend).await;
        let mut operator = world.operator("acme").await;
        let mut told = Vec::new();
        for probe in [8, 123_456].map(palm) {
            for count in [1, 10, 1_000] {
                let answer = operator.investigate(&probe, count).await.expect("answered");
                check(&rows, &probe, &answer, count as usize);
                assert!(answer.backend.starts_with(backend.prefix()), "{}", answer.backend);
                let bits = answer
                    .candidates
                    .into_iter()
                    .map(|c| (c.subject_id, c.score.to_bits()));
                told.extend(bits);
            }
        }
        match &reference {
            None => reference = Some(told),
            Some(expected) => assert!(told == *expected, "{backend:?} differs"),
        }
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_gallery_is_told_whole_and_a_person_counts_once() {
    let world = World::start().await;
    world.create_tenant("acme").await;
    let mut operator = world.operator("acme").await;
    let nobody = operator.investigate(&palm(1), 5).await.expect("answered");
    assert!(nobody.candidates.is_empty() && nobody.certificate.is_some());
    for n in 0..20 {
        operator
            .enroll(&format!("s-{n}"), &palm(n))
            .await
            .expect("enrolled");
    }
    let request = v1::EnrollRequest {
        request_id: "again".into(),
        subject_id: "s-3".into(),
        signatures: vec![signature(&palm(103)), signature(&palm(203))],
        consent: Some(consent()),
        ..Default::default()
    };
    operator.enrollment.enroll(request).await.expect("enrolled");
    for seed in [3, 103, 203] {
        let answer = operator.investigate(&palm(seed), 1_000).await.expect("answered");
        assert_eq!((answer.candidates.len(), answer.searched), (20, 22));
        let best = answer.candidates.first().expect("twenty");
        assert!(best.subject_id == "s-3" && best.score > 0.99, "{best:?}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_erased_are_not_told() {
    let world = World::start().await;
    world.create_tenant("acme").await;
    let mut operator = world.operator("acme").await;
    operator
        .import("import", &gallery(3_000))
        .await
        .expect("imported");
    // Rows 8 and 9 are copies: with one gone the other is the nearest.
    let first = operator.investigate(&palm(8), 1).await.expect("answered");
    assert_eq!(first.candidates.first().expect("one").subject_id, "i-00008");
    operator.erase("e", "i-00008").await.expect("erased");
    let next = operator.investigate(&palm(8), 1).await.expect("answered");
    assert_eq!(next.candidates.first().expect("one").subject_id, "i-00009");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_roles_and_odd_counts_are_refused() {
    let world = World::start().await;
    world.create_tenant("acme").await;
    for role in ["scanner", "enroller", "admin"] {
        let mut caller = world.caller("acme", role, "x").await;
        let refusal = caller.investigate(&palm(1), 1).await.expect_err(role);
        assert_eq!(refusal.code(), Code::PermissionDenied, "{role}: {refusal:?}");
        assert!(refusal.message().contains("Investigate"), "{}", refusal.message());
    }
    let refusal = world.admin().await.investigate(&palm(1), 1).await;
    assert_eq!(
        refusal.expect_err("no gallery").code(),
        Code::PermissionDenied,
        "the server's administrator"
    );
    let mut operator = world.operator("acme").await;
    for count in [0, 1_001, u32::MAX] {
        let refusal = operator.investigate(&palm(1), count).await.expect_err("refused");
        assert_eq!(refusal.code(), Code::InvalidArgument, "{refusal:?}");
        let details = refusal.get_error_details();
        let named = &details.bad_request().expect("BadRequest").field_violations;
        assert!(named.iter().any(|v| v.field == "candidates_max"), "{named:?}");
        assert!(
            refusal.message().contains(&count.to_string()) && refusal.message().contains("1000"),
            "{}",
            refusal.message()
        );
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_look_is_in_the_history_and_a_bad_capture_is_not_searched() {
    let world = World::start().await;
    world.create_tenant("acme").await;
    let mut operator = world.operator("acme").await;
    operator.enroll("ada", &palm(1)).await.expect("enrolled");
    operator.investigate(&palm(1), 1).await.expect("answered");
    let mut dim = signature(&palm(1));
    dim.quality = 1;
    let request = v1::InvestigateRequest {
        probe: Some(dim),
        candidates_max: 1,
        ..Default::default()
    };
    let answer = operator.identity.investigate(request).await.expect("answered");
    let answer = answer.into_inner();
    assert_eq!(answer.retake_reason(), RetakeReason::LowQuality);
    assert!(answer.candidates.is_empty() && answer.certificate.is_none());
    let history = operator.usage("").await.expect("answered").events;
    let looks: Vec<_> = history
        .iter()
        .filter(|event| event.kind() == UsageKind::Investigate)
        .map(|event| (event.outcome(), event.subject_id.as_str()))
        .collect();
    assert_eq!(
        looks,
        [(UsageOutcome::Retake, ""), (UsageOutcome::Done, "")],
        "newest first"
    );
    let hers = operator.usage("ada").await.expect("answered").events;
    assert!(hers.iter().all(|event| event.kind() == UsageKind::Enroll));
    world.stop().await;
}
