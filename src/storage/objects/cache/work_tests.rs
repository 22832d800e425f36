//! Tests of work that panics: nobody waits for it for ever, and what it left is destroyed or counted.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use super::*;
use crate::storage::objects::cache::Cache;
use crate::storage::objects::testing::{ROWS, Yard, listed, object_error};

/// Lets work on a key panic after it did something and somebody else waits for it; gives what that one is told.
fn broken(cache: &Cache, key: &ObjectKey, is_fetch: bool, job: impl FnOnce()) -> ObjectError {
    let listed = listed(key, ROWS);
    let len = listed.blocks().layout().file_len();
    let mut state = cache.0.state.lock();
    let work = state.begin(key, len, is_fetch);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| cache.get(&listed).map(drop));
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            cache.0.apart(&mut state, key, &work, || {
                while !cache.0.changed.notify_one() {
                    thread::yield_now();
                }
                job();
                panic!("as this test wants it");
            })
        }));
        drop(state);
        assert!(panicked.is_err());
        object_error(waiting.join().expect("ran"))
    })
}

#[test]
fn who_waits_for_work_that_panics_is_told_and_the_next_begins_anew() {
    let yard = Yard::new();
    let key = yard.stored(ROWS);
    let cache = Cache::open(&yard.store, yard.path("cache"), 1 << 30, 1).expect("opened");
    let path = cache.0.path(&key);
    for is_fetch in [true, false] {
        let error = broken(&cache, &key, is_fetch, || {
            fs::create_dir_all(path.parent().expect("a directory")).expect("made");
            fs::write(durable::beginning(&path), "half").expect("written");
            fs::write(&path, "another half").expect("written");
        });
        assert!(matches!(error, ObjectError::BrokenOff { .. }), "{error}");
        let stats = cache.stats();
        assert_eq!((stats.files, stats.bytes, stats.fetches), (0, 0, 0));
        assert!(cache.0.is_clear(&key));
        drop(cache.get(&listed(&key, ROWS)).expect("fetched"));
    }
}

#[test]
fn what_work_that_panicked_left_counts_until_it_can_be_destroyed() {
    let yard = Yard::new();
    let key = yard.stored(ROWS);
    let cache = Cache::open(&yard.store, yard.path("cache"), 1 << 30, 1).expect("opened");
    let obstacle = durable::beginning(&cache.0.path(&key));
    broken(&cache, &key, true, || {
        fs::create_dir_all(&obstacle).expect("made");
    });
    let stats = cache.stats();
    assert_eq!((stats.files, stats.pinned, stats.fetches), (1, 0, 0));
    assert!(stats.bytes > 0);
    fs::remove_dir(&obstacle).expect("removed");
    drop(cache.get(&listed(&key, ROWS)).expect("fetched"));
    assert_eq!(cache.stats().bytes, stats.bytes);
}
