//! Tests of identity: one SPIFFE id of this trust domain makes a caller, everything else is refused in words.

use rcgen::{CertificateParams, KeyPair, SanType};

use super::*;
use crate::model::principal::Role;

fn certificate(uris: &[&str]) -> Vec<u8> {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("valid");
    for uri in uris {
        params
            .subject_alt_names
            .push(SanType::URI((*uri).try_into().expect("ASCII")));
    }
    let key = KeyPair::generate().expect("generated");
    params.self_signed(&key).expect("signed").der().to_vec()
}

#[test]
fn a_spiffe_id_names_the_principal() {
    let der = certificate(&["spiffe://example.org/tenant/acme/scanner/gate-7"]);
    let caller = Caller::from_certificate(&der, "example.org").expect("known");
    assert_eq!(
        caller.principal,
        Principal::Member {
            tenant: "acme".parse().expect("valid"),
            role: Role::Scanner,
            name: "gate-7".parse().expect("valid"),
        }
    );
    let der = certificate(&["spiffe://example.org/admin/root"]);
    let caller = Caller::from_certificate(&der, "example.org").expect("known");
    assert_eq!(caller.principal.role(), Role::Admin);
}

#[test]
fn everything_else_is_refused_in_words() {
    let good = "spiffe://example.org/admin/root";
    for (uris, words) in [
        (&[][..], "holds 0 URIs"),
        (&[good, "spiffe://example.org/admin/other"], "holds 2 URIs"),
        (&["https://example.org/admin/root"], "not a SPIFFE id"),
        (
            &["spiffe://example.com/admin/root"],
            "trust domain \"example.com\"",
        ),
        (&["spiffe://example.org.evil/admin/root"], "trust domain"),
        (&["spiffe://example.org"], "is neither"),
        (&["spiffe://example.org/tenant/acme/king/x"], "none of scanner"),
        (&["spiffe://example.org/tenant/ACME/scanner/x"], "tenant"),
        (&["spiffe://example.org/tenant/acme/scanner/x/y"], "is neither"),
    ] {
        let error = Caller::from_certificate(&certificate(uris), "example.org").expect_err(words);
        let text = error.to_string();
        assert!(
            matches!(error, FrontError::Unauthenticated(_)) && text.contains(words),
            "{text}"
        );
    }
}

#[test]
fn what_is_no_certificate_is_refused() {
    for der in [&b""[..], b"\x30\x03\x02\x01", b"-----BEGIN CERTIFICATE-----"] {
        let error = Caller::from_certificate(der, "example.org").expect_err("refused");
        assert!(error.to_string().contains("not an X.509 certificate"), "{error}");
    }
}
