//! Tests of envelopes: a wrapped key opens at its place and under its key alone.

use super::*;

fn envelope(byte: u8) -> Envelope {
    Envelope::new(&SecretKey::from_bytes([byte; 32]))
}

#[test]
fn a_wrapped_key_opens_at_its_place_alone() {
    let key = SecretKey::random();
    let wrapped = envelope(1).wrap(&key, &["acme", "data"]);
    assert_eq!(envelope(1).unwrap(&wrapped, &["acme", "data"]), Ok(key));
    for place in [&["acme", "link"][..], &["other", "data"], &["acmedata"], &[]] {
        assert_eq!(envelope(1).unwrap(&wrapped, place), Err(AeadError), "{place:?}");
    }
    assert_eq!(envelope(2).unwrap(&wrapped, &["acme", "data"]), Err(AeadError));
}

#[test]
fn what_is_no_wrapped_key_is_refused() {
    for text in ["", "zz", "00", &"00".repeat(60)] {
        assert_eq!(envelope(1).unwrap(text, &[]), Err(AeadError), "{text}");
    }
}

#[test]
fn the_digest_of_a_whole_is_keyed() {
    let digest = envelope(1).digest(b"whole");
    assert!(envelope(1).verify(b"whole", &digest));
    assert!(!envelope(1).verify(b"whale", &digest));
    assert!(!envelope(2).verify(b"whole", &digest));
    assert!(!envelope(1).verify(b"whole", "not hex"));
}
