//! What the engines of a cluster have of a tenant: rows in the database, segments and the keys of its epochs in the object store. It comes and goes together. Keeps no key, and does not decide who may.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_lc_rs::rand;

use super::cluster::Cluster;
use super::cluster::journal::SharedJournal;
use super::database::tenants::{Rows, TenantRow};
use super::database::{CatalogKeys, Database};
use super::error::StorageError;
use super::objects::Objects;
use super::objects::key::Home;
use super::objects::text::{epochs_text, incarnations};
use crate::keys::cells::INCARNATION_LEN;
use crate::keys::epochs::{EpochKeys, Epochs};
use crate::keys::receipt::ReceiptSigner;
use crate::keys::secret::SecretKey;
use crate::keys::text::TextStore;
use crate::model::id::TenantId;
use crate::model::tenant::TenantSpec;

/// Which of the tenants that had a name.
pub type Incarnation = [u8; INCARNATION_LEN];

/// The engines that the nodes of a cluster share. Calls block; any number of nodes may make them.
pub struct ClusterEngines {
    /// Has the rows.
    database: Database,
    cluster: Arc<Cluster>,
    /// Has segments and keys of epochs.
    objects: Objects,
}

impl ClusterEngines {
    /// Joins them; the cluster is that of the database.
    pub fn new(database: &Database, cluster: Arc<Cluster>, objects: &Objects) -> Self {
        Self {
            database: database.clone(),
            cluster,
            objects: objects.clone(),
        }
    }

    /// The tenant's row, if it has one.
    pub fn row(&self, id: &TenantId) -> Result<Option<TenantRow>, StorageError> {
        self.database.row(id)
    }

    /// Where the database is, as errors name it.
    pub fn server(&self) -> &str {
        self.database.server()
    }

    /// Reads the keys of the epochs of one incarnation.
    pub fn epochs(
        &self,
        id: &TenantId,
        incarnation: &Incarnation,
        data_key: &SecretKey,
    ) -> Result<EpochKeys, StorageError> {
        let text = epochs_text(self.objects.store(), id, incarnation);
        Ok(EpochKeys::open_in(Arc::new(text), data_key)?)
    }

    /// Begins to make a tenant that has no row: puts the keys of its epochs, and then adds its row, which nobody lists yet. Where there is a row by now, or none was added, nothing stays; where that is uncertain, the keys stay.
    pub fn begin_making(&self, spec: &TenantSpec, keys: &CatalogKeys) -> Result<Incarnation, StorageError> {
        let mut incarnation = [0; INCARNATION_LEN];
        rand::fill(&mut incarnation).expect("the operating system's generator answers");
        let text = Arc::new(epochs_text(self.objects.store(), &spec.id, &incarnation));
        EpochKeys::create_in(Arc::clone(&text) as _, &keys.data_key, incarnation)?;
        let added = self.cluster.create(spec, &keys.secret, &incarnation);
        if let Err(error) = &added
            && !error.may_be_done()
        {
            // What stays of it is of no row, and goes when a tenant of the name is dropped.
            let _ = text.destroy();
        }
        added.map(|()| incarnation)
    }

    /// Ends the making of a tenant by whoever has its keys, which may be done before: from then on it is listed.
    pub fn end_making(
        &self,
        id: &TenantId,
        keys: &CatalogKeys,
        epochs: Arc<dyn Epochs>,
        signer: ReceiptSigner,
    ) -> Result<(), StorageError> {
        self.cluster.make(id, &keys.secret, epochs, signer)
    }

    /// Gives up a making that was not ended: its row goes, and then the keys of its epochs. `false`, with all of it there, where it was ended.
    pub fn give_up_making(&self, id: &TenantId, incarnation: &Incarnation) -> Result<bool, StorageError> {
        self.database.remove(&Rows::Unmade(*incarnation))?;
        let is_there = self.row(id)?.is_some_and(|row| row.incarnation == *incarnation);
        if !is_there {
            epochs_text(self.objects.store(), id, incarnation).destroy()?;
        }
        Ok(!is_there)
    }

    /// The incarnations of a tenant of which there is anything.
    pub fn incarnations(&self, id: &TenantId) -> Result<BTreeSet<Incarnation>, StorageError> {
        let mut found = incarnations(self.objects.store(), id)?;
        found.extend(self.row(id)?.map(|row| row.incarnation));
        Ok(found)
    }

    /// Records in the erasure journal that an incarnation is dropped, before anything of it goes. One that has no row was recorded before that went, or never was a tenant.
    pub fn record_drop(
        &self,
        id: &TenantId,
        incarnation: &Incarnation,
        (secret, signer): (Option<&SecretKey>, &ReceiptSigner),
    ) -> Result<(), StorageError> {
        let row = self.row(id)?;
        if !row.is_some_and(|row| row.is_made && row.incarnation == *incarnation) {
            return Ok(());
        }
        let created_at = match secret {
            Some(secret) => {
                let secrets = BTreeMap::from([(id.clone(), secret.clone())]);
                let told = self.cluster.figures(&secrets)?.remove(id);
                told.and_then(Result::ok).map(|told| told.spec.created_at)
            }
            None => None,
        };
        let journal = SharedJournal::new(self.objects.store());
        journal.record_drop(&Home::of(id, incarnation), created_at, signer)
    }

    /// Removes all that there is of one incarnation: rows first, so that nothing can be listed any more, then segments, then the keys of epochs, by which it is found again where this is cut off.
    pub fn remove(&self, id: &TenantId, incarnation: &Incarnation) -> Result<(), StorageError> {
        self.database.remove(&Rows::Of(*incarnation))?;
        self.objects.destroy_all(&Home::of(id, incarnation))?;
        Ok(epochs_text(self.objects.store(), id, incarnation).destroy()?)
    }
}
