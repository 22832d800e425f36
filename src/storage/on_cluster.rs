//! What the engines of a cluster have of a tenant: rows in the database, segments and the keys of its epochs in the object store. It comes and goes together. Keeps no key, and does not decide who may.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_lc_rs::rand;

use super::catalog::postgres::dump::key_generation;
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

pub use super::files::KEY_GENERATION;

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

    /// Reads the keys of the epochs of one incarnation and generation of its keys, of which the data key is.
    pub fn epochs(
        &self,
        id: &TenantId,
        (incarnation, key_generation): (&Incarnation, u32),
        data_key: &SecretKey,
    ) -> Result<EpochKeys, StorageError> {
        let text = epochs_text(self.objects.store(), id, incarnation, key_generation);
        Ok(EpochKeys::open_in(Arc::new(text), data_key)?)
    }

    /// Of which generation of keys a tenant is now.
    pub fn key_generation(&self, id: &TenantId, secret: &SecretKey) -> Result<u32, StorageError> {
        key_generation(&self.database, id, secret)
    }

    /// The keys of the epochs of a generation that a rotation makes: those that are there by an earlier try or another node, or new ones.
    pub fn next_epochs(
        &self,
        id: &TenantId,
        (incarnation, key_generation): (&Incarnation, u32),
        data_key: &SecretKey,
    ) -> Result<EpochKeys, StorageError> {
        let text = epochs_text(self.objects.store(), id, incarnation, key_generation);
        let text: Arc<dyn TextStore> = Arc::new(text);
        if text.version()?.is_none() {
            // Who was faster has made them with the same data key.
            let made = EpochKeys::create_in(Arc::clone(&text), data_key, *incarnation);
            if let Ok(made) = made {
                return Ok(made);
            }
        }
        Ok(EpochKeys::open_in(text, data_key)?)
    }

    /// Destroys the keys of the epochs of generations before this one, whose data keys are gone.
    pub fn forget_former_epochs(
        &self,
        id: &TenantId,
        incarnation: &Incarnation,
        before: u32,
    ) -> Result<(), StorageError> {
        for former in KEY_GENERATION..before {
            let text = epochs_text(self.objects.store(), id, incarnation, former);
            // The last ones are shown to be gone by whoever was kept from it before, too.
            if former + 1 == before || text.version()?.is_some() {
                text.destroy()?;
            }
        }
        Ok(())
    }

    /// Begins to make a tenant that has no row: puts the keys of its epochs, and then adds its row, which nobody lists yet. Where there is a row by now, or none was added, nothing stays; where that is uncertain, the keys stay.
    pub fn begin_making(&self, spec: &TenantSpec, keys: &CatalogKeys) -> Result<Incarnation, StorageError> {
        let mut incarnation = [0; INCARNATION_LEN];
        rand::fill(&mut incarnation).expect("the operating system's generator answers");
        let text = epochs_text(self.objects.store(), &spec.id, &incarnation, KEY_GENERATION);
        let text = Arc::new(text);
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
            epochs_text(self.objects.store(), id, incarnation, KEY_GENERATION).destroy()?;
        }
        Ok(!is_there)
    }

    /// The incarnations of a tenant of which there is anything.
    pub fn incarnations(&self, id: &TenantId) -> Result<BTreeSet<Incarnation>, StorageError> {
        let mut found: BTreeSet<Incarnation> = incarnations(self.objects.store(), id)?.into_keys().collect();
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
        let found = incarnations(self.objects.store(), id)?;
        // Of one at least: what was removed by somebody who was cut off is shown to be gone.
        let generations = found.get(incarnation).cloned().unwrap_or_default();
        for generation in generations.into_iter().chain([KEY_GENERATION]) {
            epochs_text(self.objects.store(), id, incarnation, generation).destroy()?;
        }
        Ok(())
    }
}
