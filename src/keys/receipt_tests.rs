//! Tests of receipts: a signature stands for one text and one key.

use super::*;
use crate::model::erasure::ErasureState;
use crate::model::timestamp::Timestamp;

fn receipt() -> ErasureReceipt {
    ErasureReceipt {
        erasure: 1,
        tenant: "acme".parse().expect("valid"),
        subject_id: "s-1".parse().expect("valid"),
        erased_at: Timestamp(5),
        purged_at: None,
        state: ErasureState::Erased,
        sealed_row_sha256: vec!["00".repeat(32)],
        sealed_row_search: Vec::new(),
        removed: None,
    }
}

#[test]
fn a_signed_receipt_verifies() {
    let signed = ReceiptSigner::new(&SecretKey::from_bytes([1; 32])).sign(&receipt());
    assert_eq!(verify(&signed).expect("stands"), receipt());
}

#[test]
fn a_changed_text_signature_or_key_does_not() {
    let signed = ReceiptSigner::new(&SecretKey::from_bytes([1; 32])).sign(&receipt());
    let other = ReceiptSigner::new(&SecretKey::from_bytes([2; 32])).sign(&receipt());
    let mut text = signed.clone();
    text.receipt_json = text.receipt_json.replace("s-1", "s-2");
    assert!(matches!(verify(&text), Err(ReceiptError::Signature)));
    let mut signature = signed.clone();
    signature.signature = other.signature;
    assert!(matches!(verify(&signature), Err(ReceiptError::Signature)));
    let mut key = signed;
    key.public_key = other.public_key;
    assert!(matches!(verify(&key), Err(ReceiptError::Signature)));
}

#[test]
fn an_entry_of_the_journal_verifies_with_its_text_and_its_signer_alone() {
    let (signer, other) = (
        ReceiptSigner::new(&SecretKey::from_bytes([1; 32])),
        ReceiptSigner::new(&SecretKey::from_bytes([2; 32])),
    );
    let signature = signer.sign_entry("{}");
    assert!(signer.verify_entry("{}", &signature));
    assert!(!signer.verify_entry("{ }", &signature));
    assert!(!other.verify_entry("{}", &signature));
    assert!(!signer.verify_entry("{}", "no signature"));
    assert!(!signer.verify_entry("{}", &signature.to_uppercase()));
    // A receipt's signature is none of an entry with the same text.
    let receipt = signer.sign(&receipt());
    assert!(!signer.verify_entry(&receipt.receipt_json, &to_hex(&receipt.signature)));
}

#[test]
fn a_receipt_of_another_key_is_told_apart() {
    let [own, other] = [1, 2].map(|seed| ReceiptSigner::new(&SecretKey::from_bytes([seed; 32])));
    let mut signed = other.sign(&receipt());
    assert!(verify_of(&signed, other.public_key()).is_ok());
    assert!(matches!(
        verify_of(&signed, own.public_key()),
        Err(ReceiptError::Stranger)
    ));
    // Who writes another key into it changes nothing for the better.
    signed.public_key = own.public_key().to_vec();
    assert!(matches!(
        verify_of(&signed, own.public_key()),
        Err(ReceiptError::Signature)
    ));
}

#[test]
fn what_a_former_server_signed_stands_where_it_is_known() {
    let [own, former, other] = [1, 2, 3].map(|seed| ReceiptSigner::new(&SecretKey::from_bytes([seed; 32])));
    let mut keys = SignerKeys::new(own.public_key());
    keys.former.insert(former.public_key().to_vec());
    for signer in [&own, &former] {
        assert_eq!(keys.verify(&signer.sign(&receipt())).expect("stands"), receipt());
        let signed = signer.sign_checkpoint(&checkpoint());
        assert_eq!(keys.verify_checkpoint(&signed).expect("stands"), checkpoint());
    }
    let stranger = keys.verify(&other.sign(&receipt()));
    assert!(matches!(stranger, Err(ReceiptError::Stranger)), "{stranger:?}");
    let stranger = keys.verify_checkpoint(&other.sign_checkpoint(&checkpoint()));
    assert!(matches!(stranger, Err(ReceiptError::Stranger)), "{stranger:?}");
    // Who names a known key has not signed with it.
    let mut forged = other.sign(&receipt());
    forged.public_key = former.public_key().to_vec();
    assert!(matches!(keys.verify(&forged), Err(ReceiptError::Signature)));
}

#[test]
fn a_receipt_of_an_earlier_release_is_read_and_signed_anew_without_claiming_more() {
    let text = r#"{"erasure":1,"tenant":"acme","subject_id":"s-1","erased_at":5,"purged_at":null,"state":"erased","sealed_row_sha256":["00"]}"#;
    let read: ErasureReceipt = serde_json::from_str(text).expect("a receipt");
    assert_eq!((read.removed, read.sealed_row_search.len()), (None, 0));
    let signer = ReceiptSigner::new(&SecretKey::from_bytes([1; 32]));
    assert_eq!(signer.sign(&read).receipt_json, text);
}

fn checkpoint() -> Checkpoint {
    Checkpoint {
        tenant: "acme".parse().expect("valid"),
        created_at: Timestamp(1),
        at: Timestamp(5),
        event: 7,
        head: "00".repeat(32),
        erasures: 0,
        events_erased: 0,
        since: crate::model::checkpoint::ChainStart::default(),
    }
}

#[test]
fn a_checkpoint_verifies_with_its_text_and_its_signer_alone() {
    let [own, other] = [1, 2].map(|seed| ReceiptSigner::new(&SecretKey::from_bytes([seed; 32])));
    let signed = own.sign_checkpoint(&checkpoint());
    let of = |signed: &SignedCheckpoint| verify_checkpoint_of(signed, own.public_key());
    assert_eq!(of(&signed).expect("stands"), checkpoint());
    let mut changed = signed.clone();
    changed.checkpoint_json = changed.checkpoint_json.replace("\"event\":7", "\"event\":8");
    assert!(matches!(of(&changed), Err(ReceiptError::Signature)));
    let mut foreign = other.sign_checkpoint(&checkpoint());
    assert!(matches!(of(&foreign), Err(ReceiptError::Stranger)));
    foreign.public_key = own.public_key().to_vec();
    assert!(matches!(of(&foreign), Err(ReceiptError::Signature)));
    // Nothing that is signed as something else passes for a checkpoint.
    let receipt = own.sign(&receipt());
    let disguised = SignedCheckpoint {
        checkpoint_json: receipt.receipt_json,
        signature: receipt.signature,
        public_key: receipt.public_key,
    };
    assert!(matches!(of(&disguised), Err(ReceiptError::Signature)));
    let disguised = SignedReceipt {
        receipt_json: signed.checkpoint_json,
        signature: signed.signature,
        public_key: signed.public_key,
    };
    assert!(matches!(verify(&disguised), Err(ReceiptError::Signature)));
}
