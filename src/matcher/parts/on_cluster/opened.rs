//! Catalogs of tenants that are open on a node: one a tenant, for all who need it, opened anew where the node or the tenant is another one. Writes nothing, and knows no rows.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use ulid::Ulid;

use super::succession::Succession;
use super::{Known, OnCluster, Shared, of_cluster, of_tenant};
use crate::cluster::view::Edition;
use crate::matcher::error::{is_damage, node_error};
use crate::matcher::node::NodeError;
use crate::matcher::on_cluster::unreadable;
use crate::matcher::parts::asked::told;
use crate::matcher::parts::catalog::{CatalogError, ListedGallery};
use crate::model::id::TenantId;
use crate::model::signature::Dimension;
use crate::model::tenant::TransformId;
use crate::storage::cluster::copies::Use;
use crate::storage::cluster::segments::{SegmentKeys, Segments};
use crate::storage::cluster::{Figures, GalleryReading, SegmentObject, SharedCatalog, Standing};
use crate::storage::database::notices::{Listening, Notice};
use crate::storage::error::StorageError;
use crate::storage::objects::key::Home;
use crate::storage::on_cluster::KEY_GENERATION;

/// How often a tenant is opened that is made anew meanwhile, or whose keys are rotated.
const OPENINGS_MAX: usize = 3;

/// A catalog that was opened for a registration and an edition.
pub(in crate::matcher) struct Opened {
    pub(super) standing: Standing,
    pub(in crate::matcher) edition: Edition,
    pub(in crate::matcher) dimension: Dimension,
    /// What the rows of this edition are protected with.
    pub(in crate::matcher) transform: TransformId,
    pub(in crate::matcher) catalog: Arc<SharedCatalog>,
    pub(in crate::matcher) keys: SegmentKeys,
    /// The objects of segments as they were last listed.
    pub(super) objects: Mutex<BTreeMap<u32, SegmentObject>>,
    /// Objects that were put and may be listed or not.
    pub(super) loose: Mutex<Vec<Loose>>,
    /// Of those that are listed no more.
    pub(super) succession: Succession,
}

/// An object that was put and may be listed or not. The node is not tidy while there is one.
pub(super) struct Loose {
    pub(super) keys: SegmentKeys,
    pub(super) ulid: Ulid,
    pub(super) _writing: Use,
}

impl Opened {
    /// Which of those that had its id the tenant is.
    pub(in crate::matcher) fn incarnation(&self) -> u64 {
        self.edition.incarnation
    }

    /// The objects that hold these segments: as they were last listed, or, where they are read `anew`, as they are now. Within a [`Use`].
    pub(in crate::matcher) fn objects(
        &self,
        of: &Segments,
        segments: &BTreeSet<u32>,
        anew: bool,
    ) -> Result<BTreeMap<u32, SegmentObject>, StorageError> {
        let mut found = BTreeMap::new();
        if !anew {
            let known = self.objects.lock();
            let listed = segments
                .iter()
                .filter_map(|number| Some((*number, *known.get(number)?)));
            found.extend(listed);
        }
        let missing = segments.iter().filter(|number| !found.contains_key(number));
        let read = self.catalog.objects(&missing.copied().collect())?;
        for object in read.values() {
            of.know(&self.keys, object);
        }
        self.objects.lock().extend(&read);
        found.extend(read);
        Ok(found)
    }
}

/// What a catalog is opened by.
struct Facts {
    edition: Edition,
    dimension: Dimension,
    transform: TransformId,
}

impl Facts {
    fn of(listed: &ListedGallery) -> Self {
        Self {
            edition: listed.head.edition,
            dimension: listed.dimension,
            transform: listed.transform.clone(),
        }
    }
}

/// A tenant's catalog, if it is open. Whoever comes during an opening waits for it, and an opening ends by itself.
pub(super) type Slot = Mutex<Option<Arc<Opened>>>;

impl OnCluster {
    /// A tenant's catalog for the node's registration and the tenant as both are now; one that was not heard of is looked for. Blocks.
    pub(in crate::matcher) fn catalog(&self, tenant: &TenantId) -> Result<Arc<Opened>, NodeError> {
        let opened = self.0.opened(tenant, &self.0.slot(tenant));
        opened.map_err(told)
    }

    /// The same, after the tenant was looked at. Blocks.
    pub(in crate::matcher) fn catalog_now(&self, tenant: &TenantId) -> Result<Arc<Opened>, NodeError> {
        self.0.look(tenant).map_err(told)?;
        self.catalog(tenant)
    }

    /// The same where it is open, and nobody has to be asked.
    pub(in crate::matcher) fn known(&self, tenant: &TenantId) -> Option<Arc<Opened>> {
        let edition = self.0.galleries.try_lock()?.get(tenant)?.listed.head.edition;
        let standing = (*self.0.standing.try_lock()?)?;
        let slot = self.0.slots.try_lock()?.get(tenant).cloned()?;
        let opened = slot.try_lock()?.clone()?;
        ((opened.standing, opened.edition) == (standing, edition)).then_some(opened)
    }

    /// Ends the making of a tenant that nobody has opened yet, and opens it. Blocks.
    pub(in crate::matcher) fn make(&self, tenant: &TenantId) -> Result<Arc<Opened>, NodeError> {
        match self.catalog(tenant) {
            // Nobody sees one in the making, but for whoever has its keys.
            Err(NodeError::TenantUnknown(_)) => {}
            opened => return opened,
        }
        let standing = *self.0.standing.lock();
        let standing = standing.ok_or_else(unregistered)?;
        let open = || {
            let keys = self.0.keys.keys(tenant, KEY_GENERATION)?;
            let (epochs, signer) = ((KEY_GENERATION, keys.epochs), keys.signer);
            let cluster = &self.0.cluster;
            cluster
                .open(standing, tenant, &keys.secret, epochs, signer)
                .map(drop)
        };
        open().map_err(|error| self.fault(tenant, &error))?;
        self.catalog(tenant)
    }

    /// Does something with a tenant's catalog, and, where the tenant was made anew since that was opened, or its keys were rotated, with the present one. It may be done twice. Blocks.
    pub(in crate::matcher) fn with<T>(
        &self,
        tenant: &TenantId,
        work: impl Fn(&Opened) -> Result<T, StorageError>,
    ) -> Result<T, NodeError> {
        let opened = self.catalog(tenant)?;
        let done = match work(&opened) {
            Err(error) if is_damage(&error) && self.is_another(tenant, &opened)? => {
                work(&*self.catalog(tenant)?)
            }
            done => done,
        };
        done.map_err(|error| self.fault(tenant, &error))
    }

    /// Does something that may find nothing, and believes that only of a tenant that is still there. Blocks.
    pub(in crate::matcher) fn find<T>(
        &self,
        tenant: &TenantId,
        work: impl Fn(&Opened) -> Result<T, StorageError>,
        is_nothing: impl Fn(&T) -> bool,
    ) -> Result<T, NodeError> {
        self.with(tenant, |opened| {
            let found = work(opened)?;
            if is_nothing(&found) {
                // Fails where its row is gone.
                opened.catalog.spec()?;
            }
            Ok(found)
        })
    }

    /// Whether a tenant is another one than its catalog was opened for; one that is gone is unknown. Blocks.
    pub(in crate::matcher) fn is_made_anew(
        &self,
        tenant: &TenantId,
        opened: &Opened,
    ) -> Result<bool, NodeError> {
        let listed = self.0.look(tenant).map_err(told)?;
        Ok(listed.head.edition.incarnation != opened.incarnation())
    }

    /// Whether a tenant is of another edition than its catalog was opened for: it was made anew, or its keys were rotated. One that is gone is unknown. Blocks.
    pub(in crate::matcher) fn is_another(
        &self,
        tenant: &TenantId,
        opened: &Opened,
    ) -> Result<bool, NodeError> {
        let listed = self.0.look(tenant).map_err(told)?;
        Ok(listed.head.edition != opened.edition)
    }

    /// The tenants that there are, or one of them, and their figures; or what is wrong with one of them. Blocks.
    pub(in crate::matcher) fn figures(
        &self,
        only: Option<&TenantId>,
    ) -> Result<HashMap<TenantId, Result<Figures, NodeError>>, NodeError> {
        let mut secrets = self.0.keys.secrets().map_err(|error| unreadable(&error))?;
        if let Some(only) = only {
            secrets.retain(|tenant, _| tenant == only);
        }
        if secrets.is_empty() {
            return Ok(HashMap::new());
        }
        let read = self.0.cluster.figures(&secrets);
        let read = read.map_err(|error| unreadable(&error))?;
        let told = read.into_iter().map(|(tenant, told)| {
            let told = told.map_err(|error| node_error(&tenant, &error));
            (tenant, told)
        });
        Ok(told.collect())
    }

    /// Forgets a tenant that is gone.
    pub(in crate::matcher) fn forget(&self, tenant: &TenantId) {
        self.0.galleries.lock().remove(tenant);
        self.0.slots.lock().remove(tenant);
    }

    /// Tells the other nodes. What can't be told they find with their next look. Blocks.
    pub(in crate::matcher) fn notify(&self, notice: &Notice) {
        if let Err(error) = self.0.cluster.notify(notice) {
            tracing::debug!(?notice, %error, "the other nodes are not told of a change");
        }
    }

    /// Calls `heard`, which must not block, whenever a node tells something.
    pub(in crate::matcher) fn listen(&self, heard: impl Fn(Notice) + Send + Sync + 'static) -> Listening {
        self.0.cluster.listen(heard)
    }

    /// An object that was put with these keys may be listed or not: the node's next rounds find that out. To be told within a [`Use`].
    pub(in crate::matcher) fn in_doubt(&self, opened: &Arc<Opened>, keys: &SegmentKeys, ulid: Ulid) {
        let loose = Loose {
            keys: keys.clone(),
            ulid,
            _writing: self.0.segments.copies().begin(&keys.home),
        };
        let slot = self.0.slot(&keys.home.tenant);
        let now = slot.lock();
        let present = now.as_ref().filter(|now| now.standing == opened.standing);
        present.unwrap_or(opened).loose.lock().push(loose);
    }

    /// What reads and writes segments.
    pub(in crate::matcher) fn segments(&self) -> &Arc<Segments> {
        &self.0.segments
    }

    /// What is wrong with a tenant's catalog or segments. Blocks.
    pub(in crate::matcher) fn fault(&self, tenant: &TenantId, error: &StorageError) -> NodeError {
        told(self.0.fault(tenant, error))
    }
}

impl Shared {
    /// Where a tenant's catalog is once it is open.
    pub(super) fn slot(&self, tenant: &TenantId) -> Arc<Slot> {
        Arc::clone(self.slots.lock().entry(tenant.clone()).or_default())
    }

    /// The catalog for the node's registration and the gallery's edition as both are now; opened where it is not.
    pub(super) fn opened(&self, tenant: &TenantId, slot: &Slot) -> Result<Arc<Opened>, CatalogError> {
        let mut tried = 0;
        loop {
            tried += 1;
            let known = self
                .galleries
                .lock()
                .get(tenant)
                .map(|known| Facts::of(&known.listed));
            let facts = match known {
                Some(facts) => facts,
                None => Facts::of(&self.look(tenant)?),
            };
            let standing = *self.standing.lock();
            let standing = standing.ok_or_else(unregistered)?;
            let mut here = slot.lock();
            if let Some(opened) = &*here
                && (opened.standing, opened.edition) == (standing, facts.edition)
            {
                return Ok(Arc::clone(opened));
            }
            let edition = facts.edition;
            match self.open_now(tenant, facts, standing) {
                Ok(opened) if opened.catalog.incarnation() == opened.incarnation() => {
                    let opened = Arc::new(opened);
                    if let Some(former) = &*here {
                        self.leave_loose(former, &opened);
                    }
                    *here = Some(Arc::clone(&opened));
                    return Ok(opened);
                }
                Ok(_) | Err(StorageError::KeysRotated(_)) => {}
                Err(error) => {
                    drop(here);
                    // The keys of the edition that was heard of last may be gone.
                    let may_be_another = !error.is_away() && tried < OPENINGS_MAX;
                    if may_be_another && self.look(tenant)?.head.edition != edition {
                        continue;
                    }
                    return Err(of_tenant(tenant, &error));
                }
            }
            drop(here);
            if tried == OPENINGS_MAX {
                return Err(CatalogError::Node(NodeError::NodeUnavailable {
                    node: "catalog".to_owned(),
                    reason: format!(
                        "tenant {tenant} is made anew, or its keys are rotated, while it is opened; ask again"
                    ),
                }));
            }
            self.look(tenant)?;
        }
    }

    fn open_now(&self, tenant: &TenantId, facts: Facts, standing: Standing) -> Result<Opened, StorageError> {
        let generation = facts.edition.key_generation;
        let keys = self.keys.keys(tenant, generation)?;
        let segment_keys = SegmentKeys {
            home: Home::of(tenant, &keys.epochs.incarnation()),
            generation,
            dimension: facts.dimension,
            data_key: keys.data_key.clone(),
        };
        let (epochs, signer) = ((generation, keys.epochs), keys.signer);
        let catalog = self
            .cluster
            .open(standing, tenant, &keys.secret, epochs, signer)?;
        // One that was set back has persons who were erased since.
        self.segments.journal().check(&segment_keys.home, &catalog)?;
        Ok(Opened {
            standing,
            edition: facts.edition,
            dimension: facts.dimension,
            transform: facts.transform,
            catalog: Arc::new(catalog),
            keys: segment_keys,
            objects: Mutex::default(),
            loose: Mutex::default(),
            succession: Succession::default(),
        })
    }

    /// What is wrong with a tenant's catalog or segments. Of one that was dropped nothing is there, which is no damage.
    pub(super) fn fault(&self, tenant: &TenantId, error: &StorageError) -> CatalogError {
        if is_damage(error)
            && let Err(unknown @ CatalogError::Node(NodeError::TenantUnknown(_))) = self.look(tenant)
        {
            return unknown;
        }
        of_tenant(tenant, error)
    }

    /// Reads the head of one tenant now; one that is not there is unknown.
    pub(super) fn look(&self, tenant: &TenantId) -> Result<ListedGallery, CatalogError> {
        let mut secrets = self.keys.secrets().map_err(of_cluster)?;
        secrets.retain(|known, _| known == tenant);
        let read = if secrets.is_empty() {
            None
        } else {
            self.cluster.heads(&secrets).map_err(of_cluster)?.remove(tenant)
        };
        let Some(read) = read else {
            self.galleries.lock().remove(tenant);
            return Err(NodeError::TenantUnknown(tenant.clone()).into());
        };
        let read = read.map_err(|error| of_tenant(tenant, &error))?;
        let home = read.home.clone();
        let listed = listed_of(tenant, read);
        let known = Known {
            listed: listed.clone(),
            home,
            is_faulty: false,
        };
        self.galleries.lock().insert(tenant.clone(), known);
        Ok(listed)
    }
}

/// The node has not begun.
fn unregistered() -> NodeError {
    NodeError::NodeUnavailable {
        node: "register".to_owned(),
        reason: "the node is not registered yet".to_owned(),
    }
}

/// A gallery as nodes list it; whether the node is tidy is another question.
pub(super) fn listed_of(tenant: &TenantId, told: GalleryReading) -> ListedGallery {
    ListedGallery {
        tenant: tenant.clone(),
        gallery: told.gallery,
        dimension: told.dimension,
        transform: told.transform,
        head: *told.reading.head(),
        view: told.reading.view().clone(),
        live: told.live,
        erasures_open: told.erasures_open,
        has_unlisted: told.has_unlisted,
        has_retired: told.has_retired,
        tidy: 0,
    }
}
