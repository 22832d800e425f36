//! What an erasure needs beside its transaction: what its receipt says of rows that are in segments, and its line in the cluster's erasure journal.

use std::sync::Arc;

use super::MemberNode;
use crate::matcher::import::blocking;
use crate::matcher::node::NodeError;
use crate::matcher::parts::on_cluster::opened::Opened;
use crate::storage::error::StorageError;
use crate::storage::write::EraseWrite;

impl MemberNode {
    /// Reads what the receipt will say, so that nobody has to wait for it.
    pub(super) async fn read_ahead(
        &self,
        opened: Arc<Opened>,
        mut write: EraseWrite,
    ) -> Result<(EraseWrite, Arc<Opened>), NodeError> {
        let cluster = self.shared.of.cluster.clone();
        blocking(move || {
            let _reading = cluster.segments().copies().begin(&opened.keys.home);
            let read = opened
                .catalog
                .read_ahead(&mut write, cluster.segments(), &opened.keys);
            // Of one that was made anew meanwhile, or whose keys were rotated, nothing is read ahead: the commit says so, or reads it.
            if let Err(error) = read
                && !cluster.is_another(&opened.keys.home.tenant, &opened)?
            {
                return Err(cluster.fault(&opened.keys.home.tenant, &error));
            }
            Ok((write, opened))
        })
        .await
    }

    /// Records an erasure in the cluster's journal.
    pub(super) async fn record(&self, opened: Arc<Opened>, erasure: u64) -> Result<(), NodeError> {
        let cluster = self.shared.of.cluster.clone();
        blocking(move || {
            let home = &opened.keys.home;
            let journal = cluster.segments().journal();
            let recorded = journal.record(home, &opened.catalog, &[erasure]);
            recorded.map_err(|error| {
                let told = match error {
                    StorageError::Outdated { .. } => {
                        "the person is erased, and that must not be acknowledged"
                    }
                    _ => "the person is erased, and the erasure journal can't be written; repeat the request",
                };
                NodeError::TenantUnavailable {
                    tenant: home.tenant.clone(),
                    reason: format!("{told}: {error}"),
                }
            })
        })
        .await
    }
}
