//! Galleries whose catalogs are in a database that many nodes share, as nodes and fronts read them: heads by the tenants' secrets, and the register. Keeps no key itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use async_trait::async_trait;

use super::error::node_error;
use super::import::blocking;
use super::node::NodeError;
use super::placed::heads::{GalleryHead, Heads, HeadsRead};
use super::placed::register::{Entry, Register, RegisterRead};
use crate::keys::epochs::Epochs;
use crate::keys::receipt::ReceiptSigner;
use crate::keys::secret::SecretKey;
use crate::model::id::TenantId;
use crate::storage::cluster::{Cluster, GalleryView};
use crate::storage::error::StorageError;

/// What opens a tenant's catalog and its segments.
#[derive(Clone)]
pub struct TenantKeys {
    /// The catalog's secret.
    pub secret: SecretKey,
    /// Of its segments, in the generation that was asked for.
    pub data_key: SecretKey,
    /// The keys of its pending rows in that generation, where all nodes have them.
    pub epochs: Arc<dyn Epochs>,
    /// Signs receipts and checkpoints.
    pub signer: ReceiptSigner,
}

/// Whoever keeps the keys of all tenants.
pub trait Keyholder: Send + Sync + 'static {
    /// The catalogs' secrets of all tenants that there are.
    fn secrets(&self) -> Result<BTreeMap<TenantId, SecretKey>, StorageError>;
    /// The catalog's secret of one; `None` where there is none.
    fn secret(&self, tenant: &TenantId) -> Result<Option<SecretKey>, StorageError>;
    /// Looks where secrets are kept, since one that [`Keyholder::secret`] gave does not fit, or there was none: the tenant may have been made, or made anew. An error where it can't look now.
    fn look_again(&self) -> Result<(), StorageError> {
        self.secrets().map(drop)
    }
    /// Whether they could not be read last time, because this node was not told what wraps them now.
    fn is_passed_over(&self) -> bool {
        false
    }
    /// All keys of one, in the generation that its row says.
    fn keys(&self, tenant: &TenantId, key_generation: u32) -> Result<TenantKeys, StorageError>;
    /// Destroys what there is of the keys of a tenant's generations before this one.
    fn forget_former(&self, tenant: &TenantId, key_generation: u32) -> Result<(), StorageError>;
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
        blocking(move || read(&cluster, &*keys, &tenants).map_err(|error| unreadable(&error))).await
    }
}

/// Those who have no secret here, or one that does not open their head, are read once more, by the secret that they have then. What is wrong with one is told of that one alone.
fn read(
    cluster: &Cluster,
    keys: &dyn Keyholder,
    tenants: &BTreeSet<TenantId>,
) -> Result<HeadsRead, StorageError> {
    let mut secrets = BTreeMap::new();
    for tenant in tenants {
        if let Some(secret) = keys.secret(tenant)? {
            secrets.insert(tenant.clone(), secret);
        }
    }
    let mut read = cluster.views(&secrets)?;
    let misfits = |told: Option<&Result<GalleryView, StorageError>>| {
        matches!(
            told,
            Some(Err(
                StorageError::CatalogDamaged { .. } | StorageError::CatalogKey { .. }
            ))
        )
    };
    let is_doubtful = |tenant: &&TenantId| !secrets.contains_key(*tenant) || misfits(read.get(*tenant));
    let doubtful: Vec<&TenantId> = tenants.iter().filter(is_doubtful).collect();
    if doubtful.is_empty() {
        return Ok(of_front(read));
    }
    if let Err(error) = keys.look_again() {
        let mut told = of_front(read);
        // Those without a secret may be there.
        let unknown = doubtful
            .into_iter()
            .filter(|tenant| !secrets.contains_key(*tenant));
        told.extend(unknown.map(|tenant| (tenant.clone(), Err(unreadable(&error)))));
        return Ok(told);
    }
    let mut later = BTreeMap::new();
    for tenant in doubtful {
        if let Some(secret) = keys.secret(tenant)?
            && secrets.get(tenant) != Some(&secret)
        {
            later.insert(tenant.clone(), secret);
        }
    }
    if !later.is_empty() {
        read.extend(cluster.views(&later)?);
    }
    Ok(of_front(read))
}

/// The register of nodes, for a front.
pub struct ClusterRegister(Arc<Cluster>);

impl ClusterRegister {
    /// The one in this database.
    pub fn new(cluster: Arc<Cluster>) -> Self {
        Self(cluster)
    }
}

#[async_trait]
impl Register for ClusterRegister {
    async fn read(&self) -> Result<RegisterRead, NodeError> {
        let cluster = Arc::clone(&self.0);
        blocking(move || {
            let read = cluster.nodes().map_err(|error| unreadable(&error))?;
            let nodes = read.members.nodes().iter().map(|(id, registered)| Entry {
                id: *id,
                address: read.addresses.get(id).cloned().unwrap_or_default(),
                registered: *registered,
            });
            Ok(RegisterRead {
                generation: read.members.generation(),
                nodes: nodes.collect(),
            })
        })
        .await
    }
}

/// What is wrong with a tenant is told when it is asked for, and of others nothing.
fn of_front(read: HashMap<TenantId, Result<GalleryView, StorageError>>) -> HeadsRead {
    let heads = read.into_iter().map(|(tenant, told)| {
        let head = told.map_err(|error| node_error(&tenant, &error)).map(|told| {
            Arc::new(GalleryHead {
                gallery: told.gallery,
                head: told.head,
                view: told.view,
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
