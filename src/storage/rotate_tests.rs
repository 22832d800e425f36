//! Tests of the rotation of a data key: everything is there under the new key, nothing under the old one, whatever is cut off and wherever.

use std::collections::BTreeSet;
use std::fs;

use tempfile::TempDir;

use super::*;
use crate::storage::catalog::pending;
use crate::storage::mark::MARK_FILE;
use crate::storage::store::CATALOG_FILE;
use crate::storage::testing;
use crate::storage::testing::{DIM, House, encode, exact, files, id, key, signer, signers};
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
    house
        .store
        .begin_rotation(&house.dir, &key(next), None)
        .expect("begun")
}

fn finish(rotation: Rotation) -> Result<Store, StorageError> {
    rotation.finish(|_| Ok(())).map(|(store, ())| store)
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
        .flat_map(|live| (0..live.entry.rows).map(|row| testing::sealed_row(live, row)))
        .collect();
    let pending = pending::all(&house.sql()).expect("readable");
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
    house.store = finish(rotation(&house, 2)).expect("rotated");
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
    let verified = verify::verify(&data, &id("acme"), &key(2), &signers());
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
        let verified = verify::verify(&tmp.path().join("data"), &id("acme"), &self::key(key), &signers());
        assert!(verified.faults.is_empty(), "{step}: {verified:?}");
    };
    cut("begun", 1, 40);
    while rotation.copy_segment().expect("copied") {}
    cut("segments", 1, 40);
    house.enroll("s41", 41);
    {
        let writer = house.store.0.writer.lock();
        while rotation.copy_segment().expect("copied") {}
        writer.copy_to(&rotation.next()).expect("copied");
        cut("catalog", 1, 41);
        for name in [CATALOG_FILE, MARK_FILE] {
            fs::remove_file(rotation.path.join(name)).expect("there");
        }
        rotation.complete(&**writer).expect("complete");
        cut("complete", 1, 41);
        durable::exchange(&rotation.path, house.store.path()).expect("exchanged");
        cut("exchanged", 2, 41);
        durable::exchange(&rotation.path, house.store.path()).expect("exchanged back");
    }
    drop(rotation);
    cut("given up", 1, 41);
    let next = finish(self::rotation(&house, 2)).expect("rotated");
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
    house.store = finish(rotation).expect("rotated");
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
    house.store = finish(rotation(&house, 2)).expect("rotated");
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
    house.store = finish(rotation(&house, 2)).expect("rotated");
    house.store = finish(rotation(&house, 3)).expect("rotated once more");
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
        house.store.begin_rotation(&house.dir, &key(3), None),
        Err(StorageError::Rotation { .. })
    ));
    fs::remove_dir_all(rotation.segments_path()).expect("there");
    assert!(finish(rotation).is_err());
    house.enroll("s41", 41);
    check(&house.store, 41, &ERASED);
    assert!(
        house.store.purge().expect("purged") > 0,
        "nothing holds it up any more"
    );
    assert!(finish(self::rotation(&house, 2)).is_ok());
}

/// Turns every bit of a row that is there.
struct Turned(TransformId);

impl Turned {
    fn row(row: &[u8]) -> Vec<u8> {
        row.iter().map(|byte| !byte).collect()
    }
}

impl Convert for Turned {
    fn transform(&self) -> &TransformId {
        &self.0
    }

    fn exact(&self, exact: &mut [u8]) {
        for row in exact.chunks_exact_mut(2 * DIM) {
            if row.iter().any(|byte| *byte != 0) {
                let turned = Self::row(row);
                row.copy_from_slice(&turned);
            }
        }
    }

    fn planes(&self, exact: &[u8]) -> RowPlanes {
        encode(exact, exact.len() / (2 * DIM))
    }
}

#[test]
fn a_policy_that_was_changed_since_the_opening_goes_along() {
    let mut house = House::new();
    let mut policy = house.store.policy().expect("there");
    policy.margin = 0.4;
    house.set_policy("later", &policy).expect("set");
    let to = TransformId {
        version: 2,
        digest: [8; 32],
    };
    let convert = Arc::new(Turned(to.clone()));
    let rotation = house.store.begin_rotation(&house.dir, &key(2), Some(convert));
    house.store = finish(rotation.expect("begun")).expect("rotated");
    let spec = house.store.spec();
    assert_eq!((&spec.policy, &spec.transform), (&policy, &to));
}

#[test]
fn converted_rows_stand_where_the_former_stood_and_their_codes_are_their_own() {
    let mut house = furnished();
    let mut expected = Vec::new();
    for seed in (1..=40).filter(|seed| !ERASED.contains(seed)) {
        let places = house
            .store
            .subject_rows(&id(&format!("s{seed}")))
            .expect("readable");
        expected.push((places.expect("there"), Turned::row(&exact(seed))));
    }
    let (before, former) = (house.store.stats().expect("figures"), sealed_rows(&house));
    let to = TransformId {
        version: 2,
        digest: [8; 32],
    };
    let convert = Arc::new(Turned(to.clone()));
    let mut rotation = house
        .store
        .begin_rotation(&house.dir, &key(2), Some(convert))
        .expect("begun");
    while rotation.copy_segment().expect("copied") {}
    // Erased after its copy was made.
    house.erase("s6");
    house.store = finish(rotation).expect("rotated");
    expected.remove(house_index(6));
    let check = |store: &Store| {
        assert_eq!(store.spec().transform, to);
        for (places, row) in &expected {
            assert_eq!(
                *store.read(places).expect("readable")[0]
                    .as_ref()
                    .expect("there")
                    .exact,
                *row
            );
        }
        for segment in store.segments() {
            let loaded = store.load_segment(segment.number).expect("authentic");
            let rows = (0..segment.rows).map(|row| crate::storage::place::Place::Segment {
                segment: segment.number,
                row,
            });
            let rows = store.read(&rows.collect::<Vec<_>>()).expect("readable");
            let sign = loaded.planes.sign.len() / rows.len();
            for (at, row) in rows.into_iter().enumerate() {
                let code = &loaded.planes.sign[at * sign..(at + 1) * sign];
                match row {
                    Some(row) => assert_eq!(*code, encode(&row.exact, 1).sign),
                    None => assert!(loaded.dead.contains(&u32::try_from(at).expect("small"))),
                }
            }
        }
    };
    check(&house.store);
    let now = house.store.stats().expect("figures");
    assert_eq!(
        (now.references, now.pending),
        (before.references - 1, before.pending)
    );
    house.store.purge().expect("purged");
    let bytes = all_bytes(&house);
    for sealed in &former {
        let found = sealed
            .chunks_exact(24)
            .any(|part| bytes.windows(24).any(|window| window == part));
        assert!(!found, "a sealed row of the former generation is left");
    }
    let House { tmp, dir, store } = house;
    drop((store, dir));
    let (_, store, _dir) = after_crash(&tmp, [1, 2]);
    check(&store);
}

/// Where a subject stands among those who are not erased.
fn house_index(seed: u64) -> usize {
    (1..seed).filter(|seed| !ERASED.contains(seed)).count()
}

#[test]
fn what_fails_before_the_exchange_leaves_everything_as_it_was() {
    let house = furnished();
    let refused = rotation(&house, 2).finish(|next| {
        check(next, 40, &ERASED);
        Err::<(), _>(StorageError::Rows("no room for it".to_owned()))
    });
    assert!(matches!(refused, Err(StorageError::Rows(_))));
    house.enroll("s41", 41);
    check(&house.store, 41, &ERASED);
    let (key, ..) = after_crash(&house.crash_copy(), [1, 2]);
    assert_eq!(key, 1);
    assert!(
        house.store.purge().expect("purged") > 0,
        "nothing is left that has the rows"
    );
}
