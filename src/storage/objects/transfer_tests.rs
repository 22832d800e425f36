//! Tests of whole files: they arrive as they were sent, in one piece or several, once, and durably or not at all.

use std::fs;

use ulid::Ulid;

use super::*;
use crate::storage::objects::faults::{Fault, FaultyServer};
use crate::storage::objects::testing::{ROWS, Yard, bucket, object_error, object_key, written};

/// A file of so many bytes that are not all alike.
fn file(path: &Path, len: u64) -> Vec<u8> {
    let bytes: Vec<u8> = (0..len).map(|n| (n % 251) as u8).collect();
    fs::write(path, &bytes).expect("written");
    bytes
}

#[test]
fn a_file_comes_back_as_it_was_whatever_its_length() {
    let yard = Yard::new();
    for len in [
        1,
        PIECE_LEN - 1,
        PIECE_LEN,
        PIECE_LEN + 1,
        2 * PIECE_LEN,
        2 * PIECE_LEN + 7,
        PUT_LEN_MAX,
        PUT_LEN_MAX + 1,
    ] {
        let key = object_key(Ulid::generate());
        let bytes = file(&yard.path("sent"), len);
        yard.store.put(&key, &yard.path("sent")).expect("stored");
        yard.store.fetch(&key, len, &yard.path("come")).expect("fetched");
        assert!(
            fs::read(yard.path("come")).expect("there") == bytes,
            "{len} bytes"
        );
    }
}

#[test]
fn nothing_is_overwritten_and_the_same_file_may_come_again() {
    let yard = Yard::new();
    for len in [1_000, PUT_LEN_MAX + 1] {
        let key = object_key(Ulid::generate());
        let bytes = file(&yard.path("sent"), len);
        yard.store.put(&key, &yard.path("sent")).expect("stored");
        yard.store
            .put(&key, &yard.path("sent"))
            .expect("as after a lost answer");
        let mut other = bytes.clone();
        *other.last_mut().expect("not empty") ^= 1;
        for other in [other, bytes[1..].to_vec()] {
            fs::write(yard.path("other"), &other).expect("written");
            let error = object_error(yard.store.put(&key, &yard.path("other")));
            assert!(matches!(error, ObjectError::Taken { .. }), "{error}");
        }
        assert!(fs::read(yard.object(&key)).expect("there") == bytes);
    }
}

#[test]
fn an_answer_that_is_lost_is_no_failure() {
    let tmp = tempfile::TempDir::new().expect("a temporary directory");
    let server = FaultyServer::start();
    let mut config = bucket(&server.endpoint, "palms");
    config.patience.one_try = std::time::Duration::from_millis(50);
    config.patience.retries_max = 0;
    let hasty = ObjectStore::connect(&config).expect("settings");
    let patient = ObjectStore::connect(&bucket(&server.endpoint, "palms")).expect("settings");
    let (key, file) = written(tmp.path(), ROWS);
    server.fail(Fault::Silence, 1);
    let error = object_error(hasty.put(&key, &file));
    assert!(matches!(error, ObjectError::Unreachable { .. }), "{error}");
    assert_eq!(server.len(), 1);
    patient.put(&key, &file).expect("it is there already");
}

#[test]
fn what_fails_on_its_way_leaves_no_file() {
    let tmp = tempfile::TempDir::new().expect("a temporary directory");
    let server = FaultyServer::start();
    let store = ObjectStore::connect(&bucket(&server.endpoint, "palms")).expect("settings");
    let (key, file) = written(tmp.path(), ROWS);
    let len = fs::metadata(&file).expect("there").len();
    store.put(&key, &file).expect("stored");
    let here = tmp.path().join("here");
    fs::create_dir(&here).expect("made");
    for fault in [
        Fault::Status(503, "SlowDown"),
        Fault::Cut,
        Fault::Short,
        Fault::Status(403, "AccessDenied"),
    ] {
        server.fail(fault, usize::MAX);
        object_error(store.fetch(&key, len, &here.join("come")));
        assert_eq!(fs::read_dir(&here).expect("there").count(), 0, "{fault:?}");
    }
    server.fail(Fault::Cut, 0);
    // What a crash left is in nobody's way.
    fs::write(here.join("come.tmp"), "half").expect("written");
    store.fetch(&key, len, &here.join("come")).expect("fetched");
    assert_eq!(fs::read_dir(&here).expect("there").count(), 1);
}
