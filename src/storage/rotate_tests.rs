//! Tests of the rotation of a data key: everything is there under the new key, nothing under the old one, whatever is cut off and wherever.

use std::collections::BTreeSet;
use std::fs;

use tempfile::TempDir;

use super::*;
use crate::storage::testing::{House, exact, files, id, key, signer};
use crate::storage::verify;

/// Two segments, one of them with holes and a row erased since, and pending rows, one erased.
fn furnished() -> House {
    let house = House::new();
    house.flushed(20);
    house.erase("s3");
    house.store.purge().expect("purged");
    house.erase("s4");
    for seed in 21..=30 {
        house.enroll(&format!("s{seed}"), seed);
    }
    house.flush().expect("flushed");
    for seed in 31..=40 {
        house.enroll(&format!("s{seed}"), seed);
    }
    house.erase("s35");
    house
}

const ERASED: [u64; 3] = [3, 4, 35];

/// Everybody but `erased` of `s1` to `sN` is there with the right coordinates.
fn check(store: &Store, count: u64, erased: &[u64]) {
    for seed in 1..=count {
        let places = store.subject_rows(&id(&format!("s{seed}"))).expect("readable");
        assert_eq!(places.is_none(), erased.contains(&seed), "s{seed}");
        for row in places
            .map(|places| store.read(&places).expect("readable"))
            .unwrap_or_default()
        {
            assert_eq!(*row.expect("there").exact, exact(seed), "s{seed}");
        }
    }
    let found: BTreeSet<u32> = store.segments().iter().map(|segment| segment.number).collect();
    for number in found {
        store.load_segment(number).expect("authentic");
    }
}

fn rotation(house: &House, next: u8) -> Rotation {
    house.store.begin_rotation(&house.dir, &key(next)).expect("begun")
}

/// What the next start finds, with the key of before or the next one: exactly one opens it.
fn after_crash(tmp: &TempDir, keys: [u8; 2]) -> (u8, Store, DataDir) {
    let data = tmp.path().join("data");
    let acme = id("acme");
    let fitting: Vec<u8> = keys
        .into_iter()
        .filter(|seed| is_sealed_with(&data, &acme, &key(*seed)))
        .collect();
    assert_eq!(fitting.len(), 1, "one key opens the tenant");
    let dir = DataDir::open(&data).expect("opened");
    assert_eq!(
        fs::read_dir(data.join("tenants")).expect("a directory").count(),
        1,
        "nothing is left over"
    );
    let store = Store::open(&dir, &acme, &key(fitting[0]), signer()).expect("opened");
    (fitting[0], store, dir)
}

/// Sealed rows as they stand in the files and the catalog now.
fn sealed_rows(house: &House) -> Vec<Vec<u8>> {
    let gallery = house.store.0.gallery.load_full();
    let mut sealed: Vec<Vec<u8>> = gallery
        .values()
        .flat_map(|live| (0..live.entry.rows).map(|row| live.reader.sealed_row(row).to_vec()))
        .collect();
    let pending = house
        .store
        .0
        .readers
        .with(|conn| Ok(pending::all(conn)?))
        .expect("readable");
    sealed.extend(pending.into_iter().map(|(_, sealed)| sealed));
    sealed
}

fn all_bytes(house: &House) -> Vec<u8> {
    let tenants = house.tmp.path().join("data/tenants");
    let mut bytes = Vec::new();
    for entry in fs::read_dir(tenants).expect("a directory") {
        let path = entry.expect("readable").path();
        for file in files(&path).into_iter().chain(files(&path.join("segments"))) {
            bytes.extend(fs::read(file).expect("readable"));
        }
    }
    bytes
}

#[test]
fn a_rotated_tenant_is_the_same_and_no_file_has_a_byte_of_the_former_key() {
    let mut house = furnished();
    let before = (house.store.stats().expect("figures"), sealed_rows(&house));
    let erasures = house.store.erasures_pending();
    house.store = rotation(&house, 2).finish().expect("rotated");
    check(&house.store, 40, &ERASED);
    assert_eq!(house.store.stats().expect("figures"), before.0);
    assert_eq!(
        house.store.erasures_pending(),
        erasures,
        "the former files are there yet"
    );
    assert!(house.store.needs_purge());
    assert_eq!(house.store.purge().expect("purged"), erasures);
    assert!(!house.store.needs_purge());
    let bytes = all_bytes(&house);
    for sealed in &before.1 {
        let found = sealed
            .chunks_exact(24)
            .any(|part| bytes.windows(24).any(|window| window == part));
        assert!(!found, "a sealed row of the former generation is left");
    }
    house.enroll("s41", 41);
    house.flush().expect("flushed");

    let House { tmp, dir, store } = house;
    drop((store, dir));
    let data = tmp.path().join("data");
    let verified = verify::verify(&data, &id("acme"), &key(2));
    assert!(
        verified.faults.is_empty() && verified.orphans.is_empty(),
        "{verified:?}"
    );
    assert!(!is_sealed_with(&data, &id("acme"), &key(1)));
    let dir = DataDir::open(&data).expect("opened");
    let refused = Store::open(&dir, &id("acme"), &key(1), signer());
    assert!(
        matches!(refused.err(), Some(StorageError::WrongKey(_))),
        "the former key opens nothing"
    );
    check(
        &Store::open(&dir, &id("acme"), &key(2), signer()).expect("opened"),
        41,
        &ERASED,
    );
}

#[test]
fn wherever_it_is_cut_off_one_key_opens_everything() {
    let house = furnished();
    let mut rotation = rotation(&house, 2);
    let cut = |step: &str, expected: u8, count: u64| {
        let tmp = house.crash_copy();
        let (key, store, dir) = after_crash(&tmp, [1, 2]);
        assert_eq!(key, expected, "{step}");
        check(&store, count, &ERASED);
        drop((store, dir));
        let verified = verify::verify(&tmp.path().join("data"), &id("acme"), &self::key(key));
        assert!(verified.faults.is_empty(), "{step}: {verified:?}");
    };
    cut("begun", 1, 40);
    while rotation.copy_segment().expect("copied") {}
    cut("segments", 1, 40);
    house.enroll("s41", 41);
    {
        let writer = house.store.0.writer.lock();
        while rotation.copy_segment().expect("copied") {}
        rotation.copy_catalog(&writer).expect("copied");
        cut("catalog", 1, 41);
        fs::remove_file(rotation.path.join(CATALOG_FILE)).expect("there");
        rotation.complete(&writer).expect("complete");
        cut("complete", 1, 41);
        durable::exchange(&rotation.path, house.store.path()).expect("exchanged");
        cut("exchanged", 2, 41);
        durable::exchange(&rotation.path, house.store.path()).expect("exchanged back");
    }
    drop(rotation);
    cut("given up", 1, 41);
    let next = self::rotation(&house, 2).finish().expect("rotated");
    cut("ended", 2, 41);
    next.commit(vec![crate::storage::testing::erase("late", "s41")])
        .expect("erased");
    let tmp = house.crash_copy();
    let (_, store, _dir) = after_crash(&tmp, [1, 2]);
    check(&store, 41, &[3, 4, 35, 41]);
}

#[test]
fn what_changes_between_copy_and_end_is_taken_along() {
    let mut house = furnished();
    let mut rotation = rotation(&house, 2);
    while rotation.copy_segment().expect("copied") {}
    house.erase("s5");
    house.erase("s36");
    house.enroll("s41", 41);
    house.flush().expect("flushed beside it");
    house.enroll("s42", 42);
    let open = house.store.erasures_pending();
    assert_eq!(
        house.store.purge().expect("put off"),
        0,
        "the copy has the row yet"
    );
    let former = house.store.clone();
    house.store = rotation.finish().expect("rotated");
    let erased = [3, 4, 35, 5, 36];
    check(&house.store, 42, &erased);
    // Who still has the former generation reads it as it was, and changes nothing.
    check(&former, 42, &erased);
    assert!(matches!(former.purge(), Err(StorageError::Poisoned(_))));
    let write = crate::storage::testing::erase("late", "s6");
    assert!(matches!(
        former.commit(vec![write]),
        Err(StorageError::Poisoned(_))
    ));
    drop(former);
    assert_eq!(house.store.purge().expect("purged"), open);
    check(&house.store, 42, &erased);
}

#[test]
fn readers_of_the_former_generation_find_it_to_the_end() {
    let mut house = furnished();
    let former = house.store.clone();
    house.store = rotation(&house, 2).finish().expect("rotated");
    // All at once, so that every connection is used.
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| check(&former, 40, &ERASED));
        }
    });
    drop(former);
    house.store.purge().expect("purged");
    check(&house.store, 40, &ERASED);
}

#[test]
fn one_rotation_follows_the_other() {
    let mut house = furnished();
    house.store = rotation(&house, 2).finish().expect("rotated");
    house.store = rotation(&house, 3).finish().expect("rotated once more");
    house.store.purge().expect("purged");
    check(&house.store, 40, &ERASED);
    let (key, ..) = after_crash(&house.crash_copy(), [2, 3]);
    assert_eq!(key, 3);
}

#[test]
fn a_rotation_that_fails_leaves_the_former_generation_serving() {
    let house = furnished();
    let rotation = rotation(&house, 2);
    assert!(matches!(
        house.store.begin_rotation(&house.dir, &key(3)),
        Err(StorageError::Rotation { .. })
    ));
    fs::remove_dir_all(rotation.segments_path()).expect("there");
    assert!(rotation.finish().is_err());
    house.enroll("s41", 41);
    check(&house.store, 41, &ERASED);
    assert!(
        house.store.purge().expect("purged") > 0,
        "nothing holds it up any more"
    );
    assert!(self::rotation(&house, 2).finish().is_ok());
}
