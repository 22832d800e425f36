//! Tests against a real implementation of S3: moto's server, with and without versions. Skipped where no python that has it is named.

use std::fs;

use crate::storage::objects::cache::Cache;
use crate::storage::objects::error::ObjectError;
use crate::storage::objects::moto::Moto;
use crate::storage::objects::remote;
use crate::storage::objects::testing::{ROWS, home, listed, object_error, written};
use crate::storage::objects::transfer::PUT_LEN_MAX;
use crate::storage::testing::exact;

#[test]
fn a_segment_goes_to_s3_and_comes_back_by_rows_and_whole() {
    let Some(moto) = Moto::start() else { return };
    moto.make("palms", false);
    let store = moto.store("palms", None);
    store.probe().expect("usable");
    let tmp = tempfile::TempDir::new().expect("a temporary directory");
    let (key, file) = written(tmp.path(), ROWS);
    store.put(&key, &file).expect("stored");
    store.put(&key, &file).expect("the same once more");
    let (_, other) = written(tmp.path(), ROWS);
    let error = object_error(store.put(&key, &other));
    assert!(matches!(error, ObjectError::Taken { .. }), "{error}");
    let segment = remote::open(&store, &listed(&key, ROWS)).expect("authentic");
    let row = segment.rows_at(&[7]).expect("read").remove(0).expect("no hole");
    assert_eq!(row.exact.to_vec(), exact(8));
    let cache = Cache::open(&store, tmp.path().join("cache"), 1 << 30, 2).expect("opened");
    cache.get(&listed(&key, ROWS)).expect("fetched");
    let found = store.list(&home()).expect("listed");
    assert_eq!(found.iter().map(|info| &info.key).collect::<Vec<_>>(), [&key]);
    assert!(
        store
            .delete_proven(std::slice::from_ref(&key))
            .expect("deleted")
            .is_proven
    );
    assert_eq!(store.head(&key).expect("reached"), None);
}

#[test]
fn a_file_of_several_pieces_goes_to_s3_once() {
    let Some(moto) = Moto::start() else { return };
    moto.make("palms", false);
    let store = moto.store("palms", None);
    let tmp = tempfile::TempDir::new().expect("a temporary directory");
    let (key, _) = written(tmp.path(), 1);
    let bytes: Vec<u8> = (0..PUT_LEN_MAX + 9).map(|n| (n % 251) as u8).collect();
    let file = tmp.path().join("long");
    fs::write(&file, &bytes).expect("written");
    store.put(&key, &file).expect("stored");
    store.put(&key, &file).expect("the same once more");
    let come = tmp.path().join("come");
    store.fetch(&key, bytes.len() as u64, &come).expect("fetched");
    assert!(fs::read(&come).expect("there") == bytes);
    fs::write(&file, &bytes[1..]).expect("written");
    let error = object_error(store.put(&key, &file));
    assert!(matches!(error, ObjectError::Taken { .. }), "{error}");
}

#[test]
fn a_bucket_with_versions_is_refused_unless_it_is_stated_how_long() {
    let Some(moto) = Moto::start() else { return };
    moto.make("versions", true);
    let error = object_error(moto.store("versions", None).probe());
    assert!(matches!(error, ObjectError::KeepsVersions { .. }), "{error}");
    moto.store("versions", Some(30)).probe().expect("stated");
}

#[test]
fn every_version_of_what_is_deleted_is_gone() {
    let Some(moto) = Moto::start() else { return };
    moto.make("versions", true);
    let store = moto.store("versions", Some(30));
    store.probe().expect("stated");
    let tmp = tempfile::TempDir::new().expect("a temporary directory");
    let (key, file) = written(tmp.path(), ROWS);
    store.put(&key, &file).expect("stored");
    let first = store
        .meta(&key.to_string())
        .expect("reached")
        .and_then(|meta| meta.version);
    // A second version, as somebody else's tool would leave it.
    let object = key.to_string();
    let overwritten = store.ask(&object, |driver, location| async move {
        object_store::ObjectStoreExt::put(&*driver, &location, "other".into()).await
    });
    let second = overwritten.expect("stored").version;
    assert!(first.is_some() && second.is_some() && first != second);
    let keys = [key];
    let deleted = store.delete_proven(&keys).expect("deleted");
    assert!(deleted.is_proven && deleted.remnants_until.is_some());
    for version in [first, second].into_iter().flatten() {
        assert!(!store.has_version(&object, &version).expect("reached"));
    }
    // Whether an earlier deletion left something, nobody can say.
    assert!(!store.delete_proven(&keys).expect("stated").is_proven);
}

#[test]
fn what_was_written_before_there_were_versions_goes_as_well() {
    let Some(moto) = Moto::start() else { return };
    moto.make("late", false);
    let store = moto.store("late", Some(30));
    store.probe().expect("usable");
    let tmp = tempfile::TempDir::new().expect("a temporary directory");
    let (key, file) = written(tmp.path(), ROWS);
    store.put(&key, &file).expect("stored");
    moto.version("late");
    assert!(
        store
            .delete_proven(std::slice::from_ref(&key))
            .expect("deleted")
            .is_proven
    );
    assert!(!store.has_version(&key.to_string(), "null").expect("reached"));
    let (other, _) = written(tmp.path(), ROWS);
    let deleted = store.delete_proven(&[other]).expect("stated");
    assert!(!deleted.is_proven, "the later probe counts");
}

#[test]
fn a_bucket_that_is_not_there_is_no_missing_object() {
    let Some(moto) = Moto::start() else { return };
    let store = moto.store("nowhere", None);
    let error = object_error(store.probe());
    assert!(matches!(error, ObjectError::Refused { .. }), "{error}");
    let tmp = tempfile::TempDir::new().expect("a temporary directory");
    let (key, _) = written(tmp.path(), ROWS);
    let error = object_error(remote::open(&store, &listed(&key, ROWS)));
    assert!(matches!(error, ObjectError::Refused { .. }), "{error}");
}
