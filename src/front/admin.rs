//! Administration: making, showing and dropping tenants, and putting new keys in the place of theirs. Reaches no gallery.

use std::sync::Arc;

use super::answers::Question;
use super::authorize::{self, Method};
use super::command::{CreateTenant, TenantView, UpdatePolicy};
use super::error::FrontError;
use super::identity::Caller;
use super::tenants::Renewal;
use super::{Front, blocking, ready, threshold};
use crate::keys::keyring::{Keyring, Purpose, Renewable};
use crate::keys::secret::SecretKey;
use crate::keys::transform::Rotation;
use crate::matcher::node::{NodeError, PolicyChange};
use crate::model::checkpoint::SignedCheckpoint;
use crate::model::id::{RequestId, TenantId};
use crate::model::tenant::{TenantSpec, TenantState, TenantStatus};
use crate::model::timestamp::Timestamp;

/// Version of a new tenant's rotation.
const TRANSFORM_VERSION_FIRST: u32 = 1;

impl Front {
    /// Makes a tenant with keys, a rotation and a gallery of its own. Asked again with the same settings it answers
    /// the same.
    pub async fn create_tenant(
        &self,
        caller: &Caller,
        request: CreateTenant,
    ) -> Result<TenantView, FrontError> {
        authorize::administration(caller, Method::CreateTenant, &request.tenant)?;
        request.policy.check()?;
        let _one_at_a_time = self.changing.lock().await;
        let node = self.routes.node(&request.tenant)?;
        // The keys come first: a crash in between leaves keys without a tenant, which the repetition uses. The other
        // way round a gallery could be there whose rotation nobody knows.
        let (keyring, id, dim) = (
            Arc::clone(&self.keyring),
            request.tenant.clone(),
            request.dimension,
        );
        let (is_new, present) = match node.tenant(&id).await {
            Ok(status) => (false, status.spec),
            Err(NodeError::TenantUnknown(_)) => (true, None),
            Err(error) => return Err(error.into()),
        };
        let tenants = Arc::clone(&self.tenants);
        let transform = blocking(move || {
            if is_new {
                // Nobody gets the space of a tenant whose drop was cut off.
                let ended = keyring.end_drop(&id);
                ended.map_err(|error| FrontError::Keys(error.to_string()))?;
            }
            // Asked again, its rotation may be a later one than its first.
            if let Some(spec) = present.filter(|spec| tenants.fits(spec)) {
                return Ok(spec.transform);
            }
            let key = keyring
                .get_or_create(&id, Purpose::Transform)
                .map_err(|error| FrontError::Keys(error.to_string()))?;
            Ok::<_, FrontError>(Rotation::derive(&key, TRANSFORM_VERSION_FIRST, dim).id().clone())
        })
        .await??;
        let status = node
            .create_tenant(TenantSpec {
                id: request.tenant,
                dimension: request.dimension,
                encoder: request.encoder,
                transform,
                policy: request.policy,
                created_at: Timestamp::now(),
            })
            .await?;
        self.learn(&status).await?;
        Ok(self.view(status))
    }

    /// One tenant.
    pub async fn tenant(&self, caller: &Caller, tenant: TenantId) -> Result<TenantView, FrontError> {
        authorize::administration(caller, Method::GetTenant, &tenant)?;
        self.status(&tenant).await
    }

    /// One tenant for its figures.
    pub async fn stats(&self, caller: &Caller, tenant: TenantId) -> Result<TenantView, FrontError> {
        authorize::administration(caller, Method::GetStats, &tenant)?;
        self.status(&tenant).await
    }

    /// Signs how far a tenant's history has come.
    pub async fn checkpoint(
        &self,
        caller: &Caller,
        tenant: &TenantId,
    ) -> Result<SignedCheckpoint, FrontError> {
        authorize::administration(caller, Method::CheckpointHistory, tenant)?;
        Ok(self.routes.node(tenant)?.checkpoint(tenant).await?)
    }

    /// All tenants that the caller administers, by id, also those that can't be served.
    pub async fn tenants(&self, caller: &Caller) -> Result<Vec<TenantView>, FrontError> {
        if let Some(own) = authorize::listing(caller)? {
            return match self.status(own).await {
                Err(FrontError::Node(NodeError::TenantUnknown(_))) => Ok(Vec::new()),
                answer => Ok(vec![answer?]),
            };
        }
        let mut views = Vec::new();
        for node in self.routes.nodes() {
            // What lies at a node that nobody asks for it is not a tenant of this front.
            let statuses = node.tenants().await?.into_iter();
            views.extend(
                statuses
                    .filter(|status| self.routes.leads_to(&status.id, node))
                    .map(|status| self.view(status)),
            );
        }
        views.sort_by(|a, b| a.status.id.cmp(&b.status.id));
        Ok(views)
    }

    /// Destroys a tenant: its gallery, then its keys. Can't be undone.
    pub async fn drop_tenant(
        &self,
        caller: &Caller,
        request_id: RequestId,
        tenant: TenantId,
    ) -> Result<(), FrontError> {
        authorize::administration(caller, Method::DropTenant, &tenant)?;
        let question = tenant_question(caller, request_id, &tenant, 0);
        let _one_at_a_time = self.changing.lock().await;
        // A repetition must not reach a tenant that was made anew under the same id since.
        if self.dropped.get(&question).is_some() {
            return Ok(());
        }
        let mark = self.begin_drop(&tenant).await?;
        let answer = self.routes.node(&tenant)?.drop_tenant(&tenant).await;
        // Whatever came of it, what the front remembers of the tenant may be untrue now.
        self.tenants.remove(&tenant);
        match answer {
            Ok(()) => {}
            // The end of a drop that was cut off between gallery and keys.
            Err(NodeError::TenantUnknown(_)) if self.has_keys(&tenant)? => {}
            Err(error) => return Err(error.into()),
        }
        let keyring = Arc::clone(&self.keyring);
        blocking(move || destroy_keys(&keyring, &tenant, mark.as_ref())).await??;
        self.dropped.put(question, ());
        Ok(())
    }

    /// Where fronts share the keyring, another one may make the tenant anew before this one destroys the keys: it gets other ones then, which don't have this mark.
    async fn begin_drop(&self, tenant: &TenantId) -> Result<Option<SecretKey>, FrontError> {
        if !self.keyring.is_shared() {
            return Ok(None);
        }
        let (keyring, tenant) = (Arc::clone(&self.keyring), tenant.clone());
        let mark = blocking(move || keyring.begin_drop(&tenant)).await?;
        mark.map_err(|error| FrontError::Keys(error.to_string()))
    }

    /// Puts another policy in the place of a tenant's. Answers that are remembered by the former are forgotten.
    pub async fn update_policy(
        &self,
        caller: &Caller,
        request: UpdatePolicy,
    ) -> Result<TenantView, FrontError> {
        authorize::administration(caller, Method::UpdatePolicy, &request.tenant)?;
        request.policy.check()?;
        let tenant = self.known(&request.tenant).await?;
        // One after the other, so that the front ends with the policy that the node has.
        let _one_at_a_time = self.changing.lock().await;
        let change = PolicyChange {
            request_digest: tenant.digests.policy(&request.policy),
            tenant: request.tenant,
            request_id: request.request_id,
            policy: request.policy,
        };
        let answer = self.routes.node(tenant.id())?.set_policy(change).await;
        let status = self.heard(&tenant, answer)?;
        self.learn(&status).await?;
        Ok(self.view(status))
    }

    /// Learns of tenants that were made, and of policies that were changed, at another front. What can't be learnt now is logged and left to the next time.
    pub async fn refresh_policies(&self) {
        for node in self.routes.nodes() {
            let statuses = match node.tenants().await {
                Ok(statuses) => statuses,
                Err(error) => {
                    tracing::warn!(%error, "policies that were changed elsewhere are not learnt yet");
                    continue;
                }
            };
            for spec in statuses.into_iter().filter_map(|status| ready(status).ok()) {
                let known = self.tenants.get(&spec.id);
                let is_same = known.is_some_and(|known| known.spec == spec);
                if is_same || !self.routes.leads_to(&spec.id, node) {
                    continue;
                }
                match self.refresh(&spec.id).await {
                    Ok(_) => tracing::info!(tenant = %spec.id, "the tenant was made or changed elsewhere"),
                    Err(error) => {
                        tracing::warn!(tenant = %spec.id, %error, "a tenant that was made or changed elsewhere is not learnt yet");
                    }
                }
            }
        }
    }

    /// Knows the tenant as it is from now on. One that can't be read may have another policy than its status says, and is asked for again.
    async fn learn(&self, status: &TenantStatus) -> Result<(), FrontError> {
        if let Ok(spec) = ready(status.clone()) {
            self.take_in(spec).await?;
        } else {
            self.tenants.remove(&status.id);
        }
        Ok(())
    }

    /// Learns how the tenant is by now. No change through this front is under way meanwhile, so that none is taken back.
    async fn refresh(&self, id: &TenantId) -> Result<TenantStatus, FrontError> {
        let _one_at_a_time = self.changing.lock().await;
        let status = self.routes.node(id)?.tenant(id).await?;
        self.learn(&status).await?;
        Ok(status)
    }

    /// Puts a new key in the place of one of a tenant's and destroys the former. It goes on when nobody waits for it any more.
    pub async fn rotate_key(
        &self,
        caller: &Caller,
        request_id: RequestId,
        tenant: TenantId,
        key: Renewable,
    ) -> Result<TenantView, FrontError> {
        authorize::administration(caller, Method::RotateKey, &tenant)?;
        let question = tenant_question(caller, request_id, &tenant, key as u8);
        if self.rotated.get(&question).is_some() {
            return self.status(&tenant).await;
        }
        let status = match key {
            Renewable::Data => self.routes.node(&tenant)?.rotate_data_key(&tenant).await?,
            Renewable::Transform => self.rotate_transform_key(&tenant).await?,
        };
        self.rotated.put(question, ());
        Ok(self.view(status))
    }

    /// The next key is durable before the node hears of its rotation, and takes the place of the former when the node's
    /// rows have come to it: whatever is cut off, one of the two is the gallery's.
    async fn rotate_transform_key(&self, id: &TenantId) -> Result<TenantStatus, FrontError> {
        let node = self.routes.node(id)?;
        let spec = ready(node.tenant(id).await?)?;
        let tenants = Arc::clone(&self.tenants);
        let Renewal { change, key } = blocking(move || tenants.renewal(&spec)).await??;
        let to = change.to.clone();
        let status = node.rotate_transform(id, change).await?;
        if let Some(spec) = status.spec.as_ref().filter(|spec| spec.transform == to) {
            let (tenants, id) = (Arc::clone(&self.tenants), id.clone());
            blocking(move || tenants.end_renewal(&id, &key))
                .await?
                .map_err(|error| FrontError::Keys(error.to_string()))?;
            return self.refresh(&spec.id).await;
        }
        Ok(status)
    }

    /// Name of the backend that searches the tenant's gallery; empty where no route leads to it.
    pub fn backend(&self, tenant: &TenantId) -> String {
        self.routes
            .node(tenant)
            .map(|node| node.backend())
            .unwrap_or_default()
    }

    async fn status(&self, tenant: &TenantId) -> Result<TenantView, FrontError> {
        Ok(self.view(self.routes.node(tenant)?.tenant(tenant).await?))
    }

    fn view(&self, mut status: TenantStatus) -> TenantView {
        if status.state == TenantState::Ready
            && let Some(reason) = self.tenants.known_mismatch(&status.id)
        {
            status.state = TenantState::Unavailable(reason);
        }
        status.rotating |= self.keyring.is_rotating(&status.id, Renewable::Transform);
        TenantView {
            threshold: status
                .spec
                .as_ref()
                .map(|spec| threshold::score(&spec.policy.threshold, spec.dimension)),
            status,
        }
    }

    fn has_keys(&self, tenant: &TenantId) -> Result<bool, FrontError> {
        match self.keyring.get(tenant, Purpose::Transform) {
            Ok(key) => Ok(key.is_some()),
            Err(error) => Err(FrontError::Keys(error.to_string())),
        }
    }
}

/// All keys of a tenant, or where its drop has a mark, those that have it.
fn destroy_keys(keyring: &Keyring, tenant: &TenantId, mark: Option<&SecretKey>) -> Result<(), FrontError> {
    let destroyed = match mark {
        Some(mark) => keyring.end_drop_of(tenant, mark),
        None if keyring.is_shared() => Ok(()),
        None => keyring.destroy(tenant),
    };
    destroyed.map_err(|error| FrontError::Keys(error.to_string()))
}

/// The tenant's own keys are gone when a drop is repeated, so that its id in the clear, and a number for what is done to it,
/// stand for what was asked.
fn tenant_question(caller: &Caller, request_id: RequestId, tenant: &TenantId, what: u8) -> Question {
    Question {
        epoch: 0,
        principal: format!("{} {tenant}", caller.principal.path()),
        request_id,
        digest: [what; 32],
    }
}

#[cfg(test)]
#[path = "admin_tests.rs"]
mod tests;
