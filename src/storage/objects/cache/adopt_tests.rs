//! Tests of files that are taken in: they are here without a fetch, within the limit and authentic, and gone from where they were.

use std::fs;
use std::os::unix::fs::MetadataExt;

use super::*;
use crate::storage::objects::error::ObjectError;
use crate::storage::objects::testing::{ROWS, Yard, listed, object_error, written};

const OPEN: &str = "opened";

/// A cache that has room for so many files of [`ROWS`] rows.
fn open(yard: &Yard, files: u64) -> Cache {
    let (key, _) = written(yard.tmp.path(), ROWS);
    let len = listed(&key, ROWS).blocks().layout().file_len();
    Cache::open(&yard.store, yard.path("cache"), files * len, 2).expect(OPEN)
}

#[test]
fn what_is_taken_in_is_read_without_the_store() {
    let yard = Yard::new();
    let cache = open(&yard, 1);
    // Nothing of it is in the store.
    let (key, file) = written(yard.tmp.path(), ROWS);
    let bytes = fs::read(&file).expect("there");
    cache.adopt(&listed(&key, ROWS), &file).expect("taken in");
    assert!(!file.exists());
    let pin = cache.get(&listed(&key, ROWS)).expect("here");
    assert!(pin.rows(&[0]).expect("read")[0].is_some());
    let stats = cache.stats();
    assert_eq!((stats.files, stats.bytes), (1, stats.bytes_max));
    assert!(fs::read(cache.0.path(&key)).expect("here") == bytes);
}

#[test]
fn who_is_taken_in_has_the_place_of_who_was_used_least_recently() {
    let yard = Yard::new();
    let cache = open(&yard, 2);
    let keys = [0; 4].map(|_| {
        let (key, file) = written(yard.tmp.path(), ROWS);
        (key, file)
    });
    let here = || keys.each_ref().map(|(key, _)| cache.0.path(key).exists());
    for (key, file) in &keys[..2] {
        cache.adopt(&listed(key, ROWS), file).expect("taken in");
    }
    let first = cache.get(&listed(&keys[0].0, ROWS)).expect("here");
    cache
        .adopt(&listed(&keys[2].0, ROWS), &keys[2].1)
        .expect("taken in");
    assert_eq!(here(), [true, false, true, false]);
    let second = cache.get(&listed(&keys[2].0, ROWS)).expect("here");
    // All others are in use.
    cache
        .adopt(&listed(&keys[3].0, ROWS), &keys[3].1)
        .expect("no error");
    assert_eq!(here(), [true, false, true, false]);
    assert!(keys.iter().all(|(_, file)| !file.exists()));
    assert!(first.rows(&[0]).is_ok() && second.rows(&[0]).is_ok());
    assert_eq!(cache.stats().bytes, cache.stats().bytes_max);
}

#[test]
fn what_is_here_already_or_forgotten_or_too_long_is_destroyed() {
    let yard = Yard::new();
    let cache = open(&yard, 1);
    let (key, file) = written(yard.tmp.path(), ROWS);
    let copy = |name: &str| {
        fs::copy(&file, yard.path(name)).expect("copied");
        // Another name of the same file shows what became of its bytes.
        fs::hard_link(yard.path(name), yard.path("remnant")).expect("linked");
        yard.path(name)
    };
    let is_destroyed = |name: &str| {
        let remnant = fs::read(yard.path("remnant")).expect("there");
        fs::remove_file(yard.path("remnant")).expect("removed");
        !yard.path(name).exists() && remnant.iter().all(|byte| *byte == 0)
    };
    let second = copy("second");
    cache.adopt(&listed(&key, ROWS), &file).expect("taken in");
    let pin = cache.get(&listed(&key, ROWS)).expect("here");
    cache.adopt(&listed(&key, ROWS), &second).expect("no error");
    assert!(is_destroyed("second"));
    drop(pin);
    let (long, other) = written(yard.tmp.path(), 2 * ROWS);
    cache.adopt(&listed(&long, 2 * ROWS), &other).expect("no error");
    assert!(!other.exists() && cache.0.path(&key).exists());
    let file = written(yard.tmp.path(), ROWS).1;
    fs::copy(&file, yard.path("third")).expect("copied");
    cache.forget(&key).expect("forgotten");
    cache
        .adopt(&listed(&key, ROWS), &yard.path("third"))
        .expect("no error");
    assert!(!yard.path("third").exists() && cache.0.is_clear(&key));
    assert_eq!((cache.stats().files, cache.stats().bytes), (0, 0));
}

#[test]
fn what_is_damaged_is_told_and_not_kept() {
    let yard = Yard::new();
    let cache = open(&yard, 1);
    let (key, file) = written(yard.tmp.path(), ROWS);
    let mut bytes = fs::read(&file).expect("there");
    *bytes.last_mut().expect("not empty") ^= 1;
    fs::write(&file, &bytes).expect("written");
    let error = cache.adopt(&listed(&key, ROWS), &file).expect_err("damaged");
    assert!(matches!(error, StorageError::Damaged { .. }), "{error}");
    assert!(!file.exists() && cache.0.is_clear(&key));
    assert_eq!((cache.stats().files, cache.stats().bytes), (0, 0));
    let error = object_error(cache.get(&listed(&key, ROWS)));
    assert!(matches!(error, ObjectError::Missing { .. }), "{error}");
}

#[test]
fn a_file_of_another_file_system_is_copied_and_destroyed() {
    let yard = Yard::new();
    let cache = open(&yard, 1);
    let Ok(elsewhere) = tempfile::TempDir::new_in("/dev/shm") else {
        println!("SKIPPED: there is no file system in memory");
        return;
    };
    let device = |path: &Path| fs::metadata(path).expect("there").dev();
    if device(elsewhere.path()) == device(yard.tmp.path()) {
        println!("SKIPPED: there is one file system");
        return;
    }
    let (key, file) = written(elsewhere.path(), ROWS);
    fs::hard_link(&file, elsewhere.path().join("remnant")).expect("linked");
    // A half that a crash left is in nobody's way.
    let half = cache.0.path(&key).with_extension("seg.tmp");
    fs::create_dir_all(half.parent().expect("a directory")).expect("made");
    fs::write(&half, "half").expect("written");
    cache.adopt(&listed(&key, ROWS), &file).expect("taken in");
    let remnant = fs::read(elsewhere.path().join("remnant")).expect("there");
    assert!(!file.exists() && remnant.iter().all(|byte| *byte == 0));
    assert!(!half.exists());
    let pin = cache.get(&listed(&key, ROWS)).expect("here");
    assert!(pin.rows(&[0]).expect("read")[0].is_some());
}
