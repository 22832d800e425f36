//! Tests of files that change their standing while somebody reads them: forgotten ones that can't be destroyed, and damaged ones.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::*;
use crate::storage::objects::error::ObjectError;
use crate::storage::objects::testing::{ROWS, Yard, listed, object_error};

fn open(yard: &Yard) -> Cache {
    Cache::open(&yard.store, yard.path("cache"), 1 << 30, 2).expect("opened")
}

fn get(cache: &Cache, key: &ObjectKey) -> Pin {
    cache.get(&listed(key, ROWS)).expect("given")
}

/// Puts a directory with the file in it into the file's place, or the file back, by which it can't be destroyed meanwhile.
fn hide(file: &Path, is_hidden: bool) {
    let aside = file.with_extension("aside");
    if is_hidden {
        fs::rename(file, &aside).expect("moved");
        fs::create_dir(file).expect("made");
        fs::rename(&aside, file.join("file")).expect("moved");
    } else {
        fs::rename(file.join("file"), &aside).expect("moved");
        fs::remove_dir(file).expect("removed");
        fs::rename(&aside, file).expect("moved");
    }
}

#[test]
fn what_can_t_be_destroyed_with_its_last_pin_counts_and_is_tried_again() {
    let yard = Yard::new();
    let key = yard.stored(ROWS);
    let cache = open(&yard);
    let pin = get(&cache, &key);
    assert!(!cache.is_gone(&key));
    cache.forget(&key).expect("forgotten");
    assert!(!cache.is_gone(&key), "somebody reads it");
    let doomed = cache.0.path(&key).with_extension("forgotten");
    hide(&doomed, true);
    drop(pin);
    let stats = cache.stats();
    assert_eq!((stats.files, stats.pinned), (1, 0));
    assert!(stats.bytes > 0 && !cache.is_gone(&key));
    let error = cache.forget(&key).expect_err("it can't be destroyed");
    assert!(error.to_string().contains("forgotten"), "{error}");
    assert!(!cache.is_gone(&key));
    let error = object_error(cache.get(&listed(&key, ROWS)));
    assert!(matches!(error, ObjectError::Forgotten { .. }), "{error}");
    hide(&doomed, false);
    cache.forget(&key).expect("destroyed");
    assert!(cache.is_gone(&key) && !doomed.exists());
    assert_eq!((cache.stats().files, cache.stats().bytes), (0, 0));
}

#[test]
fn what_nobody_reads_and_can_t_be_destroyed_is_told_and_goes_where_room_is_needed() {
    let yard = Yard::new();
    let (key, other) = (yard.stored(ROWS), yard.stored(ROWS));
    let len = listed(&key, ROWS).blocks().layout().file_len();
    let cache = Cache::open(&yard.store, yard.path("cache"), len, 2).expect("opened");
    drop(get(&cache, &key));
    hide(&cache.0.path(&key), true);
    cache.forget(&key).expect_err("it can't be destroyed");
    // It has the name that no start takes up.
    assert!(!cache.0.path(&key).exists() && !cache.is_gone(&key));
    cache
        .get(&listed(&other, ROWS))
        .map(drop)
        .expect_err("there is no room");
    hide(&cache.0.path(&key).with_extension("forgotten"), false);
    drop(get(&cache, &other));
    assert!(cache.is_gone(&key));
}

/// Changes the last byte of a file as a failing disk does, and the row that is read from there.
fn spoil(file: &Path) -> [u32; 1] {
    let last = fs::read(file).expect("there").last().expect("not empty") ^ 1;
    let len = fs::metadata(file).expect("there").len();
    // In its place: somebody may have a map of it.
    let file = fs::OpenOptions::new().write(true).open(file).expect("there");
    file.write_all_at(&[last], len - 1).expect("written");
    [ROWS - 1]
}

#[test]
fn a_file_that_is_damaged_while_it_is_here_is_fetched_again() {
    let yard = Yard::new();
    let key = yard.stored(ROWS);
    let cache = open(&yard);
    let pin = get(&cache, &key);
    let row = spoil(&cache.0.path(&key));
    let error = pin.rows(&row).map(drop).expect_err("damaged");
    assert!(matches!(error, StorageError::Damaged { .. }), "{error}");
    // Whoever needs some of its rows has them from the store, and whoever wants all of it from here meanwhile shares the file.
    let source = cache.source(&listed(&key, ROWS)).expect("reached");
    assert!(source.rows(&row).expect("read")[0].is_some());
    let shared = get(&cache, &key);
    drop(pin);
    assert!(shared.rows(&row).is_err());
    drop(shared);
    assert!(get(&cache, &key).rows(&row).expect("read")[0].is_some());
    assert_eq!(cache.stats().files, 1);
}

#[test]
fn what_is_distrusted_without_cause_is_checked_and_not_fetched() {
    let yard = Yard::new();
    let (well, spoilt) = (yard.stored(ROWS), yard.stored(ROWS));
    let cache = open(&yard);
    for key in [&well, &spoilt] {
        drop(get(&cache, key));
        fs::remove_file(yard.object(key)).expect("removed");
    }
    spoil(&cache.0.path(&spoilt));
    cache.distrust(&spoilt);
    cache.distrust(&well);
    let row = [ROWS - 1];
    assert!(get(&cache, &well).rows(&row).is_ok());
    // There is none to be fetched.
    let error = object_error(cache.get(&listed(&spoilt, ROWS)));
    assert!(matches!(error, ObjectError::Missing { .. }), "{error}");
}
