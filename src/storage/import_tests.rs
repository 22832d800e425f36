//! Tests of imports: all or nothing, across segments, beside other writes.

use super::*;
use crate::storage::place::Place;
use crate::storage::testing::{House, enroll, exact, id, import, rows, subjects};
use crate::storage::write::Write;

/// Reserves and pushes subjects `iFROM` to `iTO`, in chunks.
fn feed(importer: &mut Importer, range: std::ops::Range<u64>, chunk: usize) {
    for some in subjects(range).chunks(chunk) {
        let ids = importer.reserve(some).expect("new");
        importer.push(rows(&ids)).expect("taken");
    }
}

#[test]
fn imported_rows_are_there_after_a_crash() {
    let house = House::new();
    let mut importer = house.importer("r1", 100);
    feed(&mut importer, 0..100, 33);
    let (answer, segments) = importer.commit().expect("committed");
    assert_eq!((answer.rows, answer.sequence, segments.len()), (100, 1, 1));
    for house in [&house, &house.crash()] {
        let places: Vec<_> = (0..100)
            .map(|row| Place::Segment {
                segment: segments[0],
                row,
            })
            .collect();
        let expected: Vec<_> = (1..=100).map(|reference| Some(exact(reference))).collect();
        assert_eq!(house.exact(&places), expected);
        assert_eq!(
            house.store.subject_rows(&id("i41")).expect("read"),
            Some(vec![places[41]])
        );
        let stats = house.store.stats().expect("figures");
        assert_eq!((stats.subjects, stats.references, stats.pending), (100, 100, 0));
    }
}

#[test]
fn a_dropped_import_leaves_nothing() {
    let house = House::new();
    let mut importer = house.importer("r1", 100);
    feed(&mut importer, 0..60, 30);
    assert_eq!(house.segment_files().len(), 1);
    drop(importer);
    assert!(house.segment_files().is_empty());
    assert!(house.store.0.importing.lock().is_empty());
    assert_eq!(house.store.stats().expect("figures").subjects, 0);
    assert_eq!(house.store.subject_rows(&id("i1")).expect("read"), None);
    // Its numbers are not given out again while the store is open.
    assert_eq!(house.enroll("s1", 1).references, [61]);
}

#[test]
fn a_crash_during_an_import_leaves_nothing() {
    let house = House::new();
    let mut importer = house.importer("r1", 100);
    feed(&mut importer, 0..60, 30);
    let crashed = house.crash();
    assert!(crashed.segment_files().is_empty());
    assert_eq!(crashed.store.stats().expect("figures").segments, 0);
}

#[test]
fn an_import_must_bring_what_it_announced() {
    let house = House::new();
    let mut importer = house.importer("r1", 10);
    feed(&mut importer, 0..9, 9);
    let short = importer.commit().expect_err("one is missing");
    assert_eq!(short.to_string(), "9 rows came; 10 were announced");
    assert!(house.segment_files().is_empty());
    let mut importer = house.importer("r1", 10);
    feed(&mut importer, 0..10, 10);
    let long = importer.reserve(&subjects(10..11)).expect_err("one too many");
    assert_eq!(long.to_string(), "11 rows came; 10 were announced");
}

#[test]
fn subjects_that_exist_are_named() {
    let house = House::new();
    house.enroll("i7", 1);
    let named = |error: StorageError| match error {
        StorageError::Write(WriteError::SubjectExists { subject_id }) => subject_id.to_string(),
        other => panic!("{other}"),
    };
    let mut importer = house.importer("r1", 100);
    assert_eq!(named(importer.reserve(&subjects(0..10)).expect_err("i7")), "i7");
    let mut importer = house.importer("r1", 100);
    importer.reserve(&subjects(20..30)).expect("new");
    assert_eq!(
        named(importer.reserve(&subjects(29..31)).expect_err("twice")),
        "i29"
    );
    let mut importer = house.importer("r1", 100);
    let twice = [subjects(40..42), subjects(41..42)].concat();
    assert_eq!(named(importer.reserve(&twice).expect_err("twice")), "i41");
    // Enrolled after the reservation: found by the commit.
    let mut importer = house.importer("r1", 3);
    feed(&mut importer, 50..53, 3);
    house.enroll("i51", 2);
    assert_eq!(named(importer.commit().expect_err("meanwhile")), "i51");
    assert_eq!(house.store.stats().expect("figures").subjects, 2);
    assert!(house.segment_files().is_empty() && house.store.segments().is_empty());
}

#[test]
fn who_is_erased_while_an_import_is_under_way_is_not_brought_back_by_it() {
    let house = House::new();
    house.enroll("i2", 1);
    house.erase("i2");
    let mut importer = house.importer("r1", 4);
    feed(&mut importer, 0..4, 4);
    house.enroll("i1", 2);
    house.erase("i1");
    let refused = importer.commit().expect_err("erased meanwhile").to_string();
    assert_eq!(
        refused,
        "subject i1 was erased since the import began; begin it anew"
    );
    assert!(house.segment_files().is_empty());
    let mut anew = house.importer("r1", 4);
    feed(&mut anew, 0..4, 4);
    anew.commit().expect("whoever imports them now asks for it");
}

#[test]
fn a_repeated_import_is_answered_the_same() {
    let house = House::new();
    let mut first = house.importer("r1", 5);
    let mut second = house.importer("r1", 5);
    feed(&mut first, 0..5, 5);
    feed(&mut second, 0..5, 5);
    let (answer, _) = first.commit().expect("committed");
    // The same request ran twice at once.
    assert_eq!(second.commit().expect("replayed"), (answer, Vec::new()));
    assert_eq!(house.segment_files().len(), 1);
    match house.reopen().store.import(import("r1", 5)).expect("asked") {
        ImportStart::Replayed(again) => assert_eq!(again, answer),
        ImportStart::New(_) => panic!("answered before"),
    }
}

#[test]
fn an_import_may_not_take_another_requests_id() {
    let house = House::new();
    house
        .one(Write::Enroll(enroll("r1", "s1", &[1])))
        .expect("enrolled");
    let refused = house.store.import(import("r1", 5)).err().expect("reused");
    assert!(
        matches!(refused, StorageError::Write(WriteError::RequestIdReused)),
        "{refused}"
    );
}

#[test]
fn limits_are_named() {
    let house = House::new();
    let refused = house
        .store
        .import(import("r1", IMPORT_ROWS_MAX + 1))
        .err()
        .expect("too many");
    assert_eq!(
        refused.to_string(),
        "at most 16777216 rows of an import are taken; 16777217 came"
    );
}

#[test]
fn rows_come_in_the_order_of_their_reservation() {
    let house = House::new();
    let mut importer = house.importer("r1", 5);
    let mut ids = importer.reserve(&subjects(0..5)).expect("new");
    ids.swap(0, 1);
    let refused = importer.push(rows(&ids)).expect_err("out of order");
    assert!(matches!(refused, StorageError::Rows(_)), "{refused}");
}

#[test]
fn an_import_fills_segments_and_enrolments_go_on_beside_it() {
    let house = House::new();
    let count = u64::from(SEGMENT_ROWS_MAX) + 10;
    let mut importer = house.importer("r1", count);
    feed(&mut importer, 0..40_000, 8_192);
    assert_eq!(house.enroll("beside", 7).references, [40_001]);
    house.erase("beside");
    assert_eq!(
        house.store.purge().expect("purged"),
        1,
        "leaves the import's files alone"
    );
    feed(&mut importer, 40_000..count, 8_192);
    let (answer, segments) = importer.commit().expect("committed");
    assert_eq!((answer.rows, segments.len()), (count, 2));
    let rows: Vec<u32> = house
        .store
        .segments()
        .iter()
        .map(|segment| segment.rows)
        .collect();
    assert_eq!(rows, [SEGMENT_ROWS_MAX, 10]);
    let place = Place::Segment {
        segment: segments[1],
        row: 9,
    };
    assert_eq!(house.exact(&[place]), [Some(exact(count + 1))]);
    let last = id(&format!("i{}", count - 1));
    assert_eq!(house.store.subject_rows(&last).expect("read"), Some(vec![place]));
    assert!(
        house
            .store
            .load_segment(segments[0])
            .expect("authentic")
            .dead
            .is_empty()
    );
}

#[test]
fn an_import_of_nothing_is_answered() {
    let house = House::new();
    let (answer, segments) = house.importer("r1", 0).commit().expect("committed");
    assert_eq!((answer.rows, segments.len()), (0, 0));
}

#[test]
fn rows_of_one_statement_and_lone_ones_are_where_they_belong() {
    let house = House::new();
    let mut importer = house.importer("r1", 1_000);
    feed(&mut importer, 100..612, 256);
    // Takes a number; and the ids from i1000 on are not in the order of text.
    assert_eq!(house.enroll("other", 7).references, [513]);
    feed(&mut importer, 612..1_100, 100);
    let (_, segments) = importer.commit().expect("committed");
    let places: Vec<_> = (0..1_000)
        .map(|row| Place::Segment {
            segment: segments[0],
            row,
        })
        .collect();
    let numbers = (1..=512).chain(514..=1_001);
    let expected: Vec<_> = numbers.map(|reference| Some(exact(reference))).collect();
    for house in [&house, &house.crash()] {
        assert_eq!(house.exact(&places), expected);
        for (id, place) in subjects(100..1_100).iter().zip(&places) {
            let found = house.store.subject_rows(id).expect("read");
            assert_eq!(found, Some(vec![*place]), "{id}");
        }
    }
}

#[test]
fn who_is_enrolled_meanwhile_is_named_among_many() {
    let house = House::new();
    let mut importer = house.importer("r1", 300);
    feed(&mut importer, 200..500, 300);
    house.enroll("i333", 1);
    let refused = importer.commit().expect_err("meanwhile");
    assert!(refused.to_string().contains("i333"), "{refused}");
    assert_eq!(house.store.stats().expect("figures").subjects, 1);
}
