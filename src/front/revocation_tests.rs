//! Tests of revocation: who was taken back is refused from then on, by issuer and number, and is told while it waits.

use std::time::Duration;

use rcgen::{CertificateParams, Issuer, KeyPair, SerialNumber};

use super::*;

/// A certificate of an issuer with this name.
fn certificate(issuer: &str, serial: &[u8]) -> Vec<u8> {
    let named = |name: &str| {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name.to_owned());
        params
    };
    let key = KeyPair::generate().expect("generated");
    let issuer = Issuer::new(named(issuer), KeyPair::generate().expect("generated"));
    let mut params = named("leaf");
    params.serial_number = Some(SerialNumber::from_slice(serial));
    params.signed_by(&key, &issuer).expect("signed").der().to_vec()
}

fn revoked(der: &[u8]) -> Arc<Revoked> {
    Arc::new(Revoked::from([CertificateId::of(der).expect("a certificate")]))
}

#[test]
fn issuer_and_number_say_who_it_is() {
    let chain = [certificate("one", &[0x90, 7])];
    let (teller, told) = watch::channel(Arc::default());
    let standing = Standing::of(&chain, &Revocations::new(told)).expect("a certificate");
    standing.check().expect("nobody was taken back");
    teller.send_replace(revoked(&certificate("two", &[0x90, 7])));
    standing.check().expect("another issuer's");
    teller.send_replace(revoked(&certificate("one", &[0x90, 8])));
    standing.check().expect("another number");
    teller.send_replace(revoked(&chain[0]));
    let error = standing.check().expect_err("taken back").to_string();
    assert!(error.contains("revoked"), "{error}");
    // Whether a leading zero is written or not: the number is the same.
    assert_eq!(
        CertificateId::new(b"x", &[0, 0x90]),
        CertificateId::new(b"x", &[0x90])
    );
}

#[test]
fn an_authority_in_between_that_was_taken_back_takes_its_certificates_along() {
    let chain = [certificate("between", &[1]), certificate("top", &[2])];
    let (_teller, told) = watch::channel(revoked(&chain[1]));
    let standing = Standing::of(&chain, &Revocations::new(told)).expect("certificates");
    standing.check().expect_err("taken back");
}

#[tokio::test]
async fn a_change_wakes_who_waits_and_a_reader_that_ended_does_not() {
    let (teller, told) = watch::channel(Arc::default());
    let mut standing =
        Standing::of(&[certificate("one", &[1])], &Revocations::new(told)).expect("a certificate");
    teller.send_replace(Arc::default());
    standing.changed().await;
    drop(teller);
    tokio::time::timeout(Duration::from_millis(1), standing.changed())
        .await
        .expect_err("nothing changes any more");
}
