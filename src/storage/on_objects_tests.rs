//! Tests of a store whose segments are objects, where the object store fails, or somebody else uses it: nothing that was acknowledged is lost, and what is said to be gone is gone.

use std::fs;
use std::ops::Deref;
use std::os::unix::fs::FileExt;
use std::path::Path;

use tempfile::TempDir;

use super::catalog::erase::sha256;
use super::data_dir::DataDir;
use super::database::Database;
use super::database::testing::{Server, connect};
use super::error::StorageError;
use super::objects::error::ObjectError;
use super::objects::faults::{Fault, FaultyServer};
use super::objects::moto::Moto;
use super::objects::testing::{bucket, cache_config, directory, objects, stored_in};
use super::objects::{ObjectStore, Objects};
use super::on_database::Engines;
use super::place::{Place, RowId, SegmentRows};
use super::segment::format::HEADER_LEN;
use super::store::Store;
use super::testing::{
    House, encode, enroll, erase, erased, exact, files, id, keys, rows, signer, spec, subjects,
};
use super::write::Write;
use crate::keys::encoding::to_hex;

/// A tenant `acme` with its catalog in a database, and its segments in an object store that fails on request.
struct Afar {
    house: House,
    engines: Engines,
    server: FaultyServer,
}

impl Deref for Afar {
    type Target = House;

    fn deref(&self) -> &House {
        &self.house
    }
}

/// Bytes that all files of these tests fit into.
const ROOM: u64 = 1 << 20;

impl Afar {
    /// With a cache of so many bytes; `None` where there is no PostgreSQL.
    fn new(bytes_max: u64) -> Option<Self> {
        let database = connect(&Server::shared()?.fresh());
        let (tmp, server) = (
            TempDir::new().expect("a temporary directory"),
            FaultyServer::start(),
        );
        DataDir::init(tmp.path().join("data")).expect("init");
        let engines = engines(&database, &server, tmp.path(), bytes_max);
        let dir = DataDir::open(tmp.path().join("data")).expect("open");
        let store = Store::create_on(&engines, &dir, &spec("acme"), &keys(), signer()).expect("created");
        let house = House { tmp, dir, store };
        Some(Self {
            house,
            engines,
            server,
        })
    }

    /// Closes the tenant and its cache, and opens both again.
    fn reopen(self, bytes_max: u64) -> Self {
        self.reopen_on(|database, server, tmp, former| {
            drop(former);
            engines(database, server, tmp, bytes_max)
        })
    }

    /// Closes the tenant and opens it again, with the store and the cache that there are.
    fn reopen_tenant(self) -> Self {
        self.reopen_on(|_, _, _, former| former)
    }

    fn reopen_on(self, next: impl FnOnce(&Database, &FaultyServer, &Path, Engines) -> Engines) -> Self {
        let Self {
            house,
            engines,
            server,
        } = self;
        let House { tmp, dir, store } = house;
        drop((store, dir));
        let database = engines.database.clone();
        let engines = next(&database, &server, tmp.path(), engines);
        let dir = DataDir::open(tmp.path().join("data")).expect("open");
        let store = Store::open_on(&engines, &dir, &id("acme"), &keys(), signer()).expect("open");
        let house = House { tmp, dir, store };
        Self {
            house,
            engines,
            server,
        }
    }

    fn purged(&self, erasure: u64) -> bool {
        self.store.erasure(erasure).expect("read").expect("there").purged
    }

    /// A finished file that nothing lists.
    fn orphan(&self) {
        let shared = &self.store.0;
        let ids = [RowId {
            reference: 77,
            subject: 77,
        }];
        let SegmentRows { exact, .. } = rows(&ids);
        let planes = encode(&exact, 1);
        let mut file = shared.files.create(1).expect("made");
        let orphan = SegmentRows {
            planes,
            exact,
            ids: ids.to_vec(),
        };
        file.push(&orphan, 0..1).expect("written");
        shared.files.finish(file).expect("finished");
    }
}

fn engines(database: &Database, server: &FaultyServer, tmp: &Path, bytes_max: u64) -> Engines {
    let store = ObjectStore::connect(&bucket(&server.endpoint, "palms")).expect("settings");
    store.probe().expect("it forgets");
    Engines {
        database: database.clone(),
        objects: Some(Objects::of(store, &cache_config(tmp, bytes_max)).expect("opened")),
    }
}

fn object_error(error: &StorageError) -> &ObjectError {
    match error {
        StorageError::Object(error) => error,
        other => panic!("an error of an object: {other}"),
    }
}

fn at(segment: u32) -> [Place; 3] {
    [0, 1, 2].map(|row| Place::Segment { segment, row })
}

#[test]
fn what_is_flushed_while_the_store_is_away_stays_pending() {
    let Some(afar) = Afar::new(ROOM) else { return };
    for seed in 1..=3 {
        afar.enroll(&format!("s{seed}"), seed);
    }
    afar.server.refuse(Some("PUT"));
    let error = afar.flush().expect_err("it is away");
    assert!(
        matches!(object_error(&error), ObjectError::Unreachable { .. }),
        "{error}"
    );
    assert_eq!(afar.store.pending().expect("read"), [1, 2, 3]);
    assert_eq!(files(&afar.path().join("staging")).len(), 0);
    afar.server.refuse(None);
    let segment = afar.flush().expect("flushed").segment;
    assert_eq!(afar.server.segments(), 1);
    assert_eq!(files(&afar.path().join("staging")).len(), 0);
    let afar = afar.reopen(ROOM);
    assert_eq!(afar.exact(&at(segment)), [1, 2, 3].map(|seed| Some(exact(seed))));
    assert_eq!(
        afar.store.load_segment(segment).expect("loaded").dead,
        [] as [u32; 0]
    );
}

#[test]
fn an_erasure_is_purged_once_its_object_is_gone_and_not_before() {
    let Some(afar) = Afar::new(ROOM) else { return };
    let segment = afar.flushed(3);
    let (erased, _) = afar.erase("s2");
    afar.server.refuse(Some("DELETE"));
    let error = afar.store.purge().expect_err("the old object is there");
    object_error(&error);
    assert_eq!(afar.server.segments(), 2, "the old one and the new one");
    let afar = afar.reopen_tenant();
    assert!(!afar.purged(erased.erasure) && afar.store.needs_purge());
    assert_eq!(afar.exact(&at(segment)), [Some(exact(1)), None, Some(exact(3))]);
    afar.server.refuse(None);
    assert_eq!(afar.store.purge().expect("purged"), 1);
    assert!(afar.purged(erased.erasure));
    assert_eq!(afar.server.segments(), 1);
    assert_eq!(afar.exact(&at(segment)), [Some(exact(1)), None, Some(exact(3))]);
}

#[test]
fn an_object_that_is_missing_is_never_an_empty_segment() {
    let Some(afar) = Afar::new(100) else { return };
    let segment = afar.flushed(3);
    let afar = afar.reopen(100);
    afar.server.clear();
    let loaded = afar.store.load_segment(segment).err().expect("it is not there");
    assert!(
        matches!(object_error(&loaded), ObjectError::Missing { .. }),
        "{loaded}"
    );
    assert!(loaded.to_string().contains("tenants/acme."), "{loaded}");
    let read = afar.store.read(&at(segment)).err().expect("it is not there");
    assert!(
        matches!(object_error(&read), ObjectError::Missing { .. }),
        "{read}"
    );
    let erase = afar.store.commit(vec![erase("e1", "s2")]);
    erase.expect_err("its receipt would say nothing of the row");
    let stats = afar.store.stats().expect("counted");
    assert_eq!((stats.subjects, afar.store.erasures_pending()), (3, 0));
}

#[test]
fn a_gallery_larger_than_the_cache_is_loaded_read_and_forgotten_from() {
    let Some(afar) = Afar::new(100) else { return };
    let segment = afar.flushed(3);
    let afar = afar.reopen(100);
    let loaded = afar.store.load_segment(segment).expect("out of the store");
    let all = [1, 2, 3].map(exact).concat();
    assert_eq!(loaded.planes.sign, encode(&all, 3).sign);
    assert_eq!(afar.exact(&at(segment))[1], Some(exact(2)));
    let (erased, _) = afar.erase("s2");
    assert_eq!(afar.store.purge().expect("purged"), 1);
    assert!(afar.purged(erased.erasure));
    let kept = afar.engines.objects.as_ref().expect("a store").cache().stats();
    assert_eq!((kept.files, kept.bytes), (0, 0));
    let loaded = afar.store.load_segment(segment).expect("out of the store");
    assert_eq!(loaded.dead, [1]);
}

#[test]
fn what_no_catalog_lists_goes_with_its_copies() {
    let Some(afar) = Afar::new(ROOM) else { return };
    let segment = afar.flushed(3);
    afar.orphan();
    assert_eq!(afar.server.segments(), 2);
    let afar = afar.reopen(ROOM);
    assert_eq!(afar.server.segments(), 1);
    assert_eq!(afar.exact(&at(segment))[0], Some(exact(1)));
    let cache = afar.engines.objects.as_ref().expect("a store").cache();
    let before = cache.keys();
    afar.erase("s1");
    afar.store.purge().expect("purged");
    let after = cache.keys();
    assert_eq!((before.len(), after.len()), (1, 1));
    assert_ne!(before, after);
}

#[test]
fn a_copy_that_is_damaged_here_is_read_from_the_store_and_brought_again() {
    let Some(afar) = Afar::new(ROOM) else { return };
    let segment = afar.flushed(3);
    assert_eq!(afar.exact(&at(segment))[0], Some(exact(1)));
    let copy = stored_in(&afar.tmp.path().join("cache")).remove(0);
    let sound = fs::read(&copy).expect("readable");
    let zeros = vec![0; sound.len() - HEADER_LEN];
    let file = fs::OpenOptions::new().write(true).open(&copy).expect("there");
    file.write_all_at(&zeros, HEADER_LEN as u64).expect("written");
    assert_eq!(afar.exact(&at(segment)), [1, 2, 3].map(|seed| Some(exact(seed))));
    afar.store.load_segment(segment).expect("brought again");
    assert_eq!(fs::read(&copy).expect("readable"), sound);
}

#[test]
fn whoever_was_overtaken_deletes_nothing_of_its_successor() {
    let Some(server) = Server::shared() else { return };
    let database = connect(&server.fresh());
    let tmp = TempDir::new().expect("a temporary directory");
    DataDir::init(tmp.path().join("data")).expect("init");
    let engines = Engines {
        database: database.clone(),
        objects: Some(objects(tmp.path())),
    };
    let dir = DataDir::open(tmp.path().join("data")).expect("open");
    let store = Store::create_on(&engines, &dir, &spec("acme"), &keys(), signer()).expect("created");
    let former = House { tmp, dir, store };
    former.flushed(1);
    let copy = former.crash_copy();
    let store = directory(&former.tmp.path().join("store"));
    let successor_engines = Engines {
        database,
        objects: Some(Objects::of(store, &cache_config(copy.path(), ROOM)).expect("opened")),
    };
    let dir = DataDir::open(copy.path().join("data")).expect("open");
    let store = Store::open_on(&successor_engines, &dir, &id("acme"), &keys(), signer()).expect("taken over");
    let successor = House {
        tmp: copy,
        dir,
        store,
    };
    successor.enroll("s2", 2);
    let segment = successor.flush().expect("flushed").segment;
    assert_eq!(stored_in(&former.tmp.path().join("store")).len(), 2);
    assert!(former.store.purge().is_err(), "it is told");
    assert_eq!(stored_in(&former.tmp.path().join("store")).len(), 2);
    let place = Place::Segment { segment, row: 0 };
    assert_eq!(successor.exact(&[place]), [Some(exact(2))]);
}

#[test]
fn a_bucket_that_begins_to_keep_versions_is_told_and_nobody_is_called_purged() {
    let (Some(postgres), Some(moto)) = (Server::shared(), Moto::start()) else {
        return;
    };
    moto.make("palms", false);
    let bucket = moto.store("palms", None);
    bucket.probe().expect("it forgets");
    let tmp = TempDir::new().expect("a temporary directory");
    DataDir::init(tmp.path().join("data")).expect("init");
    let engines = Engines {
        database: connect(&postgres.fresh()),
        objects: Some(Objects::of(bucket, &cache_config(tmp.path(), ROOM)).expect("opened")),
    };
    let dir = DataDir::open(tmp.path().join("data")).expect("open");
    let store = Store::create_on(&engines, &dir, &spec("acme"), &keys(), signer()).expect("created");
    let house = House { tmp, dir, store };
    let segment = house.flushed(3);
    house.erase("s1");
    assert_eq!(house.store.purge().expect("purged"), 1);
    let (erased, _) = house.erase("s2");
    moto.version("palms");
    let error = house.store.purge().expect_err("it keeps what is deleted");
    assert!(
        matches!(object_error(&error), ObjectError::KeepsVersions { .. }),
        "{error}"
    );
    let answer = house.store.erasure(erased.erasure).expect("read").expect("there");
    assert!(!answer.purged);
    assert_eq!(house.exact(&at(segment)), [None, None, Some(exact(3))]);
}

#[test]
fn a_tenant_that_is_dropped_leaves_no_object_and_takes_no_other_with_it() {
    let Some(afar) = Afar::new(ROOM) else { return };
    afar.flushed(3);
    let store =
        Store::create_on(&afar.engines, &afar.dir, &spec("other"), &keys(), signer()).expect("created");
    let answer = store.commit(vec![Write::Enroll(enroll("r1", "s1", &[1]))]);
    answer.expect("enrolled");
    store
        .flush(&store.pending().expect("read"), &encode)
        .expect("flushed");
    assert_eq!(afar.server.segments(), 2);
    afar.store.close();
    afar.server.refuse(Some("DELETE"));
    Store::remove_on(&afar.engines, &afar.dir, &id("acme")).expect_err("its object is there");
    assert!(afar.path().exists(), "it is done again");
    assert_eq!(afar.engines.database.commits(&id("acme")).expect("asked"), None);
    afar.server.refuse(None);
    Store::remove_on(&afar.engines, &afar.dir, &id("acme")).expect("removed");
    assert!(!afar.path().exists());
    assert_eq!(afar.server.segments(), 1);
    let place = Place::Segment { segment: 1, row: 0 };
    assert!(store.read(&[place]).expect("read")[0].is_some());
}

#[test]
fn a_server_without_the_store_leaves_the_tenant_as_it_is() {
    let Some(afar) = Afar::new(ROOM) else { return };
    afar.flushed(1);
    let Afar {
        house,
        engines,
        server: _server,
    } = afar;
    let House {
        tmp: _tmp,
        dir,
        store,
    } = house;
    drop(store);
    let commits = || engines.database.commits(&id("acme")).expect("asked");
    let before = commits();
    let without = Engines::from(engines.database.clone());
    let refused = Store::open_on(&without, &dir, &id("acme"), &keys(), signer()).err();
    assert!(
        matches!(refused, Some(StorageError::ObjectsUnnamed(_))),
        "{refused:?}"
    );
    let refused = Store::remove_on(&without, &dir, &id("acme")).err();
    assert!(
        matches!(refused, Some(StorageError::ObjectsUnnamed(_))),
        "{refused:?}"
    );
    assert_eq!(commits(), before);
    // And one whose segments are in its directory stays there.
    let made = Store::create_on(&without, &dir, &spec("other"), &keys(), signer()).expect("created");
    drop(made);
    let opened = Store::open_on(&engines, &dir, &id("other"), &keys(), signer()).expect("opened");
    assert!(!opened.0.files.are_objects());
}

#[test]
fn a_cache_that_can_t_be_written_fails_no_flush() {
    let Some(afar) = Afar::new(ROOM) else { return };
    fs::write(afar.tmp.path().join("cache/tenants"), b"in the way").expect("written");
    let segment = afar.flushed(3);
    assert_eq!(files(&afar.path().join("staging")).len(), 0);
    assert_eq!(afar.exact(&at(segment))[1], Some(exact(2)));
}

#[test]
fn another_store_is_not_taken_for_the_one_that_has_the_segments() {
    let Some(afar) = Afar::new(ROOM) else { return };
    afar.flushed(1);
    let elsewhere = TempDir::new().expect("a temporary directory");
    let other = Engines {
        database: afar.engines.database.clone(),
        objects: Some(objects(elsewhere.path())),
    };
    let Afar { house, .. } = afar;
    let House {
        tmp: _tmp,
        dir,
        store,
    } = house;
    drop(store);
    let opened = Store::open_on(&other, &dir, &id("acme"), &keys(), signer()).err();
    assert!(
        matches!(opened, Some(StorageError::OtherObjects { .. })),
        "{opened:?}"
    );
    let removed = Store::remove_on(&other, &dir, &id("acme")).err();
    assert!(
        matches!(removed, Some(StorageError::OtherObjects { .. })),
        "{removed:?}"
    );
    assert!(other.database.commits(&id("acme")).expect("asked").is_some());
}

#[test]
fn an_import_whose_segment_could_not_be_put_leaves_nothing_once_the_store_is_back() {
    let Some(afar) = Afar::new(ROOM) else { return };
    let mut importer = afar.importer("r1", 2);
    let ids = importer.reserve(&subjects(0..2)).expect("reserved");
    // It is put, and nobody hears of it.
    afar.server.fail(Fault::Cut, usize::MAX);
    importer.push(rows(&ids)).expect_err("nothing is heard of it");
    drop(importer);
    afar.server.fail(Fault::Cut, 0);
    assert_eq!(afar.server.segments(), 1);
    assert_eq!(afar.store.purge().expect("nobody is erased"), 0);
    assert_eq!(afar.server.segments(), 0);
}

#[test]
fn an_erasure_that_was_read_ahead_needs_no_store_and_says_the_same() {
    let Some(afar) = Afar::new(100) else { return };
    let segment = afar.flushed(2);
    let sealed = afar.sealed_row(segment, 0);
    let Write::Erase(mut first) = erase("e1", "s1") else {
        panic!("an erasure")
    };
    afar.store.read_ahead(&mut first).expect("read");
    afar.server.fail(Fault::Status(503, "SlowDown"), usize::MAX);
    let mut answers = afar.store.commit(vec![Write::Erase(first)]).expect("done");
    let (answer, _) = erased(answers.remove(0));
    let digest = to_hex(&sha256(&sealed));
    assert!(answer.receipt.receipt_json.contains(&digest));
    let Write::Erase(mut other) = erase("e2", "s2") else {
        panic!("an erasure")
    };
    afar.store.read_ahead(&mut other).expect_err("it is away");
}

#[test]
fn a_store_that_is_away_keeps_nobody_from_opening_what_is_here() {
    let Some(afar) = Afar::new(ROOM) else { return };
    let segment = afar.flushed(3);
    afar.store.load_segment(segment).expect("brought here");
    afar.server.fail(Fault::Status(503, "SlowDown"), usize::MAX);
    let afar = afar.reopen_tenant();
    assert_eq!(afar.exact(&at(segment))[2], Some(exact(3)));
    afar.store.load_segment(segment).expect("it is here");
}
