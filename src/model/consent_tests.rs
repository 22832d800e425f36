//! Tests of consent: complete, bounded in length, and not over.

use super::*;

fn consent() -> Consent {
    Consent {
        policy_version: "2026-1".into(),
        purpose: "office doors".into(),
        given_at: Timestamp(10),
        expires_at: Timestamp(1_000),
        method: ConsentMethod::InApp,
    }
}

#[test]
fn a_complete_consent_holds_until_it_expires() {
    assert_eq!(consent().check(Timestamp(999)), Ok(()));
    let refusal = consent().check(Timestamp(1_000)).expect_err("expired");
    assert_eq!(refusal.field, "consent.expires_at");
}

#[test]
fn missing_and_overlong_texts_are_refused() {
    let mut missing = consent();
    missing.purpose = "  ".into();
    assert_eq!(
        missing.check(Timestamp(20)).expect_err("blank").field,
        "consent.purpose"
    );
    let mut long = consent();
    long.policy_version = "v".repeat(CONSENT_TEXT_LEN_MAX + 1);
    let text = long.check(Timestamp(20)).expect_err("long").to_string();
    assert!(text.contains("257") && text.contains("256"), "{text}");
}
