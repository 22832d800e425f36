//! Tests of revocation lists: signature, issuer and end are looked at before anybody is let in by one.

use rcgen::{CertificateRevocationListParams, Issuer, KeyIdMethod, KeyPair, SerialNumber};
use time::{Duration, OffsetDateTime};

use super::super::tests::Site;

/// Signs an empty list with the key in `by`, in the name of the authority in `of`, that ends in so many days.
fn write_list(site: &Site, of: &Site, by: &Site, days: i64) -> String {
    let read = |site: &Site, file: &str| std::fs::read_to_string(site.path(file)).expect("readable");
    let key = KeyPair::from_pem(&read(by, "ca.key")).expect("a key");
    let issuer = Issuer::from_ca_cert_pem(&read(of, "ca.pem"), key).expect("an authority");
    let until = OffsetDateTime::now_utc() + Duration::days(days);
    let list = CertificateRevocationListParams {
        this_update: until - Duration::days(100),
        next_update: until,
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let pem = list.signed_by(&issuer).expect("signed").pem().expect("PEM");
    std::fs::write(site.path("crl.pem"), &pem).expect("written");
    pem
}

#[test]
fn another_signature_or_issuer_is_refused() {
    let (site, other) = (Site::new(), Site::new());
    write_list(&site, &site, &site, 1);
    super::super::material::Material::read(&site.files()).expect("the authority's own");
    write_list(&site, &site, &other, 1);
    let refusal = site.refusal();
    assert!(
        refusal.contains("crl.pem") && refusal.contains("signature"),
        "{refusal}"
    );
    write_list(&site, &other, &other, 1);
    let refusal = site.refusal();
    assert!(
        refusal.contains("crl.pem") && refusal.contains("none of the authorities"),
        "{refusal}"
    );
}

#[test]
fn a_list_that_has_ended_is_refused() {
    let site = Site::new();
    write_list(&site, &site, &site, -1);
    let refusal = site.refusal();
    assert!(
        refusal.contains("crl.pem") && refusal.contains("ended on"),
        "{refusal}"
    );
}

#[test]
fn two_lists_of_one_authority_and_two_authorities_of_one_name_are_refused() {
    let site = Site::new();
    let list = write_list(&site, &site, &site, 1);
    std::fs::write(site.path("crl.pem"), list.repeat(2)).expect("written");
    assert!(site.refusal().contains("two lists of"), "{}", site.refusal());
    write_list(&site, &site, &site, 1);
    let ca = std::fs::read_to_string(site.path("ca.pem")).expect("readable");
    std::fs::write(site.path("ca.pem"), ca.repeat(2)).expect("written");
    assert!(site.refusal().contains("two authorities"), "{}", site.refusal());
}
