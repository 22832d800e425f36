//! One tenant's live state on a node: its store, its resident gallery and what joins them. Decides nothing about who may ask.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwapOption;
use parking_lot::{Mutex, RwLock};

use super::convert;
use super::error::{is_damage, node_error};
use super::import::kept::Imports;
use super::load::Resident;
use super::node::NodeError;
use super::residency::Residency;
use super::upkeep::Rest;
use super::writes::WriteQueue;
use crate::engine::{Engine, GalleryId};
use crate::model::id::TenantId;
use crate::model::tenant::{TenantSpec, TenantState, TenantStats, TenantStatus, TransformId};
use crate::storage::error::StorageError;
use crate::storage::journal::Journal;
use crate::storage::store::Store;
use crate::storage::write::Committed;

/// A tenant that was loaded.
pub(super) struct Tenant {
    /// What never changes of it; the policy in it is that of its last opening.
    pub(super) spec: TenantSpec,
    /// Its catalog and segments.
    pub(super) store: Store,
    /// Where its erasures are noted before they are acknowledged.
    pub(super) journal: Arc<Journal>,
    /// Where its codes are.
    pub(super) engine: Engine,
    /// Which of the engine's galleries is its own.
    pub(super) gallery: GalleryId,
    /// Which row is which stored row.
    pub(super) residency: RwLock<Residency>,
    /// Held while a change goes from catalog to gallery, so that both see changes in one order.
    pub(super) apply: Mutex<()>,
    /// Writes that wait for the next transaction.
    pub(super) writes: WriteQueue<Committed>,
    /// Searches by threshold under way: after each comes a use, as a rule.
    pub(super) searching: AtomicUsize,
    /// Why it can't be served any more, once something was found damaged.
    fault: ArcSwapOption<String>,
    /// The import under way, or the one that is kept.
    pub(super) imports: Imports,
    /// The tenant after a rotation of its keys, with a store of its own, and a gallery of its own where its signatures are
    /// protected otherwise. Whoever holds this one still reads what was there; changes go to the successor. Set under `apply`.
    pub(super) successor: OnceLock<Arc<Tenant>>,
    /// The outcome of a write is unknown, so that the tenant has to be opened again; only where its catalog is in a database.
    pub(super) reopen_wanted: AtomicBool,
    /// An erasure, or the generation before, waits for its files to be cleaned.
    pub(super) purge_wanted: AtomicBool,
    /// Of its upkeep.
    pub(super) rest: Mutex<Rest>,
}

impl Tenant {
    pub(super) fn new(
        store: Store,
        journal: Arc<Journal>,
        engine: Engine,
        gallery: GalleryId,
        residency: Residency,
    ) -> Arc<Self> {
        let purge_wanted = AtomicBool::new(store.needs_purge());
        Arc::new(Self {
            spec: store.spec().clone(),
            store,
            journal,
            engine,
            gallery,
            residency: RwLock::new(residency),
            apply: Mutex::new(()),
            writes: WriteQueue::default(),
            searching: AtomicUsize::new(0),
            fault: ArcSwapOption::empty(),
            imports: Imports::default(),
            successor: OnceLock::new(),
            reopen_wanted: AtomicBool::new(false),
            purge_wanted,
            rest: Mutex::default(),
        })
    }

    /// From now on `store` has the tenant: the same rows at the same places, in the same gallery or a new one. The caller
    /// holds `apply`.
    pub(super) fn succeed(&self, store: Store, resident: Option<Resident>) -> Arc<Self> {
        let next = match resident {
            Some(resident) => resident.into_tenant(store, &self.journal),
            None => Self::new(
                store,
                Arc::clone(&self.journal),
                self.engine.clone(),
                self.gallery,
                self.residency.read().clone(),
            ),
        };
        let is_first = self.successor.set(Arc::clone(&next)).is_ok();
        assert!(is_first, "a tenant with a successor is no node's own any more");
        next
    }

    /// The tenant's id.
    pub(super) fn id(&self) -> &TenantId {
        &self.spec.id
    }

    /// Refuses while the tenant can't be served as a whole.
    pub(super) fn check(&self) -> Result<(), NodeError> {
        match self.fault.load_full() {
            None => Ok(()),
            Some(reason) => Err(self.unavailable(reason.as_str())),
        }
    }

    /// Refuses what is protected with another rotation: scores against it mean nothing, and rows under it are never found.
    pub(super) fn check_transform(&self, transform: &TransformId) -> Result<(), NodeError> {
        if *transform == self.spec.transform {
            return Ok(());
        }
        Err(self.stale())
    }

    /// What came is protected with another rotation.
    pub(super) fn stale(&self) -> NodeError {
        NodeError::TransformStale {
            tenant: self.id().clone(),
        }
    }

    /// The tenant can't be served because of `reason`.
    pub(super) fn unavailable(&self, reason: &str) -> NodeError {
        NodeError::TenantUnavailable {
            tenant: self.id().clone(),
            reason: reason.to_owned(),
        }
    }

    /// From now on every request is refused with this reason. The first reason stays.
    pub(super) fn fail(&self, reason: &str) {
        if self.fault.load().is_none() {
            tracing::error!(tenant = %self.id(), reason, "tenant is unavailable from now on");
            self.fault.store(Some(Arc::new(reason.to_owned())));
        }
    }

    /// Turns a storage error into an answer. What was found damaged makes the tenant unavailable,
    /// for a gallery that can't be read whole can't be searched whole. Where a database did not say whether it did
    /// something, the tenant is opened again.
    pub(super) fn storage_error(&self, error: &StorageError) -> NodeError {
        if let StorageError::Poisoned(problem) = error
            && self.store.database().is_some()
        {
            self.reopen_wanted.store(true, Ordering::Release);
            return self.unavailable(&format!("{problem}; it is opened again by itself"));
        }
        if is_damage(error) {
            self.fail(&error.to_string());
        }
        node_error(self.id(), error)
    }

    /// From now on every request is refused, for the tenant is being dropped, or opened again.
    pub(super) fn retire(&self, reason: &str) {
        self.fault.store(Some(Arc::new(reason.to_owned())));
    }

    /// Ends all that goes on with it, waits for the change under way, and lets go of its gallery.
    pub(super) fn close(&self, reason: &str) {
        self.retire(reason);
        self.imports.close();
        // Later changes are refused.
        drop(self.apply.lock());
        self.store.close();
        if let Err(error) = self.engine.close_gallery(self.gallery) {
            tracing::warn!(tenant = %self.id(), %error, "a gallery that is let go of was gone already");
        }
    }

    /// Whether it is, by now, what a spec asks for.
    pub(super) fn is_as_in(&self, spec: &TenantSpec) -> bool {
        let known = self.status().spec;
        known.is_some_and(|known| convert::same_tenant(&known, spec))
    }

    /// How the tenant is.
    pub(super) fn status(&self) -> TenantStatus {
        let mut spec = self.spec.clone();
        let figures = self.store.policy().and_then(|policy| {
            spec.policy = policy;
            self.store.stats()
        });
        let (state, stats) = match (self.check(), figures) {
            (Err(_), _) => {
                let reason = self.fault.load_full().map(|reason| reason.as_str().to_owned());
                (
                    TenantState::Unavailable(reason.unwrap_or_default()),
                    TenantStats::default(),
                )
            }
            (_, Err(error)) => (
                TenantState::Unavailable(error.to_string()),
                TenantStats::default(),
            ),
            (Ok(()), Ok(mut stats)) => {
                stats.resident_bytes = self.engine.resident_bytes(self.gallery);
                (TenantState::Ready, stats)
            }
        };
        TenantStatus {
            spec: Some(spec),
            id: self.id().clone(),
            state,
            rotating: false,
            stats,
        }
    }

    /// Whether files wait to be cleaned of an erased person; asks once.
    pub(super) fn take_purge_wanted(&self) -> bool {
        self.purge_wanted.swap(false, Ordering::AcqRel)
    }
}

impl Drop for Tenant {
    /// The last search that began before another gallery took the place of this one's has ended.
    fn drop(&mut self) {
        let successor = self.successor.get();
        if successor.is_some_and(|successor| successor.gallery != self.gallery) {
            // Where the engine has ended, so has the gallery.
            let _ = self.engine.close_gallery(self.gallery);
        }
    }
}
