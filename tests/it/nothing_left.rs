//! Promise: after an acknowledged erasure nobody finds the person, and soon no file holds the rows.

use thenar::keys::receipt;
use thenar::model::erasure::{ErasureState, SignedReceipt};
use thenar::proto::v1::{self, Decision};

use crate::harness::{Caller, World, contains, palm, signature};

fn signed(answer: &v1::EraseResponse) -> SignedReceipt {
    SignedReceipt {
        receipt_json: answer.receipt_json.clone(),
        signature: answer.signature.to_vec(),
        public_key: answer.public_key.to_vec(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_person_is_found_by_nothing() {
    let world = World::start().await;
    world.create_tenant("acme").await;
    let mut operator = world.operator("acme").await;
    let rows: Vec<(String, Vec<f32>)> = (0..500).map(|n| (format!("i-{n}"), palm(n))).collect();
    operator.import("import", &rows).await.expect("imported");
    operator.enroll("pending", &palm(1_000)).await.expect("enrolled");
    for (subject, seed) in [("i-77", 77), ("pending", 1_000)] {
        assert_eq!(
            operator
                .identify_as("repeat", &palm(seed))
                .await
                .expect("answered")
                .subject_id,
            subject
        );
        let erased = operator
            .erase(&format!("erase-{subject}"), subject)
            .await
            .expect("erased");
        let stated = receipt::verify(&signed(&erased)).expect("the receipt stands");
        assert_eq!(stated.subject_id.as_str(), subject);
        assert_eq!(stated.sealed_row_sha256.len(), 1);
        assert_eq!(
            operator.identify(&palm(seed)).await.expect("answered").decision(),
            Decision::NoMatch
        );
        let cached = operator
            .identify_as("repeat", &palm(seed))
            .await
            .expect("answered");
        assert_eq!(
            cached.decision(),
            Decision::NoMatch,
            "an earlier answer is not given again"
        );
        let verify = operator.verify(subject, &palm(seed)).await.expect_err("unknown");
        assert_eq!(verify.code(), tonic::Code::NotFound);
        let again = operator
            .erase(&format!("erase-{subject}"), subject)
            .await
            .expect("done once");
        assert_eq!(again.erasure, erased.erasure);
    }
    let world = world.restart().await;
    let mut operator = world.operator("acme").await;
    for seed in [77, 1_000] {
        assert_eq!(
            operator.identify(&palm(seed)).await.expect("answered").decision(),
            Decision::NoMatch
        );
    }
    assert_eq!(
        operator.identify(&palm(78)).await.expect("answered").subject_id,
        "i-78"
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_cleaned_and_the_receipt_says_so() {
    let world = World::start().await;
    world.create_tenant("acme").await;
    let mut operator = world.operator("acme").await;
    let rows: Vec<(String, Vec<f32>)> = (0..300).map(|n| (format!("i-{n}"), palm(n))).collect();
    operator.import("import", &rows).await.expect("imported");
    let before = world.segment_files("acme");
    assert_eq!(before.len(), 1);
    let old = std::fs::read(&before[0]).expect("segment");
    let erased = operator.erase("erase", "i-123").await.expect("erased");
    let purged = operator.await_purged(erased.erasure).await;
    let stated = receipt::verify(&signed(&purged)).expect("the receipt stands");
    assert_eq!(stated.state, ErasureState::Purged);
    assert!(stated.purged_at.is_some_and(|at| at >= stated.erased_at));
    let after = world.segment_files("acme");
    assert_eq!(after.len(), 1);
    assert_ne!(before, after, "the segment was rewritten");
    // No 32-byte stretch of any sealed plane of the old file is left anywhere: the new file has a key of its own.
    let everything = world.all_bytes("acme");
    for at in (4_096..old.len() - 32).step_by(997) {
        assert!(
            !contains(&everything, &old[at..at + 32]),
            "bytes at {at} of the old segment are still there"
        );
    }
    for n in [0, 122, 124, 299] {
        assert_eq!(
            operator.identify(&palm(n)).await.expect("answered").subject_id,
            format!("i-{n}")
        );
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_tenant_is_gone_with_its_directory() {
    let world = World::start().await;
    world.create_tenant("acme").await;
    world.create_tenant("other").await;
    let mut operator = world.operator("acme").await;
    operator.enroll("s", &palm(1)).await.expect("enrolled");
    world.admin().await.drop_tenant("acme").await.expect("dropped");
    assert!(!world.tenant_path("acme").exists());
    let refusal = operator.identify(&palm(1)).await.expect_err("gone");
    assert_eq!(refusal.code(), tonic::Code::NotFound, "{refusal:?}");
    world.create_tenant("acme").await;
    let answer = operator.identify(&palm(1)).await.expect("a new, empty tenant");
    assert_eq!(answer.decision(), Decision::NoMatch);
    world.stop().await;
}

/// Asks at a gate where recent matches are looked at first.
async fn at_the_gate(scanner: &mut Caller, seed: u64) -> v1::IdentifyResponse {
    let request = v1::IdentifyRequest {
        probe: Some(signature(&palm(seed))),
        site: "gate".into(),
        ..Default::default()
    };
    let answer = scanner.identity.identify(request).await;
    answer.expect("answered").into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_regular_is_told_without_a_search_until_she_is_erased() {
    let world = World::start().await;
    world.create_tenant("acme").await;
    let mut operator = world.operator("acme").await;
    let rows: Vec<(String, Vec<f32>)> = (0..50).map(|n| (format!("i-{n}"), palm(n))).collect();
    operator.import("import", &rows).await.expect("imported");
    let proof = |answer: &v1::IdentifyResponse| answer.certificate.and_then(|certificate| certificate.proof);
    let first = at_the_gate(&mut operator, 7).await;
    let again = at_the_gate(&mut operator, 7).await;
    assert_eq!(
        (first.subject_id.as_str(), again.subject_id.as_str()),
        ("i-7", "i-7")
    );
    let recent = |answer| {
        matches!(
            proof(answer),
            Some(v1::certificate::Proof::FalseMatchProbability(_))
        )
    };
    assert!(!recent(&first) && recent(&again));
    assert_eq!(at_the_gate(&mut operator, 8).await.subject_id, "i-8");
    operator.erase("erase", "i-7").await.expect("erased");
    assert_eq!(at_the_gate(&mut operator, 7).await.decision(), Decision::NoMatch);
    assert!(
        recent(&at_the_gate(&mut operator, 8).await),
        "others are still known"
    );
    world.stop().await;
}
