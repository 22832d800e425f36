//! Promise: the answer of an exhaustive scan, whichever backend ran it, with a certificate.

use std::collections::BTreeMap;

use thenar::population::Population;
use thenar::proto::v1::certificate::Proof;
use thenar::proto::v1::{self, IdentifyResponse, ScoredCandidate};

use crate::harness::{Backend, DIM, World, dot, palm, policy};

/// Random palms, a tight cluster, exact duplicates and rows spread around the threshold.
fn gallery(threshold: f32) -> Vec<(String, Vec<f32>)> {
    let mut rows: Vec<Vec<f32>> = (0..400).map(palm).collect();
    let center = palm(1);
    rows.extend((0..200).map(|n| blend(&center, &palm(5_000 + n), 0.9)));
    rows.extend((0..20).map(|_| palm(2)));
    rows.extend((0..100).map(|n| {
        let offset = (n as f32 - 50.0) * 1e-4;
        blend(&center, &palm(7_000 + n), threshold + offset)
    }));
    rows.into_iter()
        .enumerate()
        .map(|(n, row)| (format!("i-{n:04}"), row))
        .collect()
}

/// A unit vector with this cosine to `a`.
fn blend(a: &[f32], b: &[f32], cosine: f32) -> Vec<f32> {
    let along = dot(a, b);
    let rest: Vec<f64> = a
        .iter()
        .zip(b)
        .map(|(x, y)| f64::from(*y) - along * f64::from(*x))
        .collect();
    let norm = rest.iter().map(|v| v * v).sum::<f64>().sqrt();
    let cosine = f64::from(cosine);
    let sine = (1.0 - cosine * cosine).sqrt();
    a.iter()
        .zip(rest)
        .map(|(x, r)| (cosine * f64::from(*x) + sine * r / norm) as f32)
        .collect()
}

fn scores(answer: &IdentifyResponse) -> BTreeMap<String, u32> {
    answer
        .candidates
        .iter()
        .map(
            |ScoredCandidate {
                 subject_id, score, ..
             }| (subject_id.clone(), score.to_bits()),
        )
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_backend_gives_the_exhaustive_answer_to_the_last_bit() {
    let threshold = 0.45;
    let rows = gallery(threshold);
    let mut world = World::start_with(Backend::Cpu).await;
    world.create_tenant_with("acme", policy(threshold)).await;
    let mut operator = world.operator("acme").await;
    operator.import("import", &rows).await.expect("imported");
    let probes: Vec<Vec<f32>> = (0..12)
        .map(palm)
        .chain([blend(&palm(1), &palm(3), 0.7)])
        .collect();
    let mut reference: Option<Vec<BTreeMap<String, u32>>> = None;
    for backend in Backend::ALL {
        world = world.restart_with(backend).await;
        let mut operator = world.operator("acme").await;
        let mut found = Vec::new();
        for probe in &probes {
            let answer = operator.identify_all(probe).await.expect("answered");
            assert!(
                answer.backend.starts_with(backend.prefix()),
                "{} is not {}",
                answer.backend,
                backend.prefix()
            );
            let proof = answer
                .certificate
                .and_then(|certificate| certificate.proof)
                .expect("proof");
            assert!(
                matches!(proof, Proof::Deterministic(true) | Proof::MissProbability(1e-9)),
                "{proof:?}"
            );
            check_exhaustive(&rows, probe, &answer, threshold);
            found.push(scores(&answer));
        }
        match &reference {
            None => reference = Some(found),
            Some(expected) => assert_eq!(&found, expected, "{backend:?} differs from the first backend"),
        }
    }
    world.stop().await;
}

/// The server's rows are rotated and rounded to half precision, so a cosine computed here may differ
/// by some 1e-3; within that of the threshold either answer is right.
fn check_exhaustive(rows: &[(String, Vec<f32>)], probe: &[f32], answer: &IdentifyResponse, threshold: f32) {
    let found: BTreeMap<&str, f32> = answer
        .candidates
        .iter()
        .map(|c| (c.subject_id.as_str(), c.score))
        .collect();
    for (subject, row) in rows {
        let cosine = dot(probe, row);
        match found.get(subject.as_str()) {
            Some(score) => assert!(
                (f64::from(*score) - cosine).abs() < 1e-3,
                "{subject}: {score} for {cosine}"
            ),
            None => assert!(
                cosine < f64::from(threshold) + 1e-3,
                "{subject} with {cosine} was not found"
            ),
        }
    }
    assert!(
        answer.candidates.is_sorted_by(|a, b| a.score >= b.score),
        "best first"
    );
    assert!(answer.candidates.iter().all(|c| c.score >= threshold));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_asks_for_proof_gets_nothing_else() {
    let mut world = World::start_with(Backend::Cpu).await;
    let proved = v1::Policy {
        deterministic: true,
        ..policy(0.45)
    };
    world.create_tenant_with("acme", proved).await;
    let rows = gallery(0.45);
    let mut operator = world.operator("acme").await;
    operator.import("import", &rows).await.expect("imported");
    for backend in Backend::ALL {
        // The policy is kept with the tenant.
        world = world.restart_with(backend).await;
        let mut operator = world.operator("acme").await;
        let tenant = operator.tenant("acme").await.expect("known");
        assert!(tenant.policy.expect("a policy").deterministic);
        let proofs = |certificate: Option<v1::Certificate>| certificate.and_then(|c| c.proof);
        for probe in (0..5).map(palm) {
            let alone = operator.identify(&probe).await.expect("answered");
            assert_eq!(proofs(alone.certificate), Some(Proof::Deterministic(true)));
            let nearest = operator.investigate(&probe, 1).await.expect("answered");
            assert_eq!(proofs(nearest.certificate), Some(Proof::Deterministic(true)));
        }
        let probes: Vec<(String, Vec<f32>)> = (0..40).map(|n| (format!("r-{n}"), palm(n))).collect();
        for answer in operator
            .identify_stream(&probes)
            .await
            .expect("answered")
            .into_values()
        {
            assert_eq!(
                proofs(answer.expect("no error").certificate),
                Some(Proof::Deterministic(true))
            );
        }
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gallery_that_overflows_the_survivors_is_searched_row_by_row() {
    let world = World::start().await;
    world.create_tenant_with("acme", policy(0.5)).await;
    let mut operator = world.operator("acme").await;
    // More copies of one palm than survivors are kept for a probe.
    let rows: Vec<(String, Vec<f32>)> = (0..6_000).map(|n| (format!("i-{n:04}"), palm(1))).collect();
    operator.import("import", &rows).await.expect("imported");
    let answer = operator.identify_all(&palm(1)).await.expect("answered");
    assert_eq!(answer.candidates.len(), 1_000, "as many as were asked for");
    let best = answer.candidates.first().expect("found").score;
    assert!(
        answer
            .candidates
            .iter()
            .all(|c| c.score.to_bits() == best.to_bits())
    );
    assert!((best - 1.0).abs() < 1e-3);
    assert_eq!(answer.retake_reason(), thenar::proto::v1::RetakeReason::Ambiguous);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_answers_every_probe_by_its_request_id() {
    let world = World::start().await;
    world.create_tenant("acme").await;
    let mut operator = world.operator("acme").await;
    let population = Population::new(3, DIM.try_into().expect("valid"));
    let rows: Vec<(String, Vec<f32>)> = (0..500)
        .map(|n| (format!("i-{n}"), population.reference(n)))
        .collect();
    operator.import("import", &rows).await.expect("imported");
    let probes: Vec<(String, Vec<f32>)> = (0..300)
        .map(|n| (format!("r-{n}"), population.reference(n)))
        .collect();
    let answers = operator
        .identify_stream(&probes)
        .await
        .expect("the stream ended well");
    assert_eq!(answers.len(), probes.len());
    for n in 0..300 {
        let answer = answers.get(&format!("r-{n}")).expect("answered");
        assert_eq!(answer.as_ref().expect("no error").subject_id, format!("i-{n}"));
    }
    // A refused probe is answered in its place and the stream goes on.
    let mixed = vec![
        ("good".to_owned(), population.reference(1)),
        ("bad".to_owned(), vec![0.0; DIM]),
    ];
    let answers = operator
        .identify_stream(&mixed)
        .await
        .expect("the stream ended well");
    assert_eq!(answers["good"].as_ref().expect("no error").subject_id, "i-1");
    assert_eq!(
        answers["bad"].as_ref().expect_err("refused").code,
        tonic::Code::InvalidArgument as i32
    );
    world.stop().await;
}
