//! Tests of group commits with the files beside them; what a group does in the catalog is told by the behaviours of every engine.

use super::*;
use crate::keys::receipt;
use crate::model::erasure::ErasureState;
use crate::model::usage::UsageKind;
use crate::storage::catalog::erase::sha256;
use crate::storage::store::LOG_FILE;
use crate::storage::testing::{House, erase, exact, tell, usage};

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
fn a_log_that_can_t_be_copied_has_writes_refused() {
    let house = House::new();
    house.enroll("s1", 1);
    let log = house.path().join(LOG_FILE);
    let mut bytes = std::fs::read(&log).expect("read");
    for byte in bytes.iter_mut().skip(1_000) {
        *byte ^= 1;
    }
    std::fs::write(&log, bytes).expect("written");
    house.store.copy_log().expect("it is short");
    house.store.0.log_is_long.store(true, Ordering::Relaxed);
    let refused = house.store.copy_log().expect_err("a page is damaged");
    assert!(matches!(refused, StorageError::Damaged { .. }), "{refused}");
    let told = vec![tell(usage("r", UsageKind::Identify, None))];
    let refused = house
        .store
        .commit(told)
        .expect_err("nobody knows what the disk holds");
    assert!(matches!(refused, StorageError::Poisoned(_)), "{refused}");
    house.store.0.log_is_long.store(true, Ordering::Relaxed);
    house.store.copy_log().expect("who writes is told");
}

#[test]
fn a_turn_that_is_not_waited_for_is_had_while_nobody_else_changes_anything() {
    let house = House::new();
    let told = || vec![tell(usage("r", UsageKind::Identify, None))];
    assert!(house.store.try_turn().is_none(), "it would begin the log");
    house.store.commit(told()).expect("begun");
    let turn = house.store.try_turn().expect("nobody does");
    assert_eq!(turn.commit(told()).expect("committed").len(), 1);
    let turn = house.store.turn();
    assert!(house.store.try_turn().is_none());
    drop(turn);
    assert!(house.store.try_turn().is_some());
}

#[test]
fn a_receipt_names_the_sealed_bytes_as_they_stood() {
    let house = House::new();
    let segment = house.flushed(3);
    house.enroll("s2", 20);
    let sealed_row = house.sealed_row(segment, 1);
    let sealed_pending: Vec<u8> = house
        .sql()
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
        assert_eq!(digest, sha256(&bytes));
    }
}

#[test]
fn a_disk_in_doubt_refuses_all_that_changes_anything() {
    let house = House::new();
    house.enroll("s1", 1);
    house.store.0.writer.lock().poison("no answer from the disk");
    let refused = house.store.commit(vec![erase("r", "s1")]);
    let text = refused.expect_err("poisoned").to_string();
    assert!(text.contains("until the server is restarted"), "{text}");
    assert!(matches!(house.flush(), Err(StorageError::Poisoned(_))));
    assert!(matches!(house.store.purge(), Err(StorageError::Poisoned(_))));
    assert_eq!(house.store.stats().expect("figures").subjects, 1);
}
