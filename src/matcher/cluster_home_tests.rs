//! Tests of tenants that several nodes make and drop: each is there for all or for none, whoever was cut off and wherever.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Barrier;
use std::thread;

use tempfile::TempDir;
use ulid::Ulid;

use super::*;
use crate::keys::keyring::Keks;
use crate::matcher::fixture::{spec, tenant};
use crate::matcher::on_cluster::ClusterHeads;
use crate::matcher::placed::heads::Heads;
use crate::storage::database::testing::{Server, connect};
use crate::storage::objects::config::ObjectStoreConfig;
use crate::storage::objects::key::{Home, ObjectKey};
use crate::storage::objects::text::{CATALOG_KEYRING, MATCH_KEYRING, open_keyring};
use crate::storage::objects::{CacheConfig, ObjectStore};

pub(super) fn kek() -> SecretKey {
    SecretKey::from_bytes([9; 32])
}

/// What nodes share.
pub(super) struct Shared {
    pub(super) dir: TempDir,
    address: String,
}

pub(super) struct Node {
    pub(super) home: ClusterHome,
    /// The keyring that fronts read.
    catalogs: Arc<Keyring>,
    pub(super) cluster: Arc<Cluster>,
    pub(super) database: Database,
}

impl Shared {
    /// `None` where PostgreSQL is not installed.
    pub(super) fn new() -> Option<Self> {
        let server = Server::shared()?;
        Some(Self {
            dir: TempDir::new().expect("a temporary directory"),
            address: server.fresh(),
        })
    }

    fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    pub(super) fn objects(&self, name: &str) -> Objects {
        let store = ObjectStoreConfig::new(&format!("file://{}", self.store().display()));
        let store = ObjectStore::connect(&store).expect("a directory");
        store.probe().expect("writable");
        let cache = CacheConfig {
            dir: self.dir.path().join(name),
            bytes_max: 1 << 20,
            fetches_max: 2,
        };
        Objects::of(store, &cache).expect("opened")
    }

    pub(super) fn node(&self, name: &str) -> Node {
        let objects = self.objects(name);
        let has_tenants = !connect(&self.address).tenants().expect("read").is_empty();
        let keyring = open_keyring(objects.store(), MATCH_KEYRING, &kek(), has_tenants);
        self.node_with(&objects, keyring.expect("opened"))
    }

    pub(super) fn node_with(&self, objects: &Objects, keyring: Keyring) -> Node {
        let database = connect(&self.address);
        let has_tenants = !database.tenants().expect("read").is_empty();
        let kek = kek();
        let catalogs = open_keyring(objects.store(), CATALOG_KEYRING, &kek, has_tenants).expect("opened");
        let cluster = Arc::new(Cluster::new(&database, 2).expect("there are tables"));
        let (keyring, catalogs) = (Arc::new(keyring), Arc::new(catalogs));
        Node {
            catalogs: Arc::clone(&catalogs),
            home: ClusterHome::new(keyring, catalogs, Arc::clone(&cluster), &database, objects),
            cluster,
            database,
        }
    }

    /// Files below a directory of the store.
    fn files(&self, under: &str) -> Vec<PathBuf> {
        let (mut found, mut dirs) = (Vec::new(), vec![self.store().join(under)]);
        while let Some(dir) = dirs.pop() {
            let Ok(entries) = std::fs::read_dir(dir) else {
                continue;
            };
            for entry in entries {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    dirs.push(path);
                } else {
                    found.push(path);
                }
            }
        }
        found
    }

    /// An object as a node would have put it for the tenant's present incarnation.
    fn put_segment(&self, node: &Node) {
        let row = node.database.row(&tenant()).expect("read").expect("there");
        let key = ObjectKey {
            home: Home::of(&tenant(), &row.incarnation),
            generation: 1,
            ulid: Ulid::generate(),
        };
        let file = self.store().join(key.to_string());
        let dir = file.parent().expect("it has several parts");
        std::fs::create_dir_all(dir).expect("made");
        std::fs::write(file, "sealed").expect("written");
    }
}

impl Node {
    pub(super) fn create(&self) -> Result<(), StorageError> {
        self.home.create(&spec())
    }

    /// What a front that has just started knows of it.
    fn front(&self) -> CatalogSecrets {
        CatalogSecrets::new(Arc::clone(&self.catalogs))
    }

    fn catalog_keys(&self) -> CatalogKeys {
        let key = |purpose| self.home.keyring.get_or_create(&tenant(), purpose).expect("made");
        CatalogKeys {
            secret: key(Purpose::Catalog),
            data_key: key(Purpose::Data),
        }
    }

    /// Whether the tenant is listed, whole, by its secret, which fronts have as well then.
    fn lists(&self) -> bool {
        let secrets = self.home.secrets().expect("read");
        let front = self.front();
        assert_eq!(front.secrets().expect("read"), secrets);
        front.look_again().expect("read");
        assert_eq!(
            front.secret(&tenant()).expect("read"),
            secrets.get(&tenant()).cloned()
        );
        assert!(
            front.keys(&tenant(), KEY_GENERATION).is_err(),
            "a front opens no catalog"
        );
        let mut read = self.cluster.heads(&secrets).expect("read");
        read.remove(&tenant()).is_some_and(|told| told.is_ok())
    }

    fn incarnation(&self) -> Option<Incarnation> {
        let row = self.database.row(&tenant()).expect("read");
        row.map(|row| row.incarnation)
    }
}

fn is_unknown<T>(outcome: &Result<T, StorageError>) -> bool {
    matches!(outcome, Err(StorageError::TenantUnknown(of)) if *of == tenant())
}

fn exists<T>(outcome: &Result<T, StorageError>) -> bool {
    matches!(outcome, Err(StorageError::TenantExists(of)) if *of == tenant())
}

/// Nothing of the tenant is anywhere.
fn assert_gone(shared: &Shared, node: &Node) {
    assert_eq!(node.incarnation(), None);
    assert_eq!(shared.files("epochs"), Vec::<PathBuf>::new());
    assert_eq!(shared.files("tenants"), Vec::<PathBuf>::new());
    node.home.keyring.refresh().expect("read");
    for purpose in [Purpose::Data, Purpose::Catalog, Purpose::Dropped] {
        assert_eq!(node.home.keyring.get(&tenant(), purpose).expect("read"), None);
    }
    assert!(is_unknown(&node.home.keys(&tenant(), KEY_GENERATION)) && !node.lists());
}

#[test]
fn a_tenant_is_made_by_one_node_and_dropped_by_another() {
    let Some(shared) = Shared::new() else { return };
    let (one, other) = (shared.node("one"), shared.node("other"));
    assert!(is_unknown(&one.home.keys(&tenant(), KEY_GENERATION)) && is_unknown(&one.home.remove(&tenant())));
    assert!(other.home.secrets().expect("read").is_empty());
    one.create().expect("made");
    for node in [&one, &other] {
        assert!(node.lists() && exists(&node.create()));
    }
    let keys = [&one, &other].map(|node| node.home.keys(&tenant(), KEY_GENERATION).expect("there"));
    let [here, there] = &keys;
    assert!(here.secret == there.secret && here.data_key == there.data_key);
    assert_eq!(here.epochs.incarnation(), one.incarnation().expect("a row"));
    let (epoch, key) = here.epochs.begin(1).expect("begun");
    assert_eq!(there.epochs.read(epoch).expect("read"), Some(key));
    let again = one.home.keys(&tenant(), KEY_GENERATION).expect("there");
    assert!(Arc::ptr_eq(&again.epochs, &here.epochs), "all have one cache");
    shared.put_segment(&one);
    other.home.remove(&tenant()).expect("dropped");
    for node in [&one, &other] {
        assert_gone(&shared, node);
        assert!(is_unknown(&node.home.remove(&tenant())));
    }
    one.create().expect("made anew");
    assert!(other.lists());
    let anew = other.home.keys(&tenant(), KEY_GENERATION).expect("there");
    assert!(anew.secret != here.secret && anew.epochs.incarnation() != here.epochs.incarnation());
}

#[test]
fn of_nodes_that_make_a_tenant_at_once_one_does() {
    let Some(shared) = Shared::new() else { return };
    let nodes: Vec<Node> = (0..4).map(|node| shared.node(&format!("{node}"))).collect();
    for _ in 0..3 {
        let begin = Barrier::new(nodes.len());
        let made: Vec<_> = thread::scope(|scope| {
            let making = |node: &'_ Node| {
                begin.wait();
                node.create()
            };
            let threads: Vec<_> = nodes
                .iter()
                .map(|node| scope.spawn(move || making(node)))
                .collect();
            let ended = threads.into_iter().map(|thread| thread.join().expect("no panic"));
            ended.collect()
        });
        let (made, refused): (Vec<_>, Vec<_>) = made.into_iter().partition(Result::is_ok);
        // One may find the row of whoever makes it, and end that before him.
        assert!(made.len() == 1 && refused.iter().all(exists), "{refused:?}");
        assert!(nodes.iter().all(Node::lists));
        assert_eq!(shared.files("epochs").len(), 1, "nothing is left of the others");
        let first = nodes.first().expect("there are four");
        first.home.remove(&tenant()).expect("dropped");
        assert_gone(&shared, first);
    }
}

#[test]
fn nodes_that_make_and_drop_a_tenant_at_once_leave_it_whole_or_gone() {
    let Some(shared) = Shared::new() else { return };
    let nodes: Vec<Node> = (0..4).map(|node| shared.node(&format!("{node}"))).collect();
    let begin = Barrier::new(nodes.len());
    thread::scope(|scope| {
        for (number, node) in nodes.iter().enumerate() {
            let begin = &begin;
            scope.spawn(move || {
                begin.wait();
                for _ in 0..5 {
                    let done = if number % 2 == 0 {
                        node.create()
                    } else {
                        node.home.remove(&tenant())
                    };
                    assert!(done.is_ok() || is_unknown(&done) || exists(&done), "{done:?}");
                }
            });
        }
    });
    let first = nodes.first().expect("there are four");
    let made = first.create();
    assert!(made.is_ok() || exists(&made), "{made:?}");
    assert!(nodes.iter().all(Node::lists));
    first.home.remove(&tenant()).expect("dropped");
    assert_gone(&shared, first);
}

#[test]
fn a_making_that_was_cut_off_is_taken_up() {
    let Some(shared) = Shared::new() else { return };
    let (one, other) = (shared.node("one"), shared.node("other"));
    let begun = one.home.engines.begin_making(&spec(), &one.catalog_keys());
    let begun = begun.expect("a row is added");
    assert!(!other.lists(), "it is not made");
    assert!(exists(&other.create()), "it is now");
    assert_eq!(other.incarnation(), Some(begun));
    assert!(one.lists() && other.lists());
    one.home
        .end_making(&tenant(), begun, &one.catalog_keys())
        .expect("it is made");
    assert!(one.lists());
}

#[test]
fn a_making_whose_keys_are_gone_is_given_up() {
    let Some(shared) = Shared::new() else { return };
    let (one, other) = (shared.node("one"), shared.node("other"));
    let keys = one.catalog_keys();
    let begun = one.home.engines.begin_making(&spec(), &keys).expect("added");
    other.home.keyring.destroy(&tenant()).expect("destroyed");
    other.create().expect("made");
    assert!(other.incarnation().is_some_and(|now| now != begun) && one.lists());
    // Whoever began it goes on after all.
    assert!(is_unknown(&one.home.end_making(&tenant(), begun, &keys)));
    assert!(one.lists() && other.lists());
    assert_eq!(shared.files("epochs").len(), 1);
}

#[test]
fn who_makes_a_tenant_that_is_dropped_meanwhile_is_told() {
    let Some(shared) = Shared::new() else { return };
    let (one, other) = (shared.node("one"), shared.node("other"));
    let keys = one.catalog_keys();
    let begun = one.home.engines.begin_making(&spec(), &keys).expect("added");
    other.home.keyring.begin_drop(&tenant()).expect("noted");
    assert!(is_unknown(&one.home.end_making(&tenant(), begun, &keys)));
    assert_eq!(one.incarnation(), None);
    one.create().expect("the drop is ended before");
    assert!(other.lists());
}

#[test]
fn a_drop_that_was_cut_off_anywhere_is_ended_by_any_node() {
    let Some(shared) = Shared::new() else { return };
    let (one, other) = (shared.node("one"), shared.node("other"));
    for steps in 0..4 {
        for is_made_anew in [false, true] {
            one.create().expect("made");
            shared.put_segment(&one);
            let incarnation = one.incarnation().expect("a row");
            one.home.keyring.begin_drop(&tenant()).expect("noted");
            assert!(!other.lists(), "it is not there for anybody from now on");
            if steps > 0 {
                let server = Server::shared().expect("it was there");
                server.sql(&shared.address, "DELETE FROM tenant");
            }
            for (done, under) in [(2, "tenants"), (3, "epochs")] {
                for file in shared.files(under) {
                    if steps >= done {
                        std::fs::remove_file(file).expect("there");
                    }
                }
            }
            if is_made_anew {
                other.create().expect("made");
                assert!(one.lists() && one.incarnation() != Some(incarnation));
                assert_eq!(shared.files("tenants").len(), 0);
            }
            other.home.remove(&tenant()).expect("dropped");
            assert_gone(&shared, &one);
        }
    }
}

#[test]
fn a_drop_that_another_node_ended_leaves_the_tenant_that_was_made_since() {
    let Some(shared) = Shared::new() else { return };
    let (one, other) = (shared.node("one"), shared.node("other"));
    one.create().expect("made");
    let mark = one
        .home
        .keyring
        .begin_drop(&tenant())
        .expect("noted")
        .expect("has keys");
    other.home.remove(&tenant()).expect("dropped");
    other.create().expect("made anew");
    shared.put_segment(&other);
    one.home.end_drop(&tenant(), &mark).expect("it was ended");
    assert!(one.lists() && other.lists());
    assert_eq!(shared.files("tenants").len(), 1);
}

#[test]
fn a_node_that_was_not_told_the_next_key_goes_on_with_what_it_knows() {
    let Some(shared) = Shared::new() else { return };
    let (passed_over, next) = (shared.node("one"), SecretKey::from_bytes([77; 32]));
    passed_over.create().expect("made");
    assert!(passed_over.home.secret(&tenant()).expect("read").is_some());
    let objects = shared.objects("two");
    let open = |keks: Keks| open_keyring(objects.store(), MATCH_KEYRING, keks, true);
    let told = open(Keks::new(&kek(), Some(&next))).expect("opened");
    told.rewrap().expect("wrapped");
    assert!(passed_over.home.secret(&tenant()).expect("known").is_some());
    let later: TenantId = "later".parse().expect("an id");
    told.get_or_create(&later, Purpose::Catalog).expect("made");
    assert!(passed_over.home.secret(&later).expect("as it was").is_none());
    // One that starts knows nothing yet.
    let started = shared.node_with(&objects, open(Keks::from(&next)).expect("opened"));
    assert!(started.home.secret(&later).expect("read").is_some());
    let refused = open(Keks::from(&kek())).map(drop).expect_err("another key");
    assert!(refused.is_wrong_kek(), "{refused}");
}

#[test]
fn rows_that_no_key_of_the_keyring_opens_are_left() {
    let Some(shared) = Shared::new() else { return };
    let one = shared.node("one");
    one.create().expect("made");
    one.home.keyring.destroy(&tenant()).expect("destroyed");
    let error = one.home.remove(&tenant()).expect_err("refused");
    assert!(matches!(error, StorageError::CatalogKey { .. }), "{error}");
    assert!(one.incarnation().is_some() && is_unknown(&one.home.keys(&tenant(), KEY_GENERATION)));
}

#[test]
fn a_front_looks_often_at_first_and_then_at_intervals() {
    let start = Instant::now();
    let mut look = Look {
        left: LOOKS_MAX,
        since: start,
        is_under_way: false,
    };
    for _ in 0..LOOKS_MAX {
        assert!(look.take(start));
    }
    assert!(!look.take(start) && !look.take(start + LOOK_EVERY / 2));
    assert!(look.take(start + LOOK_EVERY));
    assert!(!look.take(start + LOOK_EVERY));
    for _ in 0..LOOKS_MAX {
        assert!(look.take(start + LOOK_EVERY * 1_000));
    }
    assert!(!look.take(start + LOOK_EVERY * 1_000), "no more than at first");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_unknown_to_a_front_that_may_not_look_is_not_told_of_as_missing() {
    let Some(shared) = Shared::new() else { return };
    let one = shared.node("one");
    let heads = |front: CatalogSecrets| ClusterHeads::new(Arc::clone(&one.cluster), Arc::new(front));
    let many: BTreeSet<TenantId> = (0..50)
        .map(|n| format!("none-{n}").parse().expect("an id"))
        .collect();
    let front = one.front();
    for _ in 1..LOOKS_MAX {
        front.look_again().expect("not too often yet");
    }
    let front = heads(front);
    // One look for all of them, and it was the last one for now.
    assert!(front.read(&many).await.expect("read").is_empty());
    let told = front.read(&many).await.expect("read");
    assert!(told.len() == many.len() && told.values().all(Result::is_err));
    assert!(heads(one.front()).read(&many).await.expect("read").is_empty());
}
