//! Tests of reading from a store: lengths, ranges, listings, and faults told apart by what has to be done about them.

use std::fs;
use std::time::Duration;

use ulid::Ulid;

use super::faults::{Fault, FaultyServer};
use super::testing::{ROWS, Yard, bucket, home, object_error, object_key, written};
use super::*;

/// A store on a server that fails on request, with one segment, its length and what was said to be wrong.
struct Rig {
    _tmp: tempfile::TempDir,
    server: FaultyServer,
    store: ObjectStore,
    key: ObjectKey,
    len: u64,
}

impl Rig {
    fn new() -> Self {
        Self::with(|_| ())
    }

    fn with(change: impl FnOnce(&mut ObjectStoreConfig)) -> Self {
        let tmp = tempfile::TempDir::new().expect("a temporary directory");
        let server = FaultyServer::start();
        let mut config = bucket(&server.endpoint, "palms");
        change(&mut config);
        let store = ObjectStore::connect(&config).expect("settings");
        let (key, file) = written(tmp.path(), ROWS);
        store.put(&key, &file).expect("stored");
        let len = fs::metadata(&file).expect("there").len();
        server.requests();
        Self {
            _tmp: tmp,
            server,
            store,
            key,
            len,
        }
    }

    fn read(&self) -> Result<Vec<u8>, StorageError> {
        self.store.read(&self.key, self.len, 10..20)
    }
}

#[test]
fn a_range_is_read_and_nothing_else() {
    let rig = Rig::new();
    let bytes = rig.read().expect("read");
    assert_eq!(bytes.len(), 10);
    assert_eq!(rig.server.requests(), ["GET 10-20"]);
}

#[test]
fn an_object_is_known_by_length_and_age() {
    let yard = Yard::new();
    let before = Timestamp::now().minus(Duration::from_hours(1));
    let key = yard.stored(ROWS);
    let head = yard.store.head(&key).expect("reached").expect("there");
    assert_eq!(head.len, fs::metadata(yard.object(&key)).expect("there").len());
    assert!(head.modified > before);
    let other = object_key(Ulid::generate());
    assert_eq!(yard.store.head(&other).expect("reached"), None);
}

#[test]
fn a_listing_has_the_tenants_segments_and_nothing_else() {
    let yard = Yard::new();
    let mut keys = vec![yard.stored(10), yard.stored(20)];
    keys.sort();
    // A tenant whose name goes on where this one's ends, and files that are nobody's.
    let other = yard.path("store/tenants/acme.71/3");
    fs::create_dir_all(&other).expect("made");
    fs::copy(
        yard.object(&keys[0]),
        other.join(format!("{}.seg", Ulid::generate())),
    )
    .expect("copied");
    fs::write(yard.object(&keys[0]).with_file_name("notes.txt"), "x").expect("written");
    let listed = yard.store.list(&home()).expect("listed");
    assert_eq!(
        listed.iter().map(|info| info.key.clone()).collect::<Vec<_>>(),
        keys
    );
}

#[test]
fn a_missing_object_is_told_as_missing() {
    let rig = Rig::new();
    rig.server.clear();
    let error = object_error(rig.read());
    assert!(matches!(error, ObjectError::Missing { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.contains(&rig.key.to_string()) && text.contains("s3://palms/some/prefix"),
        "{text}"
    );
}

#[test]
fn a_failure_that_passes_is_not_seen() {
    for fault in [
        Fault::Status(503, "SlowDown"),
        Fault::Status(500, "InternalError"),
        Fault::Cut,
    ] {
        let rig = Rig::new();
        let wanted = rig.read().expect("read");
        rig.server.requests();
        rig.server.fail(fault, 1);
        assert_eq!(rig.read().expect("tried again"), wanted, "{fault:?}");
        assert!(rig.server.requests().len() > 1, "{fault:?}");
    }
}

#[test]
fn a_failure_that_stays_is_told_as_busy_after_bounded_tries() {
    let rig = Rig::new();
    rig.server.fail(Fault::Status(503, "SlowDown"), usize::MAX);
    let error = object_error(rig.read());
    assert!(matches!(&error, ObjectError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("status 503 (SlowDown)"), "{error}");
    assert_eq!(rig.server.requests().len(), 3);
}

#[test]
fn a_server_that_is_not_there_is_told_as_unreachable() {
    let mut config = bucket("http://127.0.0.1:1", "palms");
    config.patience.retries_max = 0;
    let store = ObjectStore::connect(&config).expect("settings");
    let error = object_error(store.head(&object_key(Ulid::generate())));
    assert!(matches!(&error, ObjectError::Unreachable { .. }), "{error}");
}

#[test]
fn a_server_that_does_not_answer_is_not_waited_for() {
    let rig = Rig::with(|config| config.patience.retries_max = 0);
    let mut config = bucket(&rig.server.endpoint, "palms");
    config.patience.retries_max = 0;
    config.patience.one_try = Duration::from_millis(50);
    let store = ObjectStore::connect(&config).expect("settings");
    rig.server.fail(Fault::Silence, usize::MAX);
    let error = object_error(store.head(&rig.key));
    assert!(matches!(&error, ObjectError::Unreachable { .. }), "{error}");
}

#[test]
fn a_connection_that_is_cut_again_and_again_is_told_as_unreachable() {
    let rig = Rig::new();
    rig.server.fail(Fault::Cut, usize::MAX);
    let error = object_error(rig.read());
    assert!(matches!(&error, ObjectError::Unreachable { .. }), "{error}");
}

#[test]
fn a_refusal_is_told_apart_and_holds_no_secret() {
    for (status, code) in [
        (403, "AccessDenied"),
        (401, "Unauthorized"),
        (400, "ExpiredToken"),
        (404, "NoSuchBucket"),
    ] {
        let rig = Rig::new();
        rig.server.fail(Fault::Status(status, code), usize::MAX);
        let error = object_error(rig.read());
        assert!(matches!(&error, ObjectError::Refused { .. }), "{status}: {error}");
        let text = format!("{error} {error:?}");
        assert!(text.contains(code), "{text}");
        assert!(
            !text.contains("known-secret") && !text.contains("known-id"),
            "{text}"
        );
        assert_eq!(rig.server.requests().len(), 1, "not tried again");
    }
}

#[test]
fn an_answer_with_another_range_is_no_answer() {
    let rig = Rig::new();
    rig.server.fail(Fault::Short, usize::MAX);
    let error = object_error(rig.read());
    assert!(matches!(&error, ObjectError::Unreachable { .. }), "{error}");
}

#[test]
fn an_object_that_was_cut_short_is_damage_wherever_it_is_read() {
    let yard = Yard::new();
    let rig = Rig::new();
    let key = yard.stored(ROWS);
    let file = fs::read(yard.object(&key)).expect("there");
    rig.server.change(|object| object.truncate(file.len() / 2));
    fs::write(yard.object(&key), &file[..file.len() / 2]).expect("written");
    let told = format!(
        "it is {} bytes long; its rows take {}",
        file.len() / 2,
        file.len()
    );
    for range in [0..10, rig.len / 2 - 5..rig.len / 2 + 5, rig.len - 10..rig.len] {
        for outcome in [
            rig.store.read(&rig.key, rig.len, range.clone()),
            yard.store.read(&key, rig.len, range.clone()),
        ] {
            let error = object_error(outcome);
            assert!(
                matches!(&error, ObjectError::Damaged { fault, .. } if *fault == told),
                "{error}"
            );
        }
    }
}

#[test]
fn an_object_of_another_length_is_damage() {
    let rig = Rig::new();
    let error = object_error(rig.store.read(&rig.key, rig.len + 1, 10..20));
    let told = format!("it is {} bytes long; its rows take {}", rig.len, rig.len + 1);
    assert!(error.to_string().contains(&told), "{error}");
}

#[test]
fn blocking_calls_work_within_another_runtime() {
    let yard = Yard::new();
    let key = yard.stored(10);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let store = yard.store.clone();
    let found = runtime.block_on(async move {
        let found = store.head(&key);
        // Its runtime ends here, within another one.
        drop((store, yard));
        found
    });
    assert!(found.expect("reached").is_some());
}
