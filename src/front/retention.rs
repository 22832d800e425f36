//! Retention: erases subjects whose time is over, as their tenants' policies say. Decides nothing that a policy does not; the node looks again before each.

use std::sync::Arc;

use futures::{StreamExt, stream};

use super::Front;
use super::command::SubjectSelector;
use super::error::FrontError;
use super::tenants::Tenant;
use crate::matcher::node::{Erasure, NodeError, SubjectRef};
use crate::model::id::SubjectId;
use crate::model::retention::Due;
use crate::model::timestamp::Timestamp;
use crate::telemetry;

/// Most subjects of a tenant that are erased in a row, before the next tenant has its turn.
const ERASED_PER_ROUND_MAX: usize = 1_000;
/// Erasures of a tenant that are under way at once.
const ERASED_AT_ONCE: usize = 64;

impl Front {
    /// One round: lets go of recent matches that are too old, and erases who is due with the tenants that this front knows, and says how many were. Any number of fronts may do it at
    /// once. What fails is logged and left to the next round.
    pub async fn retain(&self, now: Timestamp) -> usize {
        self.tenants.recents.sweep();
        let mut erased = 0;
        for tenant in self.tenants.all() {
            let retention = tenant.spec.policy.retention;
            if retention.is_off() {
                continue;
            }
            let due = Due {
                retention,
                as_of: now,
            };
            let mut of_tenant = 0;
            let outcome = self.retain_of(&tenant, due, &mut of_tenant).await;
            if of_tenant > 0 {
                tracing::info!(tenant = %tenant.id(), erased = of_tenant, "subjects were erased as the policy's retention says");
            }
            if let Err(error) = outcome {
                tracing::warn!(tenant = %tenant.id(), %error, "subjects who are due are not erased yet");
            }
            erased += of_tenant;
        }
        erased
    }

    async fn retain_of(&self, tenant: &Arc<Tenant>, due: Due, erased: &mut usize) -> Result<(), FrontError> {
        let node = self.routes.node(tenant.id())?;
        let found = node.due(tenant.id(), due, ERASED_PER_ROUND_MAX).await;
        // Together, so that they share transactions.
        let mut erasures = stream::iter(self.heard(tenant, found)?)
            .map(|subject_id| self.erase_due(tenant, due, subject_id))
            .buffer_unordered(ERASED_AT_ONCE);
        while let Some(outcome) = erasures.next().await {
            if outcome? {
                *erased += 1;
                metrics::counter!(telemetry::RETENTION_ERASURES).increment(1);
            }
        }
        Ok(())
    }

    /// Erases a subject who is due; `false` when another front was faster, or the person came back.
    async fn erase_due(
        &self,
        tenant: &Arc<Tenant>,
        due: Due,
        subject_id: SubjectId,
    ) -> Result<bool, FrontError> {
        let erasure = Erasure {
            tenant: tenant.id().clone(),
            request_id: format!("retention-{}", ulid::Ulid::generate())
                .parse()
                .expect("letters, digits and a hyphen are an id"),
            request_digest: tenant.digests.erase(&SubjectSelector::Id(subject_id.clone())),
            subject: SubjectRef::Id(subject_id.clone()),
            only_if: Some(due),
        };
        let answer = self.routes.node(tenant.id())?.erase(erasure).await;
        // As in erase, whatever came of it.
        self.tenants.outdate_answers(tenant);
        self.tenants.recents.forget(tenant.id(), &subject_id);
        match answer {
            Err(NodeError::SubjectUnknown(_) | NodeError::NotDue(_)) => Ok(false),
            answer => self.heard(tenant, answer).map(|_| true),
        }
    }
}

#[cfg(test)]
#[path = "retention_tests.rs"]
mod tests;
