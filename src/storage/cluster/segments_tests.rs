//! Tests of reading and writing segments through a store: what is put comes back, and what is not there is told by name.

use std::fs;

use super::*;
use crate::keys::cells::INCARNATION_LEN;
use crate::storage::objects::error::ObjectError;
use crate::storage::objects::testing::{cache_config, directory};
use crate::storage::place::RowId;
use crate::storage::testing::{DIM, id, key, rows};

fn segment_keys() -> SegmentKeys {
    SegmentKeys {
        home: Home::of(&id("acme"), &[7; INCARNATION_LEN]),
        generation: 3,
        dimension: Dimension::new(DIM).expect("valid"),
        data_key: key(1),
    }
}

struct Yard {
    tmp: tempfile::TempDir,
    segments: Segments,
}

fn yard(cache_bytes: u64) -> Yard {
    let tmp = tempfile::tempdir().expect("a temporary directory");
    let store = directory(&tmp.path().join("store"));
    let objects = Objects::of(store, &cache_config(tmp.path(), cache_bytes)).expect("opened");
    let segments = Segments::open(&objects, tmp.path().join("staging")).expect("opened");
    Yard { tmp, segments }
}

fn ids() -> Vec<RowId> {
    let ids = (1..=20).map(|reference| RowId {
        reference,
        subject: reference + 7,
    });
    ids.map(|id| if id.reference == 5 { RowId::HOLE } else { id })
        .collect()
}

fn files(yard: &Yard) -> usize {
    let entries = fs::read_dir(yard.tmp.path().join("staging")).expect("readable");
    let names = entries.map(|entry| entry.expect("readable").file_name());
    names
        .filter(|name| name.to_str().and_then(ulid_of).is_some())
        .count()
}

#[test]
fn what_is_put_comes_back_whether_it_fits_the_cache_or_not() {
    for cache_bytes in [1 << 20, 0] {
        let (yard, keys, written) = (yard(cache_bytes), segment_keys(), rows(&ids()));
        let object = yard.segments.put(&keys, &written, |_| Ok(())).expect("stored");
        assert_eq!((object.rows, object.holes, files(&yard)), (20, 1, 0));
        let read = yard.segments.exact(&keys, &object, &[19, 4, 0]).expect("read");
        let read: Vec<_> = read.into_iter().map(|row| row.map(|row| row.id)).collect();
        assert_eq!(read, [Some(ids()[19]), None, Some(ids()[0])]);
        let file = yard.segments.fetch(&keys, &object).expect("read");
        assert!(planes(&file).expect("read") == written.planes);
    }
}

#[test]
fn a_segment_that_is_not_there_is_no_empty_one() {
    let (yard, keys) = (yard(0), segment_keys());
    let object = yard
        .segments
        .put(&keys, &rows(&ids()), |_| Ok(()))
        .expect("stored");
    fs::remove_file(
        yard.tmp
            .path()
            .join("store")
            .join(keys.key(object.ulid).to_string()),
    )
    .expect("there");
    let planes = yard.segments.fetch(&keys, &object).map(drop);
    let exact = yard.segments.exact(&keys, &object, &[0]).map(drop);
    for missing in [planes, exact] {
        let missing = missing.expect_err("it is not there");
        assert!(
            matches!(missing, StorageError::Object(ObjectError::Missing { .. })),
            "{missing}"
        );
        assert!(
            missing.to_string().contains(&object.ulid.to_string()),
            "{missing}"
        );
    }
}

#[test]
fn what_a_former_process_was_writing_is_destroyed() {
    let yard = yard(1 << 20);
    let Yard { tmp, segments } = yard;
    let objects = segments.objects.clone();
    drop(segments);
    let staging = tmp.path().join("staging");
    let (name, other) = (format!("{}.seg", ulid::Ulid::generate()), "else");
    for name in [&name[..], other] {
        fs::write(staging.join(name), b"half").expect("writable");
    }
    let segments = Segments::open(&objects, &staging).expect("opened");
    assert!(!staging.join(&name).exists());
    assert!(staging.join(other).exists(), "it is not ours");
    let second = Segments::open(&objects, &staging);
    assert!(matches!(second.map(drop), Err(StorageError::InUse { .. })));
    drop(segments);
}
