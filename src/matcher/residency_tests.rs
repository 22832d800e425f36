//! Tests of residency: rows keep their number whatever becomes of their place.

use super::*;

fn mixed() -> Residency {
    let mut residency = Residency::default();
    residency.add_segment(0, 1, 100);
    residency.add_pending(100, &[501, 502]);
    residency.add_pending(102, &[507]);
    residency
}

#[test]
fn rows_and_places_answer_each_other() {
    let residency = mixed();
    assert_eq!(residency.place(99), Some(Place::Segment { segment: 1, row: 99 }));
    assert_eq!(residency.place(102), Some(Place::Pending { reference: 507 }));
    assert_eq!(residency.place(103), None);
    for row in 0..103 {
        let place = residency.place(row).expect("covered");
        assert_eq!(residency.row(place), Some(row));
    }
    assert_eq!(residency.row(Place::Pending { reference: 503 }), None);
    assert_eq!(residency.row(Place::Segment { segment: 1, row: 100 }), None);
}

#[test]
fn a_gap_is_not_acknowledged_until_it_is_filled() {
    let mut residency = mixed();
    residency.add_pending(203, &[600]);
    assert_eq!(residency.place(150), None);
    residency.add_segment(103, 2, 100);
    assert_eq!(residency.place(150), Some(Place::Segment { segment: 2, row: 47 }));
    assert_eq!(residency.place(203), Some(Place::Pending { reference: 600 }));
}

#[test]
fn small_gaps_between_pending_rows_are_bridged() {
    let mut residency = mixed();
    residency.add_pending(105, &[509]);
    assert_eq!(residency.oldest_pending(10), Some(vec![501, 502, 507, 0, 0, 509]));
    assert_eq!(residency.place(103), None);
    assert_eq!(residency.row(Place::Pending { reference: 509 }), Some(105));
    residency.settle(9, 6);
    assert_eq!(residency.place(105), Some(Place::Segment { segment: 9, row: 5 }));
}

#[test]
fn pending_rows_after_those_of_an_import_are_found_once_it_ends() {
    for ends_well in [true, false] {
        let mut residency = mixed();
        residency.reserve(103);
        residency.add_pending(143, &[600]);
        residency.add_pending(144, &[601]);
        if ends_well {
            residency.add_segment(103, 2, 40);
            assert_eq!(residency.place(142), Some(Place::Segment { segment: 2, row: 39 }));
        } else {
            residency.release(103);
            assert_eq!(residency.place(142), None);
        }
        assert_eq!(residency.place(143), Some(Place::Pending { reference: 600 }));
        assert_eq!(residency.oldest_pending(10), Some(vec![501, 502, 507]));
        residency.settle(3, 3);
        assert_eq!(residency.oldest_pending(10), Some(vec![600, 601]));
        residency.settle(4, 2);
        assert_eq!(residency.place(144), Some(Place::Segment { segment: 4, row: 1 }));
        // Nothing is reserved any more.
        residency.add_pending(145, &[602]);
        residency.add_pending(150, &[603]);
        assert_eq!(residency.oldest_pending(10).map(|rows| rows.len()), Some(6));
    }
}

#[test]
fn settling_keeps_row_numbers() {
    let mut residency = mixed();
    assert_eq!(residency.oldest_pending(2), Some(vec![501, 502]));
    residency.settle(9, 2);
    assert_eq!(residency.place(100), Some(Place::Segment { segment: 9, row: 0 }));
    assert_eq!(residency.place(102), Some(Place::Pending { reference: 507 }));
    assert_eq!(residency.pending_count(), 1);
    residency.settle(10, 1);
    assert_eq!(residency.place(102), Some(Place::Segment { segment: 10, row: 0 }));
    assert_eq!(residency.oldest_pending(10), None);
}

#[test]
fn settling_the_first_of_two_stretches_leaves_the_second() {
    let mut residency = Residency::default();
    residency.add_pending(0, &[1, 2]);
    residency.add_pending(2 + VACANT_RUN_MAX + 1, &[3, 4]);
    residency.settle(1, 2);
    assert_eq!(residency.oldest_pending(10), Some(vec![3, 4]));
    residency.settle(2, 2);
    let last = 2 + VACANT_RUN_MAX + 2;
    assert_eq!(residency.place(last), Some(Place::Segment { segment: 2, row: 1 }));
    assert_eq!(residency.place(3), None);
}

#[test]
fn an_exhaustive_search_sees_every_row_once() {
    let mut residency = mixed();
    residency.add_segment(200, 3, 5);
    assert_eq!(residency.places().count(), 108);
}
