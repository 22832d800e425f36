//! Rotation of a tenant's data key while it is served: the store is exchanged under the tenant, whose codes and row numbers stay. Makes no file itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use parking_lot::Mutex;

use super::import::blocking;
use super::local::LocalNode;
use super::node::NodeError;
use super::tenant::Tenant;
use crate::keys::error::KeyError;
use crate::keys::keyring::{Keyring, Purpose};
use crate::keys::secret::SecretKey;
use crate::model::id::TenantId;
use crate::storage::data_dir::DataDir;
use crate::storage::rotate::{Rotation, is_sealed_with};

/// Rotations under way, one a tenant; whoever asks for one that is under way waits for it.
#[derive(Default)]
pub(super) struct Rotations(Mutex<BTreeMap<TenantId, Outcome>>);

type Outcome = Shared<BoxFuture<'static, Result<(), NodeError>>>;

impl Rotations {
    pub(super) fn is_under_way(&self, tenant: &TenantId) -> bool {
        self.0.lock().contains_key(tenant)
    }
}

/// The key that a tenant's files are sealed with. Where that is the next one, a rotation was cut off after its files had
/// taken their place, and is ended.
pub(super) fn data_key(
    dir: &DataDir,
    keyring: &Keyring,
    tenant: &TenantId,
) -> Result<Option<SecretKey>, KeyError> {
    match keyring.get(tenant, Purpose::DataNext)? {
        Some(next) if is_sealed_with(dir.path(), tenant, &next) => {
            keyring.end_rotation(tenant)?;
            Ok(Some(next))
        }
        _ => keyring.get(tenant, Purpose::Data),
    }
}

impl LocalNode {
    /// Rotates a tenant's data key, or waits for the end of the rotation under way.
    pub(super) async fn rotate(self: &Arc<Self>, id: &TenantId) -> Result<(), NodeError> {
        let outcome = {
            let mut under_way = self.rotations.0.lock();
            if let Some(outcome) = under_way.get(id) {
                outcome.clone()
            } else {
                self.live(id)?.check()?;
                let outcome = self.start_rotation(id.clone());
                under_way.insert(id.clone(), outcome.clone());
                outcome
            }
        };
        outcome.await
    }

    /// A task of its own, which ends whether or not somebody waits.
    fn start_rotation(self: &Arc<Self>, id: TenantId) -> Outcome {
        let node = Arc::clone(self);
        let task = tokio::spawn(async move {
            let (worker, of) = (Arc::clone(&node), id.clone());
            let outcome = tokio::spawn(async move { worker.rotate_now(&of).await }).await;
            node.rotations.0.lock().remove(&id);
            let outcome = outcome.unwrap_or_else(|error| Err(NodeError::Internal(error.to_string())));
            match &outcome {
                Ok(()) => tracing::info!(tenant = %id, "the data key is rotated"),
                Err(error) => {
                    tracing::warn!(tenant = %id, %error, "the data key is not rotated; ask again, or the next start begins it again");
                }
            }
            outcome
        });
        let ended = |outcome: Result<_, tokio::task::JoinError>| {
            outcome.unwrap_or_else(|error| Err(NodeError::Internal(error.to_string())))
        };
        task.map(ended).boxed().shared()
    }

    async fn rotate_now(self: &Arc<Self>, id: &TenantId) -> Result<(), NodeError> {
        let tenant = self.live(id)?;
        let (node, of) = (Arc::clone(self), Arc::clone(&tenant));
        let Some(rotation) = blocking(move || node.prepare(&of)).await? else {
            return Ok(());
        };
        // An import under way has files of this generation: it is waited for, and the next one waits.
        let no_import = tokio::select! {
            guard = tenant.importing.lock() => guard,
            () = self.stopping() => return Err(stopping(id)),
        };
        let (node, of) = (Arc::clone(self), Arc::clone(&tenant));
        let next = blocking(move || node.take_over(&of, rotation)).await?;
        drop(no_import);
        drop(tenant);
        // Searches that began before it read the former files for a moment yet; what can't be destroyed now is upkeep's.
        blocking(move || {
            if let Err(error) = next.purge() {
                tracing::warn!(tenant = %next.id(), %error, "files of the former data key are not destroyed yet");
            }
            Ok(())
        })
        .await
    }

    /// Copies what there is; `None` when only the keyring was behind.
    fn prepare(&self, tenant: &Tenant) -> Result<Option<Rotation>, NodeError> {
        let id = tenant.id();
        let next = self
            .keyring()
            .begin_rotation(id)
            .map_err(keys)?
            .ok_or_else(|| NodeError::TenantUnknown(id.clone()))?;
        if is_sealed_with(self.dir().path(), id, &next) {
            self.keyring().end_rotation(id).map_err(keys)?;
            return Ok(None);
        }
        let failed = |error| tenant.storage_error(&error);
        let mut rotation = tenant.store.begin_rotation(self.dir(), &next).map_err(failed)?;
        self.copy(tenant, &mut rotation)?;
        Ok(Some(rotation))
    }

    fn copy(&self, tenant: &Tenant, rotation: &mut Rotation) -> Result<(), NodeError> {
        while rotation
            .copy_segment()
            .map_err(|error| tenant.storage_error(&error))?
        {
            if self.is_stopping() {
                return Err(stopping(tenant.id()));
            }
        }
        Ok(())
    }

    /// The next generation becomes the tenant, at one point between two changes.
    fn take_over(&self, tenant: &Arc<Tenant>, mut rotation: Rotation) -> Result<Arc<Tenant>, NodeError> {
        // What came since, while changes go on.
        self.copy(tenant, &mut rotation)?;
        let next = self.replace(tenant, || {
            let _in_order = tenant.apply.lock();
            tenant.check()?;
            let store = rotation.finish().map_err(|error| tenant.storage_error(&error))?;
            Ok(tenant.succeed(store))
        })?;
        self.keyring().end_rotation(tenant.id()).map_err(keys)?;
        Ok(next)
    }

    /// Begins again what the end of the last process cut off.
    pub(super) fn resume_rotations(self: &Arc<Self>) {
        for tenant in self.live_tenants() {
            let begun = self.keyring().get(tenant.id(), Purpose::DataNext);
            if matches!(begun, Ok(Some(_))) {
                let node = Arc::clone(self);
                tokio::spawn(async move { node.rotate(tenant.id()).await });
            }
        }
    }

    /// Waits for rotations, which end early once the node is stopping.
    pub(super) async fn end_rotations(&self) {
        let under_way: Vec<Outcome> = self.rotations.0.lock().values().cloned().collect();
        for outcome in under_way {
            // Logged by its task.
            let _ = outcome.await;
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err takes")]
fn keys(error: KeyError) -> NodeError {
    NodeError::StorageRefused(error.to_string())
}

fn stopping(tenant: &TenantId) -> NodeError {
    NodeError::TenantUnavailable {
        tenant: tenant.clone(),
        reason: "the server stops; its next start begins the rotation again".to_owned(),
    }
}

#[cfg(test)]
#[path = "rotate_tests.rs"]
mod tests;
