//! Tests of the authority: files are private, certificates name what they should, nothing is overwritten.

use std::os::unix::fs::PermissionsExt;

use x509_parser::extensions::GeneralName;
use x509_parser::pem::parse_x509_pem;

use super::*;

fn uris(cert: &IssuedCert) -> Vec<String> {
    let (_, pem) = parse_x509_pem(cert.cert_pem.as_bytes()).expect("PEM");
    let certificate = pem.parse_x509().expect("a certificate");
    let names = certificate
        .subject_alternative_name()
        .expect("sound")
        .expect("there are some");
    let uri = |name: &GeneralName<'_>| match name {
        GeneralName::URI(uri) => Some((*uri).to_owned()),
        _ => None,
    };
    names.value.general_names.iter().filter_map(uri).collect()
}

#[test]
fn a_client_certificate_has_one_spiffe_id() {
    let dir = tempfile::tempdir().expect("a directory");
    let pki = Pki::init(dir.path(), "example.org").expect("made");
    let principal = Principal::from_path("/tenant/acme/scanner/gate-1").expect("valid");
    let cert = pki.issue(&principal, 30).expect("issued");
    assert_eq!(uris(&cert), ["spiffe://example.org/tenant/acme/scanner/gate-1"]);
    let node = pki.issue_node(NodeKind::Front, "f1", &[]).expect("issued");
    assert_eq!(uris(&node), ["spiffe://example.org/node/front/f1"]);
    assert!(
        uris(
            &pki.issue_server(&["thenar.example.org".to_owned()])
                .expect("issued")
        )
        .is_empty()
    );
}

#[test]
fn keys_are_for_their_owner_alone_and_nothing_is_overwritten() {
    let dir = tempfile::tempdir().expect("a directory");
    let pki = Pki::init(dir.path(), "example.org").expect("made");
    let mode = |name: &str| {
        fs::metadata(dir.path().join(name))
            .expect("there")
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!((mode("ca.key"), mode("ca.pem")), (0o600, 0o644));
    assert!(matches!(
        Pki::init(dir.path(), "example.org"),
        Err(PkiError::Io { .. })
    ));
    let cert = pki.issue_server(&[]).expect("issued");
    cert.write(dir.path(), "server").expect("written");
    let error = cert
        .write(dir.path(), "server")
        .expect_err("there already")
        .to_string();
    assert!(error.contains("server.key"), "{error}");
}

#[test]
fn days_and_names_have_limits() {
    let dir = tempfile::tempdir().expect("a directory");
    let pki = Pki::init(dir.path(), "example.org").expect("made");
    let principal = Principal::from_path("/admin/root").expect("valid");
    assert!(matches!(pki.issue(&principal, 0), Err(PkiError::Days(0))));
    assert!(matches!(
        pki.issue(&principal, CLIENT_DAYS_MAX + 1),
        Err(PkiError::Days(_))
    ));
    assert!(matches!(
        pki.issue_server(&["ä".to_owned()]),
        Err(PkiError::Name(_))
    ));
}

#[test]
fn an_authority_whose_key_everybody_may_read_issues_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    Pki::init(dir.path(), "example.org").expect("made");
    let key = dir.path().join("ca.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).expect("set");
    let refusal = Pki::open(dir.path()).err().expect("refused");
    assert!(refusal.to_string().contains("mode 644"), "{refusal}");
}
