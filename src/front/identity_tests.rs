//! Tests of identity: one SPIFFE id of this trust domain makes a caller, everything else is refused in words.

use rcgen::{CertificateParams, KeyPair, SanType};

use super::*;
use crate::front::revocation::CertificateId;
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

fn read(der: &[u8]) -> Result<Caller, FrontError> {
    let (_, told) = tokio::sync::watch::channel(std::sync::Arc::default());
    Caller::from_certificates(&[der], "example.org", &Revocations::new(told))
}

#[test]
fn a_spiffe_id_names_the_principal() {
    let der = certificate(&["spiffe://example.org/tenant/acme/scanner/gate-7"]);
    let caller = read(&der).expect("known");
    assert_eq!(
        caller.principal,
        Principal::Member {
            tenant: "acme".parse().expect("valid"),
            role: Role::Scanner,
            name: "gate-7".parse().expect("valid"),
        }
    );
    let der = certificate(&["spiffe://example.org/admin/root"]);
    let caller = read(&der).expect("known");
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
        let error = read(&certificate(uris)).expect_err(words);
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
        let error = read(der).expect_err("refused");
        assert!(error.to_string().contains("not an X.509 certificate"), "{error}");
    }
}

#[tokio::test]
async fn the_end_of_a_certificate_is_awaited_and_so_is_its_being_taken_back() {
    let der = certificate(&["spiffe://example.org/admin/root"]);
    let (teller, told) = tokio::sync::watch::channel(std::sync::Arc::default());
    let revocations = Revocations::new(told);
    let mut caller = Caller::from_certificates(&[&der], "example.org", &revocations).expect("known");
    let taken_back = caller.clone();
    let waits = tokio::spawn(async move { taken_back.ended().await.to_string() });
    let (_, certificate) = X509Certificate::from_der(&der).expect("a certificate");
    let id = CertificateId::new(certificate.issuer().as_raw(), certificate.raw_serial());
    teller.send_replace(std::sync::Arc::new([id].into()));
    let told = tokio::time::timeout(LOOK_EVERY, waits).await.expect("it is told");
    assert!(told.expect("it ended").contains("revoked"));
    Caller::from_certificates(&[&der], "example.org", &revocations).expect_err("taken back");
    teller.send_replace(std::sync::Arc::default());
    caller.valid_until = Timestamp::now().plus(Duration::from_millis(1));
    assert!(caller.ended().await.to_string().contains("expired"));
}
