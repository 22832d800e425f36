//! The match node of this process: all tenants of one data directory. Implements the node's contract over stores and the engine.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::{Mutex, MutexGuard, RwLock};
use rayon::prelude::*;
use tokio::sync::watch;

use super::error::node_error;
use super::home::{Home, OpenError};
use super::import::blocking;
use super::load::{load, open_tenant};
use super::node::{
    CompareQuery, Enrolled, Enrollment, Erased, Erasure, ImportHeader, ImportProgress, ImportStream,
    Imported, Node, NodeError, PolicyChange, RankQuery, SearchQuery, SubjectRef, TransformChange, UsagePage,
    UsageQuery,
};
use super::rotations::Rotations;
use super::scorers::Scorers;
use super::slot::Slot;
use super::tenant::Tenant;
use super::{convert, upkeep};
use crate::engine::Engine;
use crate::keys::error::KeyError;
use crate::keys::keyring::{Keyring, Purpose};
use crate::model::checkpoint::SignedCheckpoint;
use crate::model::decision::SearchAnswer;
use crate::model::id::{RequestId, SubjectId, TenantId};
use crate::model::retention::Due;
use crate::model::subject::SubjectRecord;
use crate::model::tenant::{TenantSpec, TenantState, TenantStats, TenantStatus};
use crate::model::usage::UsageRecord;
use crate::storage::data_dir::DataDir;
use crate::storage::error::StorageError;
use crate::storage::journal::{Journal, JournalLock};
use crate::storage::store::Store;
use crate::storage::write::Write;

/// How a node keeps its files.
#[derive(Debug, Clone)]
pub struct MatcherConfig {
    /// Pending rows that make a new segment.
    pub flush_rows: usize,
    /// How often pending rows and erasures are looked at; bounds how long an erased row stays in a file.
    pub upkeep_interval: Duration,
}

impl Default for MatcherConfig {
    fn default() -> Self {
        Self {
            flush_rows: 4_096,
            upkeep_interval: Duration::from_secs(2),
        }
    }
}

/// All tenants of one data directory.
pub struct LocalNode {
    journal: Arc<Journal>,
    _journal_lock: Option<JournalLock>,
    engine: Engine,
    scorers: Scorers,
    config: MatcherConfig,
    tenants: RwLock<BTreeMap<TenantId, Slot>>,
    /// Held while a tenant is created or dropped.
    changing: Mutex<()>,
    stop: watch::Sender<bool>,
    upkeep: Mutex<Option<tokio::task::JoinHandle<()>>>,
    pub(super) rotations: Rotations,
    /// The last to go: then all else is closed.
    home: Home,
}

impl LocalNode {
    /// Loads every tenant of the directory and starts the upkeep. A tenant that can't be loaded is
    /// unavailable, the others are served. Blocks; call it off the threads that serve requests, within a runtime.
    pub fn open(
        home: Home,
        journal: Journal,
        engine: Engine,
        config: MatcherConfig,
    ) -> Result<Arc<Self>, NodeError> {
        let ids = home.tenants();
        let ids = ids.map_err(|error| NodeError::StorageRefused(error.to_string()))?;
        let journal = Arc::new(journal);
        let tenants = ids
            .into_par_iter()
            .map(|id| {
                let slot = Slot::of(&id, open_tenant(&home, &journal, &engine, &id));
                (id, slot)
            })
            .collect();
        let node = Arc::new(Self {
            home,
            _journal_lock: journal.take_lock(),
            journal,
            engine,
            scorers: Scorers::start()?,
            config,
            tenants: RwLock::new(tenants),
            changing: Mutex::new(()),
            stop: watch::Sender::new(false),
            upkeep: Mutex::new(None),
            rotations: Rotations::default(),
        });
        *node.upkeep.lock() = Some(tokio::spawn(upkeep::run(Arc::clone(&node))));
        node.resume_rotations();
        Ok(node)
    }

    /// Ends the upkeep, imports, and rotations, which the next start begins again. What is acknowledged is durable already, so nothing else is to be done.
    pub async fn drain(&self) {
        self.stop.send_replace(true);
        let upkeep = self.upkeep.lock().take();
        if let Some(upkeep) = upkeep
            && let Err(error) = upkeep.await
        {
            tracing::error!(%error, "the upkeep ended early");
        }
        for tenant in self.live_tenants() {
            tenant.imports.close();
            drop(tenant.imports.keep_out().await);
        }
        self.rotations.ended().await;
    }

    pub(super) fn config(&self) -> &MatcherConfig {
        &self.config
    }

    /// Waits until the node is drained.
    pub(super) async fn stopping(&self) {
        let mut stop = self.stop.subscribe();
        // An error means that the sender is gone, and with it the node.
        let _ = stop.wait_for(|stopping| *stopping).await;
    }

    pub(super) fn live_tenants(&self) -> Vec<Arc<Tenant>> {
        let tenants = self.tenants.read();
        tenants.values().filter_map(Slot::live).cloned().collect()
    }

    /// How many tenants there are, loaded or not.
    pub(super) fn tenant_count(&self) -> usize {
        self.tenants.read().len()
    }

    /// Whether the node is to be drained.
    pub(super) fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }

    pub(super) fn home(&self) -> &Home {
        &self.home
    }

    pub(super) fn dir(&self) -> &DataDir {
        self.home.dir()
    }

    pub(super) fn keyring(&self) -> &Keyring {
        self.home.keyring()
    }

    pub(super) fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// While it is held no tenant is created, dropped or exchanged.
    pub(super) fn keep_order(&self) -> MutexGuard<'_, ()> {
        self.changing.lock()
    }

    /// All tenants, as they are now.
    pub(super) fn slots(&self) -> BTreeMap<TenantId, Slot> {
        self.tenants.read().clone()
    }

    pub(super) fn put(&self, id: &TenantId, slot: Slot) {
        self.tenants.write().insert(id.clone(), slot);
    }

    /// Puts what `make` makes in the place of `tenant`, when that is still there and while nothing of it changes: who is told to ask again finds the next one.
    pub(super) fn replace(
        &self,
        tenant: &Arc<Tenant>,
        make: impl FnOnce() -> Result<Arc<Tenant>, NodeError>,
    ) -> Result<Arc<Tenant>, NodeError> {
        let _one_at_a_time = self.changing.lock();
        if !Arc::ptr_eq(&self.live(tenant.id())?, tenant) {
            return Err(NodeError::TenantUnknown(tenant.id().clone()));
        }
        let _in_order = tenant.apply.lock();
        let next = make()?;
        let slot = Slot::Live(Arc::clone(&next));
        self.tenants.write().insert(tenant.id().clone(), slot);
        Ok(next)
    }

    pub(super) fn live(&self, id: &TenantId) -> Result<Arc<Tenant>, NodeError> {
        match self.tenants.read().get(id) {
            Some(Slot::Live(tenant)) => Ok(Arc::clone(tenant)),
            Some(Slot::Broken { reason, .. }) => Err(NodeError::TenantUnavailable {
                tenant: id.clone(),
                reason: reason.clone(),
            }),
            None => Err(NodeError::TenantUnknown(id.clone())),
        }
    }

    fn status(&self, id: &TenantId) -> Result<TenantStatus, NodeError> {
        let slot = self.tenants.read().get(id).cloned();
        match slot {
            Some(Slot::Live(tenant)) => Ok(TenantStatus {
                rotating: self.rotations.is_under_way(id),
                ..tenant.status()
            }),
            Some(Slot::Broken { reason, .. }) => Ok(TenantStatus {
                spec: None,
                id: id.clone(),
                state: TenantState::Unavailable(reason),
                rotating: false,
                stats: TenantStats::default(),
            }),
            None => Err(NodeError::TenantUnknown(id.clone())),
        }
    }

    fn create(&self, spec: &TenantSpec) -> Result<TenantStatus, NodeError> {
        let _one_at_a_time = self.changing.lock();
        let known = self.tenants.read().get(&spec.id).cloned();
        match known {
            Some(Slot::Live(tenant)) if tenant.is_as_in(spec) => return Ok(tenant.status()),
            Some(_) => return Err(NodeError::TenantExists(spec.id.clone())),
            None => {}
        }
        let store = match self.home.create(spec) {
            // Left by a making that failed once its directory had the name: nobody was told of it, so that nobody has used it.
            Err(StorageError::TenantExists(_)) => self.take_up(spec)?,
            made => made.map_err(|error| node_error(&spec.id, &error))?,
        };
        let tenant =
            load(store, &self.journal, &self.engine).map_err(|error| NodeError::TenantUnavailable {
                tenant: spec.id.clone(),
                reason: error.to_string(),
            })?;
        let status = tenant.status();
        self.tenants.write().insert(spec.id.clone(), Slot::Live(tenant));
        Ok(status)
    }

    /// Opens a tenant's directory that this node does not serve, if it is of the tenant that is asked for.
    fn take_up(&self, spec: &TenantSpec) -> Result<Store, NodeError> {
        let store = self.home.open(&spec.id).map_err(|error| match error {
            OpenError::Storage(error) => node_error(&spec.id, &error),
            missing @ OpenError::KeyMissing(_) => NodeError::StorageRefused(missing.to_string()),
        })?;
        if convert::same_tenant(store.spec(), spec) {
            return Ok(store);
        }
        Err(NodeError::TenantExists(spec.id.clone()))
    }

    /// Journal and keyring first: a drop that is cut off is known as one. Then the directory, by a rename. Keys last: without data they are harmless.
    fn drop_tenant_now(&self, id: &TenantId) -> Result<(), NodeError> {
        let keys = |error: KeyError| NodeError::StorageRefused(error.to_string());
        let _one_at_a_time = self.changing.lock();
        let Some(slot) = self.tenants.read().get(id).cloned() else {
            // A drop that was cut off after its directory went is ended here, unless its rows may be there.
            if self.home.has_left(id) {
                let reason = "something of it is left, or its database does not answer: restart the server, then drop it again";
                return Err(NodeError::TenantUnavailable {
                    tenant: id.clone(),
                    reason: reason.to_owned(),
                });
            }
            return match self.keyring().get(id, Purpose::Data).map_err(keys)? {
                Some(_) => self.keyring().destroy(id).map_err(keys),
                None => Err(NodeError::TenantUnknown(id.clone())),
            };
        };
        let check = self.home.check_drop(id);
        check.map_err(|error| node_error(id, &error))?;
        let created_at = slot.live().map(|tenant| tenant.spec.created_at);
        self.journal.record_drop(id, created_at).map_err(|error| {
            NodeError::StorageRefused(format!(
                "the erasure journal can't be written, so that a restored backup would bring the tenant back; it is not dropped: {error}"
            ))
        })?;
        self.tenants.write().remove(id);
        if let Slot::Live(tenant) = &slot {
            tenant.close("the tenant was dropped");
        }
        let mark = self.keyring().begin_drop(id).map_err(keys);
        let removed = mark.and_then(|_| self.home.remove(id).map_err(|error| node_error(id, &error)));
        if let Err(error) = removed {
            if self.home.has_left(id) {
                let reason = format!("it is half dropped, drop it again: {error}");
                let may_pass = false;
                self.put(id, Slot::Broken { reason, may_pass });
                return Err(error);
            }
            tracing::warn!(tenant = %id, %error, "files of a dropped tenant are left for the next start");
        }
        self.keyring().destroy(id).map_err(keys)
    }
}

#[async_trait]
impl Node for Arc<LocalNode> {
    async fn tenants(&self) -> Result<Vec<TenantStatus>, NodeError> {
        let node = Arc::clone(self);
        blocking(move || {
            let ids: Vec<TenantId> = node.tenants.read().keys().cloned().collect();
            Ok(ids.iter().filter_map(|id| node.status(id).ok()).collect())
        })
        .await
    }

    async fn tenant(&self, tenant: &TenantId) -> Result<TenantStatus, NodeError> {
        let (node, id) = (Arc::clone(self), tenant.clone());
        blocking(move || node.status(&id)).await
    }

    async fn create_tenant(&self, spec: TenantSpec) -> Result<TenantStatus, NodeError> {
        let node = Arc::clone(self);
        blocking(move || node.create(&spec)).await
    }

    async fn set_policy(&self, change: PolicyChange) -> Result<TenantStatus, NodeError> {
        let id = change.tenant.clone();
        let write = convert::policy_write(change);
        self.live(&id)?.write(Write::Policy(write)).await?;
        self.tenant(&id).await
    }

    async fn drop_tenant(&self, tenant: &TenantId) -> Result<(), NodeError> {
        let (node, id) = (Arc::clone(self), tenant.clone());
        blocking(move || node.drop_tenant_now(&id)).await
    }

    async fn rotate_data_key(&self, tenant: &TenantId) -> Result<TenantStatus, NodeError> {
        self.rotate(tenant, None).await
    }

    async fn rotate_transform(&self, id: &TenantId, to: TransformChange) -> Result<TenantStatus, NodeError> {
        self.rotate(id, Some(to)).await
    }

    fn check_room(&self, tenant: &TenantId, deadline: Option<Instant>) -> Result<(), NodeError> {
        self.live(tenant)?.check_room(deadline)
    }

    async fn search(&self, query: SearchQuery) -> Result<SearchAnswer, NodeError> {
        self.live(&query.tenant)?.search(query, &self.scorers).await
    }

    async fn rank(&self, query: RankQuery) -> Result<SearchAnswer, NodeError> {
        self.live(&query.tenant)?.rank(query).await
    }

    async fn compare(&self, query: CompareQuery) -> Result<f32, NodeError> {
        let tenant = self.live(&query.tenant)?;
        self.scorers.run(move || tenant.compare(&query)).await
    }

    async fn enroll(&self, enrollment: Enrollment) -> Result<Enrolled, NodeError> {
        let tenant = self.live(&enrollment.tenant)?;
        tenant.check_transform(&enrollment.transform)?;
        let write = convert::enroll_write(tenant.spec.dimension, enrollment)?;
        convert::enrolled(tenant.write(Write::Enroll(write)).await?)
    }

    async fn import(&self, header: ImportHeader, chunks: ImportStream) -> Result<Imported, NodeError> {
        self.live(&header.tenant)?.import(header, chunks).await
    }

    async fn import_progress(
        &self,
        tenant: &TenantId,
        request: &RequestId,
    ) -> Result<ImportProgress, NodeError> {
        self.live(tenant)?.import_progress(request.clone()).await
    }

    async fn erase(&self, erasure: Erasure) -> Result<Erased, NodeError> {
        let tenant = self.live(&erasure.tenant)?;
        let write = Write::Erase(convert::erase_write(erasure));
        convert::erased_now(tenant.write(write).await?)
    }

    async fn erasure(&self, tenant: &TenantId, erasure: u64) -> Result<Erased, NodeError> {
        let tenant = self.live(tenant)?;
        blocking(move || {
            let found = tenant
                .store
                .erasure(erasure)
                .map_err(|error| tenant.storage_error(&error))?;
            found
                .map(convert::erased)
                .ok_or(NodeError::ErasureUnknown(erasure))
        })
        .await
    }

    async fn due(&self, tenant: &TenantId, due: Due, limit: usize) -> Result<Vec<SubjectId>, NodeError> {
        let tenant = self.live(tenant)?;
        blocking(move || {
            tenant.check()?;
            let found = tenant.store.due(due, limit);
            found.map_err(|error| tenant.storage_error(&error))
        })
        .await
    }

    async fn erasures_of(&self, tenant: &TenantId, subject: &SubjectId) -> Result<Vec<u64>, NodeError> {
        let (tenant, subject) = (self.live(tenant)?, subject.clone());
        blocking(move || {
            let found = tenant.store.erasures_of(&subject);
            found.map_err(|error| tenant.storage_error(&error))
        })
        .await
    }

    async fn subject(&self, tenant: &TenantId, subject: &SubjectRef) -> Result<SubjectRecord, NodeError> {
        let tenant = self.live(tenant)?;
        let key = convert::subject_key(subject.clone());
        blocking(move || {
            tenant.check()?;
            let found = tenant
                .store
                .subject(&key)
                .map_err(|error| tenant.storage_error(&error))?;
            found.ok_or_else(|| NodeError::SubjectUnknown(tenant.id().clone()))
        })
        .await
    }

    async fn record_usage(&self, tenant: &TenantId, record: UsageRecord) -> Result<(), NodeError> {
        self.live(tenant)?.record(record, &self.scorers).await
    }

    async fn usage(&self, query: UsageQuery) -> Result<UsagePage, NodeError> {
        let tenant = self.live(&query.tenant)?;
        blocking(move || {
            let page = tenant
                .store
                .usage(query.subject_id.as_ref(), query.before, query.limit);
            let (events, next_before) = page.map_err(|error| tenant.storage_error(&error))?;
            Ok(UsagePage { events, next_before })
        })
        .await
    }

    async fn checkpoint(&self, tenant: &TenantId) -> Result<SignedCheckpoint, NodeError> {
        let tenant = self.live(tenant)?;
        blocking(move || tenant.checkpoint()).await
    }

    fn backend(&self) -> String {
        self.engine.backend()
    }
}

#[cfg(test)]
#[path = "local_tests.rs"]
mod tests;
