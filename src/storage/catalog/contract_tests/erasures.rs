//! Behaviours of erasures: what goes and what stays, who may be erased, when a receipt says purged, and what is done again after a restore.

use super::{Rig, TRACE, written};
use crate::keys::receipt;
use crate::model::erasure::{ErasureReceipt, ErasureState};
use crate::model::link::LinkKind;
use crate::model::policy::Retention;
use crate::model::retention::Due;
use crate::model::timestamp::Timestamp;
use crate::model::usage::UsageKind;
use crate::storage::catalog::seam::NUMBERS_PASSED;
use crate::storage::error::WriteError;
use crate::storage::journal::entry::ErasureEntry;
use crate::storage::place::Place;
use crate::storage::testing::{enroll, enrolled, erase, id, link, signer, spec, usage};
use crate::storage::write::{Committed, EraseAnswer, EraseWrite, PolicyWrite, ReadAhead, SubjectKey, Write};

fn signed(answer: &EraseAnswer) -> ErasureReceipt {
    receipt::verify_of(&answer.receipt, signer().public_key()).expect("signed")
}

pub(super) fn an_erasure_takes_all_of_the_subject_and_nobody_else(rig: &impl Rig) {
    let mut catalog = rig.open();
    for (subject, value) in [("s1", 1), ("s2", 2)] {
        let mut write = enroll(&format!("r{value}"), subject, &[u64::from(value)]);
        write.links = vec![link(LinkKind::BadgeId, value)];
        catalog.one(Write::Enroll(write)).expect("enrolled");
    }
    let used = usage("u1", UsageKind::Identify, Some("s1"));
    catalog.one(Write::Usage(used.into())).expect("recorded");
    let ids = catalog.ids(&[1, 2]);
    let badge = SubjectKey::Link {
        kind: LinkKind::BadgeId,
        lookup: [1; 32],
    };
    let by_link = Write::Erase(EraseWrite {
        request_id: id("e1"),
        request_digest: [0; 32],
        subject: badge.clone(),
        only_if: None,
        ahead: ReadAhead::default(),
    });
    catalog.one(by_link).expect("erased");
    drop(catalog);
    let catalog = rig.open();
    let reader = &catalog.reader;
    assert_eq!(reader.subject(&badge).expect("read"), None);
    assert_eq!(reader.subject_rows(&id("s1")).expect("read"), None);
    assert!(reader.locate(&[1]).expect("read")[0].is_none());
    assert_eq!(reader.candidates(&ids, &[]).expect("read")[0], None);
    let (events, _) = reader.usage(None, None, 10).expect("history");
    let subjects: Vec<_> = events.into_iter().map(|event| event.subject_id).collect();
    assert_eq!(subjects, [Some(id("s2"))]);
    let left = reader.subject(&SubjectKey::Id(id("s2"))).expect("read");
    assert_eq!(left.expect("there").links, [link(LinkKind::BadgeId, 2)]);
    let state = catalog.writer.state();
    assert_eq!((state.subjects, state.references, state.pending), (1, 1, 1));
    assert_eq!(state.erasures_open, 1);
}

pub(super) fn an_erasure_repeated_is_answered_with_its_receipt(rig: &impl Rig) {
    let mut catalog = rig.open();
    catalog.enroll("s1", 1);
    let (first, removed) = catalog.erase("s1");
    assert_eq!(removed, [Place::Pending { reference: 1 }]);
    let receipt = signed(&first);
    assert_eq!((receipt.erasure, receipt.state), (1, ErasureState::Erased));
    assert_eq!(receipt.sealed_row_sha256.len(), 1);
    match catalog.one(erase("erase-s1", "s1")) {
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
    assert_eq!(catalog.reader.erasure(1).expect("read"), Some(first));
    assert_eq!(catalog.reader.erasures_open().expect("read"), [1]);
    for unknown in [0, 2, u64::MAX] {
        assert_eq!(catalog.reader.erasure(unknown).expect("read"), None);
    }
}

pub(super) fn an_enrolment_repeated_after_the_erasure_does_not_bring_the_person_back(rig: &impl Rig) {
    let mut catalog = rig.open();
    let write = |request| Write::Enroll(enroll(request, "s1", &[1]));
    let (answer, _) = enrolled(catalog.one(write("r1")));
    catalog.erase("s1");
    assert_eq!(catalog.one(write("r1")), Err(WriteError::SubjectUnknown));
    assert_eq!(catalog.writer.state().subjects, 0);
    // A new request may enrol the same id; nothing of the old numbers comes back.
    let (again, _) = enrolled(catalog.one(write("r2")));
    assert!(again.references > answer.references);
}

pub(super) fn an_erasure_by_retention_looks_again(rig: &impl Rig) {
    let mut catalog = rig.open();
    for (subject, expires_at) in [("b", 200), ("a", 100), ("c", 300)] {
        let mut write = enroll(subject, subject, &[1]);
        write.consent.expires_at = Timestamp(expires_at);
        catalog.one(Write::Enroll(write)).expect("enrolled");
    }
    let due = Due {
        retention: Retention {
            consent_end: true,
            ..Retention::default()
        },
        as_of: Timestamp(250),
    };
    let found = |limit| catalog.reader.due(&due, limit).expect("looked");
    assert_eq!(found(10), [id("a"), id("b")]);
    assert_eq!(found(1), [id("a")], "who has been due for longest");
    let erase_due = |request: &str, subject: &str| {
        Write::Erase(EraseWrite {
            request_id: id(request),
            request_digest: [0; 32],
            subject: SubjectKey::Id(id(subject)),
            only_if: Some(due),
            ahead: ReadAhead::default(),
        })
    };
    let not_due = Err(WriteError::NotDue);
    assert_eq!(catalog.one(erase_due("e1", "a")), not_due, "another policy holds");
    let mut policy = spec("acme").policy;
    policy.retention = due.retention;
    // By members of the same group as well: the policy makes them due, and a new consent saves one.
    let answers = catalog.commit(vec![
        Write::Policy(PolicyWrite {
            request_id: id("p1"),
            request_digest: [1; 32],
            policy,
        }),
        Write::Enroll(enroll("again", "b", &[2])),
        erase_due("e2", "a"),
        erase_due("e3", "b"),
        erase_due("e4", "c"),
    ]);
    assert!(answers[2].is_ok());
    assert_eq!(answers[3..], [not_due.clone(), not_due]);
    assert!(!catalog.is_known("a") && catalog.is_known("b") && catalog.is_known("c"));
}

pub(super) fn erasures_are_listed_in_pages(rig: &impl Rig) {
    let mut catalog = rig.open();
    for n in 1..=5 {
        let subject = format!("s{}", n % 3);
        catalog.enroll(&subject, n);
        catalog.one(erase(&format!("e{n}"), &subject)).expect("erased");
    }
    let reader = &catalog.reader;
    let page = |after, to, limit| {
        let page = reader.erasures_between(after, to, limit).expect("read");
        let tenant = spec("acme");
        assert!(page.iter().all(|entry| entry.tenant == tenant.id));
        assert!(page.iter().all(|entry| entry.created_at == tenant.created_at));
        let of = |entry: ErasureEntry| (entry.erasure, entry.sequence, entry.subject_id.to_string());
        page.into_iter().map(of).collect::<Vec<_>>()
    };
    let name = |name: &str| name.to_owned();
    assert_eq!(page(0, 5, 2), [(1, 2, name("s1")), (2, 4, name("s2"))]);
    assert_eq!(page(2, 4, 9), [(3, 6, name("s0")), (4, 8, name("s1"))]);
    assert_eq!(page(5, 9, 9), []);
    assert_eq!(reader.erasures_of(&id("s1")).expect("read"), [1, 4]);
    assert_eq!(reader.erasures_of(&id("nobody")).expect("read"), [0; 0]);
}

pub(super) fn an_erasure_is_purged_once_no_segment_holds_a_row_of_it(rig: &impl Rig) {
    let mut catalog = rig.open();
    catalog.import("i1", &["s1", "s2", "s3"]).expect("imported");
    let [(first, _), (second, _)] = ["s1", "s3"].map(|subject| catalog.erase(subject));
    let tombstones = catalog.reader.tombstones().expect("read");
    let at: Vec<_> = tombstones.iter().map(|it| (it.segment, it.row)).collect();
    assert_eq!(at, [(1, 0), (1, 2)]);
    let both = [first.erasure, second.erasure];
    let now = Timestamp::now();
    assert_eq!(catalog.writer.mark_purged(&both, now).expect("marked"), 0);
    // A file without the first one's row, and with that of who was erased since it was begun.
    let file = written(3, 1);
    catalog
        .writer
        .replace(1, &file, &tombstones[..1])
        .expect("replaced");
    assert_eq!(catalog.reader.tombstones().expect("read"), tombstones[1..]);
    assert_eq!(catalog.writer.mark_purged(&both, now).expect("marked"), 1);
    let purged = |erasure: u64| catalog.reader.erasure(erasure).expect("read").expect("there");
    let receipt = signed(&purged(1));
    assert_eq!(
        (receipt.state, receipt.purged_at),
        (ErasureState::Purged, Some(now))
    );
    assert_eq!(receipt.sealed_row_sha256, signed(&first).sealed_row_sha256);
    assert_eq!(purged(2), second);
    assert_eq!(catalog.reader.erasures_open().expect("read"), [2]);
    assert_eq!(catalog.writer.state().erasures_open, 1);
    assert_eq!(
        catalog.writer.mark_purged(&both, now).expect("marked"),
        0,
        "each once"
    );
    drop(catalog);
    let kept = rig.open();
    let segments: Vec<_> = kept.segments.iter().map(|it| (it.ulid, it.holes)).collect();
    assert_eq!(segments, [(file.ulid, 1)]);
    assert_eq!(kept.tombstones, tombstones[1..]);
}

pub(super) fn erasures_done_again_keep_their_numbers_and_times(rig: &impl Rig) {
    for (may_miss, passed, [stays, goes]) in [(false, 0, ["s1", "s2"]), (true, NUMBERS_PASSED, ["s3", "s4"])]
    {
        let mut catalog = rig.open();
        let group = [stays, goes].map(|subject| Write::Enroll(enroll(subject, subject, &[1])));
        let enrolled = catalog.writer.commit(group.into(), Timestamp(10), TRACE);
        enrolled.expect("the engine works");
        let before = catalog.writer.state();
        let entry = |erasure, subject| ErasureEntry {
            tenant: spec("acme").id,
            created_at: spec("acme").created_at,
            erasure,
            sequence: 7,
            subject_id: id(subject),
            erased_at: Timestamp(77),
        };
        let now = Timestamp::now();
        let idle = Due {
            retention: Retention {
                idle_days_max: Some(1),
                ..Retention::default()
            },
            as_of: now,
        };
        assert!(catalog.reader.due(&idle, 9).expect("looked").contains(&id(stays)));
        let last = before.last_erasure;
        let entries = [entry(last + 3, goes), entry(last + 5, "came-later")];
        let erased = catalog.writer.catch_up(&entries, may_miss, now, TRACE);
        assert_eq!(erased.expect("done"), 1);
        let answer = catalog.reader.erasure(last + 3).expect("read").expect("there");
        assert_eq!(answer.subject_id, id(goes));
        assert_eq!(signed(&answer).erased_at, Timestamp(77));
        assert!(!catalog.is_known(goes));
        assert_eq!(catalog.reader.due(&idle, 9).expect("looked"), []);
        let after = catalog.writer.state();
        for (before, after) in [
            (before.sequence, after.sequence),
            (before.last_reference, after.last_reference),
            (before.last_subject, after.last_subject),
            (before.last_usage, after.last_usage),
        ] {
            assert!(after >= before + NUMBERS_PASSED);
        }
        assert_eq!(catalog.erase(stays).0.erasure, last + 6 + passed);
    }
}
