//! Tests of reading signed texts from files.

use serde_json::json;

use super::*;

#[test]
fn both_ways_to_write_bytes_are_read() {
    let hex = json!({
        "erasure": 1, "state": "ERASED", "receipt_json": "{}",
        "signature": "07".repeat(64), "public_key": "00".repeat(32),
    });
    let base64 = json!({
        "receiptJson": "{}", "publicKey": format!("{}=", "A".repeat(43)),
        "signature": format!("{}Bw==", "BwcH".repeat(21)),
    });
    for text in [hex, base64] {
        let signed = parse(&text.to_string(), Kind::Receipt).expect("a receipt");
        assert_eq!((signed.signature, signed.public_key), (vec![7; 64], vec![0; 32]));
    }
}

#[test]
fn what_is_no_receipt_is_told() {
    let short = json!({"receipt_json": "{}", "signature": "07", "public_key": "00".repeat(32)});
    let problem = parse(&short.to_string(), Kind::Receipt).expect_err("too short");
    assert!(problem.starts_with("signature is not 64 bytes"), "{problem}");
    assert!(parse("{}", Kind::Receipt).is_err() && parse("", Kind::Receipt).is_err());
    let signature = "07".repeat(64);
    let whole = json!({"receipt_json": "{}", "signature": signature, "public_key": "00".repeat(32)});
    let problem = parse(&whole.to_string(), Kind::Checkpoint).err();
    assert_eq!(
        problem.as_deref(),
        Some("is not a signed checkpoint: it has no checkpoint_json")
    );
}
