//! Behaviours of groups of writes: what is done, what is refused alone, what a repetition answers, which numbers are given out.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::{OpenCatalog, Rig, TRACE};
use crate::model::link::LinkKind;
use crate::model::policy::ThresholdRule;
use crate::model::subject::{Hand, REFERENCES_PER_PALM_MAX};
use crate::model::timestamp::Timestamp;
use crate::model::usage::UsageKind;
use crate::storage::catalog::state::State;
use crate::storage::error::{StorageError, WriteError};
use crate::storage::testing::{consent, enroll, enrolled, erase, id, link, reference, spec, usage};
use crate::storage::write::{Committed, EnrollWrite, PolicyWrite, SubjectKey, Write};

pub(super) fn a_member_that_is_not_possible_fails_alone(rig: &impl Rig) {
    let mut catalog = rig.open();
    let answers = catalog.commit(vec![
        Write::Enroll(enroll("r1", "s1", &[1])),
        erase("r2", "nobody"),
        Write::Enroll(EnrollWrite {
            references: Vec::new(),
            ..enroll("r3", "s3", &[3])
        }),
        Write::Usage(usage("r4", UsageKind::Identify, Some("s1")).into()),
    ]);
    assert!(answers[0].is_ok());
    assert_eq!(answers[1], Err(WriteError::SubjectUnknown));
    assert!(answers[2].is_ok());
    assert_eq!(answers[3], Ok(Committed::Recorded));
    drop(catalog);
    let state = rig.open().writer.state();
    assert_eq!((state.subjects, state.references, state.sequence), (2, 1, 2));
}

pub(super) fn a_refused_enrolment_leaves_nothing_behind(rig: &impl Rig) {
    let mut catalog = rig.open();
    let mut write = enroll("r1", "s1", &[1]);
    write.links = vec![link(LinkKind::BadgeId, 1)];
    catalog.one(Write::Enroll(write)).expect("enrolled");
    let before = catalog.writer.state();
    let mut taken = enroll("r2", "s2", &[2]);
    taken.links = vec![link(LinkKind::PhoneNumber, 2), link(LinkKind::BadgeId, 1)];
    let refused = catalog.one(Write::Enroll(taken));
    assert_eq!(refused, Err(WriteError::LinkTaken(LinkKind::BadgeId)));
    assert!(!catalog.is_known("s2"));
    let after = catalog.writer.state();
    assert_eq!(
        (after.subjects, after.references, after.pending, after.sequence),
        (
            before.subjects,
            before.references,
            before.pending,
            before.sequence
        )
    );
    // Its phone number is free.
    let mut free = enroll("r3", "s3", &[3]);
    free.links = vec![link(LinkKind::PhoneNumber, 2)];
    catalog.one(Write::Enroll(free)).expect("enrolled");
}

pub(super) fn rows_of_another_length_are_refused(rig: &impl Rig) {
    let mut write = enroll("r1", "s1", &[1]);
    write.references[0].exact.pop();
    let (found, expected) = (63, 64);
    let refused = WriteError::RowLength { found, expected };
    assert_eq!(rig.open().one(Write::Enroll(write)), Err(refused));
}

pub(super) fn a_repetition_is_answered_the_same_and_done_once(rig: &impl Rig) {
    let write = || Write::Enroll(enroll("r1", "s1", &[1, 2]));
    let first = enrolled(rig.open().one(write()));
    let mut catalog = rig.open();
    let again = enrolled(catalog.one(write()));
    assert_eq!((&first.0, first.1, again.1), (&again.0, false, true));
    assert_eq!(catalog.writer.state().references, 2);
    let (events, _) = catalog.reader.usage(None, None, 10).expect("history");
    assert_eq!(events.len(), 1, "no event of the repetition");
    // Within one group as well.
    let write = || Write::Enroll(enroll("r2", "s2", &[3]));
    let answers = catalog.commit(vec![write(), write()]);
    let replayed: Vec<bool> = answers.into_iter().map(|answer| enrolled(answer).1).collect();
    assert_eq!(replayed, [false, true]);
}

pub(super) fn a_request_id_stands_for_one_request(rig: &impl Rig) {
    let mut catalog = rig.open();
    let write = || enroll("r1", "s1", &[1]);
    catalog.one(Write::Enroll(write())).expect("enrolled");
    let other = EnrollWrite {
        request_digest: [0; 32],
        ..write()
    };
    let reused = Err(WriteError::RequestIdReused);
    assert_eq!(catalog.one(Write::Enroll(other)), reused);
    assert_eq!(catalog.one(erase("r1", "s1")), reused);
}

pub(super) fn a_palm_has_so_many_references_and_no_more(rig: &impl Rig) {
    let mut catalog = rig.open();
    let most: Vec<u64> = (1..REFERENCES_PER_PALM_MAX as u64).collect();
    let full = WriteError::ReferencesFull {
        hand: Hand::Right,
        max: REFERENCES_PER_PALM_MAX,
    };
    // What a member adds counts for the next one of its group.
    let mut answers = catalog.commit(vec![
        Write::Enroll(enroll("r1", "s1", &most)),
        Write::Enroll(enroll("r2", "s1", &[98])),
        Write::Enroll(enroll("r3", "s1", &[99])),
    ]);
    assert_eq!(answers.remove(2), Err(full.clone()));
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(catalog.one(Write::Enroll(enroll("r4", "s1", &[99]))), Err(full));
    let mut left = enroll("r5", "s1", &[]);
    left.references = vec![reference(100, Hand::Left)];
    catalog.one(Write::Enroll(left)).expect("the other palm has room");
}

pub(super) fn links_are_one_of_a_kind_and_lead_back(rig: &impl Rig) {
    let mut catalog = rig.open();
    let mut write = enroll("r1", "s1", &[1]);
    write.links = vec![link(LinkKind::BadgeId, 1), link(LinkKind::PhoneNumber, 1)];
    let mut replaced = enroll("r2", "s1", &[2]);
    replaced.links = vec![link(LinkKind::BadgeId, 2)];
    replaced.consent = consent("v2");
    let mut taken_over = enroll("r3", "s2", &[3]);
    taken_over.links = vec![link(LinkKind::BadgeId, 1)];
    // In one group: what a member lets go of is free for the next one.
    let group = [write, replaced, taken_over].map(Write::Enroll);
    let answers = catalog.commit(group.into());
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    let by = |kind, value| {
        let lookup = [value; 32];
        let found = catalog.reader.subject(&SubjectKey::Link { kind, lookup });
        found.expect("read").expect("found")
    };
    assert_eq!(by(LinkKind::BadgeId, 1).subject_id, id("s2"));
    let record = by(LinkKind::BadgeId, 2);
    assert_eq!(record, by(LinkKind::PhoneNumber, 1));
    assert_eq!(record.consent.policy_version, "v2");
    assert_eq!(record.references.len(), 2);
    assert_eq!(
        record.links,
        [link(LinkKind::PhoneNumber, 1), link(LinkKind::BadgeId, 2)]
    );
}

pub(super) fn numbers_never_come_twice(rig: &impl Rig) {
    fn next(catalog: &mut OpenCatalog, subject: &str) -> (u64, u64) {
        let references = catalog.enroll(subject, 1).references;
        let owner = catalog.ids(&references)[0].subject;
        (references[0], owner)
    }
    let mut catalog = rig.open();
    let first = next(&mut catalog, "s1");
    let reserved = catalog.writer.reserve(3).expect("reserved");
    assert!(reserved.0 >= first.0 && reserved.1 >= first.1);
    let second = next(&mut catalog, "s2");
    assert!(second.0 > reserved.0 + 3 && second.1 > reserved.1 + 3);
    let mut short = enroll("short", "s3", &[3]);
    short.references[0].exact.pop();
    catalog.one(Write::Enroll(short)).expect_err("refused");
    // Neither of the erased nor of one that is refused, nor after a start.
    catalog.erase("s2");
    let third = next(&mut catalog, "s2-again");
    assert!(third.0 > second.0 && third.1 > second.1);
    let state = catalog.writer.state();
    drop(catalog);
    let mut catalog = rig.open();
    // In a database an opening is a change.
    let commits = catalog.writer.state().commits;
    assert_eq!(catalog.writer.state(), State { commits, ..state });
    let fourth = next(&mut catalog, "s4");
    assert!(fourth.0 > third.0 && fourth.1 > third.1);
}

pub(super) fn every_change_to_the_gallery_has_the_next_number(rig: &impl Rig) {
    let mut catalog = rig.open();
    assert_eq!(catalog.enroll("s1", 1).sequence, 1);
    catalog
        .one(Write::Usage(usage("u1", UsageKind::Identify, Some("s1")).into()))
        .expect("recorded");
    catalog.erase("s1");
    assert_eq!(catalog.writer.state().sequence, 2);
    let (answer, _) = catalog.import("i1", &["s2", "s3"]).expect("imported");
    // A cluster counts the steps of a segment, so that an import may take more than one number; the answer has the last.
    assert_eq!(answer.sequence, catalog.writer.state().sequence);
    assert!(answer.sequence > 2);
    assert_eq!(catalog.enroll("s4", 4).sequence, answer.sequence + 1);
}

pub(super) fn a_policy_is_replaced_once(rig: &impl Rig) {
    let mut catalog = rig.open();
    let write = |request: &str, score: f32| {
        let mut policy = spec("acme").policy;
        policy.threshold = ThresholdRule::Score(score);
        Write::Policy(PolicyWrite {
            request_id: id(request),
            request_digest: [1; 32],
            policy,
        })
    };
    for (request, score) in [("p1", 0.6), ("p2", 0.7), ("p1", 0.6)] {
        assert_eq!(catalog.one(write(request, score)), Ok(Committed::PolicySet));
    }
    drop(catalog);
    let kept = rig.open();
    let now = kept.reader.spec().expect("read");
    assert_eq!(now.policy.threshold, ThresholdRule::Score(0.7), "not set back");
    assert_eq!(now, kept.spec);
}

pub(super) fn readers_see_whole_groups(rig: &impl Rig) {
    const GROUPS: usize = 20;
    const MEMBERS: usize = 3;
    let OpenCatalog {
        reader, mut writer, ..
    } = rig.open();
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut before = 0;
                loop {
                    let is_last = is_done.load(Ordering::SeqCst);
                    let pending = reader.pending().expect("read").len();
                    assert!(pending >= before && pending.is_multiple_of(MEMBERS), "{pending}");
                    before = pending;
                    if is_last {
                        break;
                    }
                }
                assert_eq!(before, GROUPS * MEMBERS, "what was answered is read");
            });
        }
        let failed = (0..GROUPS).find_map(|group| {
            let member = |n| Write::Enroll(enroll(&format!("r{group}-{n}"), &format!("s{group}-{n}"), &[1]));
            let group = (0..MEMBERS).map(member).collect();
            writer.commit(group, Timestamp::now(), TRACE).err()
        });
        is_done.store(true, Ordering::SeqCst);
        assert!(failed.is_none(), "{failed:?}");
    });
}

pub(super) fn an_empty_group_is_nothing(rig: &impl Rig) {
    let mut catalog = rig.open();
    let before = catalog.writer.state();
    assert_eq!(catalog.commit(Vec::new()), []);
    assert_eq!(catalog.writer.state(), before);
}

pub(super) fn who_refuses_once_refuses_all(rig: &impl Rig) {
    let mut catalog = rig.open();
    catalog.enroll("s1", 1);
    catalog.writer.check().expect("sound");
    catalog.writer.poison("the first reason");
    catalog.writer.poison("another one");
    let group = vec![erase("r1", "s1")];
    for refused in [
        catalog.writer.check(),
        catalog.writer.commit(group, Timestamp::now(), TRACE).map(drop),
        catalog.writer.checkpoint().map(drop),
        catalog.writer.forget_copies().map(drop),
        catalog.import("i1", &["s2"]).map(drop),
    ] {
        assert!(
            matches!(&refused, Err(StorageError::Poisoned(reason)) if reason == "the first reason"),
            "{refused:?}"
        );
    }
    assert!(catalog.is_known("s1"), "reads go on");
    drop(catalog);
    rig.open().enroll("s2", 2);
}
