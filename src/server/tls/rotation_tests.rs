//! Tests of the exchange of TLS files: a set that fits is taken, one that does not leaves the former in its place.

use super::super::material::server_side;
use super::super::tests::Site;
use super::*;

#[tokio::test]
async fn a_change_is_taken_once_it_is_seen_twice() {
    let site = Site::new();
    let mut rotation = Rotation::load(site.files(), server_side).expect("sound");
    let made = rotation.made();
    rotation.look().await;
    rotation.look().await;
    assert!(!made.has_changed().expect("it lives"), "nothing changed");
    let standing = site.client_cert();
    site.revoke(&standing);
    rotation.look().await;
    assert!(!made.has_changed().expect("it lives"), "more may come");
    rotation.look().await;
    assert!(made.has_changed().expect("it lives"));
    assert_eq!(rotation.revoked.borrow().len(), 1);
}

#[tokio::test]
async fn what_does_not_fit_leaves_the_former_set_and_is_not_tried_again() {
    let site = Site::new();
    site.revoke(&site.client_cert());
    let mut rotation = Rotation::load(site.files(), server_side).expect("sound");
    let made = rotation.made();
    for file in ["ca.pem", "server.pem", "server.key", "crl.pem"] {
        let kept = std::fs::read(site.path(file)).expect("readable");
        std::fs::write(site.path(file), "nothing").expect("written");
        rotation.exchange().await;
        let tried = rotation.tried;
        rotation.look().await;
        assert!(rotation.seen.is_none(), "the same is not read twice");
        assert_eq!(rotation.tried, tried);
        std::fs::write(site.path(file), kept).expect("written");
    }
    assert!(!made.has_changed().expect("it lives"));
    rotation.exchange().await;
    assert!(made.has_changed().expect("it lives"), "all is well again");
}

#[tokio::test]
async fn a_list_that_goes_away_takes_nobodys_revocation_back() {
    let site = Site::new();
    let mut rotation = Rotation::load(site.files(), server_side).expect("sound");
    site.revoke(&site.client_cert());
    rotation.exchange().await;
    std::fs::remove_file(site.path("crl.pem")).expect("removed");
    rotation.exchange().await;
    assert_eq!(rotation.revoked.borrow().len(), 1);
}

#[test]
fn what_lives_shortly_ends_soon_later() {
    let now = Timestamp::now();
    let end = |days_before: u64, days_left: u64| End {
        which: "server",
        path: "server.pem".into(),
        from: now.minus(Duration::from_hours(24 * days_before)),
        until: now.plus(Duration::from_hours(24 * days_left)),
    };
    assert!(!ends_soon(&end(300, 15), now));
    assert!(ends_soon(&end(300, 13), now));
    assert!(!ends_soon(&end(4, 3), now), "of a week more than a third is left");
    assert!(ends_soon(&end(5, 2), now));
}

#[tokio::test]
async fn an_older_list_and_another_authority_take_nobodys_revocation_back() {
    let (site, other) = (Site::new(), Site::new());
    let mut rotation = Rotation::load(site.files(), server_side).expect("sound");
    site.revoke(&site.client_cert());
    let older = std::fs::read(site.path("crl.pem")).expect("readable");
    site.revoke(&site.client_cert());
    rotation.exchange().await;
    assert_eq!(rotation.revoked.borrow().len(), 2);
    std::fs::write(site.path("crl.pem"), older).expect("written");
    rotation.exchange().await;
    assert_eq!(rotation.revoked.borrow().len(), 2, "the older list is refused");
    other.revoke(&other.client_cert());
    for file in ["ca.pem", "server.pem", "server.key", "crl.pem"] {
        std::fs::copy(other.path(file), site.path(file)).expect("copied");
    }
    let made = rotation.made();
    rotation.exchange().await;
    assert!(made.has_changed().expect("it lives"), "it is taken");
    assert_eq!(
        rotation.revoked.borrow().len(),
        3,
        "the former authority's are kept"
    );
}

#[tokio::test]
async fn a_file_that_may_be_read_now_is_tried_again() {
    use std::os::unix::fs::PermissionsExt;
    let site = Site::new();
    let mut rotation = Rotation::load(site.files(), server_side).expect("sound");
    let allowed = std::fs::metadata(site.path("server.key"))
        .expect("there")
        .permissions();
    std::fs::set_permissions(site.path("server.key"), std::fs::Permissions::from_mode(0o400))
        .expect("changed");
    rotation.exchange().await;
    let tried = rotation.tried;
    std::fs::set_permissions(site.path("server.key"), allowed).expect("changed");
    rotation.look().await;
    rotation.look().await;
    assert_ne!(rotation.tried, tried);
}
