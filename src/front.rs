//! The front tier: admission on domain types. Authenticates, admits, protects, routes, decides; keeps no gallery and touches no file.

use std::sync::Arc;
use std::time::Duration;

use crate::keys::keyring::Keyring;
use crate::matcher::node::NodeError;
use crate::model::id::TenantId;
use crate::model::principal::Principal;
use crate::model::tenant::{TenantSpec, TenantState, TenantStatus};
use crate::model::timestamp::Timestamp;

pub mod admin;
mod admit;
mod answers;
pub mod authorize;
pub mod command;
mod decide;
mod digest;
pub mod enroll;
pub mod error;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod fixture;
pub mod guard;
pub mod identify;
pub mod identity;
pub mod import;
pub mod investigate;
pub mod quota;
pub mod recent;
pub mod retention;
pub mod revocation;
pub mod route;
pub mod sealed;
pub mod subjects;
mod tenants;
pub mod threshold;

use answers::Answers;
use authorize::{Member, Method};
use command::{Identified, Verified};
use error::FrontError;
use guard::{Guard, GuardConfig};
use identity::Caller;
use quota::{Place, QuotaConfig, Quotas};
use recent::RecentConfig;
use route::Routes;
use sealed::{SealedConfig, Taken};
use tenants::{Tenant, Tenants};

/// Settings of the front.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrontConfig {
    /// Most answers of each method that are kept for repetitions.
    pub answers_max: u64,
    /// How long an answer is kept for repetitions.
    pub answers_ttl: Duration,
    /// Most bytes of rotations kept in memory; those of further tenants are derived again when needed.
    pub rotations_bytes_max: u64,
    /// How much scanners and tenants may ask.
    pub quotas: QuotaConfig,
    /// What is remembered of recent matches.
    pub recent: RecentConfig,
    /// When a scanner is held up that comes nearer to somebody's palm.
    pub guard: GuardConfig,
    /// How fresh sealed probes must be.
    pub sealed: SealedConfig,
}

impl Default for FrontConfig {
    fn default() -> Self {
        Self {
            answers_max: 100_000,
            answers_ttl: Duration::from_mins(5),
            rotations_bytes_max: 1 << 30,
            quotas: QuotaConfig::default(),
            recent: RecentConfig::default(),
            guard: GuardConfig::default(),
            sealed: SealedConfig::default(),
        }
    }
}

/// Drops of tenants, and rotations of keys, that are remembered for repetitions.
const ADMINISTERED_MAX: u64 = 10_000;
/// How long one is remembered for repetitions.
const ADMINISTERED_TTL: Duration = Duration::from_hours(24);

/// The front of one or more match nodes. Each public method is one method of the API, written in the order of its steps.
pub struct Front {
    keyring: Arc<Keyring>,
    routes: Routes,
    tenants: Arc<Tenants>,
    quotas: Quotas,
    guard: Guard,
    taken: Taken,
    identified: Answers<Identified>,
    verified: Answers<Verified>,
    dropped: Answers<()>,
    rotated: Answers<()>,
    /// Held while a tenant is made or dropped, so that neither takes the other's keys away.
    changing: tokio::sync::Mutex<()>,
}

impl Front {
    /// A front that has loaded nothing yet; see [`Front::warm`].
    pub fn new(config: FrontConfig, keyring: Arc<Keyring>, routes: Routes) -> Arc<Self> {
        Arc::new(Self {
            tenants: Arc::new(Tenants::new(
                Arc::clone(&keyring),
                config.rotations_bytes_max,
                &config.recent,
            )),
            quotas: Quotas::new(config.quotas),
            guard: Guard::new(config.guard),
            taken: Taken::new(config.sealed, Timestamp::now()),
            identified: Answers::new(config.answers_max, config.answers_ttl),
            verified: Answers::new(config.answers_max, config.answers_ttl),
            dropped: Answers::new(ADMINISTERED_MAX, ADMINISTERED_TTL),
            rotated: Answers::new(ADMINISTERED_MAX, ADMINISTERED_TTL),
            changing: tokio::sync::Mutex::new(()),
            keyring,
            routes,
        })
    }

    /// Loads all tenants, derives their rotations as far as memory is allowed for them, and compares the digests, so
    /// that the first request finds everything in place. A tenant whose rotation is not the one of its gallery is
    /// logged, answers with [`FrontError::TransformMismatch`] from then on, and keeps nobody else from being served.
    pub async fn warm(&self) -> Result<(), FrontError> {
        for node in self.routes.nodes() {
            let statuses = match node.tenants().await {
                Ok(statuses) => statuses,
                // Its tenants are asked for again when somebody calls; those of other nodes are served.
                Err(error) => {
                    tracing::warn!(%error, "a match node does not tell its tenants");
                    continue;
                }
            };
            for status in statuses {
                if !self.routes.leads_to(&status.id, node) {
                    continue;
                }
                match (status.state, status.spec) {
                    (TenantState::Ready, Some(spec)) => {
                        if let Err(error) = self.tenants.insert(spec) {
                            tracing::warn!(tenant = %status.id, %error, "tenant is not served");
                        }
                    }
                    (TenantState::Unavailable(reason), _) => {
                        tracing::warn!(tenant = %status.id, reason, "tenant is not served");
                    }
                    (TenantState::Ready, None) => {
                        tracing::warn!(tenant = %status.id, "tenant is not served: the node sent no spec");
                    }
                }
            }
        }
        let tenants = Arc::clone(&self.tenants);
        blocking(move || {
            for (tenant, error) in tenants.derive_all() {
                tracing::warn!(tenant = %tenant, %error, "tenant is not served");
            }
        })
        .await
    }

    /// Counts a call of a method that quotas count, or a probe of a stream, before anything of it is read: what can't be read, or is refused, counts as much. The
    /// place is its own for as long as somebody works on it. Whoever belongs to no tenant has no quota, and reaches no gallery.
    pub fn count(&self, caller: &Caller) -> Result<Option<Place>, FrontError> {
        match &caller.principal {
            Principal::Member { tenant, .. } => Ok(Some(self.quotas.enter(&caller.principal, tenant)?)),
            Principal::Admin { .. } => Ok(None),
        }
    }

    /// Lets a caller at its tenant's gallery for one call that was counted. First of all who asks, so that nobody learns
    /// anything about another tenant, not even that it exists.
    fn enter(&self, caller: &Caller, method: Method, named: Option<&TenantId>) -> Result<Member, FrontError> {
        let member = authorize::gallery(caller, method, named)?;
        self.guard.enter(&caller.principal)?;
        Ok(member)
    }

    /// What is known of a tenant, asked of its node the first time.
    async fn known(&self, id: &TenantId) -> Result<Arc<Tenant>, FrontError> {
        if let Some(tenant) = self.tenants.get(id) {
            return Ok(tenant);
        }
        let status = self.routes.node(id)?.tenant(id).await?;
        self.take_in(ready(status)?).await
    }

    /// Knows a tenant as it is from now on, by the keys that there are by now: another front that shares the keyring may have made it anew.
    async fn take_in(&self, spec: TenantSpec) -> Result<Arc<Tenant>, FrontError> {
        let known = self.tenants.get(&spec.id);
        if let Some(known) = known.filter(|known| known.spec == spec) {
            return Ok(known);
        }
        let (tenants, keyring) = (Arc::clone(&self.tenants), Arc::clone(&self.keyring));
        blocking(move || {
            let read = keyring.refresh();
            read.map_err(|error| FrontError::Keys(error.to_string()))?;
            tenants.insert(spec)
        })
        .await?
    }

    /// The same for a caller's own tenant.
    async fn tenant_of(&self, member: &Member) -> Result<Arc<Tenant>, FrontError> {
        self.known(&member.tenant).await
    }

    /// Passes a node's answer on. A tenant that the node no longer has, or has with another rotation, is forgotten here
    /// too, so that one made anew under the same id is not met with the keys of the former.
    fn heard<T>(&self, tenant: &Tenant, answer: Result<T, NodeError>) -> Result<T, FrontError> {
        if let Err(NodeError::TenantUnknown(_) | NodeError::TransformStale { .. }) = answer {
            self.tenants.forget(tenant);
        }
        Ok(answer?)
    }
}

/// The spec of a tenant that is served.
fn ready(status: TenantStatus) -> Result<TenantSpec, NodeError> {
    let tenant = status.id;
    match (status.state, status.spec) {
        (TenantState::Ready, Some(spec)) => Ok(spec),
        (TenantState::Unavailable(reason), _) => Err(NodeError::TenantUnavailable { tenant, reason }),
        (TenantState::Ready, None) => Err(NodeError::Internal(format!(
            "the node sent no spec of tenant {tenant}"
        ))),
    }
}

/// Runs what takes a processor or a disk for long where it holds up no other request.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, FrontError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| NodeError::Internal(format!("a background task ended early: {error}")).into())
}

#[cfg(test)]
#[path = "front/front_tests.rs"]
mod tests;
