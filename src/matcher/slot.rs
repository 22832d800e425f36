//! A tenant's place on a node: served, or why not. Opens nothing.

use std::sync::Arc;

use super::load::Unopened;
use super::tenant::Tenant;
use crate::model::id::TenantId;

/// A tenant's place on the node.
#[derive(Clone)]
pub(super) enum Slot {
    /// Loaded.
    Live(Arc<Tenant>),
    /// Could not be loaded.
    Broken {
        /// Names file and fault.
        reason: String,
        /// It may be gone by itself later, so that loading is tried again.
        may_pass: bool,
    },
}

impl Slot {
    /// What came of opening it; a failure is logged here.
    pub(super) fn of(id: &TenantId, opened: Result<Arc<Tenant>, Unopened>) -> Self {
        match opened {
            Ok(tenant) => Self::Live(tenant),
            Err(Unopened { reason, may_pass }) => {
                tracing::error!(tenant = %id, reason, "tenant is unavailable");
                Self::Broken { reason, may_pass }
            }
        }
    }

    /// The tenant, where it is served.
    pub(super) fn live(&self) -> Option<&Arc<Tenant>> {
        match self {
            Self::Live(tenant) => Some(tenant),
            Self::Broken { .. } => None,
        }
    }
}
