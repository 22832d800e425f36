//! Tests of the cache: one fetch for many, pins against eviction, damage, what a crash leaves, and what was forgotten.

use std::fs;
use std::path::Path;
use std::thread;

use super::*;
use crate::storage::objects::faults::{Fault, FaultyServer};
use crate::storage::objects::testing::{ROWS, Yard, bucket, listed, object_error, written};
use crate::storage::testing::exact;

/// Bytes of a segment of so many rows.
fn len_of(rows: u32) -> u64 {
    let key = crate::storage::objects::testing::object_key(ulid::Ulid::generate());
    listed(&key, rows).blocks().layout().file_len()
}

fn open(yard: &Yard, bytes_max: u64) -> Cache {
    Cache::open(&yard.store, yard.path("cache"), bytes_max, 2).expect("opened")
}

fn cached(yard: &Yard, key: &ObjectKey) -> std::path::PathBuf {
    yard.path("cache").join(key.to_string())
}

/// The coordinates of its first row.
fn first_row(pin: &Pin) -> Vec<u8> {
    let rows = pin.rows(&[0]).expect("readable");
    let row = rows.into_iter().next().flatten().expect("no hole");
    row.exact.to_vec()
}

/// Files in a directory and below, without what a cache has of its own.
fn files_below(dir: &Path) -> usize {
    let entries = fs::read_dir(dir)
        .expect("a directory")
        .map(|entry| entry.expect("readable").path());
    entries
        .map(|path| match path.file_name().and_then(|name| name.to_str()) {
            _ if path.is_dir() => files_below(&path),
            Some("LOCK" | "CACHE") => 0,
            _ => 1,
        })
        .sum()
}

#[test]
fn a_file_is_fetched_once_and_read_from_here() {
    let yard = Yard::new();
    let key = yard.stored(ROWS);
    let cache = open(&yard, 1 << 30);
    let pin = cache.get(&listed(&key, ROWS)).expect("fetched");
    assert_eq!(first_row(&pin), exact(1));
    fs::remove_file(yard.object(&key)).expect("removed");
    drop(pin);
    let pin = cache.get(&listed(&key, ROWS)).expect("here");
    assert_eq!(first_row(&pin), exact(1));
    let stats = cache.stats();
    assert_eq!(
        (stats.files, stats.bytes, stats.pinned, stats.fetches),
        (1, len_of(ROWS), 1, 0)
    );
}

#[test]
fn many_who_ask_share_one_fetch() {
    let tmp = tempfile::TempDir::new().expect("a temporary directory");
    let server = FaultyServer::start();
    let store = ObjectStore::connect(&bucket(&server.endpoint, "palms")).expect("settings");
    let (key, file) = written(tmp.path(), ROWS);
    store.put(&key, &file).expect("stored");
    server.requests();
    let cache = Cache::open(&store, tmp.path().join("cache"), 1 << 30, 8).expect("opened");
    server.fail(Fault::Gate, usize::MAX);
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let pin = cache.get(&listed(&key, ROWS)).expect("fetched");
                assert_eq!(first_row(&pin), exact(1));
            });
        }
        server.await_requests(1);
        server.open_gate();
    });
    assert_eq!(server.requests().len(), 1);
    // Nor is one missed by those who share a failure.
    server.clear();
    let (other, _) = written(tmp.path(), ROWS);
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let error = object_error(cache.get(&listed(&other, ROWS)));
                assert!(matches!(error, ObjectError::Missing { .. }), "{error}");
            });
        }
    });
    assert_eq!((cache.stats().files, cache.stats().bytes), (1, len_of(ROWS)));
}

#[test]
fn no_more_are_fetched_at_once_than_allowed() {
    let tmp = tempfile::TempDir::new().expect("a temporary directory");
    let server = FaultyServer::start();
    let store = ObjectStore::connect(&bucket(&server.endpoint, "palms")).expect("settings");
    let keys: Vec<ObjectKey> = (0..3)
        .map(|_| {
            let (key, file) = written(tmp.path(), 10);
            store.put(&key, &file).expect("stored");
            key
        })
        .collect();
    server.requests();
    let cache = Cache::open(&store, tmp.path().join("cache"), 1 << 30, 2).expect("opened");
    server.fail(Fault::Gate, usize::MAX);
    thread::scope(|scope| {
        let get = |key| {
            let cache = &cache;
            scope.spawn(move || cache.get(&listed(key, 10)).expect("fetched"));
        };
        keys[..2].iter().for_each(get);
        // Both wait for their answers, and nobody for them.
        server.await_requests(2);
        get(&keys[2]);
        // The third one waits for one of the two to have its answer, or has asked for its own.
        let mut is_waiting = false;
        while !is_waiting && server.count() == 2 {
            is_waiting = cache.0.changed.notify_one();
            thread::yield_now();
        }
        let (fetches, requests) = (cache.stats().fetches, server.count());
        server.open_gate();
        assert!(is_waiting);
        assert_eq!((fetches, requests), (2, 2));
    });
    assert_eq!((cache.stats().files, server.count()), (3, 3));
}

#[test]
fn the_least_recently_used_goes_and_what_is_pinned_stays() {
    let yard = Yard::new();
    let keys: Vec<ObjectKey> = (0..4).map(|_| yard.stored(ROWS)).collect();
    let cache = open(&yard, 2 * len_of(ROWS));
    let get = |n: usize| cache.get(&listed(&keys[n], ROWS));
    let here = || -> Vec<usize> { (0..4).filter(|n| cached(&yard, &keys[*n]).exists()).collect() };
    drop(get(0).expect("fetched"));
    drop(get(1).expect("fetched"));
    drop(get(0).expect("here"));
    drop(get(2).expect("fetched"));
    assert_eq!(here(), [0, 2], "1 was used least recently");
    let zero = get(0).expect("here");
    let again = zero.clone();
    drop(zero);
    drop(get(3).expect("fetched"));
    assert_eq!(here(), [0, 3]);
    let three = get(3).expect("here");
    let error = object_error(get(1));
    assert!(
        matches!(error, ObjectError::CacheFull { in_use, .. } if in_use == 2 * len_of(ROWS)),
        "{error}"
    );
    drop(three);
    get(1).expect("there is room");
    assert_eq!(first_row(&again), exact(1));
    assert_eq!(cache.stats().bytes, 2 * len_of(ROWS));
}

#[test]
fn a_file_above_the_limit_is_refused_and_its_rows_are_read_from_the_store() {
    let yard = Yard::new();
    let key = yard.stored(ROWS);
    let cache = open(&yard, len_of(ROWS) - 1);
    let error = object_error(cache.get(&listed(&key, ROWS)));
    assert!(
        error.to_string().contains(&format!(
            "takes {} bytes of the cache, which holds at most {}",
            len_of(ROWS),
            len_of(ROWS) - 1
        )),
        "{error}"
    );
    let source = cache.source(&listed(&key, ROWS)).expect("reached");
    assert!(!source.is_here());
    let rows = source.rows(&[0, 4]).expect("read");
    assert_eq!(rows[0].as_ref().expect("a row").exact.to_vec(), exact(1));
    assert!(rows[1].is_none());
    assert_eq!(cache.stats().files, 0, "nothing is brought for that");
}

#[test]
fn a_source_is_the_file_where_that_is_here() {
    let yard = Yard::new();
    let key = yard.stored(ROWS);
    let cache = open(&yard, 1 << 30);
    drop(cache.get(&listed(&key, ROWS)).expect("fetched"));
    fs::remove_file(yard.object(&key)).expect("removed");
    let source = cache.source(&listed(&key, ROWS)).expect("here");
    assert!(source.is_here());
    assert_eq!(
        source.rows(&[9]).expect("read")[0]
            .as_ref()
            .expect("a row")
            .id
            .reference,
        10
    );
}

#[test]
fn what_is_damaged_in_the_store_is_refused_and_not_kept() {
    let yard = Yard::new();
    let key = yard.stored(ROWS);
    let cache = open(&yard, 1 << 30);
    let whole = fs::read(yard.object(&key)).expect("there");
    // In the header, in a block that nobody will read soon, and in the last byte.
    for at in [70, 5_000, whole.len() - 1] {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(yard.object(&key), &bytes).expect("written");
        let error = object_error(cache.get(&listed(&key, ROWS)));
        assert!(matches!(error, ObjectError::Damaged { .. }), "{at}: {error}");
        assert_eq!((cache.stats().files, cache.stats().bytes), (0, 0));
        assert_eq!(files_below(&yard.path("cache")), 0);
    }
    fs::write(yard.object(&key), &whole).expect("written");
    cache.get(&listed(&key, ROWS)).expect("it is well again");
}

#[test]
fn a_start_takes_up_what_is_whole_and_checks_it_before_its_use() {
    let yard = Yard::new();
    let (one, other) = (yard.stored(ROWS), yard.stored(ROWS));
    let cache = open(&yard, 1 << 30);
    for key in [&one, &other] {
        drop(cache.get(&listed(key, ROWS)).expect("fetched"));
    }
    drop(cache);
    let mut bytes = fs::read(cached(&yard, &one)).expect("here");
    *bytes.last_mut().expect("not empty") ^= 1;
    fs::write(cached(&yard, &one), &bytes).expect("written");
    let cache = open(&yard, 1 << 30);
    assert_eq!(cache.stats().files, 2);
    // The damaged one is brought anew, the other one is not.
    fs::remove_file(yard.object(&other)).expect("removed");
    cache.get(&listed(&one, ROWS)).expect("fetched");
    cache.get(&listed(&other, ROWS)).expect("here");
    assert_eq!(
        fs::read(cached(&yard, &one)).expect("here"),
        fs::read(yard.object(&one)).expect("there")
    );
    // Nobody serves what can't be had again.
    drop(cache);
    fs::write(cached(&yard, &one), &bytes).expect("written");
    fs::remove_file(yard.object(&one)).expect("removed");
    let error = object_error(open(&yard, 1 << 30).get(&listed(&one, ROWS)));
    assert!(matches!(error, ObjectError::Missing { .. }), "{error}");
}

#[test]
fn a_start_destroys_what_is_no_whole_file() {
    let yard = Yard::new();
    let key = yard.stored(ROWS);
    let cache = open(&yard, 1 << 30);
    drop(cache.get(&listed(&key, ROWS)).expect("fetched"));
    drop(cache);
    let file = cached(&yard, &key);
    let whole = fs::read(&file).expect("here");
    let beside = |name: &str| file.with_file_name(name);
    fs::write(
        beside(&format!("{}.seg", ulid::Ulid::generate())),
        &whole[..whole.len() - 1],
    )
    .expect("written");
    fs::write(beside(&format!("{}.seg", ulid::Ulid::generate())), &whole[..10]).expect("written");
    fs::write(beside(&format!("{}.seg.tmp", ulid::Ulid::generate())), &whole).expect("written");
    fs::write(file.with_extension("forgotten"), &whole).expect("written");
    fs::write(yard.path("cache/else"), "x").expect("written");
    std::os::unix::fs::symlink(&file, beside(&format!("{}.seg", ulid::Ulid::generate()))).expect("linked");
    let cache = open(&yard, 1 << 30);
    assert_eq!(cache.keys().as_slice(), std::slice::from_ref(&key));
    assert_eq!(files_below(&yard.path("cache")), 1);
    // A limit that is smaller than before holds from the start.
    drop(cache);
    let cache = open(&yard, len_of(ROWS) - 1);
    assert_eq!((cache.keys().len(), files_below(&yard.path("cache"))), (0, 0));
}

#[test]
fn a_directory_with_other_files_is_no_cache_and_one_has_one_process() {
    let yard = Yard::new();
    fs::create_dir(yard.path("cache")).expect("made");
    fs::write(yard.path("cache/letters"), "x").expect("written");
    let error = object_error(Cache::open(&yard.store, yard.path("cache"), 1, 1));
    assert!(matches!(error, ObjectError::Settings { .. }), "{error}");
    assert!(yard.path("cache/letters").exists());
    fs::remove_file(yard.path("cache/letters")).expect("removed");
    let cache = open(&yard, 1);
    let second = Cache::open(&yard.store, yard.path("cache"), 1, 1);
    assert!(matches!(second, Err(StorageError::InUse { .. })));
    drop(cache);
    open(&yard, 1);
}

#[test]
fn what_is_forgotten_is_served_to_nobody_new_and_goes_with_its_last_reader() {
    let yard = Yard::new();
    let (idle, read) = (yard.stored(ROWS), yard.stored(ROWS));
    let cache = open(&yard, 1 << 30);
    drop(cache.get(&listed(&idle, ROWS)).expect("fetched"));
    let pin = cache.get(&listed(&read, ROWS)).expect("fetched");
    for key in [&idle, &read] {
        cache.forget(key).expect("forgotten");
        cache.forget(key).expect("once more");
        for error in [
            object_error(cache.get(&listed(key, ROWS))),
            object_error(cache.source(&listed(key, ROWS))),
        ] {
            assert!(matches!(error, ObjectError::Forgotten { .. }), "{error}");
        }
        assert!(!cached(&yard, key).exists());
    }
    assert_eq!(first_row(&pin), exact(1), "who has it reads on");
    // What a crash would leave now is no file that a start takes up.
    assert!(cached(&yard, &read).with_extension("forgotten").exists());
    drop(pin);
    assert_eq!(
        (
            cache.stats().files,
            cache.stats().bytes,
            files_below(&yard.path("cache"))
        ),
        (0, 0, 0)
    );
    assert!(matches!(
        object_error(cache.get(&listed(&read, ROWS))),
        ObjectError::Forgotten { .. }
    ));
}

#[test]
fn what_is_forgotten_while_it_comes_is_given_to_nobody() {
    let tmp = tempfile::TempDir::new().expect("a temporary directory");
    let server = FaultyServer::start();
    let store = ObjectStore::connect(&bucket(&server.endpoint, "palms")).expect("settings");
    let (key, file) = written(tmp.path(), ROWS);
    store.put(&key, &file).expect("stored");
    server.requests();
    let cache = Cache::open(&store, tmp.path().join("cache"), 1 << 30, 8).expect("opened");
    server.fail(Fault::Gate, usize::MAX);
    thread::scope(|scope| {
        let fetching = scope.spawn(|| cache.get(&listed(&key, ROWS)).map(drop));
        server.await_requests(1);
        let forgetting = scope.spawn(|| cache.forget(&key));
        // The key is refused from the moment on in which it is to be forgotten.
        while cache.0.state.lock().forgotten.check(&key).is_ok() {
            thread::yield_now();
        }
        server.open_gate();
        forgetting.join().expect("ran").expect("forgotten");
        let error = object_error(fetching.join().expect("ran"));
        assert!(matches!(error, ObjectError::Forgotten { .. }), "{error}");
    });
    assert_eq!(files_below(&tmp.path().join("cache")), 0);
    assert_eq!(cache.stats().bytes, 0);
}

#[test]
fn a_disk_that_takes_nothing_is_named_and_what_is_cached_stays() {
    let yard = Yard::new();
    let (here, wanted) = (yard.stored(ROWS), yard.stored(ROWS));
    let cache = open(&yard, 1 << 30);
    drop(cache.get(&listed(&here, ROWS)).expect("fetched"));
    // A directory in the place of the file that is to be written.
    let obstacle = cached(&yard, &wanted).with_extension("seg.tmp");
    fs::create_dir(&obstacle).expect("made");
    let error = cache.get(&listed(&wanted, ROWS)).map(drop).expect_err("no file");
    assert!(
        error.to_string().contains(&obstacle.display().to_string()),
        "{error}"
    );
    // What can't be destroyed counts.
    assert_eq!((cache.stats().files, cache.stats().bytes), (2, 2 * len_of(ROWS)));
    cache.get(&listed(&here, ROWS)).expect("here");
    fs::remove_dir(&obstacle).expect("removed");
    cache.get(&listed(&wanted, ROWS)).expect("fetched");
}

#[test]
fn all_who_want_more_than_fits_come_to_their_end() {
    let yard = Yard::new();
    let keys: Vec<ObjectKey> = (0..5).map(|_| yard.stored(10)).collect();
    let cache = open(&yard, 2 * len_of(10));
    thread::scope(|scope| {
        for from in 0..6 {
            let (cache, keys) = (&cache, &keys);
            scope.spawn(move || {
                for key in keys.iter().cycle().skip(from).take(20) {
                    let pin = loop {
                        assert!(cache.stats().bytes <= 2 * len_of(10));
                        match cache.get(&listed(key, 10)) {
                            Ok(pin) => break pin,
                            // Others have both places now, and let go of them.
                            Err(StorageError::Object(ObjectError::CacheFull { .. })) => thread::yield_now(),
                            Err(error) => panic!("{error}"),
                        }
                    };
                    assert_eq!(first_row(&pin), exact(1));
                }
            });
        }
    });
    assert_eq!((cache.stats().pinned, cache.stats().fetches), (0, 0));
}
