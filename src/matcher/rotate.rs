//! Rotation of a tenant's keys while it is served: the store is exchanged under the tenant, whose row numbers stay, and its codes too while its signatures do. Makes no file itself.

use std::sync::Arc;

use futures::FutureExt;

use super::error::engine_error;
use super::import::blocking;
use super::load::{LoadError, Resident};
use super::local::LocalNode;
use super::node::{Node, NodeError, TransformChange};
use super::rotations::Converter;
use super::tenant::Tenant;
use crate::keys::error::KeyError;
use crate::keys::keyring::{Keyring, Purpose, Renewable};
use crate::keys::secret::SecretKey;
use crate::model::id::TenantId;
use crate::model::tenant::TenantStatus;
use crate::storage::data_dir::DataDir;
use crate::storage::error::StorageError;
use crate::storage::rotate::{Convert, Rotation, is_sealed_with};

/// The key that a tenant's files are sealed with.
pub(super) fn data_key(
    dir: &DataDir,
    keyring: &Keyring,
    tenant: &TenantId,
) -> Result<Option<SecretKey>, KeyError> {
    end_exchanged(dir, keyring, tenant)?;
    keyring.get(tenant, Purpose::Data)
}

/// Ends a rotation that was cut off after its files had taken their place; `false` where there is none.
fn end_exchanged(dir: &DataDir, keyring: &Keyring, tenant: &TenantId) -> Result<bool, KeyError> {
    match keyring.get(tenant, Purpose::DataNext)? {
        Some(next) if is_sealed_with(dir.path(), tenant, &next) => {
            keyring.end_rotation(tenant, Renewable::Data, &next)?;
            Ok(true)
        }
        _ => Ok(false),
    }
}

impl LocalNode {
    /// Rotates a tenant's data key, and with a change its transform key, or waits for the end of the same rotation under
    /// way; for that of another one before it begins.
    pub(super) async fn rotate(
        self: &Arc<Self>,
        id: &TenantId,
        change: Option<TransformChange>,
    ) -> Result<TenantStatus, NodeError> {
        let to = change.as_ref().map(|change| change.to.clone());
        let begin = || {
            if self.is_stopping() {
                return Err(stopping(id));
            }
            self.live(id)?.check()?;
            let (node, id, change) = (Arc::clone(self), id.clone(), change.clone());
            Ok(async move { node.rotate_now(&id, change).await }.boxed())
        };
        self.rotations.run(id, to, begin).await?;
        self.tenant(id).await
    }

    async fn rotate_now(
        self: &Arc<Self>,
        id: &TenantId,
        change: Option<TransformChange>,
    ) -> Result<(), NodeError> {
        let tenant = self.live(id)?;
        if tenant.store.database().is_some() {
            // Before the keyring says that one is under way.
            return Err(tenant.storage_error(&StorageError::NotBuilt("the rotation of a tenant's keys")));
        }
        // An import under way has files of this generation: it is waited for, and the next one waits. One that broke off is let go.
        // Before anything is made, for from then on nothing is purged.
        let no_import = tokio::select! {
            guard = tenant.imports.keep_out() => guard,
            () = self.stopping() => return Err(stopping(id)),
        };
        let (node, of) = (Arc::clone(self), Arc::clone(&tenant));
        let Some(rotation) = blocking(move || node.prepare(&of, change)).await? else {
            return Ok(());
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
    fn prepare(
        &self,
        tenant: &Tenant,
        change: Option<TransformChange>,
    ) -> Result<Option<Rotation>, NodeError> {
        let id = tenant.id();
        let was_behind = end_exchanged(self.dir(), self.keyring(), id).map_err(keys)?;
        let convert: Option<Arc<dyn Convert>> = match change {
            None if was_behind => return Ok(None),
            None => None,
            Some(change) if change.to == tenant.spec.transform => return Ok(None),
            Some(change) => {
                tenant.check_transform(&change.from)?;
                Some(Arc::new(Converter::new(tenant.spec.dimension, change)?))
            }
        };
        let next = self.keyring().begin_rotation(id, Renewable::Data).map_err(keys)?;
        let next = next.ok_or_else(|| NodeError::TenantUnknown(id.clone()))?;
        let failed = |error| tenant.storage_error(&error);
        let mut rotation = tenant
            .store
            .begin_rotation(self.dir(), &next, convert)
            .map_err(failed)?;
        self.copy(tenant, &mut rotation)?;
        Ok(Some(rotation))
    }

    fn copy(&self, tenant: &Tenant, rotation: &mut Rotation) -> Result<(), NodeError> {
        while rotation
            .copy_segment()
            .map_err(|error| tenant.storage_error(&error))?
        {
            // It may have been dropped.
            tenant.check()?;
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
        let (convert, key) = (rotation.converts(), rotation.data_key().clone());
        let next = self.replace(tenant, || {
            tenant.check()?;
            let (store, resident) = rotation
                .finish(|next| convert.then(|| Resident::of(next, &tenant.engine)).transpose())
                .map_err(|error| match error {
                    LoadError::Storage(error) => tenant.storage_error(&error),
                    LoadError::Engine(error) => engine_error(tenant.id(), &error),
                })?;
            Ok(tenant.succeed(store, resident))
        })?;
        let ended = self.keyring().end_rotation(tenant.id(), Renewable::Data, &key);
        ended.map_err(keys)?;
        Ok(next)
    }

    /// Begins again what the end of the last process cut off.
    pub(super) fn resume_rotations(self: &Arc<Self>) {
        for tenant in self.live_tenants() {
            if self.keyring().is_rotating(tenant.id(), Renewable::Data) {
                let (node, id) = (Arc::clone(self), tenant.id().clone());
                tokio::spawn(async move { node.rotate(&id, None).await });
            }
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
        reason: "the server stops; its next start begins a rotation of the data key again, and one of the transform key is asked for again".to_owned(),
    }
}

#[cfg(test)]
#[path = "rotate_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "rotate_transform_tests.rs"]
mod transform_tests;
