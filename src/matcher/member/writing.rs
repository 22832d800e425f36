//! How a write gets to the catalog that all nodes share, and what an erasure needs beside that: what its receipt says of rows that are in segments, and its line in the cluster's erasure journal.

use std::sync::Arc;

use super::MemberNode;
use super::seat::Seat;
use crate::matcher::import::blocking;
use crate::matcher::node::NodeError;
use crate::matcher::parts::on_cluster::opened::Opened;
use crate::model::id::TenantId;
use crate::storage::error::StorageError;
use crate::storage::write::{Committed, EraseWrite, Write};

/// How often a write is done that waited for a former rotation.
const TRIES: usize = 3;

/// Where it waited, what was done, and the catalog that it is in.
pub(super) type Written = (Arc<Seat>, Committed, Arc<Opened>);

impl MemberNode {
    /// Where the writes of a tenant wait, of the incarnation and the rotation that they were made for; once there is a later one they are refused.
    pub(super) fn seat(&self, tenant: &TenantId, opened: &Opened) -> Result<Arc<Seat>, NodeError> {
        let mut seats = self.seats.lock();
        match seats.get(tenant) {
            Some(seat) if seat.takes(opened) => return Ok(Arc::clone(seat)),
            Some(seat) if seat.is_later(opened) => {
                return Err(NodeError::TransformStale {
                    tenant: tenant.clone(),
                });
            }
            _ => {}
        }
        let seat = Arc::new(Seat::new(opened, &self.shared));
        seats.insert(tenant.clone(), Arc::clone(&seat));
        Ok(seat)
    }

    /// Commits one write together with whatever waits beside it.
    pub(super) async fn write(
        &self,
        tenant: &TenantId,
        opened: &Opened,
        write: Write,
    ) -> Result<Written, NodeError> {
        let seat = self.seat(tenant, opened)?;
        let (done, opened) = seat.write(write).await?;
        Ok((seat, done, opened))
    }

    /// The same for what is protected with no rotation: where it waited for a former one, it is done in the present one. Not in another tenant of the name.
    pub(super) async fn write_in_any(
        &self,
        tenant: &TenantId,
        mut opened: Arc<Opened>,
        write: impl Fn() -> Write,
    ) -> Result<Written, NodeError> {
        for _ in 1..TRIES {
            let stale = match self.write(tenant, &opened, write()).await {
                Err(stale @ NodeError::TransformStale { .. }) => stale,
                done => return done,
            };
            let (cluster, id) = (self.shared.of.cluster.clone(), tenant.clone());
            let now = blocking(move || cluster.catalog_now(&id)).await?;
            if now.incarnation() != opened.incarnation() {
                return Err(stale);
            }
            opened = now;
        }
        self.write(tenant, &opened, write()).await
    }

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
