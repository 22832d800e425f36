//! A node's register and galleries where they really are: catalogs in a database that many nodes share, segments in an object store. Decides nothing, and searches nothing.

pub(in crate::matcher) mod opened;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Instant;

use parking_lot::Mutex;
use ulid::Ulid;

use self::opened::{Opened, Slot, listed_of};
use super::catalog::{CatalogError, GalleryCatalog, ListedGallery, Purging, Register, SegmentCopy};
use crate::cluster::course::{Change, Reference};
use crate::cluster::followers::{Follower, Report};
use crate::cluster::members::{Life, Members, Suspect};
use crate::cluster::placement::NodeId;
use crate::cluster::view::{Edition, Head, Reading, Segment};
use crate::matcher::error::node_error;
use crate::matcher::node::NodeError;
use crate::matcher::on_cluster::{Keyholder, unreadable};
use crate::model::id::{SubjectId, TenantId};
use crate::model::link::LinkKind;
use crate::model::tenant::TransformId;
use crate::storage::cluster::copies::Use;
use crate::storage::cluster::segments::{SegmentKeys, Segments, planes};
use crate::storage::cluster::{Cluster, GalleryReading, ListedSegment, SegmentObject, Standing};
use crate::storage::error::StorageError;
use crate::storage::objects::error::ObjectError;
use crate::storage::objects::key::{Home, ObjectKey};
use crate::storage::place::{RowId, RowPlanes, SegmentRows, StoredRow};
use crate::storage::write::CandidateInfo;

mod succession;
mod writing;

/// What a node has of a cluster. Clones share everything.
#[derive(Clone)]
pub struct OnCluster(Arc<Shared>);

struct Shared {
    cluster: Arc<Cluster>,
    segments: Arc<Segments>,
    keys: Arc<dyn Keyholder>,
    /// Where fronts reach the node.
    address: String,
    /// The node's last registration.
    standing: Mutex<Option<Standing>>,
    /// The galleries by the last reading in which each was whole.
    galleries: Mutex<HashMap<TenantId, Known>>,
    /// Catalogs that are open.
    slots: Mutex<HashMap<TenantId, Arc<Slot>>>,
}

struct Known {
    listed: ListedGallery,
    home: Home,
    /// Whether the last reading had a fault of it, which was told.
    is_faulty: bool,
}

/// A tenant's gallery.
struct OneGallery {
    shared: Arc<Shared>,
    tenant: TenantId,
    /// The catalog as it was opened last, for whoever leaves a gallery that is not there any more.
    slot: Arc<Slot>,
}

impl OnCluster {
    /// For one node, which fronts reach under this address.
    pub fn new(
        cluster: Arc<Cluster>,
        segments: Arc<Segments>,
        keys: Arc<dyn Keyholder>,
        address: impl Into<String>,
    ) -> Self {
        Self(Arc::new(Shared {
            cluster,
            segments,
            keys,
            address: address.into(),
            standing: Mutex::default(),
            galleries: Mutex::default(),
            slots: Mutex::default(),
        }))
    }
}

impl Register for OnCluster {
    fn register(&self, node: NodeId, weight: u32) -> Result<u64, CatalogError> {
        let registered = self.0.cluster.register(node, weight, &self.0.address);
        let standing = registered.map_err(of_cluster)?;
        *self.0.standing.lock() = Some(standing);
        Ok(standing.generation)
    }

    fn beat(&self, node: NodeId, generation: u64) -> Result<Members, CatalogError> {
        let cluster = &self.0.cluster;
        cluster.beat(Standing { node, generation }).map_err(of_cluster)?;
        let members = cluster.nodes().map_err(of_cluster)?.members;
        // It may have been fenced between the two, and is not one that has left.
        members.check(node, generation)?;
        Ok(members)
    }

    fn advance(&self, node: NodeId, generation: u64, to: Life) -> Result<(), CatalogError> {
        let who = Standing { node, generation };
        self.0.cluster.advance(who, to).map_err(of_cluster)
    }

    fn fence(&self, node: NodeId, generation: u64, suspect: &Suspect) -> Result<bool, CatalogError> {
        let by = Standing { node, generation };
        self.0.cluster.fence(by, suspect).map_err(of_cluster)
    }

    /// One that can't be read now is as it was when it could: what is here of it stays, and whoever asks for it is told by its catalog.
    fn galleries(&self) -> Result<Vec<ListedGallery>, CatalogError> {
        let here = self.0.segments.copies().here();
        self.read_galleries(|tenant, told| self.0.staying(tenant, told, &here))
    }

    fn is_passed_over(&self) -> bool {
        self.0.keys.is_passed_over()
    }

    /// Nobody waits for a copy that stays from the registration on.
    fn clear_former_life(&self) -> Result<(), CatalogError> {
        self.read_galleries(|_, _| HashSet::new()).map(drop)
    }

    fn keep_only(&self, tenants: &BTreeSet<TenantId>) {
        let homes = {
            let known = self.0.galleries.lock();
            let kept = known.iter().filter(|(tenant, _)| tenants.contains(*tenant));
            kept.map(|(_, known)| known.home.clone()).collect()
        };
        if let Err(error) = self.0.segments.copies().keep_only(&homes) {
            tracing::warn!(%error, "copies of galleries that are no longer the node's can't be destroyed; the next round tries again");
        }
    }

    fn open(&self, tenant: &TenantId) -> Arc<dyn GalleryCatalog> {
        Arc::new(OneGallery {
            shared: Arc::clone(&self.0),
            tenant: tenant.clone(),
            slot: self.0.slot(tenant),
        })
    }
}

impl OnCluster {
    /// All galleries; copies of objects that are listed no more are destroyed, but for those that stay.
    fn read_galleries(
        &self,
        staying: impl Fn(&TenantId, &GalleryReading) -> HashSet<ObjectKey>,
    ) -> Result<Vec<ListedGallery>, CatalogError> {
        let secrets = self.0.keys.secrets().map_err(of_cluster)?;
        let copies = self.0.segments.copies();
        let look = copies.look();
        let mut read = self.0.cluster.heads(&secrets).map_err(of_cluster)?;
        // Copies are destroyed before anybody has to wait for the list.
        let mut tidy: HashMap<TenantId, u64> = HashMap::new();
        for (tenant, told) in &read {
            let Ok(told) = told else { continue };
            let generation = told.reading.head().edition.key_generation;
            let key = |ulid: &Ulid| ObjectKey {
                home: told.home.clone(),
                generation,
                ulid: *ulid,
            };
            let objects = told.objects.iter().map(key).collect();
            let kept = (&objects, &staying(tenant, told));
            let until = copies.tidy_up(&look, &told.home, kept, told.commits);
            tidy.insert(tenant.clone(), until);
        }
        let mut known = self.0.galleries.lock();
        known.retain(|tenant, _| read.contains_key(tenant));
        self.0.slots.lock().retain(|tenant, _| read.contains_key(tenant));
        for (tenant, told) in read.drain() {
            match told {
                Ok(told) => {
                    let home = told.home.clone();
                    let mut listed = listed_of(&tenant, told);
                    if listed.is_littered() {
                        listed.tidy = tidy.get(&tenant).copied().unwrap_or_default();
                    }
                    let is_faulty = false;
                    let gallery = Known {
                        listed,
                        home,
                        is_faulty,
                    };
                    known.insert(tenant, gallery);
                }
                // It was made anew, under keys that this node can't come to.
                Err(StorageError::CatalogKey { .. }) if self.0.keys.is_passed_over() => {
                    known.remove(&tenant);
                }
                Err(error) => {
                    let known = known.get_mut(&tenant);
                    let was_faulty = known.is_some_and(|known| std::mem::replace(&mut known.is_faulty, true));
                    if !was_faulty {
                        tracing::error!(%tenant, %error, "a gallery's head can't be read; what is here of it stays as it is");
                    }
                }
            }
        }
        Ok(known.values().map(|known| known.listed.clone()).collect())
    }
}

impl OneGallery {
    /// The catalog for the node's registration and the gallery's edition as both are now; opened where it is not.
    fn opened(&self) -> Result<Arc<Opened>, CatalogError> {
        self.shared.opened(&self.tenant, &self.slot)
    }

    /// Does something with the catalog.
    fn with<T>(&self, work: impl FnOnce(&Opened) -> Result<T, StorageError>) -> Result<T, CatalogError> {
        work(&*self.opened()?).map_err(|error| self.fault(&error))
    }

    fn fault(&self, error: &StorageError) -> CatalogError {
        self.shared.fault(&self.tenant, error)
    }

    /// What lists a segment now. One that is not listed is an error. Within a use.
    fn listed(&self, opened: &Opened, number: u32) -> Result<(Head, ListedSegment), CatalogError> {
        let (head, listed) = opened
            .catalog
            .load_segment(number)
            .map_err(|error| self.fault(&error))?;
        let listed = listed.ok_or_else(|| NodeError::TenantUnavailable {
            tenant: self.tenant.clone(),
            reason: format!("segment {number} is not in its list of segments"),
        })?;
        self.shared.segments.know(&opened.keys, &listed.object);
        opened.objects.lock().insert(number, listed.object);
        Ok((head, listed))
    }

    /// Reads the codes of an object, and waits for its file until a deadline at the latest. A fetch that is late goes on, for the next try: the file is sealed, and no row of it is in memory.
    fn planes(
        &self,
        keys: &SegmentKeys,
        (object, reading): (SegmentObject, Use),
        deadline: Instant,
    ) -> Result<RowPlanes, CatalogError> {
        let (done, outcome) = sync_channel(1);
        let (keys, segments) = (keys.clone(), Arc::clone(&self.shared.segments));
        let fetch = thread::Builder::new().name("thenar-segment".to_owned());
        let started = fetch.spawn(move || {
            let fetched = segments.fetch(&keys, &object);
            drop(reading);
            // Who gave up waiting needs no answer.
            let _ = done.send(fetched);
        });
        started.map_err(|error| NodeError::Internal(format!("no thread can be started: {error}")))?;
        let file = match outcome.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(fetched) => fetched.map_err(|error| self.fault(&error))?,
            Err(RecvTimeoutError::Timeout) => return Err(NodeError::DeadlineExceeded.into()),
            Err(RecvTimeoutError::Disconnected) => {
                return Err(NodeError::Internal("a fetch of a segment ended early".to_owned()).into());
            }
        };
        planes(&file).map_err(|error| self.fault(&error))
    }
}

impl GalleryCatalog for OneGallery {
    fn follow(&self, begin: &mut dyn FnMut(Reading) -> (Follower, Report)) -> Result<(), CatalogError> {
        self.with(|opened| opened.catalog.follow(begin))
    }

    fn report(&self, follower: Follower, report: &Report) -> Result<(), CatalogError> {
        self.with(|opened| opened.catalog.report(follower, report))
    }

    /// Also of a gallery that is not there any more, whose catalog was opened when it was followed.
    fn leave(&self, follower: Follower) -> Result<(), CatalogError> {
        let opened = self.slot.lock().clone();
        opened.map_or(Ok(()), |opened| {
            let left = opened.catalog.leave(follower);
            left.map_err(|error| self.fault(&error))
        })
    }

    fn followers(&self) -> Result<Vec<(Follower, Report)>, CatalogError> {
        self.with(|opened| opened.catalog.followers())
    }

    fn feed(&self, after: u64, limit: usize) -> Result<(Head, Vec<(u64, Change)>), CatalogError> {
        self.with(|opened| opened.catalog.feed(after, limit))
    }

    /// The database's own limits bound it.
    fn fresh(
        &self,
        only: Option<&[Reference]>,
        _deadline: Instant,
    ) -> Result<(Head, Vec<StoredRow>), CatalogError> {
        self.with(|opened| opened.catalog.load_fresh(only))
    }

    fn segment(&self, number: u32, deadline: Instant) -> Result<(Head, SegmentCopy), CatalogError> {
        let opened = self.opened()?;
        let reading = self.begin(&opened);
        let (head, listed) = self.listed(&opened, number)?;
        if let Segment::Retired { .. } = listed.state {
            return Err(NodeError::NodeUnavailable {
                node: "catalog".to_owned(),
                reason: format!("the rows of segment {number} have moved on into another one"),
            }
            .into());
        }
        let planes = self.planes(&opened.keys, (listed.object, reading), deadline)?;
        let mut references = vec![0; listed.object.rows as usize];
        for (row, reference) in listed.members {
            if let Some(whose) = references.get_mut(row as usize) {
                *whose = reference.0;
            }
        }
        Ok((head, SegmentCopy { planes, references }))
    }

    fn members(&self, segment: u32) -> Result<Vec<Reference>, CatalogError> {
        let opened = self.opened()?;
        let _reading = self.begin(&opened);
        let (_, listed) = self.listed(&opened, segment)?;
        Ok(listed.members.into_values().collect())
    }

    fn clear(&self) -> Result<bool, CatalogError> {
        self.clear_copies()
    }

    fn begin_writing(&self) -> Result<Option<Use>, CatalogError> {
        Ok(Some(self.begin(&*self.opened()?)))
    }

    fn warm(&self, rows: &SegmentRows, edition: Edition, writing: Option<Use>) -> Result<bool, CatalogError> {
        self.warm_rows(rows, edition, writing)
    }

    fn mergeable(&self, segments: &BTreeSet<u32>) -> Result<BTreeSet<u32>, CatalogError> {
        self.with(|opened| opened.catalog.mergeable(segments))
    }

    fn merge(
        &self,
        segments: &BTreeSet<u32>,
        edition: Edition,
        writing: Option<Use>,
    ) -> Result<bool, CatalogError> {
        self.merge_segments(segments, edition, writing)
    }

    fn is_merge(&self, segment: u32) -> Result<bool, CatalogError> {
        self.with(|opened| opened.catalog.is_merge(segment))
    }

    fn withdraw(&self, segment: u32) -> Result<bool, CatalogError> {
        self.with(|opened| opened.catalog.withdraw(segment))
    }

    fn forget_retired(&self) -> Result<bool, CatalogError> {
        self.with(|opened| opened.catalog.forget_retired())
    }

    fn has_loose_ends(&self) -> bool {
        let opened = self.slot.lock().clone();
        opened.is_some_and(|opened| !opened.loose.lock().is_empty() || opened.catalog.may_look_ahead())
    }

    fn tie_up(&self) -> Result<(), CatalogError> {
        self.tie_up_loose();
        self.with(|opened| {
            if opened.catalog.may_look_ahead() {
                opened.catalog.look_ahead()?;
            }
            Ok(())
        })
    }

    fn rewrite(&self) -> Result<(), CatalogError> {
        self.rewrite_buried()
    }

    fn forget_copies(&self) -> Result<Option<Purging>, CatalogError> {
        self.with(|opened| {
            let erasures = opened.catalog.purgeable()?;
            if !erasures.is_empty() && !opened.catalog.forget_copies()? {
                return Ok(None);
            }
            let (commits, sequence) = opened.catalog.changes()?;
            Ok(Some(Purging {
                erasures,
                commits,
                sequence,
            }))
        })
    }

    fn purge(&self, purging: &Purging) -> Result<bool, CatalogError> {
        self.destroy_former(purging)
    }

    fn go_live(&self, segment: u32) -> Result<bool, CatalogError> {
        // Asked by a reading first: who asks again and again is to hold up nobody who writes.
        self.with(|opened| Ok(opened.catalog.may_go_live(segment)? && opened.catalog.go_live(segment)?))
    }

    fn cut_feed(&self) -> Result<(), CatalogError> {
        self.with(|opened| opened.catalog.cut_feed().map(drop))
    }

    fn exact(
        &self,
        (segment, transform): (u32, &TransformId),
        rows: &[u32],
    ) -> Result<Vec<Option<StoredRow>>, CatalogError> {
        let opened = self.opened()?;
        if opened.transform != *transform {
            let tenant = self.tenant.clone();
            return Err(NodeError::TransformStale { tenant }.into());
        }
        let _reading = self.begin(&opened);
        let known = opened.objects.lock().get(&segment).copied();
        if let Some(object) = known {
            match self.shared.segments.exact(&opened.keys, &object, rows) {
                // Another object may hold it by now.
                Err(StorageError::Object(ObjectError::Missing { .. } | ObjectError::Forgotten { .. })) => {}
                read => return read.map_err(|error| self.fault(&error)),
            }
        }
        let (_, listed) = self.listed(&opened, segment)?;
        let read = self.shared.segments.exact(&opened.keys, &listed.object, rows);
        read.map_err(|error| self.fault(&error))
    }

    fn references(&self, subject: &SubjectId) -> Result<Vec<Reference>, CatalogError> {
        self.with(|opened| opened.catalog.references(subject))
    }

    fn describe(
        &self,
        ids: &[RowId],
        links: &[LinkKind],
    ) -> Result<Vec<Option<CandidateInfo>>, CatalogError> {
        self.with(|opened| opened.catalog.candidates(ids, links))
    }
}

/// What is wrong with the register, or with the whole database.
fn of_cluster(error: StorageError) -> CatalogError {
    match error {
        StorageError::Fenced(fenced) => fenced.into(),
        error => unreadable(&error).into(),
    }
}

/// What is wrong with a tenant's catalog or segments.
fn of_tenant(tenant: &TenantId, error: &StorageError) -> CatalogError {
    let away = |node: &str| NodeError::NodeUnavailable {
        node: node.to_owned(),
        reason: error.to_string(),
    };
    let node = match error {
        StorageError::Fenced(fenced) => return (*fenced).into(),
        StorageError::TenantUnknown(tenant) => NodeError::TenantUnknown(tenant.clone()),
        StorageError::FeedCut { after, .. } => return CatalogError::FeedCut { after: *after },
        StorageError::Object(ObjectError::Missing { .. } | ObjectError::Damaged { .. }) => {
            NodeError::TenantUnavailable {
                tenant: tenant.clone(),
                reason: error.to_string(),
            }
        }
        StorageError::Object(_) => away("objects"),
        // It is opened anew.
        StorageError::KeysRotated(_) => away("catalog"),
        StorageError::Unreachable { .. } | StorageError::Database { .. } | StorageError::Uncertain(_) => {
            away("catalog")
        }
        error if error.is_away() => away("keys"),
        StorageError::Keys(keys) if keys.is_wrong_kek() => {
            return CatalogError::PassedOver(node_error(tenant, error));
        }
        // Damage names the tenant.
        error => node_error(tenant, error),
    };
    node.into()
}

#[cfg(test)]
#[path = "on_cluster_tests.rs"]
mod tests;
