//! Who may do what: one table of roles and methods, and the rule that nobody reaches another tenant. Looks at no content of a request.

use super::error::FrontError;
use super::identity::Caller;
use crate::model::id::{PrincipalName, TenantId};
use crate::model::principal::{Principal, Role};

/// A method of the public API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// 1:N; also each message of the stream.
    Identify,
    /// 1:1.
    Verify,
    /// What probes are sealed with.
    GetProbeKey,
    /// The nearest subjects.
    Investigate,
    /// Takes palms in.
    Enroll,
    /// Forgets a subject.
    Erase,
    /// The receipt of an erasure.
    GetErasure,
    /// What is held on a subject.
    GetSubject,
    /// All that is held on a subject, with every link.
    ExportSubject,
    /// The history.
    ListUsage,
    /// Takes many subjects in.
    Import,
    /// How far an import has come.
    GetImport,
    /// Makes a tenant.
    CreateTenant,
    /// One tenant.
    GetTenant,
    /// The tenants that the caller administers.
    ListTenants,
    /// Puts another policy in the place of a tenant's.
    UpdatePolicy,
    /// Destroys a tenant.
    DropTenant,
    /// Puts a new key in the place of a tenant's.
    RotateKey,
    /// Figures of a tenant.
    GetStats,
    /// Signs how far the history has come.
    CheckpointHistory,
}

impl Method {
    /// All methods.
    pub const ALL: [Self; 20] = [
        Self::Identify,
        Self::Verify,
        Self::GetProbeKey,
        Self::Investigate,
        Self::Enroll,
        Self::Erase,
        Self::GetErasure,
        Self::GetSubject,
        Self::ExportSubject,
        Self::ListUsage,
        Self::Import,
        Self::GetImport,
        Self::CreateTenant,
        Self::GetTenant,
        Self::ListTenants,
        Self::UpdatePolicy,
        Self::DropTenant,
        Self::RotateKey,
        Self::GetStats,
        Self::CheckpointHistory,
    ];

    /// The roles that may call it, and its name. The one table of the product.
    fn rule(self) -> (&'static str, &'static [Role]) {
        use Role::{Admin, Enroller, Operator, Scanner};
        match self {
            Self::Identify => ("Identify", &[Scanner, Operator]),
            Self::Verify => ("Verify", &[Scanner, Operator]),
            Self::GetProbeKey => ("GetProbeKey", &[Scanner, Operator]),
            Self::Investigate => ("Investigate", &[Operator]),
            Self::Enroll => ("Enroll", &[Enroller, Operator]),
            Self::Erase => ("Erase", &[Enroller, Operator]),
            Self::GetErasure => ("GetErasure", &[Enroller, Operator]),
            Self::GetSubject => ("GetSubject", &[Enroller, Operator]),
            Self::ExportSubject => ("ExportSubject", &[Operator]),
            Self::ListUsage => ("ListUsage", &[Enroller, Operator]),
            Self::Import => ("Import", &[Operator]),
            Self::GetImport => ("GetImport", &[Operator]),
            Self::CreateTenant => ("CreateTenant", &[Admin]),
            Self::GetTenant => ("GetTenant", &[Operator, Admin]),
            Self::ListTenants => ("ListTenants", &[Admin]),
            Self::UpdatePolicy => ("UpdatePolicy", &[Admin]),
            Self::DropTenant => ("DropTenant", &[Admin]),
            Self::RotateKey => ("RotateKey", &[Admin]),
            Self::GetStats => ("GetStats", &[Operator, Admin]),
            Self::CheckpointHistory => ("CheckpointHistory", &[Operator, Admin]),
        }
    }

    /// The name in the API.
    pub fn name(self) -> &'static str {
        self.rule().0
    }

    /// Whether quotas count its calls.
    pub fn is_counted(self) -> bool {
        matches!(
            self,
            Self::Identify | Self::Verify | Self::Investigate | Self::Enroll
        )
    }

    /// Whether the role may call it at all.
    pub fn is_allowed_to(self, role: Role) -> bool {
        self.rule().1.contains(&role)
    }
}

/// A caller within the one tenant that it reaches.
#[derive(Debug, Clone)]
pub(super) struct Member {
    /// The tenant.
    pub(super) tenant: TenantId,
    /// What it may do there.
    pub(super) role: Role,
    /// Its name there.
    pub(super) name: PrincipalName,
}

/// Lets a caller at its tenant's gallery. `named` is the tenant that the request names, if any.
pub(super) fn gallery(
    caller: &Caller,
    method: Method,
    named: Option<&TenantId>,
) -> Result<Member, FrontError> {
    let role = allow_role(caller, method)?;
    match &caller.principal {
        Principal::Member { tenant, name, .. } => {
            own_tenant(tenant, named)?;
            Ok(Member {
                tenant: tenant.clone(),
                role,
                name: name.clone(),
            })
        }
        // The server's administrator belongs to no tenant, so that there is no gallery to reach.
        Principal::Admin { .. } => Err(denied(role, method)),
    }
}

/// Lets a caller administer `tenant`: the server's administrator any, everybody else its own.
pub(super) fn administration(caller: &Caller, method: Method, tenant: &TenantId) -> Result<(), FrontError> {
    allow_role(caller, method)?;
    match &caller.principal {
        Principal::Member { tenant: own, .. } => own_tenant(own, Some(tenant)),
        Principal::Admin { .. } => Ok(()),
    }
}

/// Refuses before anything of a request's body is read.
pub fn before_the_body(caller: &Caller, method: Method) -> Result<(), FrontError> {
    allow_role(caller, method).map(drop)
}

/// The only tenant that a caller of `ListTenants` sees; `None` for all.
pub(super) fn listing(caller: &Caller) -> Result<Option<&TenantId>, FrontError> {
    allow_role(caller, Method::ListTenants)?;
    match &caller.principal {
        Principal::Member { tenant, .. } => Ok(Some(tenant)),
        Principal::Admin { .. } => Ok(None),
    }
}

fn allow_role(caller: &Caller, method: Method) -> Result<Role, FrontError> {
    // Of a stream's messages as well.
    caller.check()?;
    let role = caller.principal.role();
    if method.is_allowed_to(role) {
        Ok(role)
    } else {
        Err(denied(role, method))
    }
}

fn own_tenant(own: &TenantId, named: Option<&TenantId>) -> Result<(), FrontError> {
    match named {
        Some(named) if named != own => Err(FrontError::TenantDenied(named.clone())),
        _ => Ok(()),
    }
}

fn denied(role: Role, method: Method) -> FrontError {
    FrontError::RoleDenied {
        role,
        method: method.name(),
    }
}

#[cfg(test)]
#[path = "authorize_tests.rs"]
mod tests;
