//! Tests of the audit: a history that was recorded and erased as it should be holds, and whatever was done to it otherwise is named by its event.

use super::*;
use crate::keys::receipt::verify_checkpoint_of;
use crate::model::usage::UsageKind;
use crate::storage::testing::{House, WITHOUT_CHAIN, id, key, signer, signers, usage};
use crate::storage::write::Write;

/// A history of ten events: `ada` and `bob` are enrolled (1, 2) and used (3 to 8), a palm that nobody has comes twice (9, 10).
pub(super) fn furnished() -> House {
    let house = House::new();
    house.enroll("ada", 1);
    house.enroll("bob", 2);
    for number in 3..=10 {
        let subject = match number {
            9 | 10 => None,
            odd if odd % 2 == 1 => Some("ada"),
            _ => Some("bob"),
        };
        record(&house, number, subject);
    }
    house
}

pub(super) fn record(house: &House, number: u64, subject: Option<&str>) {
    let event = usage(&format!("request-{number}"), UsageKind::Identify, subject);
    house.one(Write::Usage(event.into())).expect("recorded");
}

pub(super) fn kept(house: &House) -> Named {
    let signed = house.store.checkpoint().expect("made");
    let checkpoint = verify_checkpoint_of(&signed, signer().public_key()).expect("signed");
    ("kept.json".to_owned(), checkpoint)
}

/// What an audit of a copy of the files finds.
pub(super) fn audited(house: &House, against: &[Named]) -> Audit {
    let copy = house.crash_copy();
    let data = copy.path().join("data");
    audit(&data, &id("acme"), &key(1), &signers(), against).expect("readable")
}

/// Changes the catalog as somebody does who has its keys.
pub(super) fn tamper(house: &House, sql: &str) {
    house.sql().execute_batch(sql).expect(sql);
}

#[test]
fn a_history_holds_through_all_that_happens_to_it() {
    let house = furnished();
    let early = kept(&house);
    house.erase("ada");
    house.flush().expect("flushed");
    house.store.purge().expect("purged");
    record(&house, 11, Some("bob"));
    // Who is forgotten when the event comes is left out of it.
    record(&house, 12, Some("ada"));
    let late = kept(&house);
    let house = house.reopen();
    record(&house, 13, None);
    let found = audited(&house, &[late.clone(), early.clone()]);
    assert_eq!(found.faults, []);
    assert_eq!((found.events, found.erased, found.last), (9, 4, 13));
    assert_eq!(
        (found.checkpoints, found.confirmed),
        (4, 12),
        "two are the catalog's own"
    );
    assert_eq!(early.1.events_erased, 0);
    assert_eq!((late.1.event, late.1.events_erased, late.1.erasures), (12, 4, 1));
    let rotation = house.store.begin_rotation(&house.dir, &key(2), None);
    let finished = rotation.expect("begun").finish(|_| Ok::<_, StorageError>(()));
    let (store, ()) = finished.expect("rotated");
    store.checkpoint().expect("made");
    let copy = house.crash_copy();
    let data = copy.path().join("data");
    let found = audit(&data, &id("acme"), &key(2), &signers(), &[early, late]).expect("readable");
    assert_eq!((found.faults.as_slice(), found.confirmed), ([].as_slice(), 13));
}

#[test]
fn an_empty_history_holds_and_has_a_checkpoint() {
    let house = House::new();
    let none = kept(&house);
    assert_eq!(
        (none.1.event, none.1.head.as_str()),
        (0, "00".repeat(32).as_str())
    );
    record(&house, 1, None);
    let found = audited(&house, &[none]);
    assert_eq!((found.faults.as_slice(), found.checkpoints), ([].as_slice(), 1));
}

/// What is done to a history, the first event that it is found by, and words of what is said.
const TAMPERINGS: [(&str, Option<u64>, &str); 28] = [
    (
        "UPDATE usage SET at = at + 1 WHERE id = 5",
        Some(5),
        "event 5 is not",
    ),
    (
        "UPDATE usage SET kind = 2 WHERE id = 5",
        Some(5),
        "event 5 is not",
    ),
    (
        "UPDATE usage SET outcome = 2 WHERE id = 5",
        Some(5),
        "event 5 is not",
    ),
    (
        "UPDATE usage SET subject = 2 WHERE id = 5",
        Some(5),
        "event 5 is not",
    ),
    (
        "UPDATE usage SET subject = NULL WHERE id = 5",
        Some(5),
        "event 5 is not",
    ),
    (
        "UPDATE usage SET subject = 1 WHERE id = 9",
        Some(9),
        "event 9 is not",
    ),
    (
        "UPDATE usage SET site = 'gate-2' WHERE id = 5",
        Some(5),
        "event 5 is not",
    ),
    (
        "UPDATE usage SET site = NULL WHERE id = 5",
        Some(5),
        "event 5 is not",
    ),
    (
        "UPDATE usage SET principal = 'x' WHERE id = 5",
        Some(5),
        "event 5 is not",
    ),
    (
        "UPDATE usage SET request_id = 'x' WHERE id = 5",
        Some(5),
        "event 5 is not",
    ),
    (
        "UPDATE usage SET salt = zeroblob(16) WHERE id = 5",
        Some(5),
        "event 5 is not",
    ),
    (
        "UPDATE usage SET commitment = zeroblob(32) WHERE id = 5",
        Some(5),
        "event 5 is not",
    ),
    (
        "UPDATE subject SET subject_id = 'eve' WHERE handle = 2",
        Some(2),
        "event 2 is not",
    ),
    (
        "UPDATE usage SET salt = x'00' WHERE id = 5",
        Some(5),
        "event 5 is not",
    ),
    (
        "UPDATE usage SET commitment = x'' WHERE id = 5",
        Some(5),
        "event 5 is not",
    ),
    (
        "UPDATE usage SET request_id = CAST(x'ff' AS TEXT) WHERE id = 5",
        Some(5),
        "event 5 is not",
    ),
    // Two whole rows, but for their numbers.
    (
        "UPDATE usage SET id = 99 WHERE id = 4; UPDATE usage SET id = 4 WHERE id = 7; UPDATE usage SET id = 7 WHERE id = 99",
        Some(4),
        "event 4 is not",
    ),
    (
        "DELETE FROM usage WHERE id = 5",
        Some(5),
        "event 5 is missing, and was not erased; the next one is 6",
    ),
    ("DELETE FROM usage WHERE id = 1", Some(1), "event 1 is missing"),
    (
        "DELETE FROM usage WHERE id > 7",
        Some(8),
        "event 8 is missing, and was not erased; the next one is 11",
    ),
    // Somebody who knows where numbers are kept.
    (
        "DELETE FROM usage WHERE id > 7; UPDATE state SET last_usage = 7; DELETE FROM checkpoint",
        Some(8),
        "the history ends at event 7, kept.json says 10",
    ),
    (
        "INSERT INTO usage SELECT 11, at, kind, outcome, subject, site, principal, request_id, salt, commitment, NULL FROM usage WHERE id = 10",
        Some(11),
        "event 11 is not",
    ),
    // What is hidden as if it had been erased.
    (
        "INSERT INTO usage_erased SELECT id, commitment FROM usage WHERE id = 5; DELETE FROM usage WHERE id = 5",
        None,
        "1 events are erased; the receipts account for 0",
    ),
    (
        "INSERT INTO usage_erased SELECT id, commitment FROM usage WHERE id = 5",
        Some(5),
        "event 5 is there and erased",
    ),
    ("UPDATE chain SET erased = 1", None, "the catalog counts 1"),
    // A chain that is said to begin later, so that what went before needs no reason.
    (
        "DELETE FROM usage WHERE id = 1; UPDATE chain SET since_event = 1",
        None,
        "began after event 0 and erasure 0; this one began after event 1",
    ),
    (
        "UPDATE checkpoint SET checkpoint = replace(checkpoint, ':10', ':9')",
        None,
        "signature does not fit",
    ),
    (
        "UPDATE tenant SET spec = replace(spec, '\"created_at\":1', '\"created_at\":2')",
        None,
        "of one that had this name before",
    ),
];

#[test]
fn whatever_is_done_to_a_history_is_found_by_the_first_event_that_does_not_fit() {
    for (sql, event, words) in TAMPERINGS {
        let house = furnished();
        let kept = kept(&house);
        assert_eq!(audited(&house, std::slice::from_ref(&kept)).faults, []);
        tamper(&house, sql);
        let found = audited(&house, &[kept]);
        let first = found.faults.iter().filter_map(|fault| fault.event).min();
        assert_eq!(first, event, "{sql}: {:?}", found.faults);
        let is_said = found.faults.iter().any(|fault| fault.what.contains(words));
        assert!(is_said, "{sql}: {:?}", found.faults);
    }
}

/// Gives an event another site, with a commitment that fits.
fn forge(house: &House, number: u32) {
    tamper(
        house,
        &format!("UPDATE usage SET site = 'elsewhere' WHERE id = {number}"),
    );
    let conn = house.sql();
    let select = format!(
        "SELECT {EVENT_COLUMNS}, u.salt FROM usage u LEFT JOIN subject s ON s.handle = u.subject WHERE u.id = ?"
    );
    let commitment = conn.query_row(&select, [number], |row| {
        Ok(history::committed(row)?.commitment(&id("acme"), &row.get(8)?))
    });
    let update = "UPDATE usage SET commitment = ? WHERE id = ?";
    conn.execute(update, rusqlite::params![commitment.expect("there"), number])
        .expect("forged");
}

#[test]
fn an_event_that_was_made_to_fit_is_found_by_the_next_checkpoint() {
    let house = furnished();
    record(&house, 11, None);
    let first = kept(&house);
    record(&house, 12, Some("bob"));
    record(&house, 13, Some("bob"));
    let second = kept(&house);
    tamper(&house, "DELETE FROM checkpoint");
    let found = audited(&house, &[]).faults;
    assert!(
        found.len() == 1 && found[0].what.contains("it was removed"),
        "{found:?}"
    );
    tamper(&house, "UPDATE chain SET event = 0, head = zeroblob(32)");
    forge(&house, 13);
    assert_eq!(audited(&house, &[]).faults, [], "nobody can know");
    assert_eq!(audited(&house, std::slice::from_ref(&first)).faults, []);
    let found = audited(&house, &[first, second]);
    assert_eq!((found.faults.len(), found.confirmed), (1, 11));
    let fault = found.faults.first().expect("one");
    assert_eq!(fault.event, Some(12));
    assert!(
        fault
            .what
            .starts_with("kept.json: the chain has another head at event 13"),
        "{}",
        fault.what
    );
}

#[test]
fn checkpoints_come_by_themselves() {
    let house = House::new();
    let event = |n: u64| Write::Usage(usage(&format!("r{n}"), UsageKind::Verify, None).into());
    for group in 0..3 {
        let writes = (0..500).map(|n| event(group * 500 + n)).collect();
        house.store.commit(writes).expect("committed");
    }
    let found = audited(&house, &[]);
    assert_eq!(
        (found.faults.as_slice(), found.checkpoints, found.confirmed),
        ([].as_slice(), 1, 1_500)
    );
    forge(&house, 1_400);
    let found = audited(&house, &[]);
    assert_eq!(found.faults.first().expect("found").event, Some(1));
}

#[test]
fn an_older_copy_is_told_by_a_newer_checkpoint() {
    let house = furnished();
    let older = house.crash();
    house.erase("ada");
    record(&house, 11, None);
    let kept = kept(&house);
    let found = audited(&older, std::slice::from_ref(&kept));
    assert_eq!(found.faults.len(), 1);
    let what = &found.faults.first().expect("one").what;
    assert!(
        what.starts_with("the history ends at event 10, kept.json says 11"),
        "{what}"
    );
    // As many events as were taken back: they are other ones.
    record(&older, 11, None);
    let what = audited(&older, &[kept]).faults;
    assert!(
        what.iter()
            .any(|fault| fault.what.contains("another head at event 11")),
        "{what:?}"
    );
}

#[test]
fn an_erasure_leaves_of_an_event_its_number_and_what_tells_nothing() {
    let house = furnished();
    let marks = |what: &str| {
        let conn = house.sql();
        let found: Vec<u8> = conn
            .query_row(&format!("SELECT {what} FROM usage WHERE id = 5"), [], |row| {
                row.get(0)
            })
            .expect("there");
        found
    };
    let (salt, commitment) = (marks("salt"), marks("commitment"));
    assert_eq!((salt.len(), commitment.len()), (16, 32));
    assert!(!house.files_with(&salt).is_empty() && !house.files_with(b"request-5").is_empty());
    house.erase("ada");
    house.store.purge().expect("purged");
    for gone in [salt.as_slice(), b"request-5", b"request-7"] {
        assert_eq!(house.files_with(gone), Vec::<std::path::PathBuf>::new());
    }
    assert!(!house.files_with(&commitment).is_empty());
    let conn = house.sql();
    let columns = "SELECT group_concat(name) FROM pragma_table_info('usage_erased')";
    let columns: String = conn.query_row(columns, [], |row| row.get(0)).expect("there");
    assert_eq!(columns, "id,commitment", "nothing tells whose they were");
}

#[test]
fn a_history_of_the_version_before_begins_its_chain() {
    let house = furnished();
    house.erase("bob");
    tamper(&house, WITHOUT_CHAIN);
    let before = audited(&house, &[]);
    let what = before.faults.first().map(|fault| fault.what.as_str());
    assert!(
        what.is_some_and(|what| what.contains("of an earlier release")),
        "{what:?}"
    );
    let house = house.reopen();
    let found = audited(&house, &[]);
    assert_eq!((found.faults.as_slice(), found.confirmed), ([].as_slice(), 10));
    let first = kept(&house);
    assert_eq!(
        first.1.since,
        ChainStart {
            event: 10,
            erasure: 1
        }
    );
    assert_eq!((first.1.event, first.1.events_erased), (10, 0));
    record(&house, 11, None);
    house.erase("ada");
    let house = house.reopen();
    let found = audited(&house, std::slice::from_ref(&first));
    assert_eq!(found.faults, []);
    assert_eq!((found.events, found.erased, found.last), (3, 4, 11));
    forge(&house, 9);
    let found = audited(&house, &[first]).faults;
    assert_eq!(found.len(), 3, "both starts signed for it too: {found:?}");
}

#[test]
fn a_start_signs_for_what_no_checkpoint_is_over() {
    let house = furnished();
    assert_eq!(audited(&house, &[]).confirmed, 0);
    let house = house.reopen();
    let found = audited(&house, &[]);
    assert_eq!((found.checkpoints, found.confirmed), (1, 10));
    let house = house.reopen();
    assert_eq!(audited(&house, &[]).checkpoints, 1, "there is nothing new");
    house.erase("ada");
    let house = house.reopen();
    assert_eq!(audited(&house, &[]).checkpoints, 1, "an erasure is no event");
}

#[test]
fn faults_of_no_event_leave_room_for_those_of_events() {
    let mut audit = Audit::default();
    for number in 0..150 {
        audit.fault(None, "of none".to_owned());
        audit.fault(Some(number), "of one".to_owned());
    }
    assert_eq!((audit.faults.len(), audit.faults_more), (200, 100));
    assert_eq!(audit.first_after(49), Some(50));
}
