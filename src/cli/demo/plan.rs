//! Who is who in the demo: tenants, subjects, policies, and palms as they go over the wire. Calls nobody.

use std::time::{Duration, SystemTime};

use half::f16;
use prost::bytes::Bytes;

use crate::client::api;
use crate::client::api::policy::ThresholdRule;
use crate::model::id::TenantId;
use crate::model::signature::{Dimension, ElementType, Signature};
use crate::population::Population;

use super::Args;

/// Seed of the population and of the traffic.
pub(super) const SEED: u64 = 20_261_124;
/// Palms of the other tenant.
pub(super) const OTHER_PALMS: u64 = 1_000;
/// People who come back again and again: the first ones.
pub(super) const REGULARS: u64 = 20;
/// The subject that is erased: a regular, so that every cache knows it.
pub(super) const LEAVER: u64 = REGULARS / 2;
/// Two subjects above the threshold closer than this are ambiguous.
pub(super) const MARGIN: f32 = 0.02;
/// Wanted FPIR of the tenant that is asked most.
pub(super) const FPIR: f64 = 1e-3;
/// Wanted FPIR of the other tenant: so small that every match there is a fault.
const OTHER_FPIR: f64 = 1e-6;
/// The consent's term.
const CONSENT_TERM: Duration = Duration::from_hours(365 * 24);

/// All that is fixed before the first call.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) population: Population,
    pub(super) dim: Dimension,
    pub(super) palms: u64,
    pub(super) scanners: u32,
    pub(super) duration: Duration,
}

/// A palm as the server hears it.
#[derive(Debug, Clone)]
pub(super) struct Palm {
    /// Little-endian half precision.
    pub(super) data: Bytes,
    /// What the server makes of it.
    pub(super) heard: Vec<f32>,
}

impl Palm {
    /// Rounds a signature to half precision, as a scanner would.
    pub(super) fn new(values: &[f32], dim: Dimension) -> Self {
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

    /// Cosine with another palm.
    pub(super) fn score(&self, other: &Self) -> f64 {
        let products = self.heard.iter().zip(&other.heard);
        products.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    }

    /// The message of a good capture.
    pub(super) fn message(&self) -> api::Signature {
        api::Signature {
            data: self.data.clone(),
            element_type: api::ElementType::F16.into(),
            encoder: Some(encoder()),
            hand: api::Hand::Right.into(),
            quality: 90,
            capture_time: Some(SystemTime::now().into()),
            pad_verdict: api::PadVerdict::BonaFide.into(),
        }
    }
}

/// Values as little-endian half precision.
pub(super) fn half_bytes(values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| f16::from_f32(*value).to_le_bytes())
        .collect()
}

impl Plan {
    pub(super) fn new(args: &Args) -> Self {
        Self {
            population: Population::new(SEED, args.dim),
            dim: args.dim,
            palms: args.palms,
            scanners: args.scanners,
            duration: Duration::from_secs(args.seconds),
        }
    }

    /// The subject that is enrolled while the server runs.
    pub(super) fn newcomer(&self) -> u64 {
        self.palms + OTHER_PALMS
    }

    /// The palm exactly as it was enrolled.
    pub(super) fn enrolled(&self, subject: u64) -> Palm {
        Palm::new(&self.population.reference(subject), self.dim)
    }

    /// `count` subjects spread evenly over all that were imported.
    pub(super) fn sample(&self, count: u64) -> impl Iterator<Item = u64> + use<> {
        let (palms, count) = (self.palms, count.min(self.palms));
        (0..count).map(move |i| {
            let at = u128::from(i) * u128::from(palms) / u128::from(count);
            u64::try_from(at).expect("below palms")
        })
    }

    /// The request that makes one of the two tenants.
    pub(super) fn tenant_request(&self, tenant: &TenantId) -> api::CreateTenantRequest {
        let fpir = if *tenant == arena() { FPIR } else { OTHER_FPIR };
        api::CreateTenantRequest {
            request_id: format!("create-{tenant}"),
            tenant: tenant.to_string(),
            dimension: u32::try_from(self.dim.get()).expect("a dimension fits in 32 bits"),
            encoder: Some(encoder()),
            policy: Some(api::Policy {
                margin: MARGIN,
                quality_min: 30,
                pad_required: true,
                link_grants: Vec::new(),
                deterministic: false,
                retention: None,
                threshold_rule: Some(ThresholdRule::TargetFpir(api::TargetFpir {
                    fpir,
                    gallery_size: self.palms,
                })),
            }),
        }
    }
}

/// The tenant with all the palms.
pub(super) fn arena() -> TenantId {
    "arena".parse().expect("a valid id")
}

/// The other tenant.
pub(super) fn office() -> TenantId {
    "office".parse().expect("a valid id")
}

/// Id of a simulated subject.
pub(super) fn subject_id(subject: u64) -> String {
    format!("palm-{subject}")
}

pub(super) fn encoder() -> api::Encoder {
    api::Encoder {
        name: "simulated-palm".to_owned(),
        version: "1".to_owned(),
    }
}

/// What the simulated people agreed to.
pub(super) fn consent() -> api::Consent {
    let now = SystemTime::now();
    api::Consent {
        policy_version: "demo-1".to_owned(),
        purpose: "demonstration with simulated palms".to_owned(),
        give_time: Some(now.into()),
        expire_time: Some((now + CONSENT_TERM).into()),
        method: api::ConsentMethod::AtDevice.into(),
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
pub(super) mod tests;
