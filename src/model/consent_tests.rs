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
    assert_eq!(refusal.field, "consent.expire_time");
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

#[test]
fn a_consent_is_not_given_tomorrow() {
    let mut early = consent();
    early.given_at = Timestamp(20).plus(CLOCK_SLACK);
    early.expires_at = early.given_at.plus(CLOCK_SLACK);
    assert_eq!(early.check(Timestamp(20)), Ok(()));
    early.given_at.0 += 1;
    assert_eq!(
        early.check(Timestamp(20)).expect_err("ahead").field,
        "consent.give_time"
    );
}
