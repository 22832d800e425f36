//! Tests of the purge: no byte of an erased row stays in a file, and receipts say so only then.

use std::fs;

use super::*;
use crate::keys::receipt;
use crate::model::erasure::ErasureState;
use crate::storage::place::Place;
use crate::storage::testing;
use crate::storage::testing::{House, encode, exact, id};

fn sealed_pending(house: &House, reference: i64) -> Vec<u8> {
    let conn = house.sql();
    conn.query_row(
        "SELECT sealed FROM pending WHERE reference = ?",
        [reference],
        |row| row.get(0),
    )
    .expect("pending")
}

#[test]
fn no_byte_of_an_erased_row_stays_in_any_file() {
    let house = House::new();
    let segment = house.flushed(40);
    let sealed = house.sealed_row(segment, 16);
    // The row's 32 codes stand in blocks with others; their neighbours' bytes change as well with the key.
    assert_eq!(house.files_with(&sealed), [house.segment_file()]);
    let old_file = house.segment_file();
    house.erase("s17");
    assert_eq!(
        house.files_with(&sealed),
        std::slice::from_ref(&old_file),
        "erased, not purged yet"
    );
    assert_eq!(house.store.purge().expect("purged"), 1);
    assert!(house.files_with(&sealed).is_empty());
    assert!(!old_file.exists());
    let house = house.reopen();
    assert!(house.files_with(&sealed).is_empty());
    let places: Vec<_> = (0..40).map(|row| Place::Segment { segment, row }).collect();
    let expected: Vec<_> = (1..=40).map(|seed| (seed != 17).then(|| exact(seed))).collect();
    assert_eq!(house.exact(&places), expected, "the others keep their rows");
    let loaded = house.store.load_segment(segment).expect("authentic");
    assert_eq!(loaded.dead, [16]);
    assert!(loaded.planes.sign[16 * 4..17 * 4].iter().all(|byte| *byte == 0));
}

#[test]
fn pending_rows_leave_catalog_and_log() {
    let house = House::new();
    // Enough that pages are split, merged and moved.
    for seed in 1..=300 {
        house.enroll(&format!("s{seed}"), seed);
    }
    let sealed: Vec<Vec<u8>> = (1..=300)
        .map(|reference| sealed_pending(&house, reference))
        .collect();
    let flushed: Vec<u64> = (1..=300).filter(|n| n % 3 != 0).collect();
    house.store.flush(&flushed, &encode).expect("flushed");
    for seed in (3..=300).step_by(6) {
        house.erase(&format!("s{seed}"));
    }
    assert!(!house.files_with(&sealed[296]).is_empty(), "the log still has it");
    assert_eq!(house.store.purge().expect("purged"), 50);
    let mut bytes = Vec::new();
    for path in crate::storage::testing::files(&house.path()) {
        bytes.extend(fs::read(path).expect("readable"));
    }
    for (reference, sealed) in (1..).zip(&sealed) {
        let alive = reference % 6 == 0;
        // 24 bytes tell rows apart; cells cut in two would show as well.
        let found = sealed
            .chunks_exact(24)
            .any(|part| bytes.windows(24).any(|window| window == part));
        assert_eq!(found, alive, "reference {reference}");
    }
    assert_eq!(house.store.pending().expect("pending").len(), 50);
    assert_eq!(house.exact(&[Place::Pending { reference: 6 }]), [Some(exact(6))]);
}

#[test]
fn receipts_verify_before_and_after_and_keep_their_digests() {
    let house = House::new();
    house.flushed(3);
    let (before, _) = house.erase("s2");
    assert_eq!(house.store.erasures_pending(), 1);
    let first = receipt::verify(&before.receipt).expect("signed");
    house.store.purge().expect("purged");
    let after = house.store.erasure(before.erasure).expect("read").expect("there");
    assert!(after.purged && !before.purged);
    let second = receipt::verify(&after.receipt).expect("signed");
    assert_eq!(second.state, ErasureState::Purged);
    assert!(second.purged_at >= Some(second.erased_at));
    assert_eq!(second.sealed_row_sha256, first.sealed_row_sha256);
    assert_eq!(second.subject_id, id("s2"));
    assert_eq!(house.store.erasures_pending(), 0);
    let house = house.reopen();
    assert_eq!(house.store.erasure(before.erasure).expect("read"), Some(after));
}

#[test]
fn a_file_that_is_read_is_destroyed_when_its_last_reader_is_done() {
    let house = House::new();
    let segment = house.flushed(3);
    let old_file = house.segment_file();
    let sealed = house.sealed_row(segment, 1);
    let reader = house.store.0.live(segment, 1).expect("there");
    house.erase("s2");
    thread::scope(|scope| {
        let purge = scope.spawn(|| house.store.purge().expect("purged"));
        while house.segment_files().len() < 2 {
            thread::sleep(RETIRED_POLL);
        }
        thread::sleep(Duration::from_millis(50));
        assert_eq!(
            testing::sealed_row(&reader, 1),
            sealed,
            "still mapped, not overwritten"
        );
        assert!(old_file.exists());
        assert_eq!(house.store.erasures_pending(), 1);
        drop(reader);
        assert_eq!(purge.join().expect("no panic"), 1);
    });
    assert!(!old_file.exists());
    assert!(house.files_with(&sealed).is_empty());
}

#[test]
fn a_purge_is_finished_after_a_crash_at_any_step() {
    let house = House::new();
    let segment = house.flushed(3);
    let sealed = house.sealed_row(segment, 1);
    let before = house.segment_file();
    let (answer, _) = house.erase("s2");
    // Before the swap: only a new file that nobody knows.
    let tombstones = house.store.0.readers.tombstones().expect("read");
    let shared = &house.store.0;
    let live = shared.live(segment, 0).expect("there");
    let file = live.file.whole(|reader| {
        let file = shared.files.create(live.entry.rows)?;
        copy_without(reader, &tombstones, None, file)
    });
    shared.files.finish(file.expect("written")).expect("finished");
    drop(live);
    assert_eq!(house.segment_files().len(), 2);
    let crashed = house.crash();
    assert_eq!(
        crashed.segment_files(),
        [crashed
            .path()
            .join("segments")
            .join(before.file_name().expect("a name"))]
    );
    assert_eq!(crashed.store.purge().expect("purged"), 1);
    // After the swap: the old file is not destroyed yet, nothing is marked.
    let mut upkeep = house.store.0.upkeep.lock();
    house.store.0.rewrite(&tombstones, &mut upkeep).expect("swapped");
    drop(upkeep);
    assert!(!house.files_with(&sealed).is_empty());
    let crashed = house.crash();
    assert!(crashed.files_with(&sealed).is_empty(), "destroyed by the start");
    let answer = crashed
        .store
        .erasure(answer.erasure)
        .expect("read")
        .expect("there");
    assert!(answer.purged, "marked by the start");
    assert_eq!(crashed.store.load_segment(segment).expect("authentic").dead, [1]);
}

#[test]
fn a_row_erased_while_its_segment_is_rewritten_waits_for_the_next_purge() {
    let house = House::new();
    let segment = house.flushed(3);
    let (first, _) = house.erase("s1");
    let tombstones = house.store.0.readers.tombstones().expect("read");
    let (second, _) = house.erase("s3");
    {
        let mut upkeep = house.store.0.upkeep.lock();
        house.store.0.rewrite(&tombstones, &mut upkeep).expect("swapped");
        assert_eq!(house.store.0.finish(&mut upkeep).expect("finished"), 1);
    }
    let purged = |erasure| house.store.erasure(erasure).expect("read").expect("there").purged;
    assert!(purged(first.erasure) && !purged(second.erasure));
    let places = [0, 1, 2].map(|row| Place::Segment { segment, row });
    assert_eq!(house.exact(&places), [None, Some(exact(2)), None]);
    assert_eq!(house.store.purge().expect("purged"), 1);
    assert!(purged(second.erasure));
}

#[test]
fn nothing_erased_is_nothing_to_purge() {
    let house = House::new();
    house.flushed(3);
    let file = house.segment_file();
    assert_eq!(house.store.purge().expect("nothing"), 0);
    assert_eq!(house.segment_file(), file);
}

#[test]
fn erased_pending_rows_need_no_rewrite() {
    let house = House::new();
    house.enroll("s1", 1);
    house.enroll("s2", 2);
    let sealed = sealed_pending(&house, 1);
    house.erase("s1");
    assert_eq!(house.store.purge().expect("purged"), 1);
    assert!(house.files_with(&sealed).is_empty());
    assert_eq!(house.exact(&[Place::Pending { reference: 2 }]), [Some(exact(2))]);
}
