//! Tests of deletions: gone with every version, or told until when not.

use std::fs;

use super::*;
use crate::storage::objects::faults::{Fault, FaultyServer};
use crate::storage::objects::testing::{ROWS, Yard, bucket, object_error, object_key, written};

#[test]
fn a_directory_keeps_nothing_of_what_is_deleted() {
    let yard = Yard::new();
    let key = yard.stored(ROWS);
    // Another name of the same file shows what became of its bytes.
    fs::hard_link(yard.object(&key), yard.path("remnant")).expect("linked");
    let deleted = yard.store.delete(&key).expect("deleted");
    assert_eq!(
        deleted,
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
fn what_a_put_that_was_cut_off_left_goes_with_the_object() {
    let yard = Yard::new();
    let key = yard.stored(ROWS);
    let name = yard.object(&key);
    let beside =
        |end: &str| name.with_file_name(format!("{}{end}", name.file_name().expect("named").display()));
    for end in ["#1", "#12", "#x", "0"] {
        fs::copy(&name, beside(end)).expect("copied");
    }
    yard.store.delete(&key).expect("deleted");
    let left = ["", "#1", "#12", "#x", "0"].map(|end| beside(end).exists());
    assert_eq!(left, [false, false, false, true, true]);
}

#[test]
fn a_probe_leaves_nothing_and_says_what_is_refused() {
    let server = FaultyServer::start();
    let store = ObjectStore::connect(&bucket(&server.endpoint, "palms")).expect("settings");
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
    store.probe().expect("usable");
    assert!(store.delete(&key).expect("well").is_proven);
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
    let deleted = store.delete(&key).expect("deleted");
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
