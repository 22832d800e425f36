//! Tests of single blocks out of a store: right rows, no more bytes than they take, and no byte that is not authentic.

use std::fs;
use std::os::unix::fs::FileExt;

use super::*;
use crate::storage::objects::error::ObjectError;
use crate::storage::objects::faults::{Fault, FaultyServer};
use crate::storage::objects::testing::{ROWS, Yard, bucket, listed, object_error, written};
use crate::storage::segment::format::Plane;
use crate::storage::testing::exact;

#[test]
fn rows_come_in_the_order_asked_for_and_a_hole_is_none() {
    let yard = Yard::new();
    let key = yard.stored(ROWS);
    let segment = open(&yard.store, &listed(&key, ROWS)).expect("authentic");
    let found = segment.rows_at(&[199, 0, 4, 0, 130]).expect("read");
    let references: Vec<Option<u64>> = found
        .iter()
        .map(|row| row.as_ref().map(|row| row.id.reference))
        .collect();
    assert_eq!(references, [Some(200), Some(1), None, Some(1), Some(131)]);
    let first = found.first().and_then(Option::as_ref).expect("a row");
    assert_eq!(first.exact.to_vec(), exact(200));
    assert!(segment.rows_at(&[ROWS]).is_err(), "beyond its rows");
}

#[test]
fn a_row_costs_the_header_and_one_block() {
    let tmp = tempfile::TempDir::new().expect("a temporary directory");
    let server = FaultyServer::start();
    let store = ObjectStore::connect(&bucket(&server.endpoint, "palms")).expect("settings");
    let (key, file) = written(tmp.path(), ROWS);
    store.put(&key, &file).expect("stored");
    server.requests();
    let segment = open(&store, &listed(&key, ROWS)).expect("authentic");
    segment.rows_at(&[0, 3, 1]).expect("read");
    let span = listed(&key, ROWS).blocks().span(Plane::Exact, 0);
    assert_eq!(
        server.requests(),
        [
            "GET 0-4096".to_owned(),
            format!("GET {}-{}", span.start, span.end)
        ]
    );
    // What was spoiled on its way is read again, and what always comes so is damaged.
    server.fail(Fault::Wrong, READS - 1);
    segment.rows_at(&[0]).expect("the last one is well");
    assert_eq!(server.requests().len(), READS);
    server.fail(Fault::Wrong, READS);
    let error = object_error(segment.rows_at(&[0]));
    assert!(matches!(&error, ObjectError::Damaged { .. }), "{error}");
    assert!(
        error.to_string().contains("block 0 of the exact plane"),
        "{error}"
    );
    segment.rows_at(&[0]).expect("what is there is well");
}

#[test]
fn no_other_segment_passes_for_this_one() {
    let yard = Yard::new();
    let (one, other) = (yard.stored(ROWS), yard.stored(ROWS));
    fs::copy(yard.object(&other), yard.object(&one)).expect("copied");
    let error = object_error(open(&yard.store, &listed(&one, ROWS)));
    assert!(error.to_string().contains("of another segment"), "{error}");
    let error = object_error(open(&yard.store, &listed(&other, ROWS - 1)));
    assert!(error.to_string().contains("its rows take"), "{error}");
}

#[test]
fn a_block_in_the_place_of_another_is_noticed() {
    let yard = Yard::new();
    let key = yard.stored(ROWS);
    let segment = open(&yard.store, &listed(&key, ROWS)).expect("authentic");
    let bytes = fs::read(yard.object(&key)).expect("there");
    let first = bytes
        .get(listed(&key, ROWS).blocks().span(Plane::Exact, 0))
        .expect("within it");
    let file = fs::OpenOptions::new()
        .write(true)
        .open(yard.object(&key))
        .expect("there");
    let second = listed(&key, ROWS).blocks().span(Plane::Exact, 1);
    file.write_all_at(first, second.start as u64).expect("written");
    segment.rows_at(&[0]).expect("it stands where it was");
    let row = u32::try_from(
        listed(&key, ROWS)
            .blocks()
            .layout()
            .plane(Plane::Exact)
            .block_rows,
    )
    .expect("few");
    let error = object_error(segment.rows_at(&[row]));
    assert!(
        error.to_string().contains("block 1 of the exact plane"),
        "{error}"
    );
}
