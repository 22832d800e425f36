//! Principals: who calls, as proved by a client certificate. Knows names and roles; parses no certificate.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::id::{PrincipalName, TenantId};
use super::reject::Rejected;

/// What a principal may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A device: identifies and verifies, learns decisions.
    Scanner,
    /// Enrols and erases.
    Enroller,
    /// Runs a tenant: sees scores, candidates, history and figures.
    Operator,
    /// Administers: its own tenant, or as [`Principal::Admin`] every tenant; reaches no gallery.
    Admin,
}

impl Role {
    /// The role as it stands in a SPIFFE id.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scanner => "scanner",
            Self::Enroller => "enroller",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl FromStr for Role {
    type Err = Rejected;
    fn from_str(text: &str) -> Result<Self, Rejected> {
        [Self::Scanner, Self::Enroller, Self::Operator, Self::Admin]
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| {
                Rejected::new(
                    "role",
                    format!("{text:?} is none of scanner, enroller, operator, admin"),
                )
            })
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A caller: `spiffe://<trust domain>/tenant/<tenant>/<role>/<name>`, or
/// `spiffe://<trust domain>/admin/<name>` for the administrator of the whole server, who belongs to no tenant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Principal {
    /// Somebody of a tenant.
    Member {
        /// The only tenant it reaches.
        tenant: TenantId,
        /// What it may do there.
        role: Role,
        /// Its name within the tenant.
        name: PrincipalName,
    },
    /// An administrator of the whole server.
    Admin {
        /// Its name.
        name: PrincipalName,
    },
}

impl Principal {
    /// The role.
    pub fn role(&self) -> Role {
        match self {
            Self::Member { role, .. } => *role,
            Self::Admin { .. } => Role::Admin,
        }
    }

    /// The path of its SPIFFE id, with the leading slash.
    pub fn path(&self) -> String {
        match self {
            Self::Member { tenant, role, name } => format!("/tenant/{tenant}/{role}/{name}"),
            Self::Admin { name } => format!("/admin/{name}"),
        }
    }

    /// Parses the path of a SPIFFE id.
    pub fn from_path(path: &str) -> Result<Self, Rejected> {
        let parts: Vec<&str> = path.split('/').collect();
        match parts.as_slice() {
            ["", "tenant", tenant, role, name] => Ok(Self::Member {
                tenant: tenant.parse()?,
                role: role.parse()?,
                name: name.parse()?,
            }),
            ["", "admin", name] => Ok(Self::Admin { name: name.parse()? }),
            _ => Err(Rejected::new(
                "spiffe_id",
                format!(
                    "{path:?} is neither /tenant/<tenant>/<scanner|enroller|operator|admin>/<name> nor /admin/<name>"
                ),
            )),
        }
    }
}

#[cfg(test)]
#[path = "principal_tests.rs"]
mod tests;
