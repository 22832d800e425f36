//! Where the tenants of a node are kept: their directories, their keys, and what engines have of them. Says what is missing; loads nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::rotate;
use crate::keys::error::KeyError;
use crate::keys::keyring::{Keyring, Purpose};
use crate::keys::secret::SecretKey;
use crate::model::id::TenantId;
use crate::model::tenant::TenantSpec;
use crate::storage::data_dir::{Catalogs, DataDir};
use crate::storage::database::{CatalogKeys, Database};
use crate::storage::error::StorageError;
use crate::storage::on_database::Engines;
use crate::storage::relocate;
use crate::storage::store::Store;

/// A data directory with its keyring, and the engines that have catalogs and segments, where they have.
pub struct Home {
    keyring: Arc<Keyring>,
    engines: Option<Engines>,
    /// The last to go.
    dir: DataDir,
}

/// Why a tenant can't be opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    /// From its files or its rows.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A tenant that nobody can read.
    #[error("the keyring holds no {0} of this tenant")]
    KeyMissing(&'static str),
}

impl From<KeyError> for OpenError {
    fn from(error: KeyError) -> Self {
        Self::Storage(error.into())
    }
}

impl OpenError {
    /// Whether it may be gone by itself later: an engine is away, or went while it was asked to do something, or a disk is full.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Storage(error) => {
                error.is_away() || error.may_be_done() || matches!(error, StorageError::Full(_))
            }
            Self::KeyMissing(_) => false,
        }
    }
}

impl Home {
    /// Joins them. A directory whose catalogs are elsewhere than in the database of `engines` (`None`: in its own files) is refused, rather than shown without tenants; a new one
    /// is for that database from then on. What makings and drops left that were cut off is removed from both.
    pub fn new(
        mut dir: DataDir,
        keyring: Arc<Keyring>,
        engines: Option<Engines>,
    ) -> Result<Self, StorageError> {
        match &engines {
            None if dir.catalogs() == Catalogs::InDatabase => {
                return Err(StorageError::DatabaseUnnamed(dir.path().to_owned()));
            }
            None => {}
            Some(engines) => {
                // Tables that this release doesn't work with leave the directory as it is.
                engines.database.tenants()?;
                dir.keep_catalogs_in_database()?;
                Store::clear_unfinished_on(engines, &dir)?;
            }
        }
        let home = Self {
            keyring,
            engines,
            dir,
        };
        home.end_drops()?;
        Ok(home)
    }

    pub(super) fn dir(&self) -> &DataDir {
        &self.dir
    }

    pub(super) fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    pub(super) fn database(&self) -> Option<&Database> {
        self.engines.as_ref().map(|engines| &engines.database)
    }

    /// All tenants that have a directory, or rows.
    pub(super) fn tenants(&self) -> Result<BTreeSet<TenantId>, StorageError> {
        let mut tenants: BTreeSet<TenantId> = self.dir.tenants()?.into_iter().collect();
        if let Some(database) = self.database() {
            tenants.extend(database.tenants()?.into_keys());
        }
        Ok(tenants)
    }

    /// Opens a tenant.
    pub(super) fn open(&self, id: &TenantId) -> Result<Store, OpenError> {
        let Some(engines) = &self.engines else {
            let data_key = rotate::data_key(&self.dir, &self.keyring, id)?;
            let data_key = data_key.ok_or(OpenError::KeyMissing("data key"))?;
            return Ok(Store::open(&self.dir, id, &data_key, self.keyring.signer())?);
        };
        self.check_both(&engines.database, id)?;
        let key = |purpose, name| self.keyring.get(id, purpose)?.ok_or(OpenError::KeyMissing(name));
        let keys = CatalogKeys {
            secret: key(Purpose::Catalog, "catalog's secret")?,
            data_key: key(Purpose::Data, "data key")?,
        };
        Ok(Store::open_on(
            engines,
            &self.dir,
            id,
            &keys,
            self.keyring.signer(),
        )?)
    }

    /// Says what is missing of a tenant that is not in both places.
    fn check_both(&self, database: &Database, id: &TenantId) -> Result<(), StorageError> {
        let (tenant, server) = (id.clone(), database.server().to_owned());
        let is_here = self.dir.tenant_path(id).exists();
        match database.commits(id)? {
            None if is_here => Err(StorageError::RowsMissing { tenant, server }),
            Some(0) if !is_here => Err(StorageError::InTheMaking { tenant, server }),
            Some(_) if !is_here => Err(StorageError::DirectoryMissing {
                path: self.dir.path().to_owned(),
                tenant,
                server,
            }),
            _ => Ok(()),
        }
    }

    /// Makes a tenant, with keys where it has none.
    pub(super) fn create(&self, spec: &TenantSpec) -> Result<Store, StorageError> {
        self.keyring.end_drop(&spec.id)?;
        let data_key = self.keyring.get_or_create(&spec.id, Purpose::Data)?;
        let signer = self.keyring.signer();
        let Some(engines) = &self.engines else {
            return Store::create(&self.dir, spec, &data_key, signer);
        };
        let keys = self.catalog_keys(&spec.id, data_key)?;
        Store::create_on(engines, &self.dir, spec, &keys, signer)
    }

    fn catalog_keys(&self, id: &TenantId, data_key: SecretKey) -> Result<CatalogKeys, KeyError> {
        let secret = self.keyring.get_or_create(id, Purpose::Catalog)?;
        Ok(CatalogKeys { secret, data_key })
    }

    /// Refuses to drop a tenant while it can't be told whose its rows are, or where: another database may have them. Before a drop is noted; one that was noted may have removed
    /// them.
    pub(super) fn check_drop(&self, id: &TenantId) -> Result<(), StorageError> {
        // Where its relocation was cut off what is here may be all there is.
        relocate::refuse(&self.dir.tenant_path(id), id)?;
        let Some(database) = self.database() else {
            return Ok(());
        };
        match self.check_both(database, id) {
            Err(StorageError::InTheMaking { .. }) => Ok(()),
            Err(StorageError::RowsMissing { .. }) if self.keyring.get(id, Purpose::Dropped)?.is_some() => {
                Ok(())
            }
            checked => checked,
        }
    }

    /// Removes a tenant whose drop was noted and whose store is closed. Its keys stay.
    pub(super) fn remove(&self, id: &TenantId) -> Result<(), StorageError> {
        match &self.engines {
            None => self.dir.remove_tenant(id),
            Some(engines) => Store::remove_on(engines, &self.dir, id),
        }
    }

    /// Whether something is left of a tenant that could not be removed.
    pub(super) fn has_left(&self, id: &TenantId) -> bool {
        // Where the database does not say so, there may be rows.
        let rows = self.database().map(|database| database.commits(id));
        self.dir.tenant_path(id).exists() || !matches!(rows, None | Some(Ok(None)))
    }

    /// Ends drops of tenants in a database that were cut off between their rows and their keys. One that can't be ended now is unavailable.
    fn end_drops(&self) -> Result<(), StorageError> {
        if self.engines.is_none() {
            return Ok(());
        }
        for id in self.tenants()? {
            if self.keyring.get(&id, Purpose::Dropped)?.is_none() {
                continue;
            }
            match self.remove(&id) {
                Ok(()) => self.keyring.destroy(&id)?,
                Err(error) => tracing::error!(tenant = %id, %error, "a drop can't be ended"),
            }
        }
        Ok(())
    }
}
