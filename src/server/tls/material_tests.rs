//! Tests of a set of TLS files: what does not fit is refused by the name of its file, and ends are read.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use rustix::fs::{CWD, FileType, Mode};

use super::super::tests::Site;
use super::*;

#[test]
fn files_that_hold_something_else_are_named() {
    for (file, words) in [
        ("ca.pem", "no certificate"),
        ("server.pem", "no certificate"),
        ("server.key", "server.key: "),
        ("crl.pem", "no revocation list"),
    ] {
        let site = Site::new();
        std::fs::write(site.path(file), "nothing").expect("written");
        let refusal = site.refusal();
        assert!(refusal.contains(file) && refusal.contains(words), "{refusal}");
    }
    let site = Site::new();
    std::fs::remove_file(site.path("server.pem")).expect("removed");
    assert!(site.refusal().contains("server.pem: can't be read"));
}

#[test]
fn what_is_no_regular_file_is_refused_and_not_waited_for() {
    for file in ["ca.pem", "server.pem", "server.key", "crl.pem"] {
        let site = Site::new();
        let path = site.path(file);
        // The list may be missing.
        let _ = std::fs::remove_file(&path);
        rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("made");
        let refusal = site.refusal();
        assert!(
            refusal.contains(file) && refusal.contains("no regular file"),
            "{refusal}"
        );
        std::fs::remove_file(&path).expect("removed");
        std::os::unix::fs::symlink("/dev/zero", &path).expect("linked");
        let refusal = site.refusal();
        assert!(
            refusal.contains(file) && refusal.contains("no regular file"),
            "{refusal}"
        );
    }
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let site = Site::new();
    std::fs::remove_file(site.path("server.pem")).expect("removed");
    let other = site.pki.issue_server(&[]).expect("issued");
    std::fs::write(site.path("server.pem"), &other.cert_pem).expect("written");
    let refusal = site.refusal();
    assert!(
        refusal.contains("server.key: it is not the key of") && refusal.contains("server.pem"),
        "{refusal}"
    );
}

#[test]
fn a_list_has_to_be_there_only_where_it_is_asked_for() {
    let site = Site::new();
    Material::read(&site.files()).expect("no list is asked for");
    let files = TlsFiles {
        crl_required: true,
        ..site.files()
    };
    let refusal = Material::read(&files).err().expect("refused").to_string();
    assert!(refusal.contains("crl.pem: can't be read"), "{refusal}");
}

#[test]
fn the_end_of_each_is_told() {
    let site = Site::new();
    site.revoke(&site.client_cert());
    let material = Material::read(&site.files()).expect("sound");
    let days: Vec<(&str, i64)> = material
        .ends()
        .iter()
        .map(|end| (end.which, (end.until.0 - Timestamp::now().0) / 86_400_000_000))
        .collect();
    assert_eq!(days, [("ca", 20 * 365 - 1), ("server", 824), ("crl", 29)]);
    assert!(material.has_list());
    assert_eq!(material.revoked().len(), 1);
}

#[test]
fn a_key_that_everybody_may_read_or_change_is_refused_and_one_of_a_group_is_not() {
    let site = Site::new();
    let key = site.path("server.key");
    let set = |mode| std::fs::set_permissions(&key, Permissions::from_mode(mode)).expect("set");
    for mode in [0o644, 0o602] {
        set(mode);
        let refusal = site.refusal();
        assert!(
            refusal.contains("server.key") && refusal.contains(&format!("mode {mode:o}")),
            "{refusal}"
        );
    }
    for mode in [0o600, 0o440, 0o660] {
        set(mode);
        Material::read(&site.files()).expect("read");
    }
}
