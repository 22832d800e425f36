//! Tests of certificates: who may be named.

use super::*;

fn name() -> PrincipalName {
    "door-1".parse().expect("valid")
}

#[test]
fn only_an_admin_belongs_to_no_tenant() {
    let tenant: TenantId = "acme".parse().expect("valid");
    let member = principal(Role::Scanner, Some(tenant.clone()), name()).expect("valid");
    assert_eq!(member.path(), "/tenant/acme/scanner/door-1");
    let admin = principal(Role::Admin, None, name()).expect("valid");
    assert_eq!(admin.path(), "/admin/door-1");
    let own = principal(Role::Admin, Some(tenant), name()).expect("valid");
    assert_eq!(own.path(), "/tenant/acme/admin/door-1");
    let error = principal(Role::Scanner, None, name()).expect_err("no tenant");
    assert_eq!(error.exit_code(), 2);
    assert!(error.to_string().contains("--tenant"), "{error}");
}
