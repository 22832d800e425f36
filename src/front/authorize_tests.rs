//! Tests of authorisation: the whole matrix, written a second time as one line a method, and the tenants' walls.

use super::*;
use crate::front::revocation::Standing;
use crate::model::timestamp::Timestamp;

fn tenant(id: &str) -> TenantId {
    id.parse().expect("valid")
}

fn caller(path: &str) -> Caller {
    Caller {
        principal: Principal::from_path(path).expect("valid"),
        valid_until: Timestamp(i64::MAX),
        standing: Standing::default(),
    }
}

/// Method, then whether scanner, enroller, operator, tenant's admin may call it.
const MATRIX: [(Method, [bool; 4]); 20] = [
    (Method::Identify, [true, false, true, false]),
    (Method::Verify, [true, false, true, false]),
    (Method::GetProbeKey, [true, false, true, false]),
    (Method::Investigate, [false, false, true, false]),
    (Method::Enroll, [false, true, true, false]),
    (Method::Erase, [false, true, true, false]),
    (Method::GetErasure, [false, true, true, false]),
    (Method::GetSubject, [false, true, true, false]),
    (Method::ExportSubject, [false, false, true, false]),
    (Method::ListUsage, [false, true, true, false]),
    (Method::Import, [false, false, true, false]),
    (Method::GetImport, [false, false, true, false]),
    (Method::CreateTenant, [false, false, false, true]),
    (Method::GetTenant, [false, false, true, true]),
    (Method::ListTenants, [false, false, false, true]),
    (Method::UpdatePolicy, [false, false, false, true]),
    (Method::DropTenant, [false, false, false, true]),
    (Method::RotateKey, [false, false, false, true]),
    (Method::GetStats, [false, false, true, true]),
    (Method::CheckpointHistory, [false, false, true, true]),
];

#[test]
fn every_role_may_do_what_the_matrix_says() {
    assert_eq!(MATRIX.map(|(method, _)| method), Method::ALL);
    for (method, allowed) in MATRIX {
        for (role, allowed) in ["scanner", "enroller", "operator", "admin"]
            .into_iter()
            .zip(allowed)
        {
            let caller = caller(&format!("/tenant/acme/{role}/x"));
            let result = administration(&caller, method, &tenant("acme"));
            match result {
                Ok(()) => assert!(allowed, "{role} {method:?}"),
                Err(FrontError::RoleDenied { method: name, .. }) => {
                    assert!(!allowed, "{role} {method:?}");
                    assert_eq!(name, method.name());
                }
                Err(other) => panic!("{role} {method:?}: {other}"),
            }
        }
    }
}

#[test]
fn another_tenant_is_out_of_reach() {
    let operator = caller("/tenant/acme/operator/x");
    let member = gallery(&operator, Method::Identify, Some(&tenant("acme"))).expect("own");
    assert_eq!((member.tenant, member.role), (tenant("acme"), Role::Operator));
    gallery(&operator, Method::Identify, None).expect("own by default");
    for result in [
        gallery(&operator, Method::Identify, Some(&tenant("other"))).map(drop),
        administration(&operator, Method::GetTenant, &tenant("other")),
        administration(
            &caller("/tenant/acme/admin/x"),
            Method::DropTenant,
            &tenant("other"),
        ),
    ] {
        assert!(matches!(result, Err(FrontError::TenantDenied(id)) if id == tenant("other")));
    }
}

#[test]
fn the_server_s_administrator_reaches_every_tenant_and_no_gallery() {
    let admin = caller("/admin/root");
    for id in ["acme", "other"] {
        administration(&admin, Method::CreateTenant, &tenant(id)).expect("any tenant");
        for method in Method::ALL {
            let result = gallery(&admin, method, Some(&tenant(id)));
            assert!(matches!(result, Err(FrontError::RoleDenied { .. })), "{method:?}");
        }
    }
}

#[test]
fn a_tenant_s_administrator_lists_its_own() {
    assert_eq!(
        listing(&caller("/tenant/acme/admin/x")).expect("allowed"),
        Some(&tenant("acme"))
    );
    assert_eq!(listing(&caller("/admin/root")).expect("allowed"), None);
    assert!(listing(&caller("/tenant/acme/operator/x")).is_err());
}

#[test]
fn a_certificate_that_ended_since_allows_nothing() {
    let mut operator = caller("/tenant/acme/operator/o");
    let mut admin = caller("/admin/root");
    for caller in [&mut operator, &mut admin] {
        caller.valid_until = Timestamp::now().minus(std::time::Duration::from_secs(1));
    }
    let refused = gallery(&operator, Method::Identify, None).err();
    assert!(
        matches!(refused, Some(FrontError::Unauthenticated(_))),
        "{refused:?}"
    );
    let refused = administration(&admin, Method::DropTenant, &tenant("acme")).err();
    assert!(
        matches!(refused, Some(FrontError::Unauthenticated(_))),
        "{refused:?}"
    );
    let refused = listing(&admin).err();
    assert!(
        matches!(refused, Some(FrontError::Unauthenticated(_))),
        "{refused:?}"
    );
}
