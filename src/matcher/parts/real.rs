//! For tests: a tenant whose catalog is in a PostgreSQL database and whose segments are in an object store, and what others than its nodes do to it. Checks nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use rand_chacha::ChaCha12Rng;
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::PartsConfig;
use super::catalog::Register;
use super::fixture::REPLICAS;
use super::ground::Ground;
use super::on_cluster::OnCluster;
use super::truth::{History, People, Scores};
use super::world::config;
use crate::cluster::followers::Write as Waiting;
use crate::cluster::members::{Life, Members, Suspect};
use crate::cluster::placement::NodeId;
use crate::cluster::view::{Head, Segment};
use crate::keys::cells::INCARNATION_LEN;
use crate::keys::epochs::EpochKeys;
use crate::keys::receipt::ReceiptSigner;
use crate::keys::secret::SecretKey;
use crate::matcher::apply::exact_bytes;
use crate::matcher::convert::{enroll_write, erase_write};
use crate::matcher::fixture::{capture, enrollment, spec, tenant};
use crate::matcher::load::encode_planes;
use crate::matcher::node::{Erasure, NewReference, SubjectRef};
use crate::matcher::on_cluster::{ClusterHeads, Keyholder, TenantKeys};
use crate::model::id::{RequestId, TenantId};
use crate::model::signature::Signature;
use crate::model::subject::Hand;
use crate::model::timestamp::Timestamp;
use crate::storage::cluster::segments::{SegmentKeys, Segments};
use crate::storage::cluster::{Cluster, GalleryReading, SegmentObject, SharedCatalog, Standing};
use crate::storage::database::testing::{Server, connect};
use crate::storage::error::StorageError;
use crate::storage::objects::ObjectStore;
use crate::storage::objects::config::ObjectStoreConfig;
use crate::storage::objects::error::ObjectError;
use crate::storage::objects::key::Home;
use crate::storage::objects::{CacheConfig, Objects};
use crate::storage::on_cluster::KEY_GENERATION;
use crate::storage::place::SegmentRows;
use crate::storage::write::{Committed, Write};

/// Whoever writes, registered as a node that owns nothing.
const WRITER: NodeId = NodeId(1_000);
const CACHE_BYTES: u64 = 1 << 20;

/// Keys of the one tenant that there is.
struct Keys(TenantKeys);

impl Keyholder for Keys {
    fn secrets(&self) -> Result<BTreeMap<TenantId, SecretKey>, StorageError> {
        Ok(BTreeMap::from([(tenant(), self.0.secret.clone())]))
    }

    fn secret(&self, id: &TenantId) -> Result<Option<SecretKey>, StorageError> {
        Ok((*id == tenant()).then(|| self.0.secret.clone()))
    }

    fn look_again(&self) -> Result<(), StorageError> {
        Ok(())
    }

    fn keys(&self, id: &TenantId, key_generation: u32) -> Result<TenantKeys, StorageError> {
        assert_eq!(
            (id, key_generation),
            (&tenant(), KEY_GENERATION),
            "they are not rotated"
        );
        Ok(self.0.clone())
    }

    fn forget_former(&self, _id: &TenantId, key_generation: u32) -> Result<(), StorageError> {
        assert_eq!(key_generation, KEY_GENERATION, "they are not rotated");
        Ok(())
    }
}

pub(super) struct Real {
    dir: TempDir,
    server: &'static Server,
    address: String,
    store: ObjectStore,
    keys: Arc<Keys>,
    cluster: Arc<Cluster>,
    standing: Standing,
    writer: SharedCatalog,
    written: Segments,
    segment_keys: SegmentKeys,
    /// Held by whoever changes who is enrolled.
    history: Mutex<History>,
    requests: AtomicU64,
    caches: AtomicU64,
}

impl Real {
    /// An empty tenant; `None` where PostgreSQL is not installed.
    pub(super) fn new() -> Option<Arc<Self>> {
        let server = Server::shared()?;
        let address = server.fresh();
        let dir = TempDir::new().expect("a temporary directory");
        let [secret, data_key, signing] = [1, 2, 3].map(|seed| SecretKey::from_bytes([seed; 32]));
        let incarnation = [5; INCARNATION_LEN];
        let epochs = EpochKeys::create(&dir.path().join("epochs"), &data_key, incarnation).expect("made");
        let keys = TenantKeys {
            secret,
            data_key,
            epochs: Arc::new(epochs),
            signer: ReceiptSigner::new(&signing),
        };
        let cluster = Cluster::new(&connect(&address), REPLICAS).expect("there are tables");
        cluster.create(&spec(), &keys.secret, &incarnation).expect("made");
        let standing = cluster.register(WRITER, 0, "nowhere").expect("registered");
        cluster.advance(standing, Life::Serving).expect("it is new");
        let (epochs, signer) = (Arc::clone(&keys.epochs), keys.signer.clone());
        let writer = cluster.open(
            standing,
            &tenant(),
            &keys.secret,
            (KEY_GENERATION, epochs),
            signer,
        );
        let writer = writer.expect("opened");
        let url = format!("file://{}", dir.path().join("store").display());
        let store = ObjectStore::connect(&ObjectStoreConfig::new(&url)).expect("a directory");
        store.probe().expect("writable");
        let (head, _) = writer.feed(0, 0).expect("read");
        Some(Arc::new(Self {
            written: segments(&dir, &store, "writer"),
            segment_keys: SegmentKeys {
                home: Home::of(&tenant(), &incarnation),
                generation: head.edition.key_generation,
                dimension: spec().dimension,
                data_key: keys.data_key.clone(),
            },
            dir,
            server,
            address,
            store,
            keys: Arc::new(Keys(keys)),
            cluster: Arc::new(cluster),
            standing,
            writer,
            history: Mutex::default(),
            requests: AtomicU64::new(0),
            caches: AtomicU64::new(0),
        }))
    }

    /// The files of all objects.
    pub(super) fn object_files(&self) -> Vec<PathBuf> {
        let mut found = files(&self.dir.path().join("store"));
        found.retain(|path| path.extension().is_some_and(|extension| extension == "seg"));
        found
    }

    /// The list of segments.
    pub(super) fn segments(&self) -> BTreeMap<u32, Segment> {
        self.read().reading.view().segments().clone()
    }

    /// The gallery as it is listed.
    pub(super) fn read(&self) -> GalleryReading {
        let secrets = self.keys.secrets().expect("there");
        let mut read = self.cluster.heads(&secrets).expect("read");
        read.remove(&tenant()).expect("known").expect("whole")
    }

    /// What is not listed and still in the store, or in a directory of a node that was not stopped: of these numbers.
    pub(super) fn remnants(&self, nodes: std::ops::Range<u64>) -> Vec<PathBuf> {
        let listed = self.read().objects;
        let of_nodes = nodes.flat_map(|number| {
            [self.path(number, "cache"), self.path(number, "staging")]
                .iter()
                .flat_map(|dir| files(dir))
                .collect::<Vec<_>>()
        });
        let mut found: Vec<PathBuf> = of_nodes.chain(self.object_files()).collect();
        found.retain(|file| {
            let name = file
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            let is_file = name != "LOCK" && name != "CACHE";
            is_file && !listed.iter().any(|ulid| name == format!("{ulid}.seg"))
        });
        found
    }

    /// The objects of which the node has a copy that was the so-manieth to begin.
    pub(super) fn copies(&self, number: u64) -> BTreeSet<ulid::Ulid> {
        let files = files(&self.path(number, "cache"));
        let names = files.iter().filter_map(|file| file.file_stem()?.to_str());
        names.filter_map(|name| name.parse().ok()).collect()
    }

    fn path(&self, number: u64, of: &str) -> PathBuf {
        self.dir.path().join(format!("node-{number}-{of}"))
    }

    /// Whoever purges writes all objects anew, and dies before anything is deleted.
    pub(super) fn die_in_a_purge(&self) {
        let (keys, writer) = (&self.segment_keys, &self.writer);
        for segment in writer.buried().expect("read") {
            let (_, listed) = writer.load_segment(segment).expect("read");
            let listed = listed.expect("listed");
            let (former, dead) = (listed.object, &listed.dead);
            let object = self
                .written
                .rewrite(keys, &former, dead, |ulid| writer.intend(ulid));
            let object = object.expect("stored");
            writer
                .replace(segment, former.ulid, object, dead)
                .expect("replaced");
        }
    }

    /// A node puts an object of all fresh rows, and is gone before it is listed.
    pub(super) fn die_in_a_flush(&self) {
        let standing = self
            .cluster
            .register(NodeId(2_000), 0, "nowhere")
            .expect("registered");
        let (secret, keys) = (&self.keys.0.secret, &self.keys.0);
        let (epochs, signer) = (Arc::clone(&keys.epochs), keys.signer.clone());
        let catalog = self
            .cluster
            .open(standing, &tenant(), secret, (KEY_GENERATION, epochs), signer);
        let catalog = catalog.expect("opened");
        let (_, fresh) = catalog.load_fresh(None).expect("read");
        let exact: Vec<u8> = fresh.iter().flat_map(|row| row.exact.to_vec()).collect();
        let exact = Zeroizing::new(exact);
        let planes = encode_planes(spec().dimension, &exact);
        let ids = fresh.iter().map(|row| row.id).collect();
        let rows = SegmentRows { planes, exact, ids };
        let put = self
            .written
            .put(&self.segment_keys, &rows, |ulid| catalog.intend(ulid));
        let object = put.expect("stored");
        assert!(self.fence_now(NodeId(2_000)));
        let late = catalog.warm(object, &rows.ids).expect_err("it is gone");
        assert!(matches!(late, StorageError::Fenced(_)), "{late}");
    }

    /// Whom a purge that ended so many changes ago waits for.
    pub(super) fn untidy(&self, commits: u64) -> BTreeSet<NodeId> {
        self.writer.untidy(commits).expect("read")
    }

    /// A sign of life of whoever writes.
    pub(super) fn beat(&self) {
        self.cluster.beat(self.standing).expect("it lives");
    }

    /// Rows that are in no segment.
    pub(super) fn fresh_rows(&self) -> usize {
        self.writer.load_fresh(None).expect("read").1.len()
    }

    fn request(&self) -> RequestId {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        format!("request-{number}").parse().expect("an id")
    }

    fn commit(&self, write: Write) -> Option<Committed> {
        // Whoever is silent is taken for gone.
        self.cluster.beat(self.standing).expect("it lives");
        let sealed = |object: &SegmentObject, row| Ok(format!("{}/{row}", object.ulid).into_bytes());
        let committed = self.writer.commit(&[write], Timestamp::now(), &sealed);
        committed.expect("the server works").remove(0).ok()
    }
}

/// All files below a directory.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).expect("readable") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                dirs.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found
}

fn segments(dir: &TempDir, store: &ObjectStore, name: &str) -> Segments {
    let path = |of: &str| dir.path().join(format!("{name}-{of}"));
    let cache = CacheConfig {
        dir: path("cache"),
        bytes_max: CACHE_BYTES,
        fetches_max: 2,
    };
    let objects = Objects::of(store.clone(), &cache).expect("opened");
    Segments::open(&objects, path("staging")).expect("opened")
}

impl Ground for Real {
    type Heads = ClusterHeads;

    /// Nodes flush now and then, beside whoever else does.
    fn config(&self) -> PartsConfig {
        PartsConfig {
            flush_rows: 12,
            merge_segments: 3,
            ..config()
        }
    }

    fn register(self: &Arc<Self>, node: NodeId) -> Arc<dyn Register> {
        // A node that is begun anew has another directory: the former one may not have let go of its own yet.
        let number = self.caches.fetch_add(1, Ordering::Relaxed);
        let segments = segments(&self.dir, &self.store, &format!("node-{number}"));
        let cluster = Cluster::new(&connect(&self.address), REPLICAS).expect("there are tables");
        let keys = Arc::clone(&self.keys);
        let address = format!("node-{node}");
        Arc::new(OnCluster::new(
            Arc::new(cluster),
            Arc::new(segments),
            keys,
            address,
        ))
    }

    fn heads(self: &Arc<Self>) -> ClusterHeads {
        ClusterHeads::new(Arc::clone(&self.cluster), Arc::clone(&self.keys) as _)
    }

    fn head(&self) -> Head {
        self.writer.feed(0, 0).expect("read").0
    }

    fn members(&self) -> Members {
        self.cluster.nodes().expect("read").members
    }

    fn enrol(&self, name: &str, signatures: &[Signature]) {
        let mut history = self.history.lock();
        let mut asked = enrollment(1);
        asked.request_id = self.request();
        asked.subject_id = name.parse().expect("an id");
        asked.usage.subject_id = Some(asked.subject_id.clone());
        let reference = |signature: &Signature| NewReference {
            signature: signature.clone(),
            hand: Hand::Left,
            capture: capture(),
        };
        asked.references = signatures.iter().map(reference).collect();
        let write = enroll_write(spec().dimension, asked).expect("of its dimension");
        // Nobody has more references than a palm may have.
        if let Some(Committed::Enrolled { answer, .. }) = self.commit(Write::Enroll(write)) {
            let mut people = history.last().clone();
            for (reference, signature) in answer.references.iter().zip(signatures) {
                people.insert(*reference, (name.to_owned(), exact_bytes(signature).to_vec()));
            }
            history.add(answer.sequence, people);
        }
    }

    fn erase(&self, name: &str) -> Option<(u64, Vec<u64>)> {
        let mut history = self.history.lock();
        let write = erase_write(Erasure {
            tenant: tenant(),
            request_id: self.request(),
            request_digest: [6; 32],
            subject: SubjectRef::Id(name.parse().expect("an id")),
            only_if: None,
        });
        let Some(Committed::Erased { erasure, .. }) = self.commit(Write::Erase(write)) else {
            return None;
        };
        let of = format!("SELECT sequence FROM erasure WHERE id = {erasure}");
        let sequence = self.server.sql(&self.address, &of).parse().expect("a number");
        let (theirs, others): (People, People) = history
            .last()
            .clone()
            .into_iter()
            .partition(|(_, (known, _))| known == name);
        history.add(sequence, others);
        Some((sequence, theirs.into_keys().collect()))
    }

    fn warm(&self, rows_max: usize) -> Option<u32> {
        let (_, mut fresh) = self.writer.load_fresh(None).expect("read");
        fresh.truncate(rows_max);
        if fresh.is_empty() {
            return None;
        }
        let ids: Vec<_> = fresh.iter().map(|row| row.id).collect();
        let exact: Zeroizing<Vec<u8>> =
            Zeroizing::new(fresh.iter().flat_map(|row| row.exact.to_vec()).collect());
        let planes = encode_planes(spec().dimension, &exact);
        let rows = SegmentRows { planes, exact, ids };
        let keys = &self.segment_keys;
        let object = self.written.put(keys, &rows, |ulid| self.writer.intend(ulid));
        let object = object.expect("stored");
        match self.writer.warm(object, &rows.ids) {
            Ok((segment, _)) => Some(segment),
            Err(StorageError::RowsMoved(_)) => {
                assert!(self.writer.abandon(object.ulid).expect("given up"));
                self.written.discard(keys, object.ulid).expect("deleted");
                None
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn go_live(&self, segment: u32) -> bool {
        // One that is listed no more went live and was merged since, or was taken back.
        let asked = self.writer.go_live(segment);
        matches!(asked, Err(StorageError::PlaceUnknown { .. })) || asked.expect("asked")
    }

    fn merge(&self, segments: &BTreeSet<u32>) -> Option<u32> {
        let writer = &self.writer;
        if segments.is_empty() || writer.mergeable(segments).expect("read") != *segments {
            return None;
        }
        let objects = writer.objects(segments).expect("read");
        let from = objects
            .iter()
            .map(|(number, object)| (*number, object.ulid))
            .collect();
        let objects: Vec<SegmentObject> = objects.into_values().collect();
        let put = self
            .written
            .merge(&self.segment_keys, &objects, |ulid| writer.intend(ulid));
        let (object, ids) = match put {
            Ok(put) => put,
            // A purge was faster than the reading.
            Err(StorageError::Object(ObjectError::Missing { .. } | ObjectError::Forgotten { .. })) => {
                return None;
            }
            Err(error) => panic!("{error}"),
        };
        match writer.warm_merged(object, &ids, &from) {
            Ok(segment) => Some(segment),
            Err(StorageError::RowsMoved(_)) => {
                assert!(writer.abandon(object.ulid).expect("given up"));
                self.written
                    .discard(&self.segment_keys, object.ulid)
                    .expect("deleted");
                None
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn withdraw(&self, segment: u32) -> bool {
        self.writer.withdraw(segment).expect("asked")
    }

    fn live(&self) -> BTreeSet<u32> {
        self.read().live.into_keys().collect()
    }

    fn erasure_waits(&self, sequence: u64) -> bool {
        let waits: BTreeSet<NodeId> = self
            .writer
            .waits_for(&Waiting::Erasure { sequence })
            .expect("read");
        !waits.is_empty()
    }

    fn fence_now(&self, node: NodeId) -> bool {
        let Some(now) = self.members().current(node).copied() else {
            return false;
        };
        let suspect = Suspect {
            node,
            generation: now.generation,
            beat: now.beat,
        };
        self.cluster.fence(self.standing, &suspect).expect("asked")
    }

    fn scores(&self, from: u64, to: u64, probe: &Signature, threshold: f32) -> [Scores; 2] {
        self.history.lock().scores(from, to, probe, threshold)
    }

    fn is_purged(&self) -> bool {
        self.beat();
        self.read().erasures_open == 0
    }

    fn disturb(&self, _rng: &mut ChaCha12Rng) {}

    fn calm(&self) {}
}
