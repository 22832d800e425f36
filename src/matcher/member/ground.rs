//! For tests: what nodes of a cluster stand on (a database, and a store that is a directory), and a front that asks them. Checks nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tempfile::TempDir;

use super::{MemberNode, MemberParts};
use crate::cluster::followers::{Follower, Write as Waiting};
use crate::cluster::members::{Life, Suspect};
use crate::cluster::placement::NodeId;
use crate::keys::keyring::{Keks, Keyring};
use crate::keys::secret::SecretKey;
use crate::matcher::cluster_home::{CatalogSecrets, ClusterHome};
use crate::matcher::fixture::{engine, palm, tenant, transform};
use crate::matcher::node::{Erasure, NodeError, SearchQuery, SubjectRef};
use crate::matcher::on_cluster::{ClusterHeads, ClusterRegister};
use crate::matcher::parts::on_cluster::OnCluster;
use crate::matcher::parts::{PartsConfig, PartsNode};
use crate::matcher::placed::node::PlacedNode;
use crate::matcher::placed::register::{Dial, Link};
use crate::storage::cluster::segments::Segments;
use crate::storage::cluster::{Cluster, Standing};
use crate::storage::database::testing::{Server, connect};
use crate::storage::objects::config::ObjectStoreConfig;
use crate::storage::objects::text::{CATALOG_KEYRING, MATCH_KEYRING, open_keyring};
use crate::storage::objects::{CacheConfig, ObjectStore, Objects};

const REPLICAS: usize = 2;
/// Whoever fences, registered as a node that owns nothing.
const WATCHER: NodeId = NodeId(1_000);

type Members = Arc<Mutex<HashMap<NodeId, Arc<MemberNode>>>>;

/// A database and a store, the nodes on them, and a front.
pub(in crate::matcher::member) struct Ground {
    pub(in crate::matcher::member) front: PlacedNode,
    dir: TempDir,
    address: String,
    store: ObjectStore,
    cluster: Arc<Cluster>,
    standing: Standing,
    members: Members,
    caches: AtomicU64,
    /// The next key of the keyrings, which nodes are told that start from now on.
    next_kek: Mutex<Option<SecretKey>>,
    /// How long nodes drain at least that start from now on.
    pub(in crate::matcher::member) drain_min: Mutex<Duration>,
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
    pub(in crate::matcher::member) async fn new() -> Option<Self> {
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
            let secrets = CatalogSecrets::new(keyring(&store, (CATALOG_KEYRING, None), false));
            Some((dir, address, store, secrets, cluster, standing))
        });
        let (dir, address, store, secrets, cluster, standing) = ground.await.expect("it ends")?;
        let members = Members::default();
        let heads = ClusterHeads::new(Arc::clone(&cluster), Arc::new(secrets));
        let register = ClusterRegister::new(Arc::clone(&cluster));
        Some(Self {
            front: PlacedNode::new(heads, register, Dialled(Arc::clone(&members)), REPLICAS),
            dir,
            address,
            store,
            cluster,
            standing,
            members,
            caches: AtomicU64::new(0),
            next_kek: Mutex::default(),
            drain_min: Mutex::new(PartsConfig::default().drain_min),
        })
    }

    /// Starts a node, and waits until it serves and the front may ask it.
    pub(in crate::matcher::member) async fn join(&self, number: u128) -> Arc<MemberNode> {
        let id = NodeId(number);
        let cache = self.caches.fetch_add(1, Ordering::Relaxed);
        let path = |of: &str| self.dir.path().join(format!("node-{cache}-{of}"));
        let (address, store, cache, staging) = (
            self.address.clone(),
            self.store.clone(),
            path("cache"),
            path("staging"),
        );
        let next_kek = self.next_kek.lock().clone();
        let opened = tokio::task::spawn_blocking(move || {
            let cache = CacheConfig {
                dir: cache,
                bytes_max: 1 << 20,
                fetches_max: 2,
            };
            let objects = Objects::of(store, &cache).expect("opened");
            let segments = Segments::open(&objects, staging).expect("opened");
            let database = connect(&address);
            let cluster = Arc::new(Cluster::new(&database, REPLICAS).expect("there are tables"));
            let has_tenants = !database.tenants().expect("read").is_empty();
            let keyring = |name| keyring(objects.store(), (name, next_kek.as_ref()), has_tenants);
            let home = ClusterHome::new(
                keyring(MATCH_KEYRING),
                keyring(CATALOG_KEYRING),
                Arc::clone(&cluster),
                &database,
                &objects,
            );
            (cluster, segments, Arc::new(home))
        });
        let (cluster, segments, home) = opened.await.expect("it ends");
        let cluster = OnCluster::new(
            cluster,
            Arc::new(segments),
            Arc::clone(&home) as _,
            id.to_string(),
        );
        let engine = engine();
        let config = PartsConfig {
            replicas: REPLICAS,
            round: Duration::from_millis(50),
            retry_after: Duration::from_millis(5),
            let_go_after: Duration::from_millis(30),
            flush_rows: 12,
            purge_after: Duration::from_millis(200),
            drain_min: *self.drain_min.lock(),
            ..PartsConfig::default()
        };
        let parts = PartsNode::start(id, Arc::new(cluster.clone()), engine.clone(), config);
        let node = Arc::new(MemberNode::new(MemberParts {
            id,
            parts: Arc::new(parts.expect("started")),
            cluster,
            home,
            engine,
        }));
        self.members.lock().insert(id, Arc::clone(&node));
        self.serving(number).await;
        let mut is_placed = self.front.is_placed();
        let placed = is_placed.wait_for(|is_placed| *is_placed).await;
        assert!(placed.is_ok(), "the front goes on");
        node
    }

    /// Names the next key to nodes that start from now on.
    pub(in crate::matcher::member) fn name_next_kek(&self) {
        *self.next_kek.lock() = Some(SecretKey::from_bytes([10; 32]));
    }

    /// Wraps the nodes' keyring by it.
    pub(in crate::matcher::member) fn rotate_kek(&self) {
        let next = self.next_kek.lock().clone();
        let told = keyring(&self.store, (MATCH_KEYRING, next.as_ref()), true);
        tokio::task::block_in_place(|| told.rewrap().expect("wrapped"));
    }

    /// Waits until a node serves.
    pub(in crate::matcher::member) async fn serving(&self, number: u128) {
        until("a node serves", async || {
            self.life(number).await == Some(Life::Serving)
        })
        .await;
    }

    /// Where a node stands; `None` of one that is gone.
    pub(in crate::matcher::member) async fn life(&self, number: u128) -> Option<Life> {
        let members = self.members_now().await;
        members.current(NodeId(number)).map(|node| node.life)
    }

    async fn members_now(&self) -> crate::cluster::members::Members {
        let cluster = Arc::clone(&self.cluster);
        let read = tokio::task::spawn_blocking(move || cluster.nodes().expect("read").members);
        read.await.expect("it ends")
    }

    pub(in crate::matcher::member) fn member(&self, number: u128) -> Arc<MemberNode> {
        let members = self.members.lock();
        Arc::clone(members.get(&NodeId(number)).expect("it was started"))
    }

    /// A node in the place of one that was told to stop, over the same parts.
    pub(in crate::matcher::member) fn member_anew(&self, number: u128) -> Arc<MemberNode> {
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
    pub(in crate::matcher::member) async fn kill(&self, number: u128) {
        let node = self.member(number);
        node.parts().stop().await;
        self.members.lock().remove(&NodeId(number));
    }

    /// Takes a node for gone, whatever its beat.
    pub(in crate::matcher::member) fn fence(&self, number: u128) {
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

    /// Files of the tenant's segments, by the generation of keys that seals them.
    pub(in crate::matcher::member) fn generations(&self) -> BTreeMap<u32, usize> {
        let any = self.any();
        let home = any.keys.home.clone();
        let listed = tokio::task::block_in_place(|| self.store.list(&home).expect("listed"));
        let mut found = BTreeMap::new();
        for info in listed {
            *found.entry(info.key.generation).or_default() += 1;
        }
        found
    }

    /// Changes tables of the database as nobody does who runs a cluster.
    pub(in crate::matcher::member) fn sql(&self, sql: &str) -> String {
        let server = Server::shared().expect("it is there");
        tokio::task::block_in_place(|| server.sql(&self.address, sql))
    }

    /// The courses of the nodes that follow the gallery.
    pub(in crate::matcher::member) fn courses(&self) -> BTreeSet<(NodeId, u64)> {
        let followers = self.followers_now();
        followers.iter().map(|now| (now.node, now.course)).collect()
    }

    /// Of which generations of keys they are.
    pub(in crate::matcher::member) fn generations_followed(&self) -> Vec<u32> {
        let followers = self.followers_now();
        let generations: BTreeSet<u32> = followers.iter().map(|now| now.edition.key_generation).collect();
        generations.into_iter().collect()
    }

    fn followers_now(&self) -> Vec<Follower> {
        let opened = self.any();
        let read = tokio::task::block_in_place(|| opened.catalog.followers().expect("read"));
        read.into_iter().map(|(now, _)| now).collect()
    }

    /// How many nodes follow the gallery.
    pub(in crate::matcher::member) fn followers(&self) -> usize {
        self.followers_now().len()
    }

    /// Whether an erasure still waits for somebody.
    pub(in crate::matcher::member) fn erasure_waits(&self, sequence: u64) -> bool {
        let opened = self.any();
        let wait = Waiting::Erasure { sequence };
        tokio::task::block_in_place(|| !opened.catalog.waits_for(&wait).expect("read").is_empty())
    }

    fn any(&self) -> Arc<crate::matcher::parts::on_cluster::opened::Opened> {
        let node = self.member(1);
        tokio::task::block_in_place(|| node.shared.of.cluster.catalog(&tenant()).expect("there"))
    }
}

/// One of the keyrings that all nodes share.
fn keyring(store: &ObjectStore, (name, next): (&str, Option<&SecretKey>), has_tenants: bool) -> Arc<Keyring> {
    let keks = Keks::new(&SecretKey::from_bytes([9; 32]), next);
    Arc::new(open_keyring(store, name, keks, has_tenants).expect("opened"))
}

/// Waits for something that is to come.
pub(in crate::matcher::member) async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let look = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let outcome = tokio::time::timeout(Duration::from_mins(1), look).await;
    outcome.unwrap_or_else(|_| panic!("waited for this in vain: {what}"));
}

pub(in crate::matcher::member) fn query(number: usize) -> SearchQuery {
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

pub(in crate::matcher::member) fn erasure(request: &str, subject: &str) -> Erasure {
    Erasure {
        tenant: tenant(),
        request_id: request.parse().expect("an id"),
        request_digest: [6; 32],
        subject: SubjectRef::Id(subject.parse().expect("an id")),
        only_if: None,
    }
}
