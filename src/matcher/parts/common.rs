//! What the galleries of a node have in common: who the node is, which galleries it has, how many loads may be under way. Reads no catalog.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::PartsConfig;
use super::catalog::Register;
use super::gallery::{Gallery, Target};
use crate::cluster::loads::Loads;
use crate::cluster::placement::NodeId;
use crate::engine::Engine;
use crate::model::id::TenantId;

/// Shared by the node's tasks.
pub(super) struct Common {
    pub(super) node: NodeId,
    pub(super) register: Arc<dyn Register>,
    pub(super) engine: Engine,
    pub(super) config: PartsConfig,
    /// Ends all tasks.
    pub(super) stop: CancellationToken,
    pub(super) tasks: TaskTracker,
    /// Of the node's registration; `None` while it has none.
    generation: Mutex<Option<u64>>,
    loads: Arc<Semaphore>,
    flushes: Arc<Semaphore>,
    galleries: RwLock<Galleries>,
    /// Whether the node is to go.
    drains: AtomicBool,
    /// Asks for a round at once.
    pub(super) look: Notify,
    /// Told after each look at all galleries.
    looked: watch::Sender<()>,
}

/// The galleries of which the node has something, or is to have.
#[derive(Default)]
struct Galleries {
    by_tenant: HashMap<TenantId, Arc<Gallery>>,
    /// Numbers of courses and loads that were given for galleries which the node has left ([`Loads::after`]).
    numbers: u64,
}

impl Common {
    pub(super) fn new(
        node: NodeId,
        register: Arc<dyn Register>,
        engine: Engine,
        config: PartsConfig,
    ) -> Arc<Self> {
        Arc::new(Self {
            node,
            register,
            engine,
            loads: Arc::new(Semaphore::new(config.loads_max.max(1))),
            flushes: Arc::new(Semaphore::new(config.flushes_max.max(1))),
            config,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            generation: Mutex::default(),
            galleries: RwLock::default(),
            drains: AtomicBool::new(false),
            look: Notify::new(),
            looked: watch::Sender::new(()),
        })
    }

    pub(super) fn generation(&self) -> Option<u64> {
        *self.generation.lock()
    }

    pub(super) fn registered(&self, generation: u64) {
        *self.generation.lock() = Some(generation);
        self.nudge_unsettled();
    }

    /// A registration no longer counts: everything goes, and then the node registers again.
    pub(super) fn fenced(&self, generation: u64) {
        {
            let mut now = self.generation.lock();
            if *now != Some(generation) {
                return;
            }
            *now = None;
        }
        tracing::warn!(node = %self.node, generation, "the node was taken for gone; it lets go of all and registers again");
        for gallery in self.all() {
            gallery.nudge();
        }
    }

    /// Has the node hand over what it owns, and leave; false where it does already.
    pub(super) fn drain(&self) -> bool {
        let is_news = !self.drains.swap(true, Ordering::AcqRel);
        if is_news {
            self.look.notify_one();
        }
        is_news
    }

    pub(super) fn is_to_drain(&self) -> bool {
        self.drains.load(Ordering::Acquire)
    }

    /// The node was not told how to open the keys of the cluster. It owns parts that it can't have, of tenants that are made from now on or given other keys, so that it leaves.
    pub(super) fn passed_over(&self) {
        if self.drain() {
            tracing::error!(node = %self.node, "this node was passed over when a key-encryption key was rotated: it hands over what it has, and leaves; name the new key in its configuration, and start it anew");
        }
    }

    /// A place among the loads under way, if there is one.
    pub(super) fn may_load(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.loads).try_acquire_owned().ok()
    }

    /// A place among the flushes under way, if there is one.
    pub(super) fn may_flush(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.flushes).try_acquire_owned().ok()
    }

    pub(super) fn gallery(&self, tenant: &TenantId) -> Option<Arc<Gallery>> {
        self.galleries.read().by_tenant.get(tenant).cloned()
    }

    pub(super) fn all(&self) -> Vec<Arc<Gallery>> {
        self.galleries.read().by_tenant.values().cloned().collect()
    }

    /// Has those look that have not all that they are to have.
    pub(super) fn nudge_unsettled(&self) {
        for gallery in self.all() {
            if !gallery.is_settled() {
                gallery.nudge();
            }
        }
    }

    /// Says what the node is to have of which galleries; of all others nothing.
    pub(super) fn aim(self: &Arc<Self>, mut targets: HashMap<TenantId, Target>) {
        let mut galleries = self.galleries.write();
        if self.stop.is_cancelled() {
            return;
        }
        for (tenant, gallery) in &galleries.by_tenant {
            gallery.aim(targets.remove(tenant));
        }
        for (tenant, target) in targets {
            let loads = Loads::after(galleries.numbers);
            let gallery = Gallery::new(tenant.clone(), self, loads);
            gallery.aim(Some(target));
            self.tasks.spawn(Arc::clone(&gallery).run());
            galleries.by_tenant.insert(tenant, gallery);
        }
        drop(galleries);
        self.looked.send_replace(());
    }

    /// To hear of each look at all galleries.
    pub(super) fn looks(&self) -> watch::Receiver<()> {
        self.looked.subscribe()
    }

    /// Forgets a gallery of which the node is to have nothing, and has nothing. Its task ends.
    pub(super) fn forget(&self, gallery: &Arc<Gallery>) -> bool {
        let mut galleries = self.galleries.write();
        let is_done = gallery.target().is_none() && gallery.is_left();
        if is_done {
            galleries.by_tenant.remove(&gallery.tenant);
            galleries.numbers = galleries.numbers.max(gallery.held.numbers());
        }
        is_done
    }

    /// Ends all tasks. Each gallery goes with the last one that has to do with it.
    pub(super) fn end(&self) {
        self.stop.cancel();
        self.galleries.write().by_tenant.clear();
    }

    /// Whether no row of any gallery is here, nor on its way.
    pub(super) fn is_empty(&self) -> bool {
        self.all().iter().all(|gallery| gallery.held.is_empty())
    }
}
