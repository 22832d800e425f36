//! Tests of taking certificates back: numbers are read as they are printed, and a list only grows.

use super::super::PkiError;
use super::*;
use crate::model::principal::Principal;

fn site() -> (tempfile::TempDir, Pki) {
    let dir = tempfile::tempdir().expect("a directory");
    let pki = Pki::init(dir.path(), "example.org").expect("made");
    (dir, pki)
}

fn issue(pki: &Pki) -> crate::server::pki::IssuedCert {
    let principal = Principal::from_path("/admin/root").expect("valid");
    pki.issue(&principal, 1).expect("issued")
}

#[test]
fn serial_numbers_are_read_as_they_are_printed() {
    let (_dir, pki) = site();
    let serial = issue(&pki).serial().expect("there is one");
    let text = serial.to_string();
    assert_eq!(text.parse::<Serial>().expect("its own text"), serial);
    assert_eq!(text.to_uppercase().parse::<Serial>().expect("capitals"), serial);
    for (text, bytes) in [
        ("00:0a:FF", &[0x0a, 0xff][..]),
        ("aff", &[0x0a, 0xff]),
        ("7", &[7]),
    ] {
        assert_eq!(text.parse::<Serial>().expect("a number").0, bytes);
    }
    for text in [
        "",
        "0",
        "00",
        "xy",
        "+7",
        "a+7",
        "-1",
        "é1",
        &"ab".repeat(21),
        "gate-1.pem",
    ] {
        assert!(
            matches!(text.parse::<Serial>(), Err(PkiError::Serial(_))),
            "{text:?}"
        );
    }
}

#[test]
fn a_list_grows_holds_each_once_and_can_be_signed_for_longer() {
    let (dir, pki) = site();
    let [one, two] = [(); 2].map(|()| issue(&pki).serial().expect("there is one"));
    assert_eq!(pki.revoke(dir.path(), &[], 1).expect("signed").certificates, 0);
    assert_eq!(
        pki.revoke(dir.path(), std::slice::from_ref(&one), 1)
            .expect("signed")
            .certificates,
        1
    );
    let both = [one.clone(), two.clone()];
    assert_eq!(pki.revoke(dir.path(), &both, 1).expect("signed").certificates, 2);
    let longer = pki.revoke(dir.path(), &[], 400).expect("signed");
    assert_eq!(longer.certificates, 2);
    assert!(longer.until > OffsetDateTime::now_utc() + Duration::days(399));
    let authority = authority(dir.path()).expect("there");
    let path = dir.path().join(CRL_FILE);
    let (entries, _) = listed(&path, &fs::read(&path).expect("there"), &authority).expect("sound");
    let listed: Vec<String> = entries
        .iter()
        .map(|e| e.serial_number.to_string().replace(':', ""))
        .collect();
    assert_eq!(listed, [one.to_string(), two.to_string()]);
    assert!(matches!(
        pki.revoke(dir.path(), &[], 826),
        Err(PkiError::Days(826))
    ));
}

#[test]
fn somebody_elses_certificate_or_list_is_refused() {
    let ((dir, pki), (other_dir, other)) = (site(), site());
    let cert = issue(&other);
    let error = pki
        .serial_of(dir.path(), cert.cert_pem.as_bytes())
        .expect_err("foreign");
    assert!(matches!(error, PkiError::Foreign));
    other
        .serial_of(other_dir.path(), cert.cert_pem.as_bytes())
        .expect("its own");
    other.revoke(other_dir.path(), &[], 1).expect("signed");
    fs::copy(other_dir.path().join(CRL_FILE), dir.path().join(CRL_FILE)).expect("copied");
    let error = pki
        .revoke(dir.path(), &[], 1)
        .expect_err("another authority's")
        .to_string();
    assert!(error.contains("crl.pem"), "{error}");
}

#[test]
fn those_who_revoke_at_once_lose_nobody() {
    let (dir, pki) = site();
    let dir = dir.path();
    std::thread::scope(|scope| {
        for number in 1..=8 {
            scope.spawn(move || {
                let pki = Pki::open(dir).expect("opened");
                pki.revoke(dir, &[Serial::new(&[number])], 1).expect("signed");
            });
        }
    });
    let list = pki.revoke(dir, &[], 1).expect("signed");
    assert_eq!(list.certificates, 8);
}

#[test]
fn a_list_follows_one_that_was_signed_while_the_clock_was_ahead() {
    let (dir, pki) = site();
    let now = OffsetDateTime::now_utc();
    let ahead = CertificateRevocationListParams {
        this_update: now,
        next_update: now + Duration::days(1),
        crl_number: SerialNumber::from(u64::MAX),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let ahead = ahead.signed_by(&pki.issuer).expect("signed").pem().expect("PEM");
    let path = dir.path().join(CRL_FILE);
    fs::write(&path, &ahead).expect("written");
    let authority = [authority(dir.path()).expect("there")];
    let known = Lists::read(&path, ahead.as_bytes(), &authority)
        .expect("sound")
        .numbers;
    let serial = issue(&pki).serial().expect("there is one");
    pki.revoke(dir.path(), &[serial], 1).expect("signed");
    let next = Lists::read(&path, &fs::read(&path).expect("there"), &authority).expect("sound");
    next.check_numbers(&path, &known).expect("a server takes it");
    let numbers: Vec<_> = next.numbers.into_values().collect();
    assert_eq!(numbers, [[1, 0, 0, 0, 0, 0, 0, 0, 0]]);
}
