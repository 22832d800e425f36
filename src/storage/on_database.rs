//! A tenant of which engines keep what its directory does not: what it is in each comes and goes together. Reads no row and no segment.

use std::path::Path;

use super::catalog::postgres::EPOCHS_FILE;
use super::data_dir::{self, DataDir};
use super::database::tenants::Rows;
use super::database::{Database, give_up_making};
use super::error::StorageError;
use super::files::Kept;
use super::objects::Objects;
use super::objects::key::Home;
use super::store::Store;
use crate::keys::epochs::incarnation_of;
use crate::model::id::TenantId;

/// The engines that keep of tenants what their directories do not. Clones share them.
#[derive(Clone)]
pub struct Engines {
    /// Has their catalogs.
    pub database: Database,
    /// Has the segments of tenants that are made from now on, and of those that were made so before; `None` keeps the former in their directories, and refuses the latter.
    pub objects: Option<Objects>,
}

impl Engines {
    /// The objects of the tenant with this directory, if its segments are such.
    pub(super) fn kept(&self, path: &Path, id: &TenantId) -> Result<Option<Kept>, StorageError> {
        Kept::find(path, self.objects.as_ref(), || {
            Ok(Home::of(id, &incarnation_of(&path.join(EPOCHS_FILE))?))
        })
    }
}

impl From<Database> for Engines {
    fn from(database: Database) -> Self {
        Self {
            database,
            objects: None,
        }
    }
}

impl Store {
    /// The database that has the catalog, if one has.
    pub fn database(&self) -> Option<&Database> {
        self.0.database.as_ref()
    }

    /// Removes a tenant, whose store is closed: its rows first, so that nothing can be listed any more, then its objects, then its directory. Where it is cut off it is done again, with the
    /// directory that stays. Rows without a directory are removed only where the tenant was never made; any others may be somebody else's.
    pub fn remove_on(engines: &Engines, dir: &DataDir, id: &TenantId) -> Result<(), StorageError> {
        let (database, path) = (&engines.database, dir.tenant_path(id));
        if path.exists() {
            let kept = engines.kept(&path, id)?;
            database.remove(&Rows::Of(incarnation_of(&path.join(EPOCHS_FILE))?))?;
            if let Some(kept) = kept {
                kept.destroy_all()?;
            }
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

    /// Removes what makings of tenants left that were cut off: rows first, then the directories that tell which. None has an object: segments are made of what is enrolled.
    pub fn clear_unfinished_on(engines: &Engines, dir: &DataDir) -> Result<(), StorageError> {
        for path in dir.unfinished()? {
            let epochs = path.join(EPOCHS_FILE);
            // Without the file it had no rows yet.
            if epochs.exists()
                && let Ok(incarnation) = incarnation_of(&epochs)
            {
                engines.database.remove(&Rows::Unmade(incarnation))?;
            }
            data_dir::remove_tree(&path)?;
        }
        Ok(())
    }
}
