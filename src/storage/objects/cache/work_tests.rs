//! Tests of work that panics: nobody waits for it for ever, and what it left is destroyed or counted.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use futures::stream::BoxStream;
use object_store::path::Path as Location;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore as Driver,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result as Answer,
};

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

/// A driver that is wrong.
#[derive(Debug)]
struct Wrong;

impl std::fmt::Display for Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("wrong")
    }
}

#[async_trait::async_trait]
impl Driver for Wrong {
    async fn put_opts(&self, _: &Location, _: PutPayload, _: PutOptions) -> Answer<PutResult> {
        panic!("as this test wants it")
    }

    async fn put_multipart_opts(
        &self,
        _: &Location,
        _: PutMultipartOptions,
    ) -> Answer<Box<dyn MultipartUpload>> {
        panic!("as this test wants it")
    }

    async fn get_opts(&self, _: &Location, _: GetOptions) -> Answer<GetResult> {
        panic!("as this test wants it")
    }

    fn delete_stream(&self, _: BoxStream<'static, Answer<Location>>) -> BoxStream<'static, Answer<Location>> {
        panic!("as this test wants it")
    }

    fn list(&self, _: Option<&Location>) -> BoxStream<'static, Answer<ObjectMeta>> {
        panic!("as this test wants it")
    }

    async fn list_with_delimiter(&self, _: Option<&Location>) -> Answer<ListResult> {
        panic!("as this test wants it")
    }

    async fn copy_opts(&self, _: &Location, _: &Location, _: CopyOptions) -> Answer<()> {
        panic!("as this test wants it")
    }
}

#[test]
fn a_fetch_that_panics_leaves_no_slot() {
    let mut yard = Yard::new();
    let key = yard.stored(ROWS);
    let shared = Arc::get_mut(&mut yard.store.0).expect("nobody else has it");
    shared.driver = Arc::new(Wrong);
    let cache = Cache::open(&yard.store, yard.path("cache"), 1 << 30, 1).expect("opened");
    for _ in 0..2 {
        let panicked = catch_unwind(AssertUnwindSafe(|| cache.get(&listed(&key, ROWS)).map(drop)));
        assert!(panicked.is_err());
        let stats = cache.stats();
        assert_eq!((stats.files, stats.bytes, stats.fetches), (0, 0, 0));
        assert!(cache.is_gone(&key));
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
