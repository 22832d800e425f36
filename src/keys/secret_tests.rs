//! Tests of secrets: derivation separates contexts and stays the same, and nothing is shown.

use super::*;

#[test]
fn derivation_is_stable_and_separates() {
    let key = SecretKey::from_bytes([7; SECRET_LEN]);
    assert_eq!(key.derive(&[b"a", b"b"]), key.derive(&[b"a", b"b"]));
    assert_ne!(key.derive(&[b"a", b"b"]), key.derive(&[b"ab"]));
    assert_ne!(key.derive(&[b"a", b"b"]), key.derive(&[b"a", b"", b"b"]));
    assert_ne!(
        key.derive(&[b"a"]),
        SecretKey::from_bytes([8; SECRET_LEN]).derive(&[b"a"])
    );
    assert_ne!(key.derive(&[]), key);
}

#[test]
fn derivation_has_a_known_answer() {
    // Computed with another implementation of RFC 5869.
    let derived = SecretKey::from_bytes([1; SECRET_LEN]).derive(&[b"segment", b"x"]);
    assert_eq!(
        crate::keys::encoding::to_hex(derived.expose().as_slice()),
        "fbcd3c005f6507a10f45ed199018adfce4b15cc8c85ef968a83e4e2ee6cd622a"
    );
}

#[test]
fn random_secrets_differ_and_are_not_shown() {
    let (a, b) = (SecretKey::random(), SecretKey::random());
    assert_ne!(a, b);
    assert_eq!(format!("{a:?}"), "SecretKey(..)");
}
