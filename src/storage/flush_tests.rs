//! Tests of the flush: what moves, what is a hole, what is refused.

use std::cell::Cell;

use super::*;
use crate::storage::place::Place;
use crate::storage::testing::{House, encode, exact};

#[test]
fn flushed_rows_stay_where_they_are_across_a_crash() {
    let house = House::new();
    let segment = house.flushed(5);
    assert!(house.store.pending().expect("pending").is_empty());
    for house in [&house, &house.crash()] {
        let places: Vec<_> = (0..5).map(|row| Place::Segment { segment, row }).collect();
        let expected: Vec<_> = (1..=5).map(|seed| Some(exact(seed))).collect();
        assert_eq!(house.exact(&places), expected);
        let loaded = house.store.load_segment(segment).expect("authentic");
        let all: Vec<u8> = (1..=5).flat_map(exact).collect();
        assert!(loaded.planes == encode(&all, 5), "the encoder's planes");
        assert!(loaded.dead.is_empty());
        let stats = house.store.stats().expect("figures");
        assert_eq!((stats.pending, stats.segments, stats.sequence), (0, 1, 5));
        assert_eq!(house.store.segments()[0].rows, 5);
    }
}

#[test]
fn a_row_erased_before_the_flush_is_a_hole() {
    let house = House::new();
    for seed in 1..=3 {
        house.enroll(&format!("s{seed}"), seed);
    }
    house.erase("s2");
    let outcome = house.store.flush(&[1, 2, 3], &encode).expect("flushed");
    assert_eq!(outcome.dead, [1]);
    let house = house.reopen();
    let loaded = house.store.load_segment(outcome.segment).expect("authentic");
    assert_eq!(loaded.dead, [1]);
    let places = [0, 1, 2].map(|row| Place::Segment {
        segment: outcome.segment,
        row,
    });
    assert_eq!(house.exact(&places), [Some(exact(1)), None, Some(exact(3))]);
}

#[test]
fn writes_go_on_before_a_segment_counts_and_a_purge_waits_for_it() {
    let house = House::new();
    for seed in 1..=3 {
        house.enroll(&format!("s{seed}"), seed);
    }
    std::thread::scope(|scope| {
        let mut purge = None;
        let flushed = house.store.flush_in_order(&[1, 2, 3], &encode, |claim| {
            house.enroll("s4", 4);
            house.erase("s2");
            purge = Some(scope.spawn(|| house.store.purge()));
            claim()
        });
        assert_eq!(flushed.expect("flushed").dead, [1]);
        let purged = purge.expect("begun").join().expect("it ends");
        assert_eq!(purged.expect("purged"), 1);
    });
    assert_eq!(house.store.pending().expect("read"), [4]);
    for house in [&house, &house.crash()] {
        let segment = house.store.segments()[0].number;
        let places = [0, 1, 2].map(|row| Place::Segment { segment, row });
        assert_eq!(house.exact(&places), [Some(exact(1)), None, Some(exact(3))]);
        let dead = house.store.load_segment(segment).expect("authentic").dead;
        assert_eq!(dead, [1]);
        assert_eq!(house.store.erasures_pending(), 0);
    }
}

#[test]
fn a_segment_that_is_not_made_to_count_leaves_nothing() {
    let house = House::new();
    for seed in 1..=3 {
        house.enroll(&format!("s{seed}"), seed);
    }
    let left = house
        .store
        .flush_in_order(&[1, 2, 3], &encode, |_| Ok::<_, StorageError>(7));
    assert_eq!(left.expect("as the caller says"), 7);
    assert!(house.store.segments().is_empty());
    assert_eq!(house.store.pending().expect("read"), [1, 2, 3]);
    let again = house.store.flush_in_order(&[1, 2, 3], &encode, |claim| {
        claim()?;
        claim()
    });
    assert!(matches!(again, Err(StorageError::Rows(_))), "once");
    assert_eq!(house.store.segments().len(), 1, "the first time counts");
}

#[test]
fn a_row_erased_during_the_flush_is_dead_and_purged_later() {
    let house = House::new();
    for seed in 1..=3 {
        house.enroll(&format!("s{seed}"), seed);
    }
    let erased = Cell::new(false);
    let outcome = house
        .store
        .flush(&[1, 2, 3], &|exact, rows| {
            if !erased.replace(true) {
                house.erase("s2");
            }
            encode(exact, rows)
        })
        .expect("flushed");
    assert_eq!(outcome.dead, [1]);
    let place = Place::Segment {
        segment: outcome.segment,
        row: 1,
    };
    assert_eq!(house.exact(&[place]), [None]);
    let house = house.crash();
    assert_eq!(house.exact(&[place]), [None]);
    let sealed = house.sealed_row(outcome.segment, 1);
    assert_eq!(house.store.purge().expect("purged"), 1);
    assert!(house.files_with(&sealed).is_empty());
    assert_eq!(house.exact(&[place]), [None]);
}

#[test]
fn only_pending_references_are_flushed_and_each_once() {
    let house = House::new();
    house.enroll("s1", 1);
    house.enroll("s2", 2);
    let refused = |references: &[u64]| {
        let error = house.store.flush(references, &encode).expect_err("refused");
        assert!(matches!(error, StorageError::Rows(_)), "{error}");
    };
    refused(&[]);
    refused(&[1, 1]);
    house.store.flush(&[1], &encode).expect("flushed");
    refused(&[1, 2]);
    assert_eq!(house.store.pending().expect("pending"), [2]);
    assert_eq!(house.segment_files().len(), 1, "refused ones leave no file");
}

#[test]
fn an_encoder_that_returns_too_little_is_refused_and_nothing_moves() {
    let house = House::new();
    house.enroll("s1", 1);
    let refused = house.store.flush(&[1], &|_, _| encode(&[], 0));
    assert!(matches!(refused, Err(StorageError::Rows(_))));
    assert!(house.segment_files().is_empty());
    assert_eq!(house.store.pending().expect("pending"), [1]);
}

#[test]
fn a_flush_that_the_catalog_refuses_leaves_no_file_and_no_segment() {
    let house = House::new();
    house.enroll("s1", 1);
    let set_trigger = |sql: &str| house.sql().execute_batch(sql).expect("set");
    set_trigger("CREATE TRIGGER no BEFORE INSERT ON segment BEGIN SELECT RAISE(ABORT, 'no'); END");
    house.flush().expect_err("refused");
    assert!(house.segment_files().is_empty());
    assert!(house.store.segments().is_empty());
    assert_eq!(house.exact(&[Place::Pending { reference: 1 }]), [Some(exact(1))]);
    set_trigger("DROP TRIGGER no");
    house.flush().expect("flushed");
}
