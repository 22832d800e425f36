//! Tests of sealed links: found and opened by their tenant alone, and bound to their kind.

use super::*;

fn sealer(byte: u8, tenant: &str) -> LinkSealer {
    LinkSealer::new(
        &SecretKey::from_bytes([byte; 32]),
        &tenant.parse().expect("valid"),
    )
}

fn link(kind: LinkKind, value: &str) -> Link {
    Link::new(kind, value.to_owned()).expect("valid")
}

#[test]
fn a_link_is_found_and_opened_by_its_tenant_alone() {
    let phone = link(LinkKind::PhoneNumber, "+43 1 234");
    let sealed = sealer(1, "acme").seal(&phone);
    assert_eq!(sealed.lookup, sealer(1, "acme").lookup(&phone));
    assert_eq!(sealer(1, "acme").open(&sealed).expect("opens"), phone);
    for other in [sealer(2, "acme"), sealer(1, "other")] {
        assert_ne!(other.lookup(&phone), sealed.lookup);
        assert!(matches!(other.open(&sealed), Err(KeyError::LinkSealed)));
    }
}

#[test]
fn kinds_don_t_mix() {
    let acme = sealer(1, "acme");
    let phone = link(LinkKind::PhoneNumber, "123");
    assert_ne!(acme.lookup(&phone), acme.lookup(&link(LinkKind::BadgeId, "123")));
    let mut sealed = acme.seal(&phone);
    sealed.kind = LinkKind::BadgeId;
    assert!(matches!(acme.open(&sealed), Err(KeyError::LinkSealed)));
}

#[test]
fn a_sealed_value_under_another_lookup_is_refused() {
    let acme = sealer(1, "acme");
    let mut sealed = acme.seal(&link(LinkKind::AccountId, "a"));
    sealed.lookup = acme.lookup(&link(LinkKind::AccountId, "b"));
    assert!(matches!(acme.open(&sealed), Err(KeyError::LinkSealed)));
}

#[test]
fn sealings_differ_and_hide_the_value() {
    let acme = sealer(1, "acme");
    let card = link(LinkKind::PaymentToken, "tok_visible");
    let (a, b) = (acme.seal(&card), acme.seal(&card));
    assert_ne!(a.sealed, b.sealed);
    assert!(!a.sealed.windows(11).any(|w| w == b"tok_visible"));
}
