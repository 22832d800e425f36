//! Tests of sealing: what was sealed opens, everything else is refused.

use super::*;

fn sealer() -> Sealer {
    Sealer::new(&SecretKey::from_bytes([3; 32]))
}

#[test]
fn sealed_bytes_open_under_the_same_context_alone() {
    let sealed = sealer().seal(b"tenant a", b"row");
    assert_eq!(
        sealer().open(b"tenant a", &sealed).expect("opens").as_slice(),
        b"row"
    );
    assert_eq!(sealer().open(b"tenant b", &sealed), Err(AeadError));
    assert_eq!(
        Sealer::new(&SecretKey::from_bytes([4; 32])).open(b"tenant a", &sealed),
        Err(AeadError)
    );
}

#[test]
fn every_flipped_bit_is_found() {
    let sealed = sealer().seal(b"", b"0123456789");
    for at in 0..sealed.len() * 8 {
        let mut damaged = sealed.clone();
        damaged[at / 8] ^= 1 << (at % 8);
        assert_eq!(sealer().open(b"", &damaged), Err(AeadError), "bit {at}");
    }
}

#[test]
fn short_input_is_refused() {
    for len in 0..NONCE_LEN + TAG_LEN {
        assert_eq!(sealer().open(b"", &vec![0; len]), Err(AeadError), "{len} bytes");
    }
    let empty = sealer().seal(b"", b"");
    assert!(sealer().open(b"", &empty).expect("opens").is_empty());
}

#[test]
fn blocks_open_at_their_number_alone() {
    let mut data = *b"some block of a file";
    let tag = sealer().seal_at([1; NONCE_LEN], b"aad", &mut data);
    assert_ne!(&data, b"some block of a file");
    let mut moved = data;
    assert_eq!(
        sealer().open_at([2; NONCE_LEN], b"aad", &mut moved, &tag),
        Err(AeadError)
    );
    sealer()
        .open_at([1; NONCE_LEN], b"aad", &mut data, &tag)
        .expect("opens");
    assert_eq!(&data, b"some block of a file");
}

#[test]
fn two_sealings_of_one_text_differ() {
    assert_ne!(sealer().seal(b"", b"same"), sealer().seal(b"", b"same"));
}
