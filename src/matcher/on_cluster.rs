//! Galleries whose catalogs are in a database that many nodes share, as nodes and fronts read them: heads by the tenants' secrets. Keeps no key itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use async_trait::async_trait;

use super::error::node_error;
use super::import::blocking;
use super::node::NodeError;
use super::placed::heads::{GalleryHead, Heads, HeadsRead};
use crate::keys::epochs::Epochs;
use crate::keys::receipt::ReceiptSigner;
use crate::keys::secret::SecretKey;
use crate::model::id::TenantId;
use crate::model::tenant::TenantSpec;
use crate::storage::cluster::{Cluster, GalleryReading};
use crate::storage::error::StorageError;

/// What opens a tenant's catalog and its segments.
#[derive(Clone)]
pub struct TenantKeys {
    /// The catalog's secret.
    pub secret: SecretKey,
    /// Of its segments, in the present generation.
    pub data_key: SecretKey,
    /// The keys of its pending rows, where all nodes have them.
    pub epochs: Arc<dyn Epochs>,
    /// Signs receipts and checkpoints.
    pub signer: ReceiptSigner,
}

/// Whoever keeps the keys of all tenants.
pub trait Keyholder: Send + Sync + 'static {
    /// The catalogs' secrets of all tenants that there are.
    fn secrets(&self) -> Result<BTreeMap<TenantId, SecretKey>, StorageError>;
    /// All keys of one.
    fn keys(&self, tenant: &TenantId) -> Result<TenantKeys, StorageError>;
}

/// Whoever has the tenants of a cluster: their keys, and what engines have of them.
pub trait TenantHome: Keyholder {
    /// Makes a tenant, of which there is nothing before: its keys, and its row. One that is there is [`StorageError::TenantExists`]; what a making that was cut off left is taken up, or removed.
    fn create(&self, spec: &TenantSpec) -> Result<(), StorageError>;
    /// Removes a tenant for good: noted first, then its rows, so that nothing can be listed any more, then its objects, then its keys. Where it is cut off it is done again; one of which there is
    /// nothing is [`StorageError::TenantUnknown`].
    fn remove(&self, tenant: &TenantId) -> Result<(), StorageError>;
}

/// The heads of galleries, for a front.
pub struct ClusterHeads {
    cluster: Arc<Cluster>,
    keys: Arc<dyn Keyholder>,
}

impl ClusterHeads {
    /// Of the tenants whose keys `keys` has.
    pub fn new(cluster: Arc<Cluster>, keys: Arc<dyn Keyholder>) -> Self {
        Self { cluster, keys }
    }
}

#[async_trait]
impl Heads for ClusterHeads {
    async fn read(&self, tenants: &BTreeSet<TenantId>) -> Result<HeadsRead, NodeError> {
        let (cluster, keys, tenants) = (Arc::clone(&self.cluster), Arc::clone(&self.keys), tenants.clone());
        blocking(move || {
            let mut secrets = keys.secrets().map_err(|error| unreadable(&error))?;
            secrets.retain(|tenant, _| tenants.contains(tenant));
            let read = cluster.heads(&secrets).map_err(|error| unreadable(&error))?;
            Ok(of_front(read))
        })
        .await
    }
}

/// What is wrong with a tenant is told when it is asked for, and of others nothing.
fn of_front(read: HashMap<TenantId, Result<GalleryReading, StorageError>>) -> HeadsRead {
    let heads = read.into_iter().map(|(tenant, told)| {
        let head = told.map_err(|error| node_error(&tenant, &error)).map(|told| {
            Arc::new(GalleryHead {
                gallery: told.gallery,
                head: *told.reading.head(),
                view: told.reading.view().clone(),
            })
        });
        (tenant, head)
    });
    heads.collect()
}

/// The database does not answer, or can't be relied on.
pub(super) fn unreadable(error: &StorageError) -> NodeError {
    NodeError::NodeUnavailable {
        node: "catalog".to_owned(),
        reason: error.to_string(),
    }
}
