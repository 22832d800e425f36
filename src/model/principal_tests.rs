//! Tests of principals: paths go there and back, and no path reaches further than it says.

use super::*;

#[test]
fn paths_go_there_and_back() {
    for path in [
        "/tenant/acme/scanner/gate-1",
        "/tenant/a/operator/x",
        "/tenant/a/enroller/x",
        "/admin/root",
    ] {
        assert_eq!(Principal::from_path(path).expect(path).path(), path);
    }
}

#[test]
fn an_admin_is_of_one_tenant_or_of_the_server() {
    let of_tenant = Principal::from_path("/tenant/acme/admin/root").expect("admin of a tenant");
    assert!(matches!(
        of_tenant,
        Principal::Member {
            role: Role::Admin,
            ..
        }
    ));
    let of_server = Principal::from_path("/admin/root").expect("admin");
    assert!(matches!(of_server, Principal::Admin { .. }) && of_server.role() == Role::Admin);
}

#[test]
fn odd_paths_are_refused() {
    for bad in [
        "",
        "/",
        "/tenant/a/scanner",
        "/tenant/a/scanner/x/y",
        "/tenant//scanner/x",
        "tenant/a/scanner/x",
        "/tenant/A/scanner/x",
        "/tenant/a/owner/x",
    ] {
        assert!(Principal::from_path(bad).is_err(), "{bad}");
    }
}
