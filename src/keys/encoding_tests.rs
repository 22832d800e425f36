//! Tests of text encodings: the examples of RFC 4648, and refusal of everything that is not one text for one value.

use super::*;

#[test]
fn hexadecimal_goes_both_ways() {
    let bytes: Vec<u8> = (0..=255).collect();
    assert_eq!(from_hex(&to_hex(&bytes)).expect("hex").as_slice(), bytes);
    assert_eq!(from_hex("fF00").expect("hex").as_slice(), [255, 0]);
    for bad in ["f", "fg", "+f", "é"] {
        assert!(from_hex(bad).is_none(), "{bad}");
    }
}

#[test]
fn base64_reads_the_examples_of_the_standard() {
    for (text, plain) in [
        ("", ""),
        ("Zg==", "f"),
        ("Zm8=", "fo"),
        ("Zm9v", "foo"),
        ("Zm9vYg", "foob"),
        ("Zm9vYmE=", "fooba"),
        ("Zm9vYmFy", "foobar"),
    ] {
        assert_eq!(from_base64(text).expect(text).as_slice(), plain.as_bytes());
    }
    assert_eq!(
        from_base64("-_-_").expect("url-safe"),
        from_base64("+/+/").expect("standard")
    );
}

#[test]
fn base64_refuses_what_is_not_canonical() {
    for bad in ["Z", "Zg=", "Zg===", "Zh==", "Z g=", "Zm9v=", "Z*=="] {
        assert!(from_base64(bad).is_none(), "{bad}");
    }
}
