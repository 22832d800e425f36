//! Tests of the capture's options: what is accepted, and that refusals say what is expected.

use super::*;

#[test]
fn an_encoder_is_name_and_version() {
    let encoder: EncoderOption = "thenar-palm/1".parse().expect("valid");
    assert_eq!(encoder.0.version, "1");
    for bad in ["thenar", "/1", "a/", "a b/1"] {
        let error = bad.parse::<EncoderOption>().expect_err(bad);
        assert!(error.field.starts_with("encoder"), "{error}");
    }
}

#[test]
fn a_link_is_kind_and_value() {
    let link: LinkOption = "phone-number=+49=1".parse().expect("valid");
    assert_eq!(link.message().kind(), api::LinkKind::PhoneNumber);
    assert_eq!(link.message().value, "+49=1");
    let error = "fax=1".parse::<LinkOption>().expect_err("no such kind");
    assert!(
        error.contains("fax") && error.contains("payment-token"),
        "{error}"
    );
    assert!("badge-id=".parse::<LinkOption>().is_err());
    assert!("badge-id".parse::<LinkOption>().is_err());
}

#[test]
fn every_link_kind_goes_over_the_wire() {
    for kind in LinkKindOption::value_variants() {
        let name = kind.to_possible_value().expect("named").get_name().to_owned();
        let link: LinkOption = format!("{name}=x").parse().expect("valid");
        let wire = link.message().kind().as_str_name().to_lowercase();
        assert_eq!(wire, format!("link_kind_{}", name.replace('-', "_")));
    }
}

#[test]
fn the_value_of_a_link_is_never_shown() {
    let link: LinkOption = "badge-id=4711".parse().expect("valid");
    assert!(!format!("{link:?}").contains("4711"));
}

#[test]
fn a_consent_is_given_now_or_then_and_ends_when_it_says() {
    let mut options = ConsentOptions {
        policy_version: "1".into(),
        purpose: "doors".into(),
        expires: moment("2099-01-01T00:00:00Z").expect("valid"),
        given: Some(moment("2026-01-01T00:00:00.7Z").expect("valid")),
        consent_method: ConsentMethodOption::InApp,
    };
    let given = options.message().give_time.expect("set");
    assert_eq!((given.seconds, given.nanos), (1_767_225_600, 0));
    options.given = None;
    let consent = options.message();
    assert_eq!(consent.expire_time.expect("set").seconds, 4_070_908_800);
    assert!(consent.give_time.expect("set").seconds > 1_700_000_000);
    let error = moment("next year").expect_err("no time");
    assert!(error.contains("2028-01-01T00:00:00Z"), "{error}");
}

#[test]
fn empty_and_overlong_consents_are_refused() {
    assert!(consent_text(" ").is_err());
    assert!(consent_text(&"x".repeat(CONSENT_TEXT_LEN_MAX + 1)).is_err());
    assert_eq!(consent_text("doors").as_deref(), Ok("doors"));
}

#[test]
fn request_ids_are_fresh_and_valid() {
    let (a, b) = (new_request_id(), new_request_id());
    assert_ne!(a, b);
    a.parse::<crate::model::id::RequestId>().expect("valid");
}
