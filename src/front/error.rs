//! Why the front refused. The service turns each into one gRPC status; see `service::status`.

use thiserror::Error;

use super::sealed::SealedError;
use crate::matcher::node::NodeError;
use crate::model::id::TenantId;
use crate::model::principal::Role;
use crate::model::reject::Rejected;

/// Why the front did not do what it was asked. Nothing was changed.
#[derive(Debug, Error)]
pub enum FrontError {
    /// No usable identity in the client certificate.
    #[error("the client certificate names no principal: {0}")]
    Unauthenticated(String),
    /// The role may not do this.
    #[error("role {role} may not call {method}")]
    RoleDenied {
        /// The caller's role.
        role: Role,
        /// What it called.
        method: &'static str,
    },
    /// The request names another tenant than the certificate.
    #[error("the certificate is of another tenant than {0}")]
    TenantDenied(TenantId),
    /// A refused input.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// The tenant's rotation is not the one its gallery was made with.
    #[error("tenant {tenant} is unavailable: {reason}")]
    TransformMismatch {
        /// Which tenant.
        tenant: TenantId,
        /// Version and digest expected and found.
        reason: String,
    },
    /// The keyring can't be read or written.
    #[error("keys are unavailable: {0}")]
    Keys(String),
    /// A probe that is not sealed as it must be, or that was taken before.
    #[error(transparent)]
    Sealed(#[from] SealedError),
    /// From the match node.
    #[error(transparent)]
    Node(#[from] NodeError),
}

impl FrontError {
    /// Whether the tenant was made anew, or its transform key rotated, since this front learned of it. Nothing was done, and the same
    /// with the tenant of now is worth one more try.
    pub(super) fn is_stale(&self) -> bool {
        matches!(self, Self::Node(NodeError::TransformStale { .. }))
    }
}
