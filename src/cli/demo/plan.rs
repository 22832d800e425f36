//! Who is who in the demo: tenants, subjects, policies. Calls nobody.

use std::time::Duration;

use crate::client::api;
use crate::model::id::TenantId;
use crate::model::signature::Dimension;
use crate::population::Population;

use super::super::simulated::mix::Mix;
use super::super::simulated::{self, Palm, SEED};
use super::Args;

/// Palms of the other tenant.
pub(super) const OTHER_PALMS: u64 = 1_000;
/// People who come back again and again: the first ones.
pub(super) const REGULARS: u64 = 20;
/// Who comes: one in five a stranger, one a regular, three anybody enrolled.
pub(super) const MIX: Mix = Mix {
    strangers: 0.2,
    regulars: 0.2,
    circle: REGULARS,
};
/// The subject that is erased: a regular, so that every cache knows it.
pub(super) const LEAVER: u64 = REGULARS / 2;
/// Wanted FPIR of the tenant that is asked most.
pub(super) const FPIR: f64 = 1e-3;
/// Wanted FPIR of the other tenant: so small that every match there is a fault.
const OTHER_FPIR: f64 = 1e-6;

/// All that is fixed before the first call.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) population: Population,
    pub(super) dim: Dimension,
    pub(super) palms: u64,
    pub(super) scanners: u32,
    pub(super) duration: Duration,
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
        Palm::enrolled(&self.population, subject)
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
        simulated::tenant_request(tenant, format!("create-{tenant}"), self.dim, fpir, self.palms)
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

#[cfg(test)]
#[path = "plan_tests.rs"]
pub(super) mod tests;
