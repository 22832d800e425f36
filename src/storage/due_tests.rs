//! Tests of retention in the catalog: who is due, and that an erasure looks again.

use std::time::Duration;

use super::testing::{House, enroll, id, reference, tell, usage};
use super::verify::verify;
use super::write::{Committed, EraseWrite, ReadAhead, SubjectKey, Write};
use crate::model::policy::Retention;
use crate::model::retention::Due;
use crate::model::subject::Hand;
use crate::model::timestamp::Timestamp;
use crate::model::usage::{Outcome, UsageKind};
use crate::storage::error::WriteError;
use crate::storage::testing::{WITHOUT_CHAIN, key, signers};

const DAY: Duration = Duration::from_hours(24);

fn due(idle_days_max: Option<u32>, consent_end: bool, as_of: Timestamp) -> Due {
    Due {
        retention: Retention {
            idle_days_max,
            consent_end,
        },
        as_of,
    }
}

/// Enrols a subject whose consent ends then.
fn enroll_until(house: &House, request: &str, subject: &str, expires_at: Timestamp) {
    let mut write = enroll(request, subject, &[]);
    write.references = vec![reference(1, Hand::Left)];
    write.consent.expires_at = expires_at;
    house.one(Write::Enroll(write)).expect("enrolled");
}

/// Says when subjects were last seen.
fn last_seen(house: &House, at: Timestamp) {
    let conn = house.sql();
    let set = "UPDATE subject SET last_used = ?";
    conn.execute(set, [at.0]).expect("set");
}

fn found(house: &House, due: Due) -> Vec<String> {
    let found = house.store.due(due, 10).expect("looked");
    found.iter().map(ToString::to_string).collect()
}

/// Gives the tenant this retention.
fn retain(house: &House, due: Due) {
    let mut policy = house.store.policy().expect("there");
    policy.retention = due.retention;
    let request = format!("policy-{}", ulid::Ulid::generate());
    house.set_policy(&request, &policy).expect("set");
}

fn erase_due(house: &House, subject: &str, due: Due) -> Result<Committed, WriteError> {
    house.one(Write::Erase(EraseWrite {
        request_id: id(&format!("retention-{}", ulid::Ulid::generate())),
        request_digest: [0; 32],
        subject: SubjectKey::Id(id(subject)),
        only_if: Some(due),
        ahead: ReadAhead::default(),
    }))
}

#[test]
fn consents_that_ended_are_due_the_longest_ended_first() {
    let house = House::new();
    let now = Timestamp::now();
    for (subject, expires_at) in [
        ("b", Timestamp(200)),
        ("a", Timestamp(100)),
        ("later", now.plus(DAY)),
        ("c", Timestamp(300)),
    ] {
        enroll_until(&house, subject, subject, expires_at);
    }
    assert_eq!(found(&house, due(None, true, now)), ["a", "b", "c"]);
    assert_eq!(
        found(&house, due(None, false, now)),
        [""; 0],
        "nothing was asked for"
    );
    assert_eq!(house.store.due(due(None, true, now), 2).expect("looked").len(), 2);
    // The clock of who asks jumped back, or is ahead of the one here.
    assert_eq!(found(&house, due(None, true, Timestamp(199))), ["a"]);
    assert_eq!(found(&house, due(None, true, now.plus(2 * DAY))), ["a", "b", "c"]);
}

#[test]
fn an_erasure_that_is_due_looks_again_in_its_transaction() {
    let house = House::new();
    let now = due(None, true, Timestamp::now());
    retain(&house, now);
    enroll_until(&house, "first", "ada", Timestamp(100));
    assert_eq!(found(&house, now), ["ada"]);
    // She came between the look and the erasure.
    enroll_until(&house, "renewed", "ada", Timestamp::now().plus(DAY));
    assert_eq!(erase_due(&house, "ada", now), Err(WriteError::NotDue));
    assert_eq!(house.store.stats().expect("figures").references, 2);
    // A front whose clock is ahead erases nobody early.
    let ahead = due(None, true, Timestamp::now().plus(2 * DAY));
    assert_eq!(erase_due(&house, "ada", ahead), Err(WriteError::NotDue));
    enroll_until(&house, "ended", "ada", Timestamp(100));
    assert_eq!(
        erase_due(&house, "ada", due(None, true, Timestamp(99))),
        Err(WriteError::NotDue)
    );
    // The policy is another one since she was found.
    retain(&house, due(Some(1), true, Timestamp(0)));
    assert_eq!(erase_due(&house, "ada", now), Err(WriteError::NotDue));
    retain(&house, now);
    erase_due(&house, "ada", now).expect("erased");
    assert_eq!(erase_due(&house, "ada", now), Err(WriteError::SubjectUnknown));
}

#[test]
fn a_use_that_matched_and_an_enrolment_are_interactions_and_others_are_not() {
    let house = House::new();
    let now = Timestamp::now();
    let idle = due(Some(10), false, now.plus(Duration::from_secs(1)));
    let long_ago = now.minus(11 * DAY);
    house.enroll("ada", 1);
    assert_eq!(found(&house, idle), [""; 0], "just enrolled");
    last_seen(&house, now.minus(10 * DAY));
    assert_eq!(
        found(&house, idle),
        [""; 0],
        "what is on disk may be an hour behind"
    );
    last_seen(&house, long_ago);
    assert_eq!(found(&house, idle), ["ada"]);
    assert_eq!(found(&house, due(Some(12), false, now)), [""; 0]);
    for (outcome, kind) in [
        (Outcome::NoMatch, UsageKind::Verify),
        (Outcome::Match, UsageKind::Identify),
    ] {
        let mut event = usage("use", kind, Some("ada"));
        event.outcome = outcome;
        house.one(Write::Usage(event.into())).expect("recorded");
        let saved = outcome == Outcome::Match;
        assert_eq!(found(&house, idle).is_empty(), saved, "{outcome:?}");
        retain(&house, due(Some(12), false, now));
        assert_eq!(
            erase_due(&house, "ada", due(Some(12), false, now)),
            Err(WriteError::NotDue)
        );
    }
    retain(&house, idle);
    last_seen(&house, long_ago);
    house.enroll("ada", 2);
    assert_eq!(
        erase_due(&house, "ada", idle),
        Err(WriteError::NotDue),
        "enrolled again"
    );
}

#[test]
fn a_catalog_of_the_third_version_opens_and_knows_events_again() {
    let house = House::new();
    house.enroll("ada", 1);
    let event = |request: &str| tell(usage(request, UsageKind::Identify, Some("ada")));
    house.one(event("u1")).expect("recorded");
    let conn = house.sql();
    let older = "DROP INDEX usage_told; ALTER TABLE usage DROP COLUMN told; PRAGMA user_version = 3;";
    conn.execute_batch(older).expect("as it was");
    drop(conn);
    let house = house.reopen();
    for _ in 0..2 {
        house.one(event("u2")).expect("recorded");
    }
    let counts = "SELECT group_concat(request_id, ' ') || ' ' || (SELECT user_version FROM pragma_user_version) FROM usage";
    let counted: String = house
        .sql()
        .query_row(counts, [], |row| row.get(0))
        .expect("there");
    assert_eq!(counted, "enroll-ada-1 u1 u2 4");
}

#[test]
fn a_catalog_of_the_first_version_opens_and_knows_when_subjects_were_last_seen() {
    let house = House::new();
    for subject in ["enrolled", "used", "claimed"] {
        house.enroll(subject, 1);
    }
    let mut event = usage("use", UsageKind::Verify, Some("used"));
    (event.at, event.outcome) = (Timestamp(70), Outcome::Match);
    house.one(Write::Usage(event.clone().into())).expect("recorded");
    (event.subject_id, event.at, event.outcome) = (Some(id("claimed")), Timestamp(80), Outcome::NoMatch);
    house.one(Write::Usage(event.into())).expect("recorded");
    let conn = house.sql();
    let older = "DROP INDEX subject_consent_end; DROP INDEX subject_last_used;
        ALTER TABLE subject DROP COLUMN last_used; PRAGMA user_version = 1;
        UPDATE subject SET created_at = 10; UPDATE reference SET enrolled_at = 40;";
    conn.execute_batch(WITHOUT_CHAIN).expect("as it was");
    conn.execute_batch(older).expect("as it was");
    drop(conn);
    let copy = house.crash_copy();
    let checked = verify(&copy.path().join("data"), &id("acme"), &key(1), &signers());
    assert!(checked.faults.is_empty(), "{:?}", checked.faults);
    let house = house.reopen();
    let conn = house.sql();
    let version: u32 = conn
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .expect("there");
    let seen = |subject: &str| -> i64 {
        let select = "SELECT last_used FROM subject WHERE subject_id = ?";
        let found = conn.query_row(select, [subject], |row| row.get(0));
        found.expect("there")
    };
    assert_eq!(version, 4);
    assert_eq!((seen("enrolled"), seen("used"), seen("claimed")), (40, 70, 40));
    drop(conn);
    let long_idle = due(Some(1), false, Timestamp::now());
    assert_eq!(found(&house, long_idle), ["enrolled", "claimed", "used"]);
    house.reopen();
}
