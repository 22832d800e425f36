//! Simulated people, for the demo, the load generator and the benches: who they are, how their palms travel, which tenant takes them. Calls nobody.

use std::time::{Duration, SystemTime};

use half::f16;
use prost::bytes::Bytes;

use crate::client::api;
use crate::client::api::policy::ThresholdRule;
use crate::model::id::TenantId;
use crate::model::signature::{Dimension, ElementType, Signature};
use crate::population::Population;

pub mod import;
pub mod mix;
pub mod oracle;

use oracle::Asker;

/// Seed of the population and of the traffic.
pub const SEED: u64 = 20_261_124;
/// Two subjects above the threshold closer than this are ambiguous.
pub const MARGIN: f32 = 0.02;
/// The consent's term.
const CONSENT_TERM: Duration = Duration::from_hours(365 * 24);
/// How the id of a simulated subject begins; its number follows.
const SUBJECT_PREFIX: &str = "palm-";

/// A palm as the server hears it.
#[derive(Debug, Clone)]
pub struct Palm {
    /// Little-endian half precision.
    pub data: Bytes,
    /// What the server makes of it.
    pub heard: Vec<f32>,
}

impl Palm {
    /// Rounds a unit vector to half precision, as a scanner would.
    pub fn new(values: &[f32], dim: Dimension) -> Self {
        let data = half_bytes(values);
        let heard = Signature::parse(&data, ElementType::F16, dim)
            .expect("a unit vector in half precision is within the tolerance")
            .values()
            .to_vec();
        Self {
            data: data.into(),
            heard,
        }
    }

    /// The palm of a subject exactly as it was enrolled.
    pub fn enrolled(population: &Population, subject: u64) -> Self {
        Self::new(&population.reference(subject), population.dimension())
    }

    /// Cosine with another palm.
    pub fn score(&self, other: &Self) -> f64 {
        let products = self.heard.iter().zip(&other.heard);
        products.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    }

    /// The message of a good capture.
    pub fn message(&self) -> api::Signature {
        capture(self.data.clone())
    }
}

/// The message of a good capture, of coordinates in little-endian half precision.
pub fn capture(data: Bytes) -> api::Signature {
    api::Signature {
        data,
        element_type: api::ElementType::F16.into(),
        encoder: Some(encoder()),
        hand: api::Hand::Right.into(),
        quality: 90,
        capture_time: Some(SystemTime::now().into()),
        pad_verdict: api::PadVerdict::BonaFide.into(),
    }
}

/// Values as little-endian half precision.
pub fn half_bytes(values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| f16::from_f32(*value).to_le_bytes())
        .collect()
}

/// A palm that is asked about, small enough to keep: it can be made again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Question {
    /// A capture of an enrolled palm.
    Mate {
        /// Whose.
        subject: u64,
        /// Which capture.
        capture: u64,
    },
    /// A palm that is not enrolled.
    Stranger(u64),
}

impl Question {
    /// The palm as it is captured.
    pub fn palm(self, population: &Population) -> Palm {
        let values = match self {
            Self::Mate { subject, capture } => population.probe(subject, capture),
            Self::Stranger(number) => population.stranger(number),
        };
        Palm::new(&values, population.dimension())
    }

    /// Who asks with that palm, and what of it the server has to find.
    pub fn asker(self, population: &Population, palm: &Palm) -> Asker {
        match self {
            Self::Mate { subject, .. } => Asker::Mate {
                subject,
                score: palm.score(&Palm::enrolled(population, subject)),
            },
            Self::Stranger(_) => Asker::Stranger,
        }
    }
}

/// The request that makes a tenant for `palms` simulated palms, with this wanted FPIR. Each request id makes one tenant.
pub fn tenant_request(
    tenant: &TenantId,
    request_id: String,
    dim: Dimension,
    fpir: f64,
    palms: u64,
) -> api::CreateTenantRequest {
    api::CreateTenantRequest {
        request_id,
        tenant: tenant.to_string(),
        dimension: u32::try_from(dim.get()).expect("a dimension fits in 32 bits"),
        encoder: Some(encoder()),
        policy: Some(api::Policy {
            margin: MARGIN,
            quality_min: 30,
            pad_required: true,
            link_grants: Vec::new(),
            deterministic: false,
            retention: None,
            sealed_probes: false,
            threshold_rule: Some(ThresholdRule::TargetFpir(api::TargetFpir {
                fpir,
                gallery_size: palms,
            })),
        }),
    }
}

/// Id of a simulated subject.
pub fn subject_id(subject: u64) -> String {
    format!("{SUBJECT_PREFIX}{subject}")
}

/// Number of the simulated subject of this id; none of any other id.
pub fn subject_number(id: &str) -> Option<u64> {
    id.strip_prefix(SUBJECT_PREFIX)?.parse().ok()
}

/// The encoder that all simulated palms are of. No other tenant takes them.
pub fn encoder() -> api::Encoder {
    api::Encoder {
        name: "simulated-palm".to_owned(),
        version: "1".to_owned(),
    }
}

/// What the simulated people agreed to.
pub fn consent() -> api::Consent {
    let now = SystemTime::now();
    api::Consent {
        policy_version: "simulated-1".to_owned(),
        purpose: "demonstration and measurement with simulated palms".to_owned(),
        give_time: Some(now.into()),
        expire_time: Some((now + CONSENT_TERM).into()),
        method: api::ConsentMethod::AtDevice.into(),
    }
}

#[cfg(test)]
#[path = "simulated_tests.rs"]
mod tests;
