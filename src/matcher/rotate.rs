//! Rotation of a tenant's keys while it is served: the store is exchanged under the tenant, whose row numbers stay, and its codes too while its signatures do. Makes no file itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use half::f16;
use parking_lot::Mutex;
use zeroize::Zeroizing;

use super::apply::exact_values;
use super::error::engine_error;
use super::import::blocking;
use super::load::{LoadError, Resident, encode_planes};
use super::local::LocalNode;
use super::node::{Node, NodeError, TransformChange};
use super::tenant::Tenant;
use crate::keys::error::KeyError;
use crate::keys::keyring::{Keyring, Purpose, Renewable};
use crate::keys::secret::SecretKey;
use crate::model::id::TenantId;
use crate::model::reject::Rejected;
use crate::model::signature::Dimension;
use crate::model::tenant::{TenantStatus, TransformId};
use crate::storage::data_dir::DataDir;
use crate::storage::error::StorageError;
use crate::storage::place::RowPlanes;
use crate::storage::rotate::{Convert, Rotation, is_sealed_with};

/// Rotations under way, one a tenant; whoever asks for one that is under way waits for it.
#[derive(Default)]
pub(super) struct Rotations(Mutex<BTreeMap<TenantId, UnderWay>>);

type Outcome = Shared<BoxFuture<'static, Result<(), NodeError>>>;

struct UnderWay {
    /// The rotation that the signatures have at its end, if it is another one.
    to: Option<TransformId>,
    outcome: Outcome,
}

impl Rotations {
    pub(super) fn is_under_way(&self, tenant: &TenantId) -> bool {
        self.0.lock().contains_key(tenant)
    }
}

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

/// Turns stored rows by a change of their rotation.
struct Converter {
    dimension: Dimension,
    change: TransformChange,
}

impl Converter {
    fn new(tenant: &Tenant, change: TransformChange) -> Result<Self, NodeError> {
        tenant.check_transform(&change.from)?;
        let (dimension, found) = (tenant.spec.dimension, change.conversion.dimension());
        if found == dimension {
            return Ok(Self { dimension, change });
        }
        let problem = format!(
            "is of dimension {}; the tenant's is {}",
            found.get(),
            dimension.get()
        );
        Err(Rejected::new("conversion", problem).into())
    }
}

impl Convert for Converter {
    fn transform(&self) -> &TransformId {
        &self.change.to
    }

    fn exact(&self, exact: &mut [u8]) {
        let half = exact_values(exact)
            .iter()
            .map(|bits| f16::from_bits(*bits).to_f32())
            .collect();
        let mut rows: Zeroizing<Vec<f32>> = Zeroizing::new(half);
        self.change.conversion.convert_rows(&mut rows);
        for (stored, value) in exact.as_chunks_mut::<2>().0.iter_mut().zip(rows.iter()) {
            *stored = f16::from_f32(*value).to_le_bytes();
        }
    }

    fn planes(&self, exact: &[u8]) -> RowPlanes {
        encode_planes(self.dimension, exact)
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
        loop {
            let (outcome, is_same) = {
                let mut under_way = self.rotations.0.lock();
                if let Some(other) = under_way.get(id) {
                    (other.outcome.clone(), other.to == to)
                } else if self.is_stopping() {
                    return Err(stopping(id));
                } else {
                    self.live(id)?.check()?;
                    let outcome = self.start_rotation(id.clone(), change.clone());
                    let (to, begun) = (to.clone(), outcome.clone());
                    under_way.insert(id.clone(), UnderWay { to, outcome });
                    (begun, true)
                }
            };
            let ended = outcome.await;
            if is_same {
                ended?;
                return self.tenant(id).await;
            }
        }
    }

    /// A task of its own, which ends whether or not somebody waits.
    fn start_rotation(self: &Arc<Self>, id: TenantId, change: Option<TransformChange>) -> Outcome {
        let node = Arc::clone(self);
        let key = if change.is_some() { "transform" } else { "data" };
        let task = tokio::spawn(async move {
            let (worker, of) = (Arc::clone(&node), id.clone());
            let outcome = tokio::spawn(async move { worker.rotate_now(&of, change).await }).await;
            node.rotations.0.lock().remove(&id);
            let outcome = outcome.unwrap_or_else(|error| Err(NodeError::Internal(error.to_string())));
            match &outcome {
                Ok(()) => tracing::info!(tenant = %id, key, "a key is rotated"),
                Err(error) => {
                    tracing::warn!(tenant = %id, key, %error, "a key is not rotated; ask again, or, of the data key, the next start begins it again");
                }
            }
            outcome
        });
        let ended = |outcome: Result<_, tokio::task::JoinError>| {
            outcome.unwrap_or_else(|error| Err(NodeError::Internal(error.to_string())))
        };
        task.map(ended).boxed().shared()
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
            Some(change) => Some(Arc::new(Converter::new(tenant, change)?)),
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

    /// Waits for rotations, which end early once the node is stopping.
    pub(super) async fn end_rotations(&self) {
        let outcomes: Vec<Outcome> = {
            let under_way = self.rotations.0.lock();
            under_way.values().map(|one| one.outcome.clone()).collect()
        };
        for outcome in outcomes {
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
        reason: "the server stops; its next start begins a rotation of the data key again, and one of the transform key is asked for again".to_owned(),
    }
}

#[cfg(test)]
#[path = "rotate_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "rotate_transform_tests.rs"]
mod transform_tests;
