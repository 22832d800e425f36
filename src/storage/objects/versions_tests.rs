//! Tests of deletions: gone with every version, or told until when not.

use std::fs;
use std::path::Path;

use ulid::Ulid;

use super::*;
use crate::storage::objects::faults::{Fault, FaultyServer};
use crate::storage::objects::testing::{ROWS, Yard, bucket, object_error, object_key, written};

#[test]
fn a_directory_keeps_nothing_of_what_is_deleted() {
    let yard = Yard::new();
    let key = yard.stored(ROWS);
    // Another name of the same file shows what became of its bytes.
    fs::hard_link(yard.object(&key), yard.path("remnant")).expect("linked");
    let deleted = yard.store.delete_proven(std::slice::from_ref(&key));
    assert_eq!(
        deleted.expect("deleted"),
        Deleted {
            is_proven: true,
            remnants_until: None
        }
    );
    let remnant = fs::read(yard.path("remnant")).expect("there");
    assert!(remnant.iter().all(|byte| *byte == 0));
    assert_eq!(yard.store.head(&key).expect("reached"), None);
    yard.store.delete(&key).expect("it is gone already");
}

#[test]
fn a_probe_leaves_nothing_and_says_what_is_refused() {
    let server = FaultyServer::start();
    let store = ObjectStore::connect(&bucket(&server.endpoint, "palms")).expect("settings");
    store.probe().expect("usable");
    assert_eq!(server.len(), 0);
    // What probes can't remove does not become more, and goes with the next one that can.
    server.refuse(Some("DELETE"));
    for _ in 0..2 {
        object_error(store.probe());
        assert_eq!(server.len(), 1);
    }
    server.refuse(None);
    store.probe().expect("usable");
    assert_eq!(server.len(), 0);
    server.fail(Fault::Status(403, "AccessDenied"), usize::MAX);
    let error = object_error(store.probe());
    assert!(matches!(error, ObjectError::Refused { .. }), "{error}");
}

#[test]
fn what_was_gone_before_is_proven_only_where_nothing_is_kept() {
    let server = FaultyServer::start();
    let config = bucket(&server.endpoint, "palms");
    let store = ObjectStore::connect(&config).expect("settings");
    let key = object_key(Ulid::generate());
    let error = object_error(store.delete(&key));
    assert!(
        matches!(error, ObjectError::KeepsVersions { .. }),
        "it was not probed: {error}"
    );
    assert!(store.delete_proven(&[key]).expect("well").is_proven);
}

#[test]
fn what_the_operator_states_is_told_with_each_deletion() {
    let tmp = tempfile::TempDir::new().expect("a temporary directory");
    let server = FaultyServer::start();
    let mut config = bucket(&server.endpoint, "palms");
    config.remnants_days = Some(7);
    let store = ObjectStore::connect(&config).expect("settings");
    store.probe().expect("usable");
    let (key, file) = written(tmp.path(), ROWS);
    store.put(&key, &file).expect("stored");
    let before = Timestamp::now().plus(7 * DAY);
    let deleted = store.delete_proven(&[key]).expect("deleted");
    assert!(deleted.is_proven);
    let until = deleted.remnants_until.expect("stated");
    assert!(before <= until && until <= Timestamp::now().plus(7 * DAY));
}

#[test]
fn a_deletion_that_fails_is_no_deletion() {
    let tmp = tempfile::TempDir::new().expect("a temporary directory");
    let server = FaultyServer::start();
    let store = ObjectStore::connect(&bucket(&server.endpoint, "palms")).expect("settings");
    store.probe().expect("usable");
    let (key, file) = written(tmp.path(), ROWS);
    store.put(&key, &file).expect("stored");
    server.fail(Fault::Status(403, "AccessDenied"), usize::MAX);
    let error = object_error(store.delete(&key));
    assert!(matches!(error, ObjectError::Refused { .. }), "{error}");
    assert_eq!(server.len(), 1);
}

/// A server, a store on it that was probed, and segments that are in it.
fn stored(tmp: &Path, count: usize) -> (FaultyServer, ObjectStore, Vec<ObjectKey>) {
    let server = FaultyServer::start();
    let store = ObjectStore::connect(&bucket(&server.endpoint, "palms")).expect("settings");
    store.probe().expect("usable");
    let store_one = |_| {
        let (key, file) = written(tmp, ROWS);
        store.put(&key, &file).expect("stored");
        key
    };
    let keys = (0..count).map(store_one).collect();
    (server, store, keys)
}

#[test]
fn many_are_deleted_between_two_probes() {
    let tmp = tempfile::TempDir::new().expect("a temporary directory");
    let (server, store, keys) = stored(tmp.path(), 3);
    server.requests();
    assert!(store.delete_proven(&keys).expect("deleted").is_proven);
    assert_eq!(server.len(), 0);
    let puts = server
        .requests()
        .iter()
        .filter(|request| *request == "PUT")
        .count();
    assert_eq!(puts, 4, "each probe puts twice");
    assert!(store.delete_proven(&[]).expect("nothing").is_proven);
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn where_versions_are_kept_since_the_last_probe_nothing_is_deleted() {
    let tmp = tempfile::TempDir::new().expect("a temporary directory");
    let (server, store, keys) = stored(tmp.path(), 2);
    server.version("v", true);
    let error = object_error(store.delete_proven(&keys));
    assert!(matches!(error, ObjectError::KeepsVersions { .. }), "{error}");
    assert_eq!(server.len(), 2);
}

#[test]
fn what_was_deleted_when_versions_came_to_be_kept_is_not_proven() {
    let tmp = tempfile::TempDir::new().expect("a temporary directory");
    for (version, is_kept) in [("v", true), ("null", false)] {
        let (server, store, keys) = stored(tmp.path(), 3);
        server.version_after_deletion(version, is_kept);
        // Suspended at the end, they may have been on in between.
        for _ in 0..2 {
            let error = object_error(store.delete_proven(&keys));
            assert!(matches!(error, ObjectError::KeepsVersions { .. }), "{error}");
        }
        assert_eq!(server.len(), 0);
    }
}

#[test]
fn where_versions_are_suspended_each_object_is_removed_by_name() {
    let tmp = tempfile::TempDir::new().expect("a temporary directory");
    let (server, store, keys) = stored(tmp.path(), 2);
    server.version("null", false);
    assert!(store.delete_proven(&keys).expect("deleted").is_proven);
    assert_eq!(server.len(), 0);
}
