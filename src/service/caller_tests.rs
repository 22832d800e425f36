//! Tests of the peer of a connection: read once, looked at again with each request, and never taken for the other kind.

use rcgen::{CertificateParams, KeyPair, SanType};
use tokio::sync::watch;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::*;
use crate::front::revocation::{CertificateId, Revoked};

const DOMAIN: &str = "example.org";

fn shown_by(path: &str) -> (Extensions, CertificateId) {
    let mut params = CertificateParams::new(Vec::new()).expect("valid");
    let uri = format!("spiffe://{DOMAIN}{path}");
    params.subject_alt_names = vec![SanType::URI(uri.try_into().expect("ASCII"))];
    let key = KeyPair::generate().expect("generated");
    let der = params.self_signed(&key).expect("signed").der().clone();
    let (_, certificate) = X509Certificate::from_der(&der).expect("a certificate");
    let id = CertificateId::new(certificate.issuer().as_raw(), certificate.raw_serial());
    let mut extensions = Extensions::new();
    extensions.insert(Peer::new(vec![der.clone()]));
    (extensions, id)
}

fn revocations() -> (watch::Sender<Arc<Revoked>>, Revocations) {
    let (teller, told) = watch::channel(Arc::default());
    (teller, Revocations::new(told))
}

#[test]
fn a_caller_is_read_once_and_looked_at_every_time() {
    let (teller, revocations) = revocations();
    let (extensions, id) = shown_by("/tenant/acme/scanner/gate-7");
    let first = of(&extensions, DOMAIN, &revocations).expect("known");
    let second = of(&extensions.clone(), DOMAIN, &revocations).expect("still known");
    assert!(Arc::ptr_eq(&first, &second));
    teller.send_replace(Arc::new([id].into()));
    let error = of(&extensions, DOMAIN, &revocations).expect_err("taken back");
    assert!(error.to_string().contains("revoked"), "{error}");
    teller.send_replace(Arc::default());
    of(&extensions, DOMAIN, &revocations).expect("given back");
}

#[test]
fn a_front_is_no_caller_and_a_caller_is_no_front() {
    let (teller, revocations) = revocations();
    let (front, id) = shown_by("/node/front/f1");
    of(&front, DOMAIN, &revocations).expect_err("no caller");
    let known = front_node(&front, DOMAIN, &revocations).expect("a front");
    assert_eq!(known.principal.as_str(), "f1");
    teller.send_replace(Arc::new([id].into()));
    front_node(&front, DOMAIN, &revocations).expect_err("taken back");
    for path in [
        "/tenant/acme/scanner/gate-7",
        "/node/match/f1",
        "/node/front/",
        "/node/front/a/b",
    ] {
        let (other, _) = shown_by(path);
        let error = front_node(&other, DOMAIN, &revocations).expect_err(path);
        assert!(error.to_string().contains("/node/front/<name>"), "{error}");
    }
}

#[test]
fn who_shows_nothing_is_nobody() {
    let (_teller, revocations) = revocations();
    of(&Extensions::new(), DOMAIN, &revocations).expect_err("nobody");
    let mut empty = Extensions::new();
    empty.insert(Peer::new(Vec::new()));
    of(&empty, DOMAIN, &revocations).expect_err("nobody");
}
