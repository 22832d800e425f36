//! A tenant whose catalog is in a database, from both sides: its rows there and its directory here come and go together. Reads neither.

use super::catalog::postgres::EPOCHS_FILE;
use super::data_dir::{self, DataDir};
use super::database::tenants::Rows;
use super::database::{Database, give_up_making};
use super::error::StorageError;
use super::store::Store;
use crate::keys::epochs::incarnation_of;
use crate::model::id::TenantId;

impl Store {
    /// The database that has the catalog, if one has.
    pub fn database(&self) -> Option<&Database> {
        self.0.database.as_ref()
    }

    /// Removes a tenant, whose store is closed: its rows first, then its directory. Where it is cut off it is done again, with the directory that stays. Rows
    /// without a directory are removed only where the tenant was never made; any others may be somebody else's.
    pub fn remove_on(database: &Database, dir: &DataDir, id: &TenantId) -> Result<(), StorageError> {
        let path = dir.tenant_path(id);
        if path.exists() {
            database.remove(&Rows::Of(incarnation_of(&path.join(EPOCHS_FILE))?))?;
            return dir.remove_tenant(id);
        }
        if give_up_making(database, id)? || database.commits(id)?.is_none() {
            return Ok(());
        }
        Err(StorageError::DirectoryMissing {
            path: dir.path().to_owned(),
            tenant: id.clone(),
            server: database.server().to_owned(),
        })
    }

    /// Removes what makings of tenants left that were cut off: rows first, then the directories that tell which.
    pub fn clear_unfinished_on(database: &Database, dir: &DataDir) -> Result<(), StorageError> {
        for path in dir.unfinished()? {
            let epochs = path.join(EPOCHS_FILE);
            // Without the file it had no rows yet.
            if epochs.exists()
                && let Ok(incarnation) = incarnation_of(&epochs)
            {
                database.remove(&Rows::Unmade(incarnation))?;
            }
            data_dir::remove_tree(&path)?;
        }
        Ok(())
    }
}
