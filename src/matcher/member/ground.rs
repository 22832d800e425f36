//! For tests: what nodes of a cluster stand on (a database, a store that is a directory, and whoever has the tenants), and a front that asks them. Checks nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tempfile::TempDir;

use super::{MemberNode, MemberParts};
use crate::cluster::followers::Write as Waiting;
use crate::cluster::members::{Life, Suspect};
use crate::cluster::placement::NodeId;
use crate::engine::{BackendChoice, Engine, EngineConfig, LockMemory};
use crate::keys::cells::INCARNATION_LEN;
use crate::keys::epochs::EpochKeys;
use crate::keys::receipt::ReceiptSigner;
use crate::keys::secret::SecretKey;
use crate::matcher::fixture::{palm, tenant, transform};
use crate::matcher::node::{Erasure, NodeError, SearchQuery, SubjectRef};
use crate::matcher::on_cluster::{ClusterHeads, ClusterRegister, Keyholder, TenantHome, TenantKeys};
use crate::matcher::parts::on_cluster::OnCluster;
use crate::matcher::parts::{PartsConfig, PartsNode};
use crate::matcher::placed::node::PlacedNode;
use crate::matcher::placed::register::{Dial, Link};
use crate::model::id::TenantId;
use crate::model::tenant::TenantSpec;
use crate::storage::cluster::segments::Segments;
use crate::storage::cluster::{Cluster, Standing};
use crate::storage::database::testing::{Server, connect};
use crate::storage::error::StorageError;
use crate::storage::objects::config::ObjectStoreConfig;
use crate::storage::objects::{CacheConfig, ObjectStore, Objects};

const REPLICAS: usize = 2;
/// Whoever fences, registered as a node that owns nothing.
const WATCHER: NodeId = NodeId(1_000);

/// Whoever has the tenants: keys in memory, and those of epochs in a directory that all nodes have.
pub(super) struct Home {
    dir: TempDir,
    server: &'static Server,
    address: String,
    cluster: Arc<Cluster>,
    keys: Mutex<BTreeMap<TenantId, TenantKeys>>,
    made: AtomicU64,
}

impl Keyholder for Home {
    fn secrets(&self) -> Result<BTreeMap<TenantId, SecretKey>, StorageError> {
        let keys = self.keys.lock();
        Ok(keys
            .iter()
            .map(|(id, keys)| (id.clone(), keys.secret.clone()))
            .collect())
    }

    fn secret(&self, tenant: &TenantId) -> Result<Option<SecretKey>, StorageError> {
        Ok(self.keys.lock().get(tenant).map(|keys| keys.secret.clone()))
    }

    fn later_secret(&self, tenant: &TenantId) -> Result<Option<SecretKey>, StorageError> {
        self.secret(tenant)
    }

    fn keys(&self, tenant: &TenantId) -> Result<TenantKeys, StorageError> {
        let keys = self.keys.lock().get(tenant).cloned();
        keys.ok_or_else(|| StorageError::TenantUnknown(tenant.clone()))
    }
}

impl TenantHome for Home {
    fn create(&self, spec: &TenantSpec) -> Result<(), StorageError> {
        let mut keys = self.keys.lock();
        if keys.contains_key(&spec.id) {
            return Err(StorageError::TenantExists(spec.id.clone()));
        }
        let number = self.made.fetch_add(1, Ordering::SeqCst) + 1;
        let data_key = SecretKey::random();
        let incarnation = [u8::try_from(number).expect("few"); INCARNATION_LEN];
        let path = self.dir.path().join(format!("epochs-{number}"));
        let made = TenantKeys {
            secret: SecretKey::random(),
            epochs: Arc::new(EpochKeys::create(&path, &data_key, incarnation)?),
            data_key,
            signer: ReceiptSigner::new(&SecretKey::from_bytes([3; 32])),
        };
        self.cluster.create(spec, &made.secret, &incarnation)?;
        keys.insert(spec.id.clone(), made);
        Ok(())
    }

    fn remove(&self, tenant: &TenantId) -> Result<(), StorageError> {
        let mut keys = self.keys.lock();
        if !keys.contains_key(tenant) {
            return Err(StorageError::TenantUnknown(tenant.clone()));
        }
        let number = format!("SELECT tenant FROM tenant WHERE name = '{tenant}'");
        let number = self.server.sql(&self.address, &number);
        let tables = [
            "follower",
            "change",
            "warming",
            "tombstone",
            "erasure",
            "pending",
            "reference",
            "link",
            "subject",
            "segment",
            "usage",
            "checkpoint",
            "request",
            "tenant",
        ];
        let deletes = tables.map(|table| format!("DELETE FROM {table} WHERE tenant = {number};"));
        self.server.sql(&self.address, &deletes.concat());
        keys.remove(tenant);
        Ok(())
    }
}

impl Home {
    pub(super) fn tenants(&self) -> usize {
        self.keys.lock().len()
    }
}

type Members = Arc<Mutex<HashMap<NodeId, Arc<MemberNode>>>>;

/// A database and a store, the nodes on them, and a front.
pub(super) struct Ground {
    pub(super) front: PlacedNode,
    pub(super) home: Arc<Home>,
    store: ObjectStore,
    cluster: Arc<Cluster>,
    standing: Standing,
    members: Members,
    caches: AtomicU64,
}

struct Dialled(Members);

impl Dial for Dialled {
    fn dial(&self, id: NodeId, _address: &str) -> Result<Link, NodeError> {
        let node = self.0.lock().get(&id).cloned();
        let node = node.ok_or_else(|| NodeError::NodeUnavailable {
            node: id.to_string(),
            reason: "it is gone".to_owned(),
        })?;
        Ok(Link {
            node: Arc::clone(&node) as _,
            holder: node,
        })
    }
}

impl Ground {
    /// Without a node; `None` where PostgreSQL is not installed.
    pub(super) async fn new() -> Option<Self> {
        let ground = tokio::task::spawn_blocking(|| {
            let server = Server::shared()?;
            let address = server.fresh();
            let dir = TempDir::new().expect("a temporary directory");
            let cluster = Arc::new(Cluster::new(&connect(&address), REPLICAS).expect("there are tables"));
            let standing = cluster.register(WATCHER, 0, "nowhere").expect("registered");
            cluster.advance(standing, Life::Serving).expect("it is new");
            let url = format!("file://{}", dir.path().join("store").display());
            let store = ObjectStore::connect(&ObjectStoreConfig::new(&url)).expect("a directory");
            store.probe().expect("writable");
            let home = Home {
                dir,
                server,
                address,
                cluster: Arc::clone(&cluster),
                keys: Mutex::default(),
                made: AtomicU64::new(0),
            };
            Some((Arc::new(home), store, cluster, standing))
        });
        let (home, store, cluster, standing) = ground.await.expect("it ends")?;
        let members = Members::default();
        let heads = ClusterHeads::new(Arc::clone(&cluster), Arc::clone(&home) as _);
        let register = ClusterRegister::new(Arc::clone(&cluster));
        Some(Self {
            front: PlacedNode::new(heads, register, Dialled(Arc::clone(&members)), REPLICAS),
            home,
            store,
            cluster,
            standing,
            members,
            caches: AtomicU64::new(0),
        })
    }

    /// Starts a node, and waits until it serves and the front may ask it.
    pub(super) async fn join(&self, number: u128) -> Arc<MemberNode> {
        let id = NodeId(number);
        let cache = self.caches.fetch_add(1, Ordering::Relaxed);
        let path = |of: &str| self.home.dir.path().join(format!("node-{cache}-{of}"));
        let (address, store, cache, staging) = (
            self.home.address.clone(),
            self.store.clone(),
            path("cache"),
            path("staging"),
        );
        let opened = tokio::task::spawn_blocking(move || {
            let cache = CacheConfig {
                dir: cache,
                bytes_max: 1 << 20,
                fetches_max: 2,
            };
            let objects = Objects::of(store, &cache).expect("opened");
            let segments = Segments::open(&objects, staging).expect("opened");
            let cluster = Cluster::new(&connect(&address), REPLICAS).expect("there are tables");
            (cluster, segments)
        });
        let (cluster, segments) = opened.await.expect("it ends");
        let home = Arc::clone(&self.home);
        let cluster = OnCluster::new(Arc::new(cluster), Arc::new(segments), home, id.to_string());
        let engine = Engine::start(EngineConfig {
            backend: BackendChoice::Cpu,
            threads: 1,
            lock_memory: LockMemory::Off,
            ..EngineConfig::default()
        });
        let engine = engine.expect("started");
        let config = PartsConfig {
            replicas: REPLICAS,
            round: Duration::from_millis(50),
            retry_after: Duration::from_millis(5),
            let_go_after: Duration::from_millis(30),
            flush_rows: 12,
            ..PartsConfig::default()
        };
        let parts = PartsNode::start(id, Arc::new(cluster.clone()), engine.clone(), config);
        let node = Arc::new(MemberNode::new(MemberParts {
            id,
            parts: Arc::new(parts.expect("started")),
            cluster,
            home: Arc::clone(&self.home) as _,
            engine,
        }));
        self.members.lock().insert(id, Arc::clone(&node));
        self.serving(number).await;
        let mut is_placed = self.front.is_placed();
        let placed = is_placed.wait_for(|is_placed| *is_placed).await;
        assert!(placed.is_ok(), "the front goes on");
        node
    }

    /// Waits until a node serves.
    pub(super) async fn serving(&self, number: u128) {
        until("a node serves", async || {
            self.members_now()
                .await
                .current(NodeId(number))
                .map(|node| node.life)
                == Some(Life::Serving)
        })
        .await;
    }

    async fn members_now(&self) -> crate::cluster::members::Members {
        let cluster = Arc::clone(&self.cluster);
        let read = tokio::task::spawn_blocking(move || cluster.nodes().expect("read").members);
        read.await.expect("it ends")
    }

    pub(super) fn member(&self, number: u128) -> Arc<MemberNode> {
        let members = self.members.lock();
        Arc::clone(members.get(&NodeId(number)).expect("it was started"))
    }

    /// A node in the place of one that was told to stop, over the same parts.
    pub(super) fn member_anew(&self, number: u128) -> Arc<MemberNode> {
        let former = &self.member(number).shared.of;
        let of = MemberParts {
            id: former.id,
            parts: Arc::clone(&former.parts),
            cluster: former.cluster.clone(),
            home: Arc::clone(&former.home),
            engine: former.engine.clone(),
        };
        Arc::new(MemberNode::new(of))
    }

    /// Ends a node as if it had died: it leaves nothing, and is still in the register.
    pub(super) async fn kill(&self, number: u128) {
        let node = self.member(number);
        node.parts().stop().await;
        self.members.lock().remove(&NodeId(number));
    }

    /// Takes a node for gone, whatever its beat.
    pub(super) fn fence(&self, number: u128) {
        tokio::task::block_in_place(|| {
            // One that lives goes on beating meanwhile.
            let mut is_fenced = false;
            while !is_fenced {
                self.cluster.beat(self.standing).expect("it lives");
                let members = self.cluster.nodes().expect("read").members;
                let Some(now) = members.current(NodeId(number)).copied() else {
                    return;
                };
                let suspect = Suspect {
                    node: NodeId(number),
                    generation: now.generation,
                    beat: now.beat,
                };
                is_fenced = self.cluster.fence(self.standing, &suspect).expect("asked");
            }
        });
    }

    /// How many nodes follow the gallery.
    pub(super) fn followers(&self) -> usize {
        let opened = self.any();
        tokio::task::block_in_place(|| opened.catalog.followers().expect("read").len())
    }

    /// Whether an erasure still waits for somebody.
    pub(super) fn erasure_waits(&self, sequence: u64) -> bool {
        let opened = self.any();
        let wait = Waiting::Erasure { sequence };
        tokio::task::block_in_place(|| !opened.catalog.waits_for(&wait).expect("read").is_empty())
    }

    fn any(&self) -> Arc<crate::matcher::parts::on_cluster::opened::Opened> {
        let node = self.member(1);
        tokio::task::block_in_place(|| node.shared.of.cluster.catalog(&tenant()).expect("there"))
    }
}

/// Waits for something that is to come.
pub(super) async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let look = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let outcome = tokio::time::timeout(Duration::from_mins(1), look).await;
    outcome.unwrap_or_else(|_| panic!("waited for this in vain: {what}"));
}

pub(super) fn query(number: usize) -> SearchQuery {
    SearchQuery {
        tenant: tenant(),
        transform: transform(7),
        probe: palm(number),
        only: None,
        threshold: 0.95,
        candidates_max: 10,
        links: Vec::new(),
        deterministic: true,
        deadline: None,
    }
}

pub(super) fn erasure(request: &str, subject: &str) -> Erasure {
    Erasure {
        tenant: tenant(),
        request_id: request.parse().expect("an id"),
        request_digest: [6; 32],
        subject: SubjectRef::Id(subject.parse().expect("an id")),
        only_if: None,
    }
}
