//! Tests of writes: what a group does, what is refused alone, what a repetition answers, what an erasure takes along.

use super::*;
use crate::keys::receipt;
use crate::model::erasure::ErasureState;
use crate::model::link::LinkKind;
use crate::model::subject::{Hand, REFERENCES_PER_PALM_MAX};
use crate::model::usage::UsageKind;
use crate::storage::testing::{
    House, consent, enroll, erase as erase_write, exact, id, link, reference, usage,
};
use crate::storage::write::{EnrollWrite, SubjectKey};

fn enrolled(answer: Result<Committed, WriteError>) -> (crate::storage::write::EnrollAnswer, bool) {
    match answer {
        Ok(Committed::Enrolled { answer, replayed }) => (answer, replayed),
        other => panic!("enrolled: {other:?}"),
    }
}

#[test]
fn an_enrolment_survives_a_crash_and_is_read_back() {
    let house = House::new();
    let answer = house.enroll("s1", 1);
    assert_eq!(
        (answer.references.as_slice(), answer.sequence),
        ([1].as_slice(), 1)
    );
    let after = house.crash();
    assert_eq!(after.store.pending().expect("pending"), [1]);
    assert_eq!(after.exact(&[Place::Pending { reference: 1 }]), [Some(exact(1))]);
    assert_eq!(after.enroll("s2", 2).references, [2], "numbers go on");
}

#[test]
fn a_member_that_is_not_possible_fails_alone() {
    let house = House::new();
    let answers = house
        .store
        .commit(vec![
            Write::Enroll(enroll("r1", "s1", &[1])),
            erase_write("r2", "nobody"),
            Write::Enroll(EnrollWrite {
                references: Vec::new(),
                ..enroll("r3", "s3", &[3])
            }),
            Write::Usage(usage("r4", UsageKind::Identify, Some("s1"))),
        ])
        .expect("the disk works");
    assert!(answers[0].is_ok());
    assert_eq!(answers[1], Err(WriteError::SubjectUnknown));
    assert!(answers[2].is_ok());
    assert_eq!(answers[3], Ok(Committed::Recorded));
    let stats = house.crash().store.stats().expect("figures");
    assert_eq!((stats.subjects, stats.references, stats.sequence), (2, 1, 2));
}

#[test]
fn a_refused_enrolment_leaves_nothing_behind() {
    let house = House::new();
    let mut write = enroll("r1", "s1", &[1]);
    write.links = vec![link(LinkKind::BadgeId, 1)];
    house.one(Write::Enroll(write)).expect("enrolled");
    let mut taken = enroll("r2", "s2", &[2]);
    taken.links = vec![link(LinkKind::PhoneNumber, 2), link(LinkKind::BadgeId, 1)];
    let refused = house.one(Write::Enroll(taken));
    assert_eq!(refused, Err(WriteError::LinkTaken(LinkKind::BadgeId)));
    assert_eq!(
        house.store.subject(&SubjectKey::Id(id("s2"))).expect("read"),
        None
    );
    assert_eq!(house.store.stats().expect("figures").sequence, 1);
    // The refused one's number was not used, and its phone number is free.
    let mut free = enroll("r3", "s3", &[3]);
    free.links = vec![link(LinkKind::PhoneNumber, 2)];
    assert_eq!(enrolled(house.one(Write::Enroll(free))).0.references, [2]);
}

#[test]
fn rows_of_another_length_are_refused() {
    let house = House::new();
    let mut write = enroll("r1", "s1", &[1]);
    write.references[0].exact.pop();
    let refused = house.one(Write::Enroll(write));
    assert_eq!(
        refused,
        Err(WriteError::RowLength {
            found: 63,
            expected: 64
        })
    );
}

#[test]
fn a_repetition_is_answered_the_same_and_done_once() {
    let house = House::new();
    let first = enrolled(house.one(Write::Enroll(enroll("r1", "s1", &[1, 2]))));
    let house = house.reopen();
    let again = enrolled(house.one(Write::Enroll(enroll("r1", "s1", &[1, 2]))));
    assert_eq!((&first.0, first.1, again.1), (&again.0, false, true));
    assert_eq!(house.store.stats().expect("figures").references, 2);
    let (events, _) = house.store.usage(None, None, 10).expect("history");
    assert_eq!(events.len(), 1, "no event of the repetition");
    // Within one group as well.
    let answers = house
        .store
        .commit(vec![
            Write::Enroll(enroll("r2", "s2", &[3])),
            Write::Enroll(enroll("r2", "s2", &[3])),
        ])
        .expect("the disk works");
    let replayed: Vec<bool> = answers.into_iter().map(|answer| enrolled(answer).1).collect();
    assert_eq!(replayed, [false, true]);
}

#[test]
fn a_request_id_stands_for_one_request() {
    let house = House::new();
    house
        .one(Write::Enroll(enroll("r1", "s1", &[1])))
        .expect("enrolled");
    let mut other = enroll("r1", "s1", &[1]);
    other.request_digest = [0; 32];
    assert_eq!(house.one(Write::Enroll(other)), Err(WriteError::RequestIdReused));
    assert_eq!(
        house.one(erase_write("r1", "s1")),
        Err(WriteError::RequestIdReused)
    );
}

#[test]
fn an_enrolment_repeated_after_the_erasure_does_not_bring_the_person_back() {
    let house = House::new();
    house
        .one(Write::Enroll(enroll("r1", "s1", &[1])))
        .expect("enrolled");
    house.erase("s1");
    let again = house.one(Write::Enroll(enroll("r1", "s1", &[1])));
    assert_eq!(again, Err(WriteError::SubjectUnknown));
    assert_eq!(house.store.stats().expect("figures").subjects, 0);
    // A new request may enrol the same id; nothing of the old numbers comes back.
    let (answer, _) = enrolled(house.one(Write::Enroll(enroll("r2", "s1", &[1]))));
    assert_eq!(answer.references, [2]);
}

#[test]
fn an_erasure_repeated_is_answered_with_its_receipt() {
    let house = House::new();
    house.enroll("s1", 1);
    let (first, removed) = house.erase("s1");
    assert_eq!(removed, [Place::Pending { reference: 1 }]);
    match house.one(erase_write("erase-s1", "s1")) {
        Ok(Committed::Erased {
            erasure,
            receipt,
            removed,
            replayed: true,
            ..
        }) => {
            assert_eq!((erasure, &receipt), (first.erasure, &first.receipt));
            assert!(removed.is_empty());
        }
        other => panic!("replayed: {other:?}"),
    }
    assert_eq!(house.store.erasures_pending(), 1);
}

#[test]
fn a_palm_has_so_many_references_and_no_more() {
    let house = House::new();
    let most: Vec<u64> = (0..REFERENCES_PER_PALM_MAX as u64).collect();
    house
        .one(Write::Enroll(enroll("r1", "s1", &most)))
        .expect("enrolled");
    let full = WriteError::ReferencesFull {
        hand: Hand::Right,
        max: REFERENCES_PER_PALM_MAX,
    };
    assert_eq!(house.one(Write::Enroll(enroll("r2", "s1", &[99]))), Err(full));
    let mut left = enroll("r3", "s1", &[]);
    left.references = vec![reference(100, Hand::Left)];
    house.one(Write::Enroll(left)).expect("the other palm has room");
}

#[test]
fn links_are_one_of_a_kind_and_lead_back() {
    let house = House::new();
    let mut write = enroll("r1", "s1", &[1]);
    write.links = vec![link(LinkKind::BadgeId, 1), link(LinkKind::PhoneNumber, 1)];
    house.one(Write::Enroll(write)).expect("enrolled");
    let mut replaced = enroll("r2", "s1", &[2]);
    replaced.links = vec![link(LinkKind::BadgeId, 2)];
    replaced.consent = consent("v2");
    house.one(Write::Enroll(replaced)).expect("enrolled");
    let by = |kind, value| {
        let lookup = [value; 32];
        house
            .store
            .subject(&SubjectKey::Link { kind, lookup })
            .expect("read")
    };
    assert_eq!(by(LinkKind::BadgeId, 1), None, "replaced");
    let record = by(LinkKind::BadgeId, 2).expect("found");
    assert_eq!(Some(&record), by(LinkKind::PhoneNumber, 1).as_ref());
    assert_eq!(record.consent.policy_version, "v2");
    assert_eq!(record.references.len(), 2);
    assert_eq!(
        record.links,
        [link(LinkKind::PhoneNumber, 1), link(LinkKind::BadgeId, 2)]
    );
}

#[test]
fn an_erasure_takes_all_of_the_subject_and_nobody_else() {
    let house = House::new();
    for (subject, value) in [("s1", 1), ("s2", 2)] {
        let mut write = enroll(&format!("r{value}"), subject, &[u64::from(value)]);
        write.links = vec![link(LinkKind::BadgeId, value)];
        house.one(Write::Enroll(write)).expect("enrolled");
    }
    house
        .one(Write::Usage(usage("u1", UsageKind::Identify, Some("s1"))))
        .expect("recorded");
    let badge = SubjectKey::Link {
        kind: LinkKind::BadgeId,
        lookup: [1; 32],
    };
    let by_link = Write::Erase(crate::storage::write::EraseWrite {
        request_id: id("e1"),
        request_digest: [0; 32],
        subject: badge.clone(),
        only_if: None,
    });
    house.one(by_link).expect("erased");
    let house = house.crash();
    assert_eq!(house.store.subject(&badge).expect("read"), None);
    assert_eq!(house.store.subject_rows(&id("s1")).expect("read"), None);
    assert_eq!(house.exact(&[Place::Pending { reference: 1 }]), [None]);
    let (events, _) = house.store.usage(None, None, 10).expect("history");
    let subjects: Vec<_> = events.into_iter().map(|event| event.subject_id).collect();
    assert_eq!(subjects, [Some(id("s2"))]);
    let left = house.store.subject(&SubjectKey::Id(id("s2"))).expect("read");
    assert_eq!(left.expect("there").links, [link(LinkKind::BadgeId, 2)]);
    let stats = house.store.stats().expect("figures");
    assert_eq!((stats.subjects, stats.references, stats.pending), (1, 1, 1));
}

#[test]
fn an_event_that_comes_after_the_erasure_names_nobody() {
    let house = House::new();
    house.enroll("s1", 1);
    house.erase("s1");
    house
        .one(Write::Usage(usage("u1", UsageKind::Identify, Some("s1"))))
        .expect("recorded");
    let (events, _) = house.store.usage(None, None, 10).expect("history");
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].subject_id, None);
}

#[test]
fn a_receipt_names_the_sealed_bytes_as_they_stood() {
    let house = House::new();
    let segment = house.flushed(3);
    house.enroll("s2", 20);
    let sealed_row = house
        .store
        .0
        .live(segment, 1)
        .expect("there")
        .reader
        .sealed_row(1)
        .to_vec();
    let sealed_pending: Vec<u8> = house
        .store
        .0
        .writer
        .lock()
        .connection()
        .query_row("SELECT sealed FROM pending", [], |row| row.get(0))
        .expect("pending");
    assert!(!house.files_with(&sealed_row).is_empty());
    assert!(!house.files_with(&sealed_pending).is_empty());
    let (answer, removed) = house.erase("s2");
    let places = [
        Place::Segment { segment, row: 1 },
        Place::Pending { reference: 4 },
    ];
    assert_eq!(removed, places);
    let receipt = receipt::verify(&answer.receipt).expect("signed");
    assert_eq!(receipt.state, ErasureState::Erased);
    assert_eq!((receipt.erasure, receipt.purged_at), (1, None));
    assert_eq!(receipt.sealed_row_sha256.len(), 2);
    for (text, bytes) in receipt.sealed_row_sha256.iter().zip([sealed_row, sealed_pending]) {
        let digest: Vec<u8> = (0..64)
            .step_by(2)
            .map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal"))
            .collect();
        assert_eq!(digest, erase::sha256(&bytes));
    }
}

#[test]
fn a_full_disk_refuses_the_group_and_the_store_goes_on() {
    let house = House::new();
    house.enroll("s1", 1);
    let limit_pages = |pages: u32| {
        let writer = house.store.0.writer.lock();
        writer
            .connection()
            .pragma_query_value(None, "page_count", |row| row.get::<_, u32>(0))
            .and_then(|count| {
                let max = count.saturating_add(pages);
                writer
                    .connection()
                    .execute_batch(&format!("PRAGMA max_page_count = {max}"))
            })
            .expect("limited");
    };
    limit_pages(2);
    let many = |request: &str| {
        (0..200)
            .map(|n| Write::Enroll(enroll(&format!("{request}-{n}"), &format!("{request}-{n}"), &[n])))
            .collect::<Vec<_>>()
    };
    let full = house.store.commit(many("a")).expect_err("full");
    assert!(matches!(full, StorageError::Full(_)), "{full}");
    assert_eq!(house.store.stats().expect("figures").subjects, 1);
    limit_pages(1_000_000);
    let answers = house.store.commit(many("b")).expect("room again");
    assert!(answers.iter().all(Result::is_ok));
    let stats = house.crash().store.stats().expect("figures");
    assert_eq!((stats.subjects, stats.sequence), (201, 201));
}

#[test]
fn an_empty_group_is_nothing() {
    let house = House::new();
    assert_eq!(house.store.commit(Vec::new()).expect("nothing"), []);
}
