//! Tests of reads: rows by place, candidates, and rows that move or are erased meanwhile.

use super::*;
use crate::model::subject::Hand;
use crate::storage::testing::{House, enroll, exact, id, link};
use crate::storage::write::Write;

#[test]
fn rows_come_in_the_order_asked_for_from_segments_and_catalog() {
    let house = House::new();
    let segment = house.flushed(70);
    house.enroll("late", 500);
    let row = |row| Place::Segment { segment, row };
    let pending = Place::Pending { reference: 71 };
    let asked = [row(69), pending, row(0), row(33), row(0)];
    let found = house.exact(&asked);
    let expected = [70, 500, 1, 34, 1].map(|seed| Some(exact(seed)));
    assert_eq!(found, expected);
    let ids: Vec<_> = house
        .store
        .read(&asked)
        .expect("readable")
        .into_iter()
        .map(|row| row.expect("alive").id.reference)
        .collect();
    assert_eq!(ids, [70, 71, 1, 34, 1]);
}

#[test]
fn a_pending_place_is_answered_after_its_flush() {
    let house = House::new();
    house.enroll("s1", 1);
    house.enroll("s2", 2);
    let place = Place::Pending { reference: 2 };
    assert_eq!(house.exact(&[place]), [Some(exact(2))]);
    let segment = house.flush().expect("flushed").segment;
    assert_eq!(house.exact(&[place]), [Some(exact(2))]);
    assert_eq!(
        house.store.subject_rows(&id("s2")).expect("read"),
        Some(vec![Place::Segment { segment, row: 1 }])
    );
    house.erase("s2");
    assert_eq!(house.exact(&[place]), [None]);
}

#[test]
fn places_that_no_segment_has_are_refused() {
    let house = House::new();
    let segment = house.flushed(3);
    for place in [
        Place::Segment { segment, row: 3 },
        Place::Segment {
            segment: segment + 1,
            row: 0,
        },
    ] {
        let refused = house.store.read(&[place]).err().expect("no such row");
        assert!(matches!(refused, StorageError::PlaceUnknown { .. }), "{refused}");
    }
}

#[test]
fn an_erased_row_is_unread_at_once_and_after_a_crash() {
    let house = House::new();
    let segment = house.flushed(3);
    let (_, removed) = house.erase("s2");
    assert_eq!(removed, [Place::Segment { segment, row: 1 }]);
    let after = house.crash();
    for house in [&house, &after] {
        assert_eq!(house.exact(&removed), [None]);
        let loaded = house.store.load_segment(segment).expect("authentic");
        assert_eq!(loaded.dead, [1]);
        let others = [0, 2].map(|row| Place::Segment { segment, row });
        assert_eq!(house.exact(&others), [Some(exact(1)), Some(exact(3))]);
    }
}

#[test]
fn candidates_carry_the_links_asked_for() {
    let house = House::new();
    let mut write = enroll("r1", "s1", &[1]);
    write.links = vec![link(LinkKind::BadgeId, 1), link(LinkKind::PhoneNumber, 1)];
    house.one(Write::Enroll(write)).expect("enrolled");
    let row = house
        .store
        .read(&[Place::Pending { reference: 1 }])
        .expect("read")
        .remove(0);
    let known = row.expect("alive").id;
    let stale = RowId {
        reference: 1,
        subject: known.subject + 1,
    };
    let found = house
        .store
        .candidates(&[known, stale, RowId::HOLE], &[LinkKind::BadgeId])
        .expect("read");
    assert_eq!(
        found[0],
        Some(CandidateInfo {
            subject_id: id("s1"),
            created_at: house
                .store
                .subject(&SubjectKey::Id(id("s1")))
                .expect("read")
                .expect("there")
                .created_at,
            hand: Hand::Right,
            links: vec![link(LinkKind::BadgeId, 1)],
        })
    );
    assert_eq!(found[1..], [None, None]);
    let without = house.store.candidates(&[known], &[]).expect("read");
    assert!(without[0].as_ref().expect("found").links.is_empty());
}

#[test]
fn a_row_is_never_missed_while_it_moves() {
    let house = House::new();
    for seed in 1..=60 {
        house.enroll(&format!("s{seed}"), seed);
    }
    let places: Vec<_> = (1..=60).map(|reference| Place::Pending { reference }).collect();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    let found = house.exact(&places);
                    for (seed, row) in (1..).zip(found) {
                        // Every third is erased meanwhile.
                        assert!(
                            row == Some(exact(seed)) || (row.is_none() && seed % 3 == 0),
                            "{seed}"
                        );
                    }
                }
            });
        }
        for first in (1..=60).step_by(6) {
            house.erase(&format!("s{}", first + 2));
            let some: Vec<u64> = (first..first + 6).collect();
            house
                .store
                .flush(&some, &crate::storage::testing::encode)
                .expect("flushed");
            house.erase(&format!("s{}", first + 5));
            house.store.purge().expect("purged");
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(house.store.erasures_pending(), 0);
    assert_eq!(house.store.stats().expect("figures").references, 40);
}
