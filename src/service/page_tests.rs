//! Tests of page tokens.

use super::*;

#[test]
fn a_token_comes_back_as_its_position() {
    let text = token("tenants", b"acme");
    assert_eq!(
        position("tenants", &text).expect("a token"),
        Some(b"acme".to_vec())
    );
    assert_eq!(position("tenants", "").expect("the first page"), None);
}

#[test]
fn a_token_of_another_question_is_refused() {
    let text = token("usage/acme/", &7u64.to_le_bytes());
    let refusal = position("usage/acme/ada", &text).expect_err("another subject");
    assert_eq!(refusal.field, "page_token");
}

#[test]
fn a_changed_token_is_refused() {
    let text = token("tenants", b"acme");
    for at in 0..text.len() {
        let mut changed = text.clone().into_bytes();
        let byte = changed.get_mut(at).expect("within");
        *byte = if *byte == b'0' { b'1' } else { b'0' };
        let changed = String::from_utf8(changed).expect("digits");
        assert!(position("tenants", &changed).is_err(), "{changed}");
    }
    for odd in ["0", "zz", "00", &"0".repeat(TOKEN_LEN_MAX + 2), "é1"] {
        assert!(position("tenants", odd).is_err(), "{odd}");
    }
}

#[test]
fn page_sizes_have_a_default_and_a_limit() {
    assert_eq!(size(0).expect("default"), PAGE_SIZE_DEFAULT);
    assert_eq!(size(1_000).expect("largest"), 1_000);
    let refusal = size(1_001).expect_err("too large");
    assert_eq!(refusal.to_string(), "page_size: 1001 is not from 0 to 1000");
}
