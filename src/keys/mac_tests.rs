//! Tests of keyed digests: they separate keys and lists of parts, and have a known answer.

use super::*;
use crate::keys::encoding::to_hex;

fn key(byte: u8) -> MacKey {
    MacKey::new(&SecretKey::from_bytes([byte; 32]))
}

#[test]
fn digests_separate_keys_and_parts() {
    assert_eq!(key(1).digest(&[b"a", b"b"]), key(1).digest(&[b"a", b"b"]));
    assert_ne!(key(1).digest(&[b"a", b"b"]), key(1).digest(&[b"ab"]));
    assert_ne!(key(1).digest(&[b"a", b""]), key(1).digest(&[b"a"]));
    assert_ne!(key(1).digest(&[b"a"]), key(2).digest(&[b"a"]));
}

#[test]
fn a_digest_has_a_known_answer() {
    // Python: hmac.new(b"\x01"*32, struct.pack("<Q", 3) + b"abc", "sha256").hexdigest()
    assert_eq!(
        to_hex(&key(1).digest(&[b"abc"])),
        "e31a3a28ae7c8d9bd7fe78c942d4da68f3c444bd6befb262d5817d8f236cc763"
    );
}

#[test]
fn verification_takes_the_very_digest_alone() {
    let digest = key(1).digest(&[b"a"]);
    assert!(key(1).verify(&[b"a"], &digest));
    assert!(!key(1).verify(&[b"b"], &digest));
    assert!(!key(1).verify(&[b"a"], &digest[..31]));
}
