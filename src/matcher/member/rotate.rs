//! Rotations of a tenant's keys by a node of a cluster: the next data key comes into the keyring that all nodes share, its objects beside the present ones, then it counts, and then the former key is destroyed. Cut off anywhere it is gone on with by
//! whoever is asked next, or ended by whoever opens the tenant.

use std::sync::Arc;

use futures::FutureExt;
use tokio::time::Instant;

use super::{CREATE_WAIT_MAX, MemberNode, Shared};
use crate::matcher::import::blocking;
use crate::matcher::node::{Node, NodeError, TransformChange};
use crate::matcher::rotations::Converter;
use crate::model::id::TenantId;
use crate::model::tenant::TenantStatus;
use crate::storage::cluster::rotate::{Asks, Next, rotate};
use crate::storage::cluster::segments::SegmentKeys;
use crate::storage::database::notices::Notice;
use crate::storage::error::StorageError;
use crate::storage::rotate::Convert;

/// How often it is begun where other nodes rotate another key first.
const TRIES: usize = 3;

impl MemberNode {
    /// Rotates a tenant's data key, and with a change its transform key.
    pub(super) async fn rotate(
        &self,
        id: &TenantId,
        change: Option<TransformChange>,
    ) -> Result<TenantStatus, NodeError> {
        let to = change.as_ref().map(|change| change.to.clone());
        let begin = || {
            let (shared, id, change) = (Arc::clone(&self.shared), id.clone(), change.clone());
            Ok(blocking(move || shared.rotate(&id, change.as_ref())).boxed())
        };
        self.rotations.run(id, to, begin).await?;
        // So that it is not asked for what it has not loaded yet. What takes longer is told by its callers' answers.
        let until = Instant::now() + CREATE_WAIT_MAX;
        self.shared.of.parts.settled(id, until).await;
        self.tenant(id).await
    }
}

impl Shared {
    fn rotate(&self, id: &TenantId, change: Option<&TransformChange>) -> Result<(), NodeError> {
        let of = &self.of;
        for _ in 0..TRIES {
            let opened = of.cluster.catalog_now(id)?;
            if let Some(change) = change {
                if opened.transform == change.to {
                    return Ok(());
                }
                if opened.transform != change.from {
                    return Err(NodeError::TransformStale { tenant: id.clone() });
                }
            }
            let convert = change.map(|change| Converter::new(opened.dimension, change.clone()));
            let convert = convert.transpose()?.map(|it| Arc::new(it) as Arc<dyn Convert>);
            let turn = || -> Result<bool, StorageError> {
                let generation = opened.keys.generation + 1;
                let (data_key, epochs) = of.home.begin_rotation(&opened.keys.home, generation)?;
                let next = Next {
                    keys: SegmentKeys {
                        generation,
                        data_key: data_key.clone(),
                        ..opened.keys.clone()
                    },
                    epochs,
                    convert,
                };
                let asks = Asks {
                    goes_on: &|| self.goes_on(id),
                    in_doubt: &|ulid| of.cluster.in_doubt(&opened, &next.keys, ulid),
                };
                let keys = (&opened.keys, &next);
                let is_first = rotate(&opened.catalog, of.cluster.segments(), keys, &asks)?;
                if is_first {
                    of.home.end_rotation(id, &data_key)?;
                }
                Ok(is_first)
            };
            let is_first = match turn() {
                Ok(is_first) => is_first,
                Err(StorageError::KeysRotated(_)) => false,
                Err(refused @ StorageError::Rotation { .. }) => {
                    return Err(NodeError::NodeUnavailable {
                        node: of.id.to_string(),
                        reason: refused.to_string(),
                    });
                }
                Err(error) => return Err(of.cluster.fault(id, &error)),
            };
            of.cluster.notify(&Notice::Whole(id.clone()));
            of.parts.nudge(id);
            // Another node's rotation of the data key is as good.
            if is_first || change.is_none() {
                return Ok(());
            }
        }
        Err(NodeError::TenantUnavailable {
            tenant: id.clone(),
            reason: "other nodes rotate its keys again and again; ask again".to_owned(),
        })
    }

    /// A purge waits for those who follow, and so for what is copied, and for nobody else.
    fn goes_on(&self, id: &TenantId) -> Result<(), StorageError> {
        let problem = if self.stop.is_cancelled() {
            "the node stops; ask again, and another one does it"
        } else if self.of.parts.follows(id) {
            return Ok(());
        } else {
            "the node does not have a part of its gallery just now; ask again"
        };
        Err(StorageError::Rotation {
            tenant: id.clone(),
            problem,
        })
    }
}
