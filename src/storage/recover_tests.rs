//! Tests of a start: what it destroys, what it keeps.

use std::fs;

use super::*;
use crate::storage::files::SEGMENTS_DIR;
use crate::storage::place::Place;
use crate::storage::testing::{House, erase, exact, id, key, signer};

#[test]
fn files_that_the_catalog_does_not_have_are_destroyed_and_others_kept() {
    let house = House::new();
    house.flushed(2);
    let kept = house.segment_file();
    let segments = house.path().join(SEGMENTS_DIR);
    let orphan = segments.join(format!("{}.seg", ulid::Ulid::generate()));
    fs::write(&orphan, "a flush that did not finish").expect("written");
    fs::write(segments.join("README"), "not ours").expect("written");
    let witness = fs::File::open(&orphan).expect("open");
    let house = house.reopen();
    assert!(!orphan.exists());
    assert_eq!(house.segment_files(), [kept, segments.join("README")]);
    let overwritten = std::io::read_to_string(witness).expect("readable");
    assert!(overwritten.bytes().all(|byte| byte == 0));
}

#[test]
fn numbers_never_come_back() {
    let house = House::new();
    house.enroll("s1", 1);
    house.erase("s1");
    house.store.purge().expect("purged");
    let house = house.reopen();
    let answer = house.enroll("s1", 2);
    assert_eq!(
        (answer.references.as_slice(), answer.sequence),
        ([2].as_slice(), 3)
    );
    let row = house
        .store
        .read(&[Place::Pending { reference: 2 }])
        .expect("read")
        .remove(0);
    assert_eq!(row.expect("alive").id.subject, 2);
    house.one(erase("again", "s1")).expect("erased");
    assert_eq!(
        house.store.erasure(2).expect("read").expect("there").subject_id,
        id("s1")
    );
}

#[test]
fn a_tenant_copied_under_another_name_is_refused() {
    let house = House::new();
    let House { tmp, dir, store } = house;
    drop(store);
    fs::rename(dir.tenant_path(&id("acme")), dir.tenant_path(&id("bank"))).expect("renamed");
    let error = Store::open(&dir, &id("bank"), &key(1), signer())
        .err()
        .expect("refused");
    assert!(error.to_string().contains("catalog of tenant acme"), "{error}");
    drop(tmp);
}

#[test]
fn a_torn_log_loses_nothing_that_was_acknowledged() {
    let house = House::new();
    house.enroll("s1", 1);
    house.enroll("s2", 2);
    let crashed = house.crash_with(|data| {
        let log = data.join("tenants/acme/catalog.db-wal");
        let mut bytes = fs::read(&log).expect("the log");
        assert!(!bytes.is_empty());
        // Half a frame of a transaction that never returned.
        bytes.extend_from_slice(&[0x5A; 2_000]);
        fs::write(&log, bytes).expect("written");
    });
    let places = [1, 2].map(|reference| Place::Pending { reference });
    assert_eq!(crashed.exact(&places), [Some(exact(1)), Some(exact(2))]);
}

#[test]
fn reading_works_with_the_log_of_a_process_that_died() {
    let house = House::new();
    for seed in 1..=50 {
        house.enroll(&format!("s{seed}"), seed);
    }
    let crashed = house.crash().crash();
    let places: Vec<_> = (1..=50).map(|reference| Place::Pending { reference }).collect();
    let expected: Vec<_> = (1..=50).map(|seed| Some(exact(seed))).collect();
    assert_eq!(crashed.exact(&places), expected);
}
