//! Quotas: how often a scanner and a tenant may ask, and how many of their calls may be under way at once. Looks at no content of a request.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock, MonotonicClock};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota as Rate, RateLimiter};
use moka::sync::Cache;
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::matcher::node::NodeError;
use crate::model::id::TenantId;
use crate::model::principal::Principal;

/// Scanners and tenants whose use is known at once.
const KNOWN_MAX: u64 = 1_000_000;
/// After so long without a call somebody's use is forgotten. By then its quota is to be whole again.
pub const IDLE: Duration = Duration::from_mins(10);
/// When to try again where too many calls are under way: about as long as one takes.
const AT_ONCE_RETRY_AFTER: Duration = Duration::from_millis(50);

/// How much one may ask. 0 sets no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Quota {
    /// Calls in a second, in the long run.
    pub per_second: u32,
    /// Calls that may come together after a pause; 0 takes `per_second`.
    pub burst: u32,
    /// Calls under way at once.
    pub at_once: u32,
}

/// All quotas. Probes, enrolments and investigations count, also those that are refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QuotaConfig {
    /// Of each principal, whatever certificates it has: a scanner, an enroller, an operator.
    pub scanner: Quota,
    /// Of each tenant that is not named.
    pub tenant: Quota,
    /// Of tenants by name.
    pub tenants: BTreeMap<TenantId, Quota>,
}

impl Default for QuotaConfig {
    fn default() -> Self {
        Self {
            // One certificate must not hold up everybody by all the streams that it can open, nor fill the disk with the history of its tries.
            scanner: Quota {
                per_second: 200,
                burst: 0,
                at_once: 256,
            },
            tenant: Quota::default(),
            tenants: BTreeMap::new(),
        }
    }
}

/// Names of the limits of one quota.
struct Names {
    per_second: &'static str,
    at_once: &'static str,
}

const SCANNER: Names = Names {
    per_second: "quotas.scanner.per_second",
    at_once: "quotas.scanner.at_once",
};
const TENANT: Names = Names {
    per_second: "quotas.tenant.per_second",
    at_once: "quotas.tenant.at_once",
};

/// Whose use is counted.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Who {
    Principal(Principal),
    Tenant(TenantId),
}

/// A rate of one thing, by a clock that tests can move.
pub(super) type Limiter<C> = RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// What somebody may still do.
struct Allowance<C: Clock> {
    quota: Quota,
    rate: Option<Limiter<C>>,
    places: Option<Arc<Semaphore>>,
}

/// The quotas and their use.
pub(super) struct Quotas<C: Clock = MonotonicClock> {
    config: QuotaConfig,
    clock: C,
    used: Cache<Who, Arc<Allowance<C>>>,
}

/// A call under way, until it is dropped.
pub struct Place(#[expect(dead_code, reason = "held")] [Option<OwnedSemaphorePermit>; 2]);

impl Quotas {
    pub(super) fn new(config: QuotaConfig) -> Self {
        Self::with_clock(config, MonotonicClock)
    }
}

impl<C: Clock + Clone + Send + Sync + 'static> Quotas<C>
where
    C::Instant: Send + Sync,
{
    fn with_clock(config: QuotaConfig, clock: C) -> Self {
        Self {
            config,
            clock,
            used: Cache::builder()
                .max_capacity(KNOWN_MAX)
                .time_to_idle(IDLE)
                .build(),
        }
    }

    /// Lets a call in, or refuses it with the limit's name and when to try again. The caller's own quota comes first, so that a
    /// scanner beyond it takes nothing of its tenant's.
    pub(super) fn enter(&self, principal: &Principal, tenant: &TenantId) -> Result<Place, NodeError> {
        let scanner = self.config.scanner;
        let named = self.config.tenants.get(tenant);
        let of_tenant = named.copied().unwrap_or(self.config.tenant);
        let first = self.take(scanner, &SCANNER, || Who::Principal(principal.clone()))?;
        let second = self.take(of_tenant, &TENANT, || Who::Tenant(tenant.clone()))?;
        Ok(Place([first, second]))
    }

    fn take(
        &self,
        quota: Quota,
        names: &Names,
        who: impl FnOnce() -> Who,
    ) -> Result<Option<OwnedSemaphorePermit>, NodeError> {
        if quota == Quota::default() {
            return Ok(None);
        }
        let allowance = self.used.get_with(who(), || Arc::new(self.whole(quota)));
        let exhausted = |limit, value: u32, retry_after| NodeError::Exhausted {
            limit,
            value: value.into(),
            retry_after,
        };
        let place = match &allowance.places {
            None => None,
            Some(places) => {
                let place = Arc::clone(places).try_acquire_owned();
                let refused = |_| exhausted(names.at_once, allowance.quota.at_once, AT_ONCE_RETRY_AFTER);
                Some(place.map_err(refused)?)
            }
        };
        if let Some(rate) = &allowance.rate {
            rate.check().map_err(|refused| {
                let wait = refused.wait_time_from(self.clock.now());
                exhausted(names.per_second, allowance.quota.per_second, wait)
            })?;
        }
        Ok(place)
    }

    fn whole(&self, quota: Quota) -> Allowance<C> {
        let burst = NonZeroU32::new(quota.burst);
        let rate = NonZeroU32::new(quota.per_second).map(|per_second| {
            let rate = Rate::per_second(per_second).allow_burst(burst.unwrap_or(per_second));
            RateLimiter::direct_with_clock(rate, self.clock.clone())
        });
        let places = (quota.at_once > 0).then(|| Arc::new(Semaphore::new(quota.at_once as usize)));
        Allowance { quota, rate, places }
    }
}

#[cfg(test)]
#[path = "quota_tests.rs"]
mod tests;
