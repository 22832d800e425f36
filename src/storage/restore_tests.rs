//! Tests of what a restore does again: erasures come under their numbers and with their times, and leave no row in the files.

use super::*;
use crate::keys::receipt::verify_checkpoint_of;
use crate::model::timestamp::Timestamp;
use crate::storage::archive::{ArchiveWriter, EntryName};
use crate::storage::audit::{Named, audit};
use crate::storage::backup::backup;
use crate::storage::catalog::seam::NUMBERS_PASSED;
use crate::storage::testing::{House, files, id, key, signer, signers};
use crate::storage::write::SubjectKey;

fn backed_up(house: &House) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut archive = ArchiveWriter::new(&mut bytes);
    let data = house.tmp.path().join("data");
    backup(&data, &id("acme"), &key(1), &mut archive).expect("sound");
    archive.finish().expect("written");
    bytes
}

/// Ends the restore of the tenant.
fn finished(data: &Path, erasures: &[ErasureEntry], may_miss_erasures: bool) -> (u64, Verification) {
    let by = (&signer(), &signers());
    finish(data, &id("acme"), &key(1), by, erasures, may_miss_erasures).expect("finished")
}

fn entry(erasure: u64, subject: &str) -> ErasureEntry {
    ErasureEntry {
        tenant: id("acme"),
        created_at: Timestamp(1),
        erasure,
        sequence: 0,
        subject_id: id(subject),
        erased_at: Timestamp(i64::try_from(erasure).expect("small")),
    }
}

/// Writes the files of a backup into a directory that is no data directory yet.
fn unpack(bytes: &[u8], data: &Path) -> Result<Snapshot, StorageError> {
    let mut from = bytes;
    let mut archive = ArchiveReader::new(&mut from);
    loop {
        match archive.next_entry()?.expect("a catalog comes") {
            EntryName::Segment(tenant, ulid) => write_segment(data, &tenant, ulid, &mut archive)?,
            EntryName::Catalog(tenant) => return write_catalog(data, &tenant, &key(1), &mut archive),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn erasures_are_done_again_and_their_rows_leave_the_files() {
    let house = House::new();
    house.flushed(10);
    house.enroll("pending", 50);
    house.erase("s1");
    let bytes = backed_up(&house);
    let before: Vec<u8> = bytes
        .windows(8)
        .position(|w| w == b"THNRSEG\0")
        .map_or(Vec::new(), |at| bytes[at + 4_096..at + 4_096 + 64].to_vec());
    let tmp = tempfile::tempdir().expect("a directory");
    let data = tmp.path().join("data");
    let snapshot = unpack(&bytes, &data).expect("written");
    assert_eq!(snapshot.last_erasure, 1);
    let later = [
        entry(2, "s2"),
        entry(3, "came-later"),
        entry(4, "pending"),
        entry(5, "s2"),
        entry(9, "s9"),
        entry(10, "came-later"),
    ];
    let (erased, found) = finished(&data, &later, false);
    assert_eq!(erased, 3);
    assert!(found.faults.is_empty() && found.counted, "{:?}", found.faults);
    data_dir::DataDir::init(&data).expect("made");
    let again = House::open(tmp);
    let told = house.enroll("new", 60);
    let new = again.enroll("new", 60);
    assert!(new.references > told.references && new.sequence > told.sequence);
    for (subject, is_there) in [
        ("s1", false),
        ("s2", false),
        ("pending", false),
        ("s9", false),
        ("s3", true),
    ] {
        let record = again.store.subject(&SubjectKey::Id(id(subject))).expect("read");
        assert_eq!(record.is_some(), is_there, "{subject}");
    }
    for (erasure, subject) in [
        (1, Some("s1")),
        (2, Some("s2")),
        (3, None),
        (4, Some("pending")),
        (5, None),
        (9, Some("s9")),
    ] {
        let answer = again.store.erasure(erasure).expect("read");
        assert_eq!(
            answer.as_ref().map(|answer| answer.subject_id.as_str()),
            subject,
            "{erasure}"
        );
        let Some(answer) = answer else { continue };
        assert!(answer.purged);
        let receipt = crate::keys::receipt::verify(&answer.receipt).expect("signed");
        assert_eq!(receipt.erasure, erasure);
        if erasure > 1 {
            assert_eq!(receipt.erased_at, entry(erasure, "x").erased_at);
        }
    }
    assert_eq!(again.erase("s3").0.erasure, 11, "no number is given out twice");
    assert_eq!(files(&again.path().join(SEGMENTS_DIR)).len(), 1);
    assert_eq!(before.len(), 64);
    assert!(
        again.files_with(&before).is_empty(),
        "the backup's segment is gone"
    );
}

#[test]
fn nobody_is_idle_for_the_time_that_is_lost_and_no_number_is_given_out_twice() {
    let house = House::new();
    for (subject, seed) in [("a", 1), ("b", 2), ("c", 3)] {
        house.enroll(subject, seed);
    }
    house.erase("a");
    let unseen = "UPDATE subject SET last_used = 5";
    house.sql().execute(unseen, []).expect("set");
    let bytes = backed_up(&house);
    let before = Timestamp::now();
    for (may_miss_erasures, next) in [(false, 2), (true, NUMBERS_PASSED + 2)] {
        let tmp = tempfile::tempdir().expect("a directory");
        let data = tmp.path().join("data");
        unpack(&bytes, &data).expect("written");
        finished(&data, &[], may_miss_erasures);
        data_dir::DataDir::init(&data).expect("made");
        let again = House::open(tmp);
        let seen = "SELECT min(last_used) FROM subject";
        let conn = again.sql();
        let seen: i64 = conn.query_row(seen, [], |row| row.get(0)).expect("there");
        drop(conn);
        assert!(seen >= before.0);
        assert_eq!(again.erase("b").0.erasure, next);
    }
}

#[test]
fn a_restored_tenant_has_a_mark_and_nothing_is_written_over() {
    let house = House::new();
    house.flushed(5);
    let bytes = backed_up(&house);
    let tmp = tempfile::tempdir().expect("a directory");
    let data = tmp.path().join("data");
    let snapshot = unpack(&bytes, &data).expect("written");
    let dir = data_dir::tenant_path(&data, &id("acme"));
    assert_eq!(
        crate::storage::mark::read(&dir, &key(1)).expect("there"),
        snapshot.commits
    );
    let again = unpack(&bytes, &data).expect_err("there already").to_string();
    assert!(again.contains("can't create"), "{again}");
    assert_eq!(written(&data).expect("listed"), [id("acme")]);
    discard(&data, &id("acme")).expect("removed");
    assert_eq!(written(&data).expect("listed"), []);
}

#[test]
fn a_catalog_of_another_tenant_or_key_is_refused() {
    let house = House::new();
    let bytes = backed_up(&house);
    let tmp = tempfile::tempdir().expect("a directory");
    for (tenant, key) in [("other", key(1)), ("acme", key(2))] {
        let mut from = &bytes[..];
        let mut archive = ArchiveReader::new(&mut from);
        archive.next_entry().expect("read");
        let data = tmp.path().join(tenant);
        let error = write_catalog(&data, &id(tenant), &key, &mut archive).expect_err("refused");
        assert!(matches!(error, StorageError::Damaged { .. }), "{error}");
    }
}

#[test]
fn a_restored_history_holds_and_a_newer_checkpoint_is_told_of_it() {
    let checkpoint = |house: &House| {
        let signed = house.store.checkpoint().expect("made");
        let checkpoint = verify_checkpoint_of(&signed, signer().public_key()).expect("signed");
        ("kept.json".to_owned(), checkpoint)
    };
    let house = House::new();
    for (subject, seed) in [("a", 1), ("b", 2), ("c", 3)] {
        house.enroll(subject, seed);
    }
    let early = checkpoint(&house);
    let bytes = backed_up(&house);
    house.erase("a");
    let erased = checkpoint(&house);
    house.enroll("d", 4);
    let late = checkpoint(&house);
    for entries in [vec![entry(1, "a")], vec![]] {
        let tmp = tempfile::tempdir().expect("a directory");
        let data = tmp.path().join("data");
        unpack(&bytes, &data).expect("written");
        finished(&data, &entries, false);
        let held = |against: &[&Named]| {
            let against: Vec<Named> = against.iter().copied().cloned().collect();
            let found = audit(&data, &id("acme"), &key(1), &signers(), &against);
            let faults = found.expect("readable").faults;
            faults.into_iter().map(|fault| fault.what).collect::<Vec<_>>()
        };
        assert_eq!(held(&[&early]), Vec::<String>::new());
        let not_again = held(&[&erased]);
        assert_eq!(not_again.is_empty(), !entries.is_empty(), "{not_again:?}");
        data_dir::DataDir::init(&data).expect("made");
        let again = House::open(tmp);
        again.enroll("e", 5);
        let next = checkpoint(&again);
        assert_eq!(next.1.event, NUMBERS_PASSED + 4);
        drop(again);
    }
    let tmp = tempfile::tempdir().expect("a directory");
    let data = tmp.path().join("data");
    unpack(&bytes, &data).expect("written");
    finished(&data, &[entry(1, "a")], false);
    data_dir::DataDir::init(&data).expect("made");
    let again = House::open(tmp);
    for seed in 5..9 {
        again.enroll(&format!("s{seed}"), seed);
    }
    let copy = again.crash_copy();
    let data = copy.path().join("data");
    let found = audit(&data, &id("acme"), &key(1), &signers(), &[late, early]).expect("readable");
    assert_eq!(found.passed, [(4, NUMBERS_PASSED + 3)]);
    let [fault] = found.faults.as_slice() else {
        panic!("{:?}", found.faults)
    };
    assert_eq!(fault.event, Some(4));
    assert!(
        fault
            .what
            .starts_with("the history ends at event 3, kept.json says 4: a restore"),
        "{}",
        fault.what
    );
}
