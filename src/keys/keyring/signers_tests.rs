//! Tests of who is known to have signed before.

use super::*;
use crate::keys::keyring::Purpose;
use crate::keys::receipt::ReceiptSigner;
use crate::keys::secret::SecretKey;

#[test]
fn servers_that_had_a_tenant_before_are_known_until_its_keys_go() {
    let tmp = tempfile::tempdir().expect("a directory");
    let (path, copy) = (tmp.path().join("keyring"), tmp.path().join("copy"));
    let kek = SecretKey::from_bytes([1; 32]);
    let keyring = Keyring::create(&path, &kek).expect("made");
    let [acme, bank]: [TenantId; 2] = ["acme", "bank"].map(|id| id.parse().expect("valid"));
    let adopted = [(Purpose::Data, SecretKey::from_bytes([2; 32]))];
    let other = ReceiptSigner::new(&SecretKey::from_bytes([3; 32]));
    let own = keyring.signer().public_key().to_vec();
    let mut signed_by = SignerKeys::new(other.public_key());
    // It was here once.
    signed_by.former.insert(own.clone());
    for _ in 0..2 {
        keyring.adopt(&acme, &adopted, Some(&signed_by)).expect("taken");
    }
    let mut expected = SignerKeys::new(&own);
    assert_eq!(keyring.signer_keys(&bank).expect("read"), expected);
    expected.former.insert(other.public_key().to_vec());
    keyring.save_as(&copy, &kek, |_| true).expect("saved");
    for path in [&path, &copy] {
        let opened = Keyring::open(path, &kek).expect("durable");
        assert_eq!(opened.signer_keys(&acme).expect("read"), expected);
    }
    let other_kek = SecretKey::from_bytes([4; 32]);
    let text = keyring
        .rewrapped(&other_kek, |tenant| *tenant != acme)
        .expect("wrapped");
    assert!(!text.contains("former_signers"), "{text}");
    keyring.destroy(&acme).expect("destroyed");
    assert_eq!(keyring.signer_keys(&acme).expect("read"), SignerKeys::new(&own));
}
