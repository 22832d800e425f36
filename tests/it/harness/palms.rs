//! Palms and requests that tests start from.

use std::time::SystemTime;

use rand::{Rng, SeedableRng};
use thenar::proto::v1;

/// Dimension of the tests' signatures: small, so that a debug build stays quick.
pub const DIM: usize = 64;

/// The palm with this number: a random unit vector, always the same.
pub fn palm(seed: u64) -> Vec<f32> {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    // Sums of uniform numbers are near enough to Gaussian for directions without structure.
    let values: Vec<f64> = (0..DIM)
        .map(|_| {
            (0..4)
                .map(|_| f64::from(rng.next_u32()) / f64::from(u32::MAX) - 0.5)
                .sum()
        })
        .collect();
    let norm = values.iter().map(|v| v * v).sum::<f64>().sqrt();
    values.iter().map(|v| (v / norm) as f32).collect()
}

/// Inner product in double precision.
pub fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
}

/// Whether `bytes` holds `part` anywhere.
pub fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn now() -> prost_types::Timestamp {
    SystemTime::now().into()
}

/// A good capture of this palm.
pub fn signature(values: &[f32]) -> v1::Signature {
    v1::Signature {
        data: values
            .iter()
            .flat_map(|v| v.to_le_bytes())
            .collect::<Vec<u8>>()
            .into(),
        element_type: v1::ElementType::F32.into(),
        encoder: Some(encoder()),
        hand: v1::Hand::Right.into(),
        quality: 80,
        capture_time: Some(now()),
        pad_verdict: v1::PadVerdict::BonaFide.into(),
    }
}

/// The encoder of every tenant in the tests.
pub fn encoder() -> v1::Encoder {
    v1::Encoder {
        name: "test".into(),
        version: "1".into(),
    }
}

/// A consent that holds for a year.
pub fn consent() -> v1::Consent {
    let mut expires = now();
    expires.seconds += 365 * 86_400;
    v1::Consent {
        policy_version: "2026-1".into(),
        purpose: "tests".into(),
        give_time: Some(now()),
        expire_time: Some(expires),
        method: v1::ConsentMethod::InApp.into(),
    }
}

/// A policy with this threshold.
pub fn policy(threshold: f32) -> v1::Policy {
    v1::Policy {
        threshold_rule: Some(v1::policy::ThresholdRule::Threshold(threshold)),
        margin: 0.02,
        quality_min: 30,
        pad_required: false,
        link_grants: Vec::new(),
        deterministic: false,
        retention: None,
        sealed_probes: false,
    }
}
