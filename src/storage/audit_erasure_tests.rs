//! Tests of the audit's account of erasures: what receipts say was removed, held against what is gone.

use super::tests::{audited, furnished, kept, tamper};
use super::*;
use crate::model::id::SubjectId;
use crate::storage::testing::{House, id, key, signer, signers};
use crate::storage::verify::verify;

/// What is said of faults.
fn said(found: &Audit) -> Vec<&str> {
    found.faults.iter().map(|fault| fault.what.as_str()).collect()
}

#[test]
fn receipts_account_for_what_is_erased() {
    let house = furnished();
    house.erase("ada");
    house.store.purge().expect("purged");
    let kept = kept(&house);
    house.erase("bob");
    assert_eq!(audited(&house, std::slice::from_ref(&kept)).faults, []);
    for sql in [
        "DELETE FROM erasure WHERE id = 2",
        "UPDATE erasure SET receipt = replace(receipt, '\"usage_events\":4', '\"usage_events\":5')",
        "UPDATE erasure SET receipt = (SELECT receipt FROM erasure WHERE id = 1), signature = (SELECT signature FROM erasure WHERE id = 1)",
    ] {
        let copy = house.crash();
        // Receipts refer to nobody any more, tombstones do to them.
        tamper(&copy, "PRAGMA foreign_keys = OFF");
        tamper(&copy, sql);
        let found = audited(&copy, std::slice::from_ref(&kept));
        assert!(!found.faults.is_empty(), "{sql}");
        assert!(
            found.faults.iter().all(|fault| fault.event.is_none()),
            "{:?}",
            found.faults
        );
    }
    // Somebody who signs: what an old receipt accounts for was fixed by the checkpoint that is kept.
    let conn = house.sql();
    let stored = erasure::find(&conn, 1).expect("read").expect("there");
    let mut forged = receipt::verify(&stored.receipt).expect("signed");
    forged.removed.as_mut().expect("counted").usage_events += 1;
    let forged = signer().sign(&forged);
    let update = "UPDATE erasure SET receipt = ?, signature = ? WHERE id = 1";
    conn.execute(update, rusqlite::params![forged.receipt_json, forged.signature])
        .expect("forged");
    drop(conn);
    tamper(
        &house,
        "INSERT INTO usage_erased SELECT id, commitment FROM usage WHERE id = 9; DELETE FROM usage WHERE id = 9; UPDATE chain SET erased = erased + 1",
    );
    let found = audited(&house, &[kept]);
    let said: Vec<&str> = found.faults.iter().map(|fault| fault.what.as_str()).collect();
    assert_eq!(
        said.len(),
        2,
        "the catalog's own and the one that was kept: {said:?}"
    );
    assert!(
        said.iter()
            .all(|what| what.ends_with("the receipts up to that account for 5")),
        "{said:?}"
    );
}

#[test]
fn an_erasure_says_that_what_it_removed_had_been_altered() {
    let house = furnished();
    tamper(&house, "UPDATE usage SET site = 'elsewhere' WHERE id = 5");
    house.erase("ada");
    house.erase("bob");
    let signed = |erasure| {
        let stored = house.store.erasure(erasure).expect("read").expect("there");
        let receipt = receipt::verify(&stored.receipt).expect("signed");
        let removed = receipt.removed.expect("counted");
        let has_field = stored.receipt.receipt_json.contains("usage_events_altered");
        (removed.usage_events, removed.usage_events_altered, has_field)
    };
    assert_eq!((signed(1), signed(2)), ((4, 1, true), (4, 0, false)));
    let found = audited(&house, &[]);
    assert_eq!(
        said(&found),
        ["erasure 1: 1 of the 4 events that it removed were not as they had been recorded"]
    );
}

#[test]
fn an_older_state_is_told_by_its_erasures() {
    let house = furnished();
    let older = house.crash();
    house.erase("ada");
    let newer = kept(&house);
    let found = audited(&older, std::slice::from_ref(&newer));
    assert!(
        said(&found)
            .iter()
            .any(|what| what.contains("there had been 1 erasures, and the catalog knows of 0 alone")),
        "{found:?}"
    );
    tamper(&house, "UPDATE state SET last_erasure = 0");
    let found = audited(&house, &[]);
    assert!(
        said(&found).contains(&"erasure 1 is there, and numbers were given out up to 0 alone"),
        "{found:?}"
    );
}

/// Puts a receipt in the place of that of erasure 1 and signs it with the key of this seed.
fn forge_receipt(house: &House, seed: u8, change: impl FnOnce(&mut crate::model::erasure::ErasureReceipt)) {
    let stored = house.store.erasure(1).expect("read").expect("there");
    let mut receipt = receipt::verify(&stored.receipt).expect("signed");
    change(&mut receipt);
    let forged = crate::keys::receipt::ReceiptSigner::new(&key(seed)).sign(&receipt);
    let conn = house.sql();
    let update = "UPDATE erasure SET receipt = ?, signature = ?, public_key = ? WHERE id = 1";
    let values = rusqlite::params![forged.receipt_json, forged.signature, forged.public_key];
    assert_eq!(conn.execute(update, values).expect("forged"), 1);
}

#[test]
fn a_purge_signs_no_receipt_that_is_not_its_own() {
    type Change = fn(&mut crate::model::erasure::ErasureReceipt);
    let others: [(u8, Change); 3] = [
        (7, |_| {}),
        (99, |receipt| receipt.tenant = id("other")),
        (99, |receipt| receipt.subject_id = id::<SubjectId>("bob")),
    ];
    for (seed, change) in others {
        let house = furnished();
        house.erase("ada");
        forge_receipt(&house, seed, change);
        let refused = house.store.purge().expect_err("refused");
        assert!(
            refused.to_string().contains("erasure 1: its receipt"),
            "{refused}"
        );
        let stored = house.store.erasure(1).expect("read").expect("there");
        assert!(!stored.purged, "nothing was signed anew");
        assert!(
            said(&audited(&house, &[]))
                .iter()
                .any(|what| what.contains("erasure 1: its receipt"))
        );
    }
    // As it is, it is signed.
    let house = furnished();
    house.erase("ada");
    forge_receipt(&house, 99, |_| {});
    house.store.purge().expect("purged");
    let stored = house.store.erasure(1).expect("read").expect("there");
    assert!(receipt::verify_of(&stored.receipt, signer().public_key()).is_ok());
}

#[test]
fn a_purged_receipt_of_a_former_server_stands_where_that_is_known() {
    let [purged, open] = [true, false].map(|is_purged| {
        let house = furnished();
        house.erase("ada");
        if is_purged {
            house.store.purge().expect("purged");
        }
        forge_receipt(&house, 7, |_| {});
        house
    });
    let mut known = signers();
    let former = crate::keys::receipt::ReceiptSigner::new(&key(7));
    known.former.insert(former.public_key().to_vec());
    for (house, signers, stands) in [
        (&purged, &known, true),
        (&purged, &signers(), false),
        // No server moves one that is open.
        (&open, &known, false),
    ] {
        let copy = house.crash_copy();
        let data = copy.path().join("data");
        let found = audit(&data, &id("acme"), &key(1), signers, &[]).expect("readable");
        assert_eq!(found.faults.is_empty(), stands, "{found:?}");
        let found = verify(&data, &id("acme"), &key(1), signers);
        assert_eq!(found.faults.is_empty(), stands, "{:?}", found.faults);
    }
}

#[test]
fn a_chain_that_somebody_changed_hinders_no_erasure() {
    let house = furnished();
    tamper(&house, "UPDATE chain SET head = x'00'");
    let (erased, removed) = house.erase("ada");
    let receipt = receipt::verify(&erased.receipt).expect("signed");
    assert_eq!(receipt.removed.expect("counted").usage_events, 4);
    assert_eq!(house.exact(&removed), vec![None; removed.len()]);
}
