//! Palms and the messages that carry them: each a pure function of the seed, the gallery and a number. Keeps none.

use prost_types::Timestamp;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use thenar::client::api;

/// Score from which on a candidate counts: a palm and its probe score 0.98, two palms of 64 dimensions reach it once in 10^17.
pub const THRESHOLD: f32 = 0.85;
/// Length of the error of a capture, the palm's being 1.
const CAPTURE_ERROR: f32 = 0.2;
/// Consents and captures are of a fixed time, so that a repeated request is the same to the byte.
const GIVEN_AT: i64 = 1_700_000_000;
const EXPIRES_AT: i64 = 4_000_000_000;

/// Whose palms.
#[derive(Debug, Clone, Copy)]
pub struct Palms {
    /// Of the whole run.
    pub seed: u64,
    /// Number of the tenant.
    pub tenant: u64,
    /// Coordinates.
    pub dim: usize,
}

impl Palms {
    /// The enrolled capture of a subject.
    pub fn reference(&self, number: u64) -> Vec<f32> {
        let mut palm = self.gaussian(number, 0);
        normalize(&mut palm);
        palm
    }

    /// Another capture of the same palm.
    pub fn probe(&self, number: u64, capture: u64) -> Vec<f32> {
        let mut palm = self.reference(number);
        let mut error = self.gaussian(number, capture.max(1));
        normalize(&mut error);
        for (value, error) in palm.iter_mut().zip(&error) {
            *value += CAPTURE_ERROR * error;
        }
        normalize(&mut palm);
        palm
    }

    /// The same palms in a gallery of another dimension.
    #[must_use]
    pub fn sized(self, dim: usize) -> Self {
        Self { dim, ..self }
    }

    fn gaussian(&self, number: u64, capture: u64) -> Vec<f32> {
        let mut key = [0; 32];
        let words = [self.seed, self.tenant, number, capture];
        for (bytes, word) in key.as_chunks_mut::<8>().0.iter_mut().zip(words) {
            *bytes = word.to_le_bytes();
        }
        let mut rng = ChaCha8Rng::from_seed(key);
        (0..self.dim).map(|_| StandardNormal.sample(&mut rng)).collect()
    }
}

fn normalize(values: &mut [f32]) {
    let norm = values.iter().map(|value| value * value).sum::<f32>().sqrt();
    for value in values {
        *value /= norm;
    }
}

/// Coordinates as they travel.
pub fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// A good capture with these coordinates.
pub fn signature(values: &[f32]) -> api::Signature {
    api::Signature {
        data: bytes(values).into(),
        element_type: api::ElementType::F32.into(),
        encoder: Some(encoder()),
        hand: api::Hand::Right.into(),
        quality: 80,
        capture_time: Some(at(GIVEN_AT)),
        pad_verdict: api::PadVerdict::BonaFide.into(),
    }
}

/// The encoder of every tenant.
pub fn encoder() -> api::Encoder {
    api::Encoder {
        name: "torture".to_owned(),
        version: "1".to_owned(),
    }
}

/// The consent of every subject.
pub fn consent() -> api::Consent {
    api::Consent {
        policy_version: "2026-1".to_owned(),
        purpose: "torture".to_owned(),
        give_time: Some(at(GIVEN_AT)),
        expire_time: Some(at(EXPIRES_AT)),
        method: api::ConsentMethod::InApp.into(),
    }
}

/// The policy of every tenant.
pub fn policy(deterministic: bool) -> api::Policy {
    api::Policy {
        threshold_rule: Some(api::policy::ThresholdRule::Threshold(THRESHOLD)),
        margin: 0.001,
        quality_min: 30,
        pad_required: false,
        link_grants: Vec::new(),
        deterministic,
        retention: None,
        sealed_probes: false,
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp { seconds, nanos: 0 }
}
