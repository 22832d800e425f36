//! A database as a cluster shares it: the register, and heads of many galleries in one reading. Decides nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio_postgres::Row;
use ulid::Ulid;

use super::head::{self, Head, Identity};
use super::register::{self, Register, Standing};
use super::rows::select;
use super::shared::SharedCatalog;
use super::{Incarnation, Owner, Tenant, create_row, migrate};
use crate::cluster::members::{Life, Suspect};
use crate::cluster::placement::{Gallery, NodeId};
use crate::cluster::view::{self, Reading, Segment, View};
use crate::keys::epochs::Epochs;
use crate::keys::receipt::ReceiptSigner;
use crate::keys::secret::SecretKey;
use crate::model::id::TenantId;
use crate::model::signature::Dimension;
use crate::model::tenant::{TenantSpec, TenantStats, TransformId};
use crate::storage::catalog::segments::SegmentEntry;
use crate::storage::database::Database;
use crate::storage::database::notices::{Listening, Notice};
use crate::storage::database::transaction::statement;
use crate::storage::error::StorageError;
use crate::storage::objects::key::Home;
use crate::storage::place::SegmentSize;
use crate::storage::segment::format::Layout;

/// Segments of these tenants, each with its tenant.
const SEGMENTS: &str = select!(
    segment,
    ", tenant FROM segment WHERE tenant IN (SELECT tenant FROM tenant WHERE name = ANY($1))"
);

/// Those of these tenants that have objects which nobody lists nor can list any more: as a purge finds them.
const LITTERED: &str = "SELECT DISTINCT l.tenant FROM loose l
    WHERE l.tenant IN (SELECT tenant FROM tenant WHERE name = ANY($1))
    AND NOT EXISTS (SELECT 1 FROM segment s WHERE s.tenant = l.tenant AND s.ulid = l.ulid)
    AND NOT EXISTS (SELECT 1 FROM node n WHERE n.node = l.node AND n.generation = l.generation AND n.life <> $2)";

/// A database as the nodes and fronts of a cluster share it. Any number of threads may call it.
pub struct Cluster {
    database: Database,
    replicas: usize,
    owners: Mutex<HashMap<TenantId, Arc<Known>>>,
}

/// A tenant whose keys were made ready before.
struct Known {
    incarnation: Incarnation,
    owner: Owner,
    /// The most changes that its row was seen with.
    seen: AtomicU64,
    /// The list of its segments that was read last.
    list: Mutex<Option<KnownList>>,
}

/// A list of segments.
struct KnownList {
    /// Of the keys that its segments are sealed with.
    key_generation: u32,
    /// As of one version.
    view: Arc<View>,
}

/// What one reading tells of a tenant's gallery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GalleryReading {
    /// The gallery, by which its parts are placed.
    pub gallery: Gallery,
    /// Of its rows.
    pub dimension: Dimension,
    /// What its rows are protected with.
    pub transform: TransformId,
    /// Its head, and its list of segments.
    pub reading: Reading,
    /// What its objects' names begin with.
    pub home: Home,
    /// The objects that its segments are in.
    pub objects: BTreeSet<Ulid>,
    /// Those of its segments that count.
    pub live: BTreeMap<u32, SegmentSize>,
    /// Changes of its catalog, of whatever kind.
    pub commits: u64,
    /// Erasures that are not purged.
    pub erasures_open: u64,
    /// Whether there are objects that nobody lists nor can list any more.
    pub has_unlisted: bool,
    /// Whether segments are listed whose rows moved on into others.
    pub has_retired: bool,
}

/// What stands beside a tenant's head.
#[derive(Default)]
struct Beside {
    /// Its segments.
    segments: Vec<Row>,
    has_unlisted: bool,
}

/// A gallery's head, and what an identification has to ask for as of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GalleryView {
    /// The gallery, by which its parts are placed.
    pub gallery: Gallery,
    /// Its head.
    pub head: view::Head,
    /// Its segments as of the head's version of the list: those that count. Which ones are warming may be as of an earlier moment.
    pub view: Arc<View>,
}

/// A tenant as its head tells of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// The tenant as it is now.
    pub spec: TenantSpec,
    /// Its figures; resident bytes are the caller's to add.
    pub stats: TenantStats,
}

impl Known {
    /// Its segments as of a head, where they are known.
    fn view(&self, head: &Head) -> Option<Arc<View>> {
        let list = self.list.lock();
        let is_it = |known: &&KnownList| {
            (known.key_generation, known.view.list()) == (head.key_generation, head.list)
        };
        list.as_ref().filter(is_it).map(|known| Arc::clone(&known.view))
    }

    fn gallery(&self, head: &Head, view: Arc<View>) -> GalleryView {
        GalleryView {
            gallery: Gallery::of(&self.owner.id, head.spec.created_at),
            head: head.of_gallery(&self.owner),
            view,
        }
    }
}

impl Cluster {
    /// Of a database whose tables are there. A part has so many owners.
    pub fn new(database: &Database, replicas: usize) -> Result<Self, StorageError> {
        migrate::check(database)?;
        Ok(Self {
            database: database.clone(),
            replicas,
            owners: Mutex::default(),
        })
    }

    /// Registers a node, for the first time or again, as one that joins. Nothing counts any more that it did by an earlier registration.
    pub fn register(&self, node: NodeId, weight: u32, address: &str) -> Result<Standing, StorageError> {
        register::register(&self.database, node, weight, address)
    }

    /// A sign of life.
    pub fn beat(&self, who: Standing) -> Result<(), StorageError> {
        register::beat(&self.database, who)
    }

    /// A node goes on in its life.
    pub fn advance(&self, who: Standing, to: Life) -> Result<(), StorageError> {
        register::advance(&self.database, who, to)
    }

    /// Fences a node, unless it gave a sign of life since it was seen. Says whether it is gone now by this.
    pub fn fence(&self, by: Standing, suspect: &Suspect) -> Result<bool, StorageError> {
        register::fence(&self.database, by, suspect)
    }

    /// The nodes, as they are at one moment after the call.
    pub fn nodes(&self) -> Result<Register, StorageError> {
        register::read(&self.database)
    }

    /// Makes a tenant of nobody; it is there when this returns, and may be there where that is uncertain.
    pub fn create(
        &self,
        spec: &TenantSpec,
        secret: &SecretKey,
        incarnation: &Incarnation,
    ) -> Result<(), StorageError> {
        create_row(
            &self.database,
            (spec.id.as_str().to_owned(), spec),
            secret,
            incarnation,
        )
    }

    /// Ends the making of a tenant: from now on it is listed. One that is made already stays as it is.
    pub(in crate::storage) fn make(
        &self,
        id: &TenantId,
        secret: &SecretKey,
        epochs: Arc<dyn Epochs>,
        signer: ReceiptSigner,
    ) -> Result<(), StorageError> {
        let tenant = Tenant::find(&self.database, id, secret, epochs, signer)?;
        tenant.take_up().map(drop)
    }

    /// Tells the other nodes, as a hint.
    pub fn notify(&self, notice: &Notice) -> Result<(), StorageError> {
        self.database.notify(notice)
    }

    /// Calls `heard`, which must not block, whenever a node tells something.
    pub fn listen(&self, heard: impl Fn(Notice) + Send + Sync + 'static) -> Listening {
        self.database.listen(heard)
    }

    /// Opens a tenant for a node, by the epochs of this generation of its keys. Where it has another one by now it is [`StorageError::KeysRotated`].
    pub fn open(
        &self,
        standing: Standing,
        id: &TenantId,
        secret: &SecretKey,
        (key_generation, epochs): (u32, Arc<dyn Epochs>),
        signer: ReceiptSigner,
    ) -> Result<SharedCatalog, StorageError> {
        let tenant = Tenant::find(&self.database, id, secret, epochs, signer)?;
        if tenant.key_generation != key_generation {
            return Err(StorageError::KeysRotated(id.clone()));
        }
        SharedCatalog::open(tenant, standing, self.replicas)
    }

    /// Heads and lists of the galleries of these tenants, by their catalogs' secrets, all of one moment after the call. One who is missing is unknown; what is wrong with one is told of
    /// that one alone.
    pub fn heads(
        &self,
        tenants: &BTreeMap<TenantId, SecretKey>,
    ) -> Result<HashMap<TenantId, Result<GalleryReading, StorageError>>, StorageError> {
        self.each(tenants, |known, head, beside| {
            let (mut objects, mut live) = (BTreeSet::new(), BTreeMap::new());
            let mut has_retired = false;
            for row in &beside.segments {
                let (entry, state) = known.owner.segment_row(row)?;
                objects.insert(entry.ulid);
                let SegmentEntry { rows, holes, .. } = entry;
                match state {
                    Segment::Warming => {}
                    Segment::Live { .. } => drop(live.insert(entry.number, SegmentSize { rows, holes })),
                    Segment::Retired { .. } => has_retired = true,
                }
            }
            Ok(GalleryReading {
                gallery: Gallery::of(&known.owner.id, head.spec.created_at),
                dimension: head.spec.dimension,
                transform: head.spec.transform.clone(),
                reading: known.owner.reading(head, &beside.segments)?,
                home: Home::of(&known.owner.id, &known.incarnation),
                objects,
                live,
                commits: head.state.commits,
                erasures_open: head.state.erasures_open,
                has_unlisted: beside.has_unlisted,
                has_retired,
            })
        })
    }

    /// Heads of the galleries of these tenants, each of a moment after the call, with the segments that count as of it. Those are read where a head has another version of the list than was
    /// read last, and so heads alone as long as no list moves: what counts in one version never changes.
    pub fn views(
        &self,
        tenants: &BTreeMap<TenantId, SecretKey>,
    ) -> Result<HashMap<TenantId, Result<GalleryView, StorageError>>, StorageError> {
        let seen = self.seen(tenants.keys());
        let names = tenants.keys().map(|id| id.as_str().to_owned()).collect();
        let rows = self.database.read(vec![head::by_names(names)])?;
        let (mut told, mut moved) = (HashMap::new(), BTreeMap::new());
        let by_name: HashMap<&str, _> = tenants.iter().map(|of| (of.0.as_str(), of)).collect();
        for row in rows.iter().flatten() {
            let name: &str = row.try_get(head::NAME).unwrap_or_default();
            let Some((id, secret)) = by_name.get(name).copied() else {
                continue;
            };
            match self.look((id, secret), row, seen.get(id)) {
                Err(error) => {
                    told.insert(id.clone(), Err(error));
                }
                Ok((known, head)) => {
                    if let Some(view) = known.view(&head) {
                        told.insert(id.clone(), Ok(known.gallery(&head, view)));
                    } else {
                        moved.insert(id.clone(), secret.clone());
                    }
                }
            }
        }
        if !moved.is_empty() {
            told.extend(self.each(&moved, |known, head, beside| {
                let view = Arc::new(known.owner.reading(head, &beside.segments)?.view().clone());
                *known.list.lock() = Some(KnownList {
                    key_generation: head.key_generation,
                    view: Arc::clone(&view),
                });
                Ok(known.gallery(head, view))
            })?);
        }
        Ok(told)
    }

    /// The tenants themselves and their figures, likewise.
    pub fn figures(
        &self,
        tenants: &BTreeMap<TenantId, SecretKey>,
    ) -> Result<HashMap<TenantId, Result<Figures, StorageError>>, StorageError> {
        self.each(tenants, |known, head, beside| {
            let mut segment_bytes = 0;
            for row in &beside.segments {
                let (entry, _) = known.owner.segment_row(row)?;
                segment_bytes += Layout::new(head.spec.dimension, entry.rows).file_len();
            }
            Ok(Figures {
                spec: head.spec.clone(),
                stats: TenantStats {
                    subjects: head.state.subjects,
                    references: head.state.references,
                    pending: head.state.pending,
                    segments: head.segments,
                    segment_bytes,
                    resident_bytes: 0,
                    sequence: head.state.sequence,
                },
            })
        })
    }

    /// What is made of each of these tenants' heads and segments, all of one moment after the call.
    fn each<T>(
        &self,
        tenants: &BTreeMap<TenantId, SecretKey>,
        make: impl Fn(&Known, &Head, &Beside) -> Result<T, StorageError>,
    ) -> Result<HashMap<TenantId, Result<T, StorageError>>, StorageError> {
        let seen = self.seen(tenants.keys());
        let names: Vec<String> = tenants.keys().map(|id| id.as_str().to_owned()).collect();
        let rows = self.database.read(vec![
            head::by_names(names.clone()),
            statement!(SEGMENTS, names.clone()),
            statement!(LITTERED, names, register::number(Life::Gone)),
        ])?;
        let [heads, segments, littered] = register::sets(&self.database, rows)?;
        let mut by_tenant: HashMap<i64, Beside> = HashMap::new();
        for row in segments {
            let tenant = row.try_get(7).unwrap_or_default();
            by_tenant.entry(tenant).or_default().segments.push(row);
        }
        for row in littered {
            let tenant = row.try_get(0).unwrap_or_default();
            by_tenant.entry(tenant).or_default().has_unlisted = true;
        }
        let by_name: HashMap<&str, (&TenantId, &SecretKey)> = tenants
            .iter()
            .map(|(id, secret)| (id.as_str(), (id, secret)))
            .collect();
        let mut told = HashMap::new();
        for row in &heads {
            let name: &str = row.try_get(head::NAME).unwrap_or_default();
            let Some((id, secret)) = by_name.get(name).copied() else {
                continue;
            };
            let seen = seen.get(id);
            let made = self.look((id, secret), row, seen).and_then(|(known, head)| {
                let beside = by_tenant.remove(&known.owner.number).unwrap_or_default();
                make(&known, &head, &beside)
            });
            told.insert(id.clone(), made);
        }
        Ok(told)
    }

    /// A head, which is not older than what was seen.
    fn look(
        &self,
        (id, secret): (&TenantId, &SecretKey),
        row: &Row,
        seen: Option<&(Arc<Known>, u64)>,
    ) -> Result<(Arc<Known>, Head), StorageError> {
        let known = self.known(id, secret, row)?;
        let head = Head::of(&known.owner, Some(row))?;
        let commits = head.state.commits;
        known.seen.fetch_max(commits, Ordering::SeqCst);
        // A tenant that was made anew begins anew.
        let seen = seen.filter(|(of, _)| of.incarnation == known.incarnation);
        let seen = seen.map_or(0, |(_, seen)| *seen);
        if commits < seen {
            let fault = format!("it ends with change {commits}, but {seen} were seen");
            return Err(known.owner.damaged("tenant", &fault));
        }
        self.owners.lock().insert(id.clone(), Arc::clone(&known));
        Ok((known, head))
    }

    /// Its keys, made ready once an incarnation. Remembered once its head was found authentic, which its number is bound to.
    fn known(&self, id: &TenantId, secret: &SecretKey, row: &Row) -> Result<Arc<Known>, StorageError> {
        let found: &[u8] = row.try_get(head::INCARNATION).unwrap_or_default();
        let number: i64 = row.try_get(head::NUMBER).unwrap_or_default();
        let is_it = |known: &&Arc<Known>| known.incarnation == *found && known.owner.number == number;
        if let Some(known) = self.owners.lock().get(id).filter(is_it) {
            return Ok(Arc::clone(known));
        }
        let (Identity { number, cells }, incarnation) = Identity::of(&self.database, (id, row), secret)?;
        let owner = Owner {
            database: self.database.clone(),
            id: id.clone(),
            number,
            cells,
        };
        Ok(Arc::new(Known {
            incarnation,
            owner,
            seen: AtomicU64::new(0),
            list: Mutex::default(),
        }))
    }

    /// Who was known before a reading, and with how many changes its row was seen by then.
    fn seen<'a>(&self, tenants: impl Iterator<Item = &'a TenantId>) -> HashMap<TenantId, (Arc<Known>, u64)> {
        let owners = self.owners.lock();
        let seen = tenants.filter_map(|id| {
            let known = owners.get(id)?;
            Some((id.clone(), (Arc::clone(known), known.seen.load(Ordering::SeqCst))))
        });
        seen.collect()
    }
}
