//! Opens tenants again that a database kept from being served: it was away when they were to be opened, or did not say whether it did something. Their catalogs
//! then say what is so, as at a start. Never serves a tenant that was not opened whole.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::load::{Unopened, open_tenant};
use super::local::LocalNode;
use super::slot::Slot;
use super::tenant::Tenant;
use crate::model::id::TenantId;

/// Runs until the node is drained, where its catalogs are in a database.
pub(super) async fn run(node: &Arc<LocalNode>) {
    if node.home().database().is_none() {
        return;
    }
    let mut rounds = tokio::time::interval(node.config().upkeep_interval);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = node.stopping() => return,
            _ = rounds.tick() => {}
        }
        let at = Arc::clone(node);
        if let Err(error) = tokio::task::spawn_blocking(move || at.reopen_waiting()).await {
            tracing::error!(%error, "opening tenants again ended early");
        }
    }
}

impl LocalNode {
    /// One round: opens each tenant that waits for it, once. Blocks for as long as loading takes.
    fn reopen_waiting(&self) {
        for (id, slot) in self.waiting() {
            if self.is_stopping() {
                return;
            }
            self.reopen(&id, &slot);
        }
    }

    /// Tenants that may be well once they are opened again.
    fn waiting(&self) -> Vec<(TenantId, Slot)> {
        let waits = |slot: &Slot| match slot {
            Slot::Live(tenant) => tenant.reopen_wanted.load(Ordering::Acquire),
            Slot::Broken { may_pass, .. } => *may_pass,
        };
        self.slots().into_iter().filter(|(_, slot)| waits(slot)).collect()
    }

    /// Opens a tenant again, if it still is as it was found to be.
    fn reopen(&self, id: &TenantId, found: &Slot) {
        let _one_at_a_time = self.keep_order();
        let now = self.slots().remove(id);
        match (found, &now) {
            (Slot::Live(tenant), Some(Slot::Live(same))) if Arc::ptr_eq(tenant, same) => {
                self.set_aside(tenant);
            }
            (Slot::Broken { .. }, Some(Slot::Broken { may_pass: true, .. })) => {}
            _ => return,
        }
        let opened = open_tenant(self.home(), self.journal(), self.engine(), id);
        let slot = match opened {
            // As before, which was logged then.
            Err(Unopened {
                reason,
                may_pass: true,
            }) => Slot::Broken {
                reason,
                may_pass: true,
            },
            opened => Slot::of(id, opened),
        };
        if let Slot::Live(_) = slot {
            tracing::info!(tenant = %id, "a tenant was opened again");
        }
        self.put(id, slot);
    }

    /// Lets go of a tenant that was loaded.
    fn set_aside(&self, tenant: &Tenant) {
        let id = tenant.id();
        let reason = "it is being opened again, since the outcome of a write is unknown";
        tracing::warn!(tenant = %id, "a tenant is closed and opened again, since the outcome of a write is unknown");
        self.put(
            id,
            Slot::Broken {
                reason: reason.to_owned(),
                may_pass: true,
            },
        );
        tenant.close(reason);
    }
}
