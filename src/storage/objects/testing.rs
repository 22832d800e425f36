//! Fixtures of these tests: segments that are written, stores in a directory, and a server that fails on request. Checks nothing itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use ulid::Ulid;

use super::config::ObjectStoreConfig;
use super::key::{Home, ListedSegment, ObjectKey};
use super::{CacheConfig, ObjectStore, Objects};
use crate::model::signature::Dimension;
use crate::storage::error::StorageError;
use crate::storage::objects::error::ObjectError;
use crate::storage::place::RowId;
use crate::storage::segment::writer::SegmentWriter;
use crate::storage::testing::{DIM, id, key as data_key, rows};

/// Rows of a usual segment of these tests: several blocks of the exact plane.
pub(in crate::storage) const ROWS: u32 = 200;

/// A temporary directory with a store in it and one for finished files.
pub(in crate::storage) struct Yard {
    pub(in crate::storage) tmp: TempDir,
    pub(in crate::storage) store: ObjectStore,
}

impl Yard {
    pub(in crate::storage) fn new() -> Self {
        let tmp = TempDir::new().expect("a temporary directory");
        let store = directory(&tmp.path().join("store"));
        Self { tmp, store }
    }

    /// A path in the directory.
    pub(in crate::storage) fn path(&self, name: &str) -> PathBuf {
        self.tmp.path().join(name)
    }

    /// Where the store has an object.
    pub(in crate::storage) fn object(&self, key: &ObjectKey) -> PathBuf {
        self.path("store").join(key.to_string())
    }

    /// Writes a segment and stores it.
    pub(in crate::storage) fn stored(&self, rows: u32) -> ObjectKey {
        let (key, file) = written(self.tmp.path(), rows);
        self.store.put(&key, &file).expect("stored");
        key
    }
}

/// A store in a directory.
pub(in crate::storage) fn directory(path: &Path) -> ObjectStore {
    let config = ObjectStoreConfig::new(&format!("file://{}", path.display()));
    let store = ObjectStore::connect(&config).expect("a directory");
    store.probe().expect("writable");
    store
}

/// A store in a directory `store` of this one, and its cache in one beside it, for as long as nobody else has these.
pub(in crate::storage) fn objects(tmp: &Path) -> Objects {
    Objects::of(directory(&tmp.join("store")), &cache_config(tmp, 1 << 20)).expect("opened")
}

/// A cache in a directory `cache` of this one.
pub(in crate::storage) fn cache_config(tmp: &Path, bytes_max: u64) -> CacheConfig {
    CacheConfig {
        dir: tmp.join("cache"),
        bytes_max,
        fetches_max: 2,
    }
}

/// All segments below a directory, in the order of their names.
pub(in crate::storage) fn stored_in(dir: &Path) -> Vec<PathBuf> {
    let (mut found, mut dirs) = (Vec::new(), vec![dir.to_owned()]);
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                dirs.push(path);
            } else {
                found.extend(path.extension().is_some_and(|kind| kind == "seg").then_some(path));
            }
        }
    }
    found.sort();
    found
}

/// A bucket of a server at `endpoint`.
pub(in crate::storage) fn bucket(endpoint: &str, bucket: &str) -> ObjectStoreConfig {
    let mut config = ObjectStoreConfig::new(&format!("s3://{bucket}/some/prefix"));
    config.endpoint = Some(endpoint.to_owned());
    config.region = Some("us-east-1".to_owned());
    config.allow_http = true;
    config.settings = [
        ("aws_access_key_id", "known-id"),
        ("aws_secret_access_key", "known-secret"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    // Long enough for a machine that stands still; tests of what never comes set it down.
    config.patience.one_try = Duration::from_mins(5);
    config.patience.retries_max = 2;
    config
}

pub(in crate::storage) fn home() -> Home {
    Home {
        tenant: id("acme"),
        incarnation: 7,
    }
}

pub(in crate::storage) fn object_key(ulid: Ulid) -> ObjectKey {
    ObjectKey {
        home: home(),
        generation: 3,
        ulid,
    }
}

/// The segment of a key of these tests.
pub(in crate::storage) fn listed(key: &ObjectKey, rows: u32) -> ListedSegment {
    let dimension = Dimension::new(DIM).expect("valid");
    ListedSegment::new(key.clone(), rows, dimension, &data_key(1))
}

/// A finished segment file of so many rows; the reference of row n is n + 1, and row 4 is a hole.
pub(in crate::storage) fn written(dir: &Path, count: u32) -> (ObjectKey, PathBuf) {
    let ids: Vec<RowId> = (1..=u64::from(count))
        .map(|n| RowId {
            reference: n,
            subject: n + 7,
        })
        .map(|id| if id.reference == 5 { RowId::HOLE } else { id })
        .collect();
    let mut writer = SegmentWriter::create(dir, &listed(&object_key(Ulid::generate()), count).context, count)
        .expect("created");
    writer.push(&rows(&ids), 0..ids.len()).expect("taken");
    let written = writer.finish().expect("finished");
    (object_key(written.ulid), written.path)
}

/// The object error of what failed.
pub(in crate::storage) fn object_error<T>(outcome: Result<T, StorageError>) -> ObjectError {
    match outcome {
        Err(StorageError::Object(error)) => error,
        Err(other) => panic!("an error of an object: {other}"),
        Ok(_) => panic!("it failed"),
    }
}
